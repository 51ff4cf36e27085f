"""What stands around one object: readings of other resources, each asked of the Authorizer by itself.

What may not be seen, is not mirrored or is not complete yet is named, with the reason, instead of being left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kubemirror.access.authorizer import Budget
from kubemirror.errors import KubemirrorError
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.problems import problem_of
from kubemirror.serve.reading import Reading, read
from kubemirror.state.catalog import Entry
from kubemirror.state.objects import Object
from kubemirror.views.ownership import references

# Objects that are looked through for those that one owns, at most: 3 µs each.
MOST_LOOKED_THROUGH = 20_000
EVENTS = ("events", "events.events.k8s.io")
# What kinds of workload make, and where that is told.
MADE_BY = {
    "deployments.apps": ("replicasets.apps", "pods"),
    "statefulsets.apps": ("pods",),
    "daemonsets.apps": ("pods",),
    "replicasets.apps": ("pods",),
    "replicationcontrollers": ("pods",),
    "jobs.batch": ("pods",),
    "cronjobs.batch": ("jobs.batch", "pods"),
}


@dataclass(slots=True)
class Around:
    """Readings by resource, and why others (by their plural) are missing. namespace: None for everywhere."""

    namespace: str | None
    readings: dict[str, Reading] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def objects(self, resource: str) -> Iterable[Object]:
        reading = self.readings.get(resource)
        return reading.objects() if reading is not None else ()


async def around(context: Context, asked: Asked, entry: Entry, namespace: str) -> Around:
    """What may be read of all resources where an object of ``entry`` can own something, and of events."""
    found = Around(namespace if entry.resource.namespaced else None)
    expected = MADE_BY.get(entry.resource.name, ())
    wanted = [each for each in context.catalog if each.stores and (found.namespace is None or each.resource.namespaced)]
    budget = Budget()
    for each in wanted:
        name = each.resource.name
        within = found.namespace if each.resource.namespaced else None
        try:
            reading = await read(context, asked.caller, each, verb="list", namespace=within, budget=budget)
            reading.require_served()
        except KubemirrorError as error:
            if name in expected or name in EVENTS:
                found.missing[each.resource.plural] = problem_of(error).message
            continue
        found.readings[name] = reading
    mirrored = {each.resource.name for each in wanted}
    for name in expected:
        if name not in mirrored:
            found.missing[name.partition(".")[0]] = f"not mirrored (--mirror {name} would)"
    if mirrored.isdisjoint(EVENTS):
        found.missing["events"] = "not mirrored (--mirror events would)"
    return found


@dataclass(frozen=True, slots=True)
class Owned:
    """What an object owns, and what that owns in its turn."""

    entry: Entry
    held: Object
    owner: str


def owned(found: Around, uid: str) -> list[Owned]:
    """All that ``uid`` owns, through any number of owners; each after its owner."""
    children: dict[str, list[Owned]] = {}
    looked_at = 0
    for name, reading in found.readings.items():
        if name in EVENTS:
            continue
        looked_at += sum(
            len(store) if namespace is None else store.count(namespace) for store, namespace in reading.parts()
        )
        if looked_at > MOST_LOOKED_THROUGH:
            found.missing["what it owns"] = f"more than {MOST_LOOKED_THROUGH} objects would have to be looked through"
            break
        for held in reading.objects():
            for reference in references(held):
                children.setdefault(reference.uid, []).append(Owned(reading.entry, held, reference.uid))
    ordered: list[Owned] = []
    seen = {uid}
    above = [uid]
    while above:
        below = [child for each in above for child in children.get(each, ()) if child.held.uid not in seen]
        fresh = {child.held.uid: child for child in below}
        seen |= fresh.keys()
        ordered += fresh.values()
        above = list(fresh)
    return ordered


def uids(objects: Collection[Owned]) -> set[str]:
    """Of all of them."""
    return {each.held.uid for each in objects}
