"""Streams that open take turns, so that ten thousand that come back at once hold nobody up.

Opening one costs about half a millisecond: access, snapshot, a place in the journal, the first frames. Tasks that
become ready together run in one turn of the loop, and after a network that broke, or a replica that has gone, there
are thousands of them: for seconds no event would be told, no heartbeat sent, and no health check answered.
"""

from __future__ import annotations

import asyncio
from collections import deque

# Of one turn of the loop: as long as a slice of a round (round.py), about 5 ms.
AT_A_TURN = 8


class Turns:
    """The turns of one process."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = 0  # of the present turn
        self._scheduled = False

    async def take(self) -> None:
        """Wait for a turn, if there are others; who came first goes first."""
        loop = asyncio.get_running_loop()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next, loop)
        if not self._waiting and self._taken < AT_A_TURN:
            self._taken += 1
            return
        mine = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        taken = 0
        while self._waiting and taken < AT_A_TURN:
            mine = self._waiting.popleft()
            if not mine.done():  # who gave up does not count
                mine.set_result(None)
                taken += 1
        self._taken = taken
        self._scheduled = taken > 0
        if taken:
            loop.call_soon(self._next, loop)
