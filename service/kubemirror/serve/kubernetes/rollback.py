"""What a store held at an earlier resourceVersion: today's state, rolled back through the journal.

No snapshot is stored per version. A page of a list at RV N undoes the changes after N, newest first; the
result is kept for the pages that follow, a few at a time, and any replica whose journal reaches N can make it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from kubemirror.state.journal import Journal
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import Reader

# A page after the first is asked within seconds; each kept list of 100,000 objects costs under 1 MB of pointers.
_KEPT = 16
# Undoing a change takes about 0.3 µs: the loop is held for at most a few milliseconds at a time.
_STEP = 5000


class EarlierStates:
    """Objects of stores at earlier resourceVersions, the most recently asked kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Journal, int, str | None], tuple[Object, ...]] = OrderedDict()

    def keep(self, journal: Journal, resource_version: int, namespace: str | None, objects: tuple[Object, ...]) -> None:
        """Remember what was just listed: the next page asks for exactly this."""
        self._kept[journal, resource_version, namespace] = objects
        self._kept.move_to_end((journal, resource_version, namespace))
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    async def at(self, reader: Reader, resource_version: int, namespace: str | None) -> tuple[Object, ...]:
        """The objects in storage order. Raises ExpiredError where the journal does not reach that far."""
        journal = reader.journal
        first = journal.after(resource_version)  # raises also for what is still kept here: gone is gone
        kept = self._kept.get((journal, resource_version, namespace))
        if kept is not None:
            self._kept.move_to_end((journal, resource_version, namespace))
            return kept
        snapshot = reader.snapshot(namespace)
        if first == journal.end:
            objects = snapshot.objects
        else:
            objects = await _undo(snapshot.objects, journal, first, namespace)
        self.keep(journal, resource_version, namespace, objects)
        return objects


async def _undo(objects: tuple[Object, ...], journal: Journal, first: int, namespace: str | None) -> tuple[Object, ...]:
    changes = journal.records(first, journal.end - first)
    before: dict[Key, Object | None] = {}
    for count, change in enumerate(reversed(changes), 1):
        if namespace is None or change.state.namespace == namespace:
            before[change.state.key] = change.old
        if count % _STEP == 0:
            await asyncio.sleep(0)
    if not before:
        return objects
    earlier = [held for held in objects if held.key not in before]
    earlier += [old for old in before.values() if old is not None]
    earlier.sort(key=lambda held: (held.namespace + "/", held.name))
    return tuple(earlier)
