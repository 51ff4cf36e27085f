"""Where a watch's lines go: a chunked HTTP answer, or WebSocket messages on the same URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kubemirror.serve.kubernetes.answer import Headers, Receive, Scope, Send


class Outlet(Protocol):
    """The way around ASGI that the mirror's own server offers (serve/protocol.py); others have none."""

    @property
    def ready(self) -> bool:
        """Whether a chunk may be written now: nothing waits before it, and there is somebody to take it."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Write one whole chunk, framing included."""


def framed(lines: list[bytes]) -> bytes:
    """``lines`` as one chunk of an HTTP/1.1 answer (RFC 9112, 7.1)."""
    body = lines[0] if len(lines) == 1 else b"".join(lines)
    return b"%x\r\n%s\r\n" % (len(body), body)


def abort_of(scope: Scope) -> Callable[[], None]:
    """What cuts the connection, whatever waits to be written: who takes nothing would keep it. Ours alone has one."""
    abort: Callable[[], None] = scope.get("extensions", {}).get("kubemirror.abort", lambda: None)
    return abort


class HttpOutput:
    """Lines as the body of one HTTP answer. The headers go out at once, before any event."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.abort = abort_of(scope)
        self._find_outlet: Callable[[], Outlet | None] = scope.get("extensions", {}).get(
            "kubemirror.outlet", lambda: None
        )
        self.outlet: Outlet | None = None  # once the answer has begun, where the server offers one
        self.gone = False

    async def start(self, headers: Headers) -> None:
        head = [*headers, (b"content-type", b"application/json")]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})
        # An empty chunk makes servers that wait for the first body bytes send the headers now.
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        self.outlet = self._find_outlet()

    async def send(self, lines: list[bytes]) -> None:
        if not self.gone:
            await self._send({"type": "http.response.body", "body": b"".join(lines), "more_body": True})

    async def listen(self, left: Callable[[], None]) -> None:
        """Wait for the client to leave, then call ``left``."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
        self.gone = True
        left()

    async def end(self) -> None:
        if not self.gone:
            await self._send({"type": "http.response.body", "body": b""})


class WebSocketOutput:
    """One text message per event; what the client sends is ignored."""

    outlet = None

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.abort = abort_of(scope)
        self.gone = False

    async def start(self, subprotocol: str | None) -> None:
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def send(self, lines: list[bytes]) -> None:
        for line in lines:
            if self.gone:
                return
            await self._send({"type": "websocket.send", "text": line.rstrip(b"\n").decode()})

    async def listen(self, left: Callable[[], None]) -> None:
        """Wait for the client to leave, then call ``left``."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                break
        self.gone = True
        left()

    async def end(self) -> None:
        if not self.gone:
            await self._send({"type": "websocket.close", "code": 1000})
