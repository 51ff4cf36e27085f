"""How long one connection lasts: an hour or so, so that load spreads again over replicas, or until the process leaves.

Each connection ends at a moment of its own, whatever it carries; what it carries says where to resume before.
"""

from __future__ import annotations

import asyncio
import random

from kubemirror.serve.context import Context

# Of a connection's life, so that those that were opened together do not end together.
JITTER = 0.25


class Life:
    """The end of one connection. Times are the event loop's seconds."""

    def __init__(self, context: Context) -> None:
        self._loop = asyncio.get_running_loop()
        self._lifecycle = context.lifecycle
        seconds = context.settings.stream_seconds * (1 - JITTER * random.random())  # noqa: S311 - spreads load
        self._ends = self._loop.time() + seconds
        self._shortened = False
        # When its reader should come back after the process has left, or had to turn it away: not all at once.
        self.retry_seconds = random.randint(1, 5)  # noqa: S311

    @property
    def ends(self) -> float:
        """When it ends; ask again whenever the lifecycle has moved."""
        lifecycle = self._lifecycle
        if lifecycle.closing and not self._shortened:
            self._shortened = True
            own = self._loop.time() + random.random() * lifecycle.spread_seconds  # noqa: S311
            self._ends = min(self._ends, own)
        return self._ends

    @property
    def reason(self) -> str:
        """Why it ends."""
        return "shutdown" if self._lifecycle.closing else "lifetime"
