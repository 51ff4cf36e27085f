"""A resource by a name that somebody wrote, and what a refusal of it tells of which resources there are.

Discovery tells every known user all of them, so that a 404 with a suggestion tells nothing new. To whoever may not read
discovery all names are alike, as at the API server, which decides before it looks: the Authorizer is asked as often,
and the refusal repeats what was asked for in the caller's own words, neither its group nor its scope. What every
cluster has is no secret: Kubernetes' own kinds are refused by their full names, as the API server refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from kubemirror.access.authorizer import Caller, Deny, ResourceAttributes
from kubemirror.serve.context import Context
from kubemirror.serve.problems import UnknownResourceError, not_found
from kubemirror.serve.reading import may_discover
from kubemirror.serve.status import refused
from kubemirror.state.catalog import Entry, Resource

_OWN = ".k8s.io"


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found. worded: for ``reading.read``; None where the caller may know what it is."""

    entry: Entry
    worded: ResourceAttributes | None = None


def wording(verb: str, resource: str, namespace: str = "", name: str = "") -> ResourceAttributes:
    """What a caller asks for, read from its words alone: ``plural.group``, whether or not there is one."""
    plural, _, group = resource.partition(".")
    return ResourceAttributes(verb, group, "", plural, namespace=namespace, name=name)


async def find(context: Context, caller: Caller, name: str, worded: ResourceAttributes) -> Sought:
    """The resource of that name (any that kubectl takes). Raises StatusError 404, or 403 as of any name."""
    entry = context.catalog.find(name)
    if entry is not None and (_everywhere(entry.resource) or _granted(caller, entry.resource)):
        return Sought(entry)
    if await may_discover(context, caller):
        return Sought(known(context, name))
    if entry is None:
        await _refuse(context, caller, name, worded)
    return Sought(entry, worded)


def known(context: Context, name: str) -> Entry:
    """The resource of that name, for a caller who may know which there are: a 404 that suggests otherwise."""
    entry = context.catalog.find(name)
    if entry is None:
        raise UnknownResourceError(name, context.catalog.names())
    return entry


async def _refuse(context: Context, caller: Caller, name: str, worded: ResourceAttributes) -> NoReturn:
    decision = await context.authorizer.authorize(caller, worded)
    if isinstance(decision, Deny):
        raise refused(caller, worded, decision.reason)
    raise not_found(f'the mirror has no resource "{name}"', name)  # to whoever may read anything


def _everywhere(resource: Resource) -> bool:
    """Whether it is one of Kubernetes' own, and no aggregated API's."""
    return not resource.custom and ("." not in resource.group or resource.group.endswith(_OWN))


def _granted(caller: Caller, resource: Resource) -> bool:
    """Whether the caller's embed token names it."""
    return caller.grant is not None and caller.grant.resource == resource.name
