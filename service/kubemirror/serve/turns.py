"""Long work of a request, cut up: others run in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

# A request holds the loop for this long at once: about what a health check or a round of push may wait.
SLICE_SECONDS = 0.005
# Looked at before the clock is: some tenths of a millisecond.
_AT_ONCE = 64

Item = TypeVar("Item")


async def in_turns(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """``items``, some at once; after each slice others get their turn."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SLICE_SECONDS
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
        if loop.time() >= until:
            await asyncio.sleep(0)
            until = loop.time() + SLICE_SECONDS
