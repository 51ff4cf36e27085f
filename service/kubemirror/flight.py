"""One piece of work for all who ask for it at the same time.

Each who asks may be cancelled without ending the work for the others: the work runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Work under way, by key."""

    def __init__(self, name: str, *, ended: Callable[[], Exception]) -> None:
        """name: of the tasks, for whoever debugs them. ended: what those who wait get when close() ends their work."""
        self._name = name
        self._ended = ended
        self._running: dict[Hashable, asyncio.Task[T]] = {}
        self._next: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work under way for ``key``, which is begun if there is none."""
        task = self._running.get(key)
        if task is None:
            task = self._begin(key, work)
        return await self._wait(task)

    async def join_next(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """As join, but never the result of work that was begun before this call.

        For answers that must not be older than the question. Those who ask meanwhile share one next piece.
        """
        running = self._running.get(key)
        if running is None:
            return await self._wait(self._begin(key, work))
        task = self._next.get(key)
        if task is None:
            task = asyncio.create_task(self._after(key, running, work), name=f"{self._name} (next)")
            self._next[key] = task
            task.add_done_callback(_seen)
        return await self._wait(task)

    async def close(self) -> None:
        """End what is under way and wait for its end."""
        tasks = [*self._running.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self, task: asyncio.Task[T]) -> T:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if task.cancelled() and asker is not None and not asker.cancelling():
                # Nobody cancelled the asker: it must not look as if somebody had.
                raise self._ended() from None
            raise

    def _begin(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        async def run() -> T:
            try:
                return await work()
            finally:
                if self._running.get(key) is task:
                    del self._running[key]

        task = asyncio.create_task(run(), name=self._name)
        self._running[key] = task
        task.add_done_callback(_seen)
        return task

    async def _after(self, key: Hashable, running: asyncio.Task[T], work: Callable[[], Awaitable[T]]) -> T:
        await asyncio.wait([running])
        self._next.pop(key, None)
        return await asyncio.shield(self._begin(key, work))


def _seen(task: asyncio.Task[T]) -> None:
    # Every asker may have gone: an error nobody waits for is not a lost error, the next to ask gets its own.
    if not task.cancelled():
        task.exception()
