"""The namespaces that a reader names: one, several, or all but some: ``shop,dev``, ``!kube-system``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BeforeValidator, Field

from kubemirror.access.authorizer import Allow, Caller, Decision, ResourceAttributes
from kubemirror.serve.context import Context
from kubemirror.serve.reading import Reading, not_namespaced, read
from kubemirror.serve.status import bad_request
from kubemirror.state.catalog import Entry
from kubemirror.state.store import Reader

NOT = "!"
# Each is asked of the Authorizer.
MOST_NAMESPACES = 100


def separate(value: object) -> object:
    """Lists are written with commas, repeated, or both; empty parts ask for nothing."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Sequence):
        return given
    return [part for each in given for part in (each.split(",") if isinstance(each, str) else (each,)) if part != ""]


SeveralNamespaces = Annotated[
    list[str],
    BeforeValidator(separate),
    Field(description="Only these namespaces; with ! in front all but these. Comma-separated or repeated."),
]


@dataclass(frozen=True, slots=True)
class Namespaces:
    """included: () for all. excluded: left out of them."""

    included: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()

    @property
    def one(self) -> str | None:
        """The only one, if there is only one."""
        return self.included[0] if len(self.included) == 1 else None

    @property
    def first(self) -> str | None:
        """One that is named."""
        return self.included[0] if self.included else None

    @property
    def every(self) -> bool:
        return not self.included and not self.excluded


def namespaces_of(named: Sequence[str]) -> Namespaces:
    """What ``named`` asks for. Raises 400 where that is nothing."""
    excluded = frozenset(each.removeprefix(NOT).strip() for each in named if each.startswith(NOT))
    included = dict.fromkeys(each.strip() for each in named if not each.startswith(NOT))
    if "" in excluded:
        raise bad_request(f'namespace: "{NOT}" stands in front of a name')
    left = tuple(each for each in included if each and each not in excluded)
    if included and not left:
        raise bad_request("namespace: the same namespaces are named and excluded: nothing is left")
    if len(left) > MOST_NAMESPACES:
        raise bad_request(f"namespace: {len(left)} are too many: name at most {MOST_NAMESPACES}, or exclude some")
    return Namespaces(left, frozenset() if left else excluded)


async def read_namespaces(
    context: Context,
    caller: Caller,
    entry: Entry,
    namespaces: Namespaces,
    *,
    verb: str,
    name: str = "",
    label_selector: str = "",
    field_selector: str = "",
    held: Decision | None = None,
    worded: ResourceAttributes | None = None,
) -> Reading:
    """What of ``entry`` may be read in ``namespaces``; each that is named must be allowed. As ``reading.read``."""
    several = len(namespaces.included) > 1

    async def inside(namespace: str | None) -> Reading:
        return await read(
            context,
            caller,
            entry,
            verb=verb,
            namespace=namespace,
            name=name,
            label_selector=label_selector,
            field_selector=field_selector,
            held=Allow() if several and held is not None else held,
            worded=worded,
        )

    resource = entry.resource
    if not resource.namespaced and not namespaces.every:
        await inside(namespaces.first)  # which tells those alone who may know it
        raise not_namespaced(resource)
    if not several:
        reading = await inside(namespaces.one)
        return replace(reading, excluded=namespaces.excluded) if namespaces.excluded else reading
    readings = [await inside(each) for each in namespaces.included]
    stores: dict[str, Reader] = {key: reader for reading in readings for key, reader in reading.stores}
    return Reading(
        entry,
        tuple(sorted(stores.items(), key=lambda each: each[0] + "/")),
        None,
        frozenset(namespaces.included),
        min(reading.until for reading in readings),
    )
