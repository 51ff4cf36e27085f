"""The server's protocol classes, over uvicorn's: how many connections, how slow they may be, how they are cut.

uvicorn has no limit on how long a request's head may take, and its concurrency limit counts requests, not
connections. Descriptors are what runs out: the reflectors' own connections and the log need some, so new
connections beyond the limit are answered 503 and closed at once. Pins uvicorn's minor version.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# A request's head comes in one or two packets; whoever drips it holds a descriptor for nothing.
HEAD_SECONDS = 10.0
# For reflectors, their reconnects, files that are re-read, and a scrape while all else is taken.
RESERVED_DESCRIPTORS = 128

_BODY = (
    b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too many connections: retry '
    b'later","reason":"ServiceUnavailable","details":{"retryAfterSeconds":5},"code":503}\n'
)
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


def connection_limit() -> int:
    """How many connections may be open, from the process' descriptor limit (raised to its maximum here)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft - min(RESERVED_DESCRIPTORS, soft * 3 // 4), 4)


class HttpProtocol(HttpToolsProtocol):
    """HTTP connections within limits. ``limit`` is set once, before the server starts."""

    limit = 1_000_000
    open = 0

    _head_timer: asyncio.TimerHandle | None = None
    _counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        HttpProtocol.open += 1
        self._counted = True
        if HttpProtocol.open > self.limit:
            transport.write(_REFUSAL)
            transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        if self._counted:
            self._counted = False
            HttpProtocol.open -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"kubemirror.abort": self.transport.abort}  # type: ignore[dict-item]
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._head_came()
        super().handle_websocket_upgrade()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket connections, counted with the others, which the application can cut."""

    def connection_lost(self, exc: Exception | None) -> None:
        HttpProtocol.open -= 1
        super().connection_lost(exc)

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions["kubemirror.abort"] = self.transport.abort
        await super().run_asgi()
