"""A wire between mirror and API server that can be cut: once, or for as long as it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 64 * 1024


class Relay:
    """Passes bytes on unseen (TLS goes through); ``cut`` resets what is connected now. closed: resets the next too."""

    def __init__(self, port: int) -> None:
        self.closed = False
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pass(reader, upstream[1]), self._pass(upstream[0], writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while chunk := await reader.read(CHUNK):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass  # one side was reset: so is the other
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    relay = Relay(port)
    relay._server = await asyncio.start_server(relay._accept, "127.0.0.1", 0)
    try:
        yield relay
    finally:
        relay._server.close()
        relay.cut()
        await relay._server.wait_closed()
