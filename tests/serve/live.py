"""The real server on a loopback port, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from kubemirror.serve.application import Application, application
from kubemirror.serve.context import Context
from kubemirror.serve.server import Server, listen

Frame = dict[str, object]


class Served(Protocol):
    """What can be served: stores written by hand, or a mirror of an API server."""

    @property
    def context(self) -> Context: ...


@dataclass
class Live:
    """A running server and how to reach it."""

    server: Server
    address: str
    serving: asyncio.Task[None]
    app: Application

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @asynccontextmanager
    async def ndjson(self, query: str, **headers: str) -> AsyncIterator[Lines]:
        """The stream at /watch, read event by event."""
        async with (
            httpx.AsyncClient(timeout=5) as client,
            client.stream("GET", f"{self.url}/watch?{query}", headers=headers) as answer,
        ):
            yield Lines(answer)

    def socket(self, query: str, **headers: str) -> connect:
        """A WebSocket at /watch."""
        return connect(f"ws://{self.address}/watch?{query}", additional_headers=headers, close_timeout=1)


class Lines:
    """Lines of a streamed answer."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def line(self) -> str:
        return await asyncio.wait_for(anext(self._lines), 5)

    async def frame(self) -> Frame:
        frame: Frame = orjson.loads(await self.line())
        return frame

    async def frames(self, count: int) -> list[Frame]:
        return [await self.frame() for _ in range(count)]

    async def rest(self) -> list[str]:
        """All lines up to the end."""
        return [line async for line in self._lines]


async def frame_of(socket: ClientConnection) -> Frame:
    """The next message of a WebSocket."""
    frame: Frame = orjson.loads(await asyncio.wait_for(socket.recv(), 5))
    return frame


@asynccontextmanager
async def running(world: Served) -> AsyncIterator[Live]:
    """Serve ``world`` until the block ends."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    app = application(world.context)
    certificate = world.context.certificate
    server = Server(app, world.context, listening, certificate.context if certificate is not None else None)
    task = asyncio.create_task(server.run_until_stopped(), name="server")
    try:
        yield Live(server, f"127.0.0.1:{port}", task, app)
    finally:
        server.should_exit = True
        world.context.lifecycle.close()
        await asyncio.wait_for(task, 10)
