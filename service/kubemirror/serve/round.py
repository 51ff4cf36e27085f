"""Audiences that have something to hear, told one after the other, in slices.

A round of thousands of readers takes tens of milliseconds. So it is run in the loop's next turns, each for some
milliseconds at most, and nobody else is delayed by more. First come, first told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

# Of one turn of the loop, whoever else waits: some 500 readers at 10 µs each.
SLICE_SECONDS = 0.005


class Telling(Protocol):
    """Who has something to tell."""

    def tell(self, now: float, full: Callable[[], bool]) -> bool:
        """Tell until ``full`` says that the slice is; whether there is more. now: the loop's seconds."""


class Round:
    """The round of one app, in its loop. clock: seconds, for the slices."""

    def __init__(self, *, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._due: deque[Telling] = deque()
        self._scheduled = False

    def add(self, telling: Telling) -> None:
        """Let it tell in one of the next turns, after those who are there already."""
        self._due.append(telling)
        if not self._scheduled:
            self._schedule(asyncio.get_running_loop())

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = True
        loop.call_soon(self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        due, clock = self._due, self._clock
        now, ends = loop.time(), clock() + SLICE_SECONDS

        def full() -> bool:
            return clock() >= ends

        try:
            # At most those who are there now: one that has more to tell lets others go first.
            for _ in range(len(due)):
                telling = due.popleft()
                more = True
                try:
                    more = telling.tell(now, full)
                finally:
                    if more:
                        due.append(telling)
                if full():
                    break
        finally:  # one that cannot tell is no reason to forget the others
            if due:
                self._schedule(loop)
            else:
                self._scheduled = False
