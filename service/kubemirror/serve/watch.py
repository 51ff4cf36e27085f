"""/watch: push, as NDJSON or server-sent events; the same frames as over a WebSocket (watch_socket.py).

Every stream races what it sends against what it receives: a reader that leaves is noticed at once, and a
process that leaves tells its readers where to resume and when.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from kubemirror.errors import KubemirrorError
from kubemirror.serve.aligned import Aligned
from kubemirror.serve.finishing import OMITTED
from kubemirror.serve.frame import Frame
from kubemirror.serve.life import Life
from kubemirror.serve.negotiation import parse_accept
from kubemirror.serve.problems import problem_of
from kubemirror.serve.routes import get
from kubemirror.serve.seats import Seat
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.sharing import Wire
from kubemirror.serve.status import StatusError
from kubemirror.serve.subscription import Subscription
from kubemirror.serve.watch_query import Framing, WatchQuery, subscribe

ROUTE = "/watch"
# Browsers come back after this many milliseconds, each after its own: not all at once.
RETRY_MILLISECONDS = (1000, 5000)
# As large as a transport's usual high-water mark.
PIECE_BYTES = 64 * 1024
_HEADERS = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
_MEDIA_TYPES = {
    Framing.SSE: "text/event-stream",
    Framing.NDJSON: "application/x-ndjson",
    Framing.TABLE: "text/plain; charset=utf-8",
}
# What lines of JSON may be asked for as.
_LINES = ("application/x-ndjson", "application/json", "application/*", "*/*")


class StreamResponse(Response):
    """NDJSON, server-sent events or lines of a table, of one subscription, until either side leaves."""

    def __init__(self, serving: Serving, subscription: Subscription, framing: Framing, seat: Seat) -> None:
        self.serving = serving
        self.subscription = subscription
        self.framing = framing
        self.seat = seat
        self._aligned = Aligned() if framing is Framing.TABLE else None
        super().__init__(None, headers=_HEADERS, media_type=_MEDIA_TYPES[framing])
        if subscription.confined:
            self.raw_headers.append(OMITTED)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscription = self.subscription
        try:
            with self.seat:
                await self._stream(scope, receive, send)
        finally:
            self.serving.traffic.stream_ends[subscription.ended or "left"] += 1
            subscription.close()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscription = self.subscription
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        leaving = asyncio.create_task(_left(receive, subscription), name="watch reader leaves")
        try:
            if self.framing is Framing.SSE:
                await self._send(send, b"retry: %d\n\n" % random.randint(*RETRY_MILLISECONDS))  # noqa: S311
            else:  # an empty piece makes servers that wait for the first bytes of the body send the headers now
                await self._send(send, b"")
            if subscription.tells_columns:
                await self._send(send, self._body([Frame(("SUBSCRIBED",), subscription.subscribed)]))
            traffic, outlet = self.serving.traffic, scope.get("extensions", {}).get("kubemirror.outlet", _none)()
            if outlet is not None and self._aligned is None:  # how lines are aligned is each reader's own
                subscription.at_rest_through(Wire(outlet, self.framing, self._chunk), traffic.told)
            while frames := await subscription.next():
                traffic.told(kind for frame in frames for kind in frame.types)
                await self._send(send, self._body(frames))
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            subscription.stop("slow")
            abort = scope.get("extensions", {}).get("kubemirror.abort")
            if abort is not None:
                abort()
        finally:
            leaving.cancel()

    def _body(self, frames: Sequence[Frame]) -> bytes:
        if self._aligned is not None:
            return self._aligned.body(frames)
        return b"".join(framed(frame, self.framing) for frame in frames)

    def _chunk(self, frames: Sequence[Frame]) -> bytes:
        """As one chunk of an HTTP/1.1 answer (RFC 9112, 7.1)."""
        body = self._body(frames)
        return b"%x\r\n%s\r\n" % (len(body), body)

    async def _send(self, send: Send, body: bytes) -> None:
        """Write it piece by piece: who takes one in time is slow, and not stalled."""
        for start in range(0, max(len(body), 1), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            async with asyncio.timeout(self.serving.context.settings.stream_send_seconds):
                await send({"type": "http.response.body", "body": piece, "more_body": True})


def framed(frame: Frame, framing: Framing) -> bytes:
    """One frame as it is written.

    An event's id is where a browser resumes; none before the snapshot is complete, and an empty one where there is
    nothing to resume from. A heartbeat is a comment too, for those who look at the bytes alone.
    """
    if framing is Framing.NDJSON:
        return frame.data + b"\n"
    lines = [b"data: %s\n\n" % frame.data]
    if frame.expired:
        lines.insert(0, b"id:\n")
    elif frame.cursor:
        lines.insert(0, b"id: %s\n" % frame.cursor.encode())
    if frame.retry_seconds:
        lines.insert(0, b"retry: %d000\n" % frame.retry_seconds)
    if frame.heartbeat:
        lines.insert(0, b": heartbeat\n")
    return b"".join(lines)


def _none() -> None:
    """The outlet of a server that offers none."""


async def _left(receive: Receive, subscription: Subscription) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.stop("left")


def routes(serving: Serving) -> APIRouter:
    """GET /watch without an upgrade."""
    router = APIRouter(tags=["watch"])

    async def watch(asked: AskedHere, query: Annotated[WatchQuery, Query()]) -> Response:
        """Push: a snapshot as ADDED, a BOOKMARK with initial-events-end, then every change as it happens.

        One JSON event per line, or server-sent events; the same path upgrades to a WebSocket.
        """
        framing = query.output
        if framing is None:
            framing = _accepted(asked.accept)
        last_event_id = asked.headers.get("last-event-id", "") if framing is Framing.SSE else ""
        if last_event_id:  # a browser that comes back: its URL says what it wanted at first
            query = query.model_copy(update={"resource_version": last_event_id, "snapshot": None})
        life = Life(serving.context)
        seat = serving.seats.take(asked.client, ROUTE, framing, asked.caller)
        try:
            await serving.turns.take()
            subscription = await subscribe(serving, asked, query, life)
        except BaseException as error:
            seat.leave()
            problem = problem_of(error) if isinstance(error, KubemirrorError) else None
            if problem is None or problem.code != 410:
                raise
            return _expired(problem, framing, life)
        return StreamResponse(serving, subscription, framing, seat)

    get(router, ROUTE, watch, query=WatchQuery, response_class=Response)
    return router


def _accepted(header: str) -> Framing:
    """The framing that an Accept header prefers; NDJSON where it does not say. Raises StatusError (406)."""
    if not header.strip():
        return Framing.NDJSON
    for clause in parse_accept(header):
        media = f"{clause.type}/{clause.subtype}".lower()
        if clause.quality <= 0:
            continue
        if media in _LINES:
            return Framing.NDJSON
        if media in ("text/event-stream", "text/*"):
            return Framing.SSE
    told = ", ".join((*_LINES, _MEDIA_TYPES[Framing.SSE]))
    raise StatusError(406, "NotAcceptable", f"a stream is one of {told}: accept one, or name it as output=ndjson")


def _expired(problem: StatusError, framing: Framing, life: Life) -> Response:
    """A cursor that cannot be resumed is told inside a stream: browsers show an EventSource no status."""
    data = b'{"type":"ERROR","object":%s,"id":"0"}' % problem.body
    frame = Frame(("ERROR",), data, expired=True, retry_seconds=life.retry_seconds)
    body = Aligned().body([frame]) if framing is Framing.TABLE else framed(frame, framing)
    return Response(body, headers=_HEADERS, media_type=_MEDIA_TYPES[framing])
