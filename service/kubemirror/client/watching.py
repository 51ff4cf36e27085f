"""One watch as its reader holds it: an iterator that ends in order, however its reader leaves it.

What it reads from is nested (the event in its message, the message in its connection, that one in a pool), and has to
be closed from the inside out. Asynchronous generators that somebody drops are closed by the event loop instead: all at
once, in no order, and loudly. So one task of its own reads a watch, is the only one that opens and closes anything, and
hands over one event at a time. Whoever leaves a loop, by ``break`` or by an error, drops the iterator, which tells the
task to end; the Mirror waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self

from kubemirror.client.events import Event

Telling = Callable[[], AsyncGenerator[Event]]


class Watch:
    """Events, by ``async for``. Ends with the ``async with`` of its Mirror, or before: it is one too.

    Whoever gives up waiting for an event (``asyncio.timeout``) may go on later, and has missed nothing.
    """

    def __init__(self, telling: Telling, begin: Callable[[Handing], asyncio.Task[None]]) -> None:
        """telling: the events. begin: has a task hand them over, when the first one is asked for."""
        self._handing = Handing(telling)
        self._begin = begin
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._task is None:
            if self._closed:
                raise StopAsyncIteration
            self._task = self._begin(self._handing)
            self._task.add_done_callback(self._handing.over)
        return await self._handing.taken(self._task)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it, and wait until its connection is closed. Whoever waits for an event hears that there is none."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def __del__(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        loop = task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)  # collected wherever that happens


class Handing:
    """One event at a time from the task that reads to whoever asks; nothing is read ahead of that."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._event: Event | None = None
        self._moved = asyncio.Event()  # there is one, or there will be none
        self._asked = asyncio.Event()
        self._said = False  # why it ended

    async def run(self) -> None:
        """What the task does."""
        async with aclosing(self._telling()) as events:
            async for event in events:
                self._event = event
                self._asked.clear()
                self._moved.set()
                await self._asked.wait()

    def over(self, task: asyncio.Task[None]) -> None:
        """The task has ended."""
        self._moved.set()

    async def taken(self, task: asyncio.Task[None]) -> Event:
        """The next one; StopAsyncIteration once ``task`` has ended, its error first."""
        if self._event is None and not task.done():
            self._moved.clear()
            self._asked.set()
            await self._moved.wait()
        event, self._event = self._event, None
        if event is not None:
            return event
        if not self._said and not task.cancelled() and (error := task.exception()) is not None:
            self._said = True
            raise error
        raise StopAsyncIteration
