"""Bytes to a running server and back: what no client library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.serve.live import Live


@dataclass
class Answer:
    """One response. body: as it was sent, chunked or not."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        return str(orjson.loads(self.body)["message"])


@dataclass
class Wire:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _rest: bytes = field(default=b"")

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, seconds: float = 5.0, *, head: bool = False) -> Answer:
        """The next response. head: it has no body, whatever its length."""
        async with asyncio.timeout(seconds):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = lines.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
            length = headers.get("content-length")
            body = await self.reader.readexactly(int(length)) if length and not head else b""
            return Answer(int(line.split(" ")[1]), headers, body)

    async def rest(self, seconds: float = 5.0) -> bytes:
        """All that comes until the other side closes."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except (BrokenPipeError, ConnectionResetError):
                return b""


@asynccontextmanager
async def connected(live: Live) -> AsyncIterator[Wire]:
    host, _, port = live.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def asked(live: Live, target: str, *, method: str = "GET", host: str = "localhost", **headers: str) -> Answer:
    """One request, with the target as it is written."""
    fields = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    async with connected(live) as wire:
        wire.write("\r\n".join(lines).encode("latin-1"))
        return await wire.answer(head=method == "HEAD")


async def upgraded(live: Live, target: str, **headers: str) -> Answer:
    """The answer to a WebSocket handshake."""
    handshake: dict[str, Any] = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return await asked(live, target, **{**handshake, **headers})
