"""A few lines of HTTP server that answer as a test says, and what tests write kubeconfigs with."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import trustme

from kubemirror.kube.connection import Connection


@dataclass(frozen=True)
class Request:
    """What came in. headers: in order, names in lower case. certificate: the client's, as ssl shows it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    certificate: Any = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def respond(status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None) -> bytes:
    """A whole answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


async def fine(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(respond())


@dataclass
class Stub:
    """Listens on a loopback port until left. connections: how many were accepted."""

    answer: Answer = fine
    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while (request := await read_request(reader, writer)) is not None:
                self.requests.append(request)
                await self.answer(request, writer)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    size = int(dict(headers).get("content-length", "0"))
    body = await reader.readexactly(size) if size else b""
    return Request(method, target, headers, body, writer.get_extra_info("peercert"))


def server_tls(certificate: trustme.LeafCert, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """clients: ask for client certificates of this CA (as the API server does, without insisting)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def write_kubeconfig(
    path: Path,
    server: str,
    *,
    cluster: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    name: str = "here",
) -> Path:
    """One context called ``name`` (JSON, which is YAML)."""
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "clusters": [{"name": f"{name}-cluster", "cluster": {"server": server, **(cluster or {})}}],
                "users": [{"name": f"{name}-user", "user": user or {}}],
                "contexts": [
                    {
                        "name": name,
                        "context": {"cluster": f"{name}-cluster", "user": f"{name}-user", **(context or {})},
                    }
                ],
            }
        )
    )
    return path


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    connection: Connection,
    path: str = "/api",
    *,
    method: str = "GET",
    query: tuple[tuple[str, str], ...] = (),
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    seconds: float = 5.0,
) -> Reply:
    """A whole answer."""
    response = await connection.request(method, path, query=query, headers=headers, body=body, seconds=seconds)
    received = b""
    try:
        while part := await response.body.read():
            received += part
    finally:
        await response.body.close()
    return Reply(response.status, dict(response.headers), received)
