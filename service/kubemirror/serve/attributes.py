"""What a request does, as the Authorizer is asked about it: derived here for the API server's paths and for ours.

The rules are upstream's (apiserver pkg/endpoints/request/requestinfo.go): a field selector on one name makes a list or
watch a named one, selectors count for these and for deletecollection alone, and a namespace lives in itself: in any
group, a path that ends in /namespaces/x is about x.
"""

from __future__ import annotations

from kubemirror.access.authorizer import ResourceAttributes
from kubemirror.errors import SelectorError
from kubemirror.state.catalog import Resource
from kubemirror.state.selectors import parse_field_selector

_SELECTING = frozenset({"list", "watch", "deletecollection"})


def attributes_of(
    verb: str,
    group: str,
    version: str,
    resource: str,
    *,
    subresource: str = "",
    namespace: str = "",
    name: str = "",
    label_selector: str = "",
    field_selector: str = "",
    known: Resource | None = None,
) -> ResourceAttributes:
    """known: the resource, if there is one of that name."""
    if resource == "namespaces" and name:
        namespace = name
    if verb not in _SELECTING or known is None:
        label_selector = field_selector = ""
    elif field_selector and not name and verb != "deletecollection":
        try:
            name = parse_field_selector(field_selector, known, version).name or ""
        except SelectorError:
            name = ""  # refused in upstream's words once it is known who asks
    return ResourceAttributes(
        verb, group, version, resource, subresource, namespace, name, label_selector, field_selector
    )
