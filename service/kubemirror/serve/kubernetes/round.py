"""Those who rest and have something to hear, told one after the other without waking a task for each.

Waking a task, and sending through ASGI, costs several times what writing a finished chunk to a transport costs. So a
change puts the watches that it concerns into one round, which the loop runs in its next turns: in slices, so that a
round of thousands delays nobody else by more than a few milliseconds. First come, first told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

# Of one turn of the loop, whoever else waits: some 400 readers at 10 to 15 µs each.
SLICE_SECONDS = 0.005


class Resting(Protocol):
    """Who can be told something while it waits."""

    def tell(self, now: float) -> None:
        """Say what there is to say, or leave it to the own task. now: the loop's seconds."""


class Round:
    """The round of one app, in its loop. done: called when all have been told. clock: seconds, for the slices."""

    def __init__(self, *, done: Callable[[], None], clock: Callable[[], float] = perf_counter) -> None:
        self._done = done
        self._clock = clock
        self._due: deque[Resting] = deque()
        self._scheduled = False

    def add(self, resting: Resting) -> None:
        """Tell it in one of the next turns, after those who are there already."""
        self._due.append(resting)
        if not self._scheduled:
            self._schedule(asyncio.get_running_loop())

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = True
        loop.call_soon(self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        due, clock = self._due, self._clock
        now = loop.time()
        ends = clock() + SLICE_SECONDS
        try:
            # At most those who are there now: one that comes again, having more to hear, lets others go first.
            for _ in range(len(due)):
                due.popleft().tell(now)
                if clock() >= ends:
                    break
        finally:  # one that cannot be told is no reason to forget the others
            if due:
                self._schedule(loop)
            else:
                self._scheduled = False
                self._done()
