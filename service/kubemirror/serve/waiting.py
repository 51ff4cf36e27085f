"""Turns a store's callbacks into something a handler can await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubemirror.errors import ForeignError, TooLargeResourceVersionError, UpstreamUnavailableError
from kubemirror.serve.context import Context
from kubemirror.state.catalog import ALL_NAMESPACES, Resource
from kubemirror.state.store import Reader

# What upstream has sent of a busy resource is here by then; a quiet one hears of the newest version a minute later.
IN_FLIGHT_SECONDS = 0.25


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


async def caught_up(context: Context, resource: Resource, namespace: str | None, reader: Reader) -> None:
    """Wait until the store holds what upstream holds at this moment; TooLargeResourceVersionError if it does not.

    Its version tells, or, where nothing happens to the resource, that it sums up to the same as upstream's list.
    namespace: that is asked for; ``reader`` is the store that answers for it.
    """
    seconds = context.settings.freshness_seconds
    entry = context.catalog.get(resource.name)
    held = namespace or ALL_NAMESPACES if entry is not None and entry.whole is not reader else ALL_NAMESPACES
    version = await context.upstream.current(resource, held)
    if await until(reader, lambda: reader.resource_version >= version, seconds=min(IN_FLIGHT_SECONDS, seconds)):
        return
    digest = await context.upstream.digest(resource, held)

    def caught() -> bool:
        return reader.resource_version >= version or reader.digest() == digest

    if not await until(reader, caught, seconds=seconds):
        raise TooLargeResourceVersionError(version, reader.resource_version)


async def ours(
    context: Context, resource: Resource, namespace: str, reader: Reader, resource_version: int, *, seconds: float
) -> bool:
    """Whether a resourceVersion ahead of the store is of the history that it follows; False where that is not known.

    A replica may be behind its readers for long, and they wait. But a cluster that was restored, or is another one now,
    counts from a number of its own: who comes from its past would wait until that is overtaken, and never hear of what
    lies below. Only upstream tells the two apart: nobody can have come from beyond all that it has. ForeignError then.
    namespace: the store's, "" for one of all.
    """
    try:
        async with asyncio.timeout(seconds):
            horizon = await context.upstream.horizon(resource, namespace)
    except (UpstreamUnavailableError, TimeoutError):
        return False
    if horizon is not None and max(horizon, reader.resource_version) < resource_version:
        raise ForeignError(resource_version, horizon)
    return horizon is not None
