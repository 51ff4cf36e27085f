"""A TCP line to a server that a test cuts, holds still or takes away; bytes pass as they are, TLS included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Line:
    """``url`` leads to the server. Connections are accepted as long as it is ``up``."""

    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self.taken = asyncio.Event()  # a connection has come
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._listening: asyncio.Server | None = None
        self._port = 0

    def lead_to(self, url: str) -> None:
        """Where new connections go."""
        parts = urlsplit(url)
        self._scheme, self._host, self._to = parts.scheme, parts.hostname or "", parts.port or 0

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._port}"

    async def up(self) -> None:
        """Take connections (again), on the same port."""
        self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        self._port = self._listening.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Lose every connection and refuse new ones."""
        assert self._listening is not None
        self._listening.close()
        self.cut()
        await self._listening.wait_closed()

    def cut(self) -> None:
        """Lose every connection, with what is on its way."""
        for writer in list(self._open):
            writer.transport.abort()

    def hold(self) -> None:
        """Pass nothing on any more, as a frozen server: connections stay, and new ones are taken."""
        self._passing.clear()

    def release(self) -> None:
        self._passing.set()

    async def end(self) -> None:
        await self.down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._takes():
            self._open.add(writer)
            self._begin(self._lead(reader, writer))
        else:  # accepted in the moment it went down
            writer.transport.abort()

    def _takes(self) -> bool:
        return self._listening is not None and self._listening.is_serving()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open the other half. What is lost, or cancelled, meanwhile takes both with it: nobody else would close it."""
        with contextlib.ExitStack() as halves:
            halves.callback(self._lose, writer)
            try:
                there, back = await asyncio.open_connection(self._host, self._to)
            except OSError:
                return
            halves.callback(self._lose, back)
            if writer.is_closing() or not self._takes():
                return
            halves.pop_all()
        self.taken.set()
        self._open.add(back)
        self._begin(self._pass(reader, back))
        self._begin(self._pass(there, writer))

    def _lose(self, half: asyncio.StreamWriter) -> None:
        self._open.discard(half)
        half.transport.abort()

    def _begin(self, passing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(passing, name="line")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()
            sink.close()
        except (ConnectionError, TimeoutError):
            sink.transport.abort()
        finally:
            self._open.discard(sink)


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Line]:
    line = Line(url)
    await line.up()
    try:
        yield line
    finally:
        line.release()
        await line.end()
