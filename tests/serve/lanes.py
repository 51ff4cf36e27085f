"""A client whose every read goes through both lanes of the real server, and through none at all, with equal answers."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from math import inf

import httpx

from kubemirror.serve.answers import AGES_SECONDS
from kubemirror.serve.application import application
from kubemirror.serve.context import Context
from kubemirror.serve.server import Server, listen

# Whose answers are always kept: discovery, one object, lists in each form; versions; resources in each output.
KEPT = re.compile(r"/api(/v1(/.+)?)?|/apis(/[^/]+(/[^/]+(/.+)?)?)?|/versions(/[^/]+/[^/]+)?|/resources/.+")


class BothLanes(httpx.AsyncBaseTransport):
    """Asks over a real socket; what is kept by that is asked for again, and directly. What should be kept is.

    Only Date may differ (and Age by the second that passes). It listens from the first request on: the server's
    protocol without its loop of its own, which takes a tenth of a second to end.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._listening: asyncio.Server | None = None
        self._starting = asyncio.Lock()
        self.twice = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._starting:
            if self._listening is None:
                await self._start()
        body = await request.aread()
        line = request.method.encode() + b" " + request.url.raw_path
        began = asyncio.get_running_loop().time()
        first = await self._over_socket(request, body)
        repeatable = self._repeatable(request, first)
        kept = [entry for entry in self._lane._entries if entry.line == line]
        if not kept:
            assert not repeatable, f"{line.decode()} is not kept"
            return first
        fast = self._app.serving.traffic.fast
        second = await self._over_socket(request, body)
        if self._app.serving.traffic.fast == fast:  # kept for another variant, or not valid any more
            in_time = asyncio.get_running_loop().time() < began + AGES_SECONDS
            assert not (repeatable and in_time), f"{line.decode()} is not given again"
            return second
        self.twice += 1
        assert facts(second) == facts(first)
        assert second.content == first.content
        if any(entry.until < inf for entry in kept):
            return second  # it tells ages: made anew it may tell others
        direct = await self._direct.handle_async_request(request)
        told = await direct.aread()
        assert facts(second) == facts(direct)
        assert request.method == "HEAD" or second.content == told
        return second

    def _repeatable(self, request: httpx.Request, answer: httpx.Response) -> bool:
        """Whether this answer is to be kept, whatever else is: it shows the newest state, and all of it."""
        if request.method not in ("GET", "HEAD") or answer.status_code not in (200, 304):
            return False
        asked = request.url.params
        if asked.get("resourceVersion", "0") not in ("", "0") or "continue" in asked:
            return False
        if b'"continue":"' in answer.content:
            return False
        gap = any(each.journal.gap_is_open for entry in self._context.catalog for each in entry.stores.values())
        return KEPT.fullmatch(request.url.path) is not None and not gap

    async def aclose(self) -> None:
        if self._listening is not None:
            await self._socket.aclose()
            self._listening.close()
            while self._state.connections or self._state.tasks:
                for connection in list(self._state.connections):
                    connection.shutdown()
                await asyncio.sleep(0)
            await self._listening.wait_closed()

    async def _start(self) -> None:
        self._app = application(self._context)
        self._lane = self._app.serving.lane
        listening = listen("127.0.0.1", 0)
        self._port = listening.getsockname()[1]
        server = Server(self._app, self._context, listening, None)
        server.config.load()
        self._state = server.server_state
        self._state.default_headers = [(b"date", b"Sat, 21 Nov 2026 04:00:00 GMT")]
        protocol = partial(server.config.http_protocol_class, server.config, self._state, {})  # type: ignore[call-arg]
        self._listening = await asyncio.get_running_loop().create_server(protocol, sock=listening)
        self._direct = httpx.ASGITransport(self._app)
        self._socket = httpx.AsyncHTTPTransport()

    async def _over_socket(self, request: httpx.Request, body: bytes) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        headers = [(name, value) for name, value in request.headers.raw]
        asked = httpx.Request(request.method, url, headers=headers, content=body, extensions=request.extensions)
        answer = await self._socket.handle_async_request(asked)
        await answer.aread()
        kept = [(name, value) for name, value in answer.headers.raw if name not in (b"date", b"content-encoding")]
        made = httpx.Response(answer.status_code, headers=kept, content=answer.content)
        made.headers = httpx.Headers([pair for pair in answer.headers.raw if pair[0] != b"date"])
        return made


def facts(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers in their order, without those that tell the second."""
    return answer.status_code, [pair for pair in answer.headers.raw if pair[0].lower() not in (b"date", b"age")]
