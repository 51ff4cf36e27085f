"""The sample portal of docs/examples, on an origin of its own, showing a mirror."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.ship.repository import ROOT

FOLDER = ROOT / "docs" / "examples" / "portal"
TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript", "css": "text/css"}
# The address and the script's line as the sample has them.
SAMPLE = "http://127.0.0.1:8080"
SCRIPT = f'<script type="module" src="{SAMPLE}/-/static/latest/kube-mirror.js" crossorigin="anonymous"></script>'


class Portal:
    """Serves the sample. mirror: its address. script: the line that loads the component. policy: its own CSP."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.mirror = SAMPLE
        self.script = SCRIPT
        self.policy = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split(b" ")[1].decode().strip("/") or "index.html"
        path = FOLDER / name
        found = path.parent == FOLDER and path.is_file()
        body = path.read_text().replace(SCRIPT, self.script).replace(SAMPLE, self.mirror).encode() if found else b""
        lines = [
            f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}",
            f"content-type: {TYPES.get(name.rpartition('.')[2], 'text/plain')}",
            f"content-length: {len(body)}",
            "connection: close",
            *([f"content-security-policy: {self.policy}"] if self.policy else []),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Portal]:
    portal: Portal

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await portal.answer(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    portal = Portal(server.sockets[0].getsockname()[1])
    async with server:
        yield portal
