"""A wire between a reader and a mirror: it can be cut, go dark, or break after so many bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 64 * 1024


class Wire:
    """Passes bytes on; ``asked`` keeps the first line of each connection.

    closed: connections are reset as they come. dark: nothing is passed on, and nobody is told. budget: bytes to the
    reader after which a connection is cut. leads_to: the port behind it; the next connections go there. upgrades:
    whether a WebSocket's opening is passed on as such.
    """

    def __init__(self, leads_to: int) -> None:
        self.leads_to = leads_to
        self.closed = False
        self.budget: int | None = None
        self.upgrades = True
        self.asked: list[str] = []
        self._light = asyncio.Event()
        self._light.set()
        self._came = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def dark(self) -> bool:
        return not self._light.is_set()

    @dark.setter
    def dark(self, dark: bool) -> None:
        if dark:
            self._light.clear()
        else:
            self._light.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def connections(self, count: int, *, seconds: float = 10) -> None:
        """Wait until there have been so many."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.asked) >= count)

    async def quiet(self, *, seconds: float = 10) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: not self._writers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        self._writers.add(writer)
        with contextlib.ExitStack() as lost:  # or cancelled: nobody else would close it
            lost.callback(self._lose, writer)
            try:
                first = await reader.readline()
                async with self._came:
                    self.asked.append(first.decode().strip())
                    self._came.notify_all()
                if not self.upgrades:
                    head = await reader.readuntil(b"\r\n\r\n")
                    first += b"\r\n".join(line for line in head.split(b"\r\n") if b"upgrade" not in line.lower())
                upstream = await asyncio.open_connection("127.0.0.1", self.leads_to)
            except (OSError, asyncio.IncompleteReadError):
                return
            lost.pop_all()
        upstream[1].write(first)
        await asyncio.gather(self._pass(reader, upstream[1], None), self._pass(upstream[0], writer, self.budget))

    def _lose(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
        self._writers.add(writer)
        try:
            while chunk := await reader.read(CHUNK):
                await self._light.wait()
                writer.write(chunk if budget is None else chunk[:budget])
                await writer.drain()
                if budget is not None:
                    budget -= len(chunk)
                    if budget <= 0:
                        await asyncio.sleep(0)
                        return
        except OSError:
            pass  # one side was reset: so is the other
        finally:
            self._writers.discard(writer)
            writer.close()
            async with self._came:
                self._came.notify_all()


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    wire = Wire(port)
    wire._server = await asyncio.start_server(wire._accept, "127.0.0.1", 0)
    try:
        yield wire
    finally:
        wire._server.close()
        wire.dark = False
        wire.cut()
        await wire._server.wait_closed()
