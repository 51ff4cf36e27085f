"""Where things are on our own pages: paths made of segments that are quoted each."""

from __future__ import annotations

import shlex
from urllib.parse import quote, urlencode

from kubemirror.serve.asked import Asked
from kubemirror.state.catalog import Catalog, Entry, Resource


def list_path(resource: str, namespace: str = "", **query: str) -> str:
    """The page of a resource, of one namespace where one is named."""
    parameters = {"namespace": namespace, **query}
    asked = urlencode({name: value for name, value in parameters.items() if value})
    return f"/resources/{quote(resource, safe='')}" + (f"?{asked}" if asked else "")


def object_path(resource: str, namespace: str, name: str) -> str:
    """The page of one object."""
    return "/resources/" + "/".join(quote(part, safe="") for part in (resource, namespace, name) if part)


def by_kind(catalog: Catalog, api_version: str, kind: str) -> Entry | None:
    """The mirrored resource of which a reference names the kind; None where it is not mirrored."""
    group, _, _ = api_version.rpartition("/")
    return next(
        (entry for entry in catalog if entry.resource.kind == kind and entry.resource.group == group and entry.stores),
        None,
    )


def curl_line(asked: Asked, path: str) -> str:
    """The command that gets the same in a terminal."""
    return f"curl {shlex.quote(f'{asked.origin}{asked.base}{path}')}"


def kubectl_line(asked: Asked, resource: Resource, namespace: str, name: str) -> str:
    """kubectl's command for one object, asked of this mirror."""
    where = f" -n {shlex.quote(namespace)}" if namespace else ""
    server = shlex.quote(f"{asked.origin}{asked.base}")
    return f"kubectl --server {server} get {resource.name} {shlex.quote(name)}{where} -o yaml"
