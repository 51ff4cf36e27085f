"""Turns a store's callbacks into something a handler can await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubemirror.errors import TooLargeResourceVersionError
from kubemirror.state.store import Reader


async def until(reader: Reader, condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until ``condition`` holds, asked whenever the store moves; False when ``seconds`` passed first."""
    if condition():
        return True
    moved = asyncio.Event()
    cancel = reader.on_progress(moved.set)
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                moved.clear()
                await moved.wait()
    except TimeoutError:
        return False
    finally:
        cancel()
    return True


async def resumable(reader: Reader, *, seconds: float) -> None:
    """Wait, but not for ever, until what is held now can be watched from: not while a gap is still being told."""
    await until(reader, lambda: not reader.journal.gap_is_open, seconds=seconds)


async def fresh(reader: Reader, resource_version: int, *, seconds: float) -> None:
    """Wait until the store has reached ``resource_version``; TooLargeResourceVersionError if it does not."""
    if not await until(reader, lambda: reader.resource_version >= resource_version, seconds=seconds):
        raise TooLargeResourceVersionError(resource_version, reader.resource_version)
