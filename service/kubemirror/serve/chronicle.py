"""Keeps a History of every store in the catalog, and looks at what it noted while nobody waits for it.

Looking takes about 0.1 ms per change. It is done in slices, at most a twentieth of the time, so that a burst is
first served to those who watch; what a page shows is looked at when it is asked for (History.of).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from kubemirror.serve.context import Context
from kubemirror.state.catalog import Entry, Resource
from kubemirror.state.history import History, ObjectKey
from kubemirror.state.journal import ChangeType
from kubemirror.state.objects import Object
from kubemirror.state.store import Reader
from kubemirror.views.duration import Ticking

# A slice of looking, and the rest after it, in seconds: a twentieth of the time, and readers wait 2 ms at most.
SLICE_SECONDS, REST_SECONDS = 0.002, 0.038
# Two clocks differ by less than this from one reading to the next; by more, and one of them was set.
SET_SECONDS = 2.0
# Before a slice looks at the clock again.
_AT_ONCE = 4
_CAME = {ChangeType.ADDED: "created", ChangeType.DELETED: "deleted", ChangeType.MODIFIED: "changed"}


class Chronicle:
    """The history of one process, and what follows the catalog for it."""

    def __init__(self, context: Context) -> None:
        self.history = History(context.settings.history_bytes)
        self._catalog = context.catalog
        self._clock = context.clock
        self._wall = context.wall
        self._epoch = context.wall() - context.clock()
        self._followed: dict[tuple[str, str], tuple[Reader, Callable[[], None]]] = {}
        self._something = asyncio.Event()
        self.history.wake = self._something.set
        if self.history.budget:
            self._catalog.on_change(self._follow)
            self._follow()

    def _follow(self) -> None:
        entries: list[Entry] = list(self._catalog)
        wanted = {(entry.resource.name, where): reader for entry in entries for where, reader in entry.stores.items()}
        for place, (reader, leave) in list(self._followed.items()):
            if wanted.get(place) is not reader:
                leave()
                del self._followed[place]
        for place, reader in wanted.items():
            if place not in self._followed:
                self._followed[place] = (reader, self.history.follow(place[0], reader, place[1]))

    @property
    def epoch(self) -> float:
        """When the stores' clock was 0, in seconds since 1970: the same each time, unless the wall clock was set."""
        found = self._wall() - self._clock()
        if abs(found - self._epoch) > SET_SECONDS:
            self._epoch = found
        return self._epoch

    def last_change_cell(self, resource: Resource) -> Callable[[Object, float], Ticking | None]:
        """Cells of the column Last Change: ``image 2m ago``; None where nothing is remembered."""
        name, history = resource.name, self.history

        def cell(held: Object, now: float) -> Ticking | None:
            entry = history.last(ObjectKey(name, held.namespace, held.name))
            if entry is None:
                return None
            what = entry.meanings[0].value if entry.meanings else _CAME[entry.type]
            return Ticking(self.epoch + entry.until, f"{what} ", " ago")

        return cell

    async def run(self) -> None:
        """Look at what is noted, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self.history.pending:
                until = time.perf_counter() + SLICE_SECONDS
                while self.history.settle(_AT_ONCE) and time.perf_counter() < until:
                    pass
                await asyncio.sleep(REST_SECONDS)
