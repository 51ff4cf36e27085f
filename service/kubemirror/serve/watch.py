"""/watch: push, as NDJSON, server-sent events or over a WebSocket; the same frames in each.

Every stream races what it sends against what it receives: a reader that leaves is noticed at once, and a
process that leaves tells its readers where to resume and when.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Receive, Scope, Send

from kubemirror.errors import KubemirrorError
from kubemirror.serve.asked import Asked
from kubemirror.serve.forms import As, carried
from kubemirror.serve.problems import problem_of, unknown_parameter
from kubemirror.serve.reading import Reading, find, read
from kubemirror.serve.rendering import said_of, send_status
from kubemirror.serve.routes import OneNamespace, get, parameters
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.status import StatusError, bad_request, forbidden
from kubemirror.serve.subscription import Frame, Source, Subscription, sources_of
from kubemirror.state.selectors import Selection, parse_field_selector, parse_label_selector

ROUTE = "/watch"
# A reader whose connection takes nothing for this long is ended; it can resume.
SEND_SECONDS = 10.0
# Close codes a reader may see: ended (with an ERROR before), the process leaves, access withdrawn.
CLOSE_ENDED, CLOSE_RESTART, CLOSE_POLICY = 1000, 1012, 1008


class Framing(StrEnum):
    """How events are told apart on the wire; the parameter ``output``."""

    NDJSON = "ndjson"
    SSE = "sse"


class WatchQuery(BaseModel):
    """Parameters of /watch."""

    model_config = ConfigDict(populate_by_name=True)

    resource: Annotated[
        list[str], Field(min_length=1, description="What to watch, by any name kubectl takes; repeatable.")
    ]
    namespace: Annotated[OneNamespace, Field(description="Only this namespace.")] = None
    label_selector: Annotated[str, Field(alias="labelSelector", description="As kubectl's -l.")] = ""
    field_selector: Annotated[str, Field(alias="fieldSelector", description="As kubectl's --field-selector.")] = ""
    name: Annotated[str, Field(description="Only the object of this name.")] = ""
    resource_version: Annotated[
        str,
        Field(
            alias="resourceVersion",
            description="Resume after this cursor: 123, or deployments.apps=123;pods=456. Empty: a snapshot.",
        ),
    ] = ""
    as_: Annotated[As, Field(alias="as", description="What an event carries.")] = As.OBJECT
    snapshot: Annotated[bool, Field(description="Begin with what is there now, as ADDED.")] = True
    output: Annotated[Framing | None, Field(description="Framing; default by Accept, else ndjson.")] = None


async def subscribe(serving: Serving, asked: Asked, query: WatchQuery) -> Subscription:
    """Open what ``query`` asks for. Raises StatusError or what a store answers; nothing is left open then."""
    context = serving.context
    serving.admit_stream()

    async def readings() -> list[Reading]:
        entries = {entry.resource.name: entry for entry in (find(context, name) for name in query.resource)}
        return [
            await read(
                context,
                asked.caller,
                entry,
                verb="watch",
                namespace=query.namespace,
                name=query.name,
                label_selector=query.label_selector,
                field_selector=query.field_selector,
            )
            for entry in entries.values()
        ]

    opened = await readings()

    async def ask_again() -> float:
        now = await readings()
        if [each.allowed for each in now] != [each.allowed for each in opened]:
            raise StatusError(410, "Expired", "the namespaces you may see have changed: begin with a snapshot")
        return min(each.until for each in now)

    label = parse_label_selector(query.label_selector)
    sources: list[Source] = []
    for reading in opened:
        resource = reading.entry.resource
        selection = Selection(label, parse_field_selector(query.field_selector, resource, resource.version))
        sources += sources_of(reading, selection, query.name)
    subscription = Subscription(
        context,
        sources,
        carry=carried(query.as_),
        snapshot=query.snapshot,
        until=min(each.until for each in opened),
        ask_again=ask_again,
    )
    try:
        subscription.open(query.resource_version)
    except BaseException:
        subscription.close()
        raise
    return subscription


@contextmanager
def counted(serving: Serving, subscription: Subscription, framing: str) -> Iterator[None]:
    """Count one stream while it is open, and close its subscription with it."""
    try:
        with serving.traffic.streaming(ROUTE, framing):
            yield
    finally:
        serving.traffic.stream_ends[subscription.ended or "left"] += 1
        subscription.close()


class StreamResponse(Response):
    """NDJSON or server-sent events of one subscription, until either side leaves."""

    def __init__(self, serving: Serving, subscription: Subscription, framing: Framing) -> None:
        self.serving = serving
        self.subscription = subscription
        self.framing = framing
        self.status_code = 200
        self.background = None
        media_type = "text/event-stream" if framing is Framing.SSE else "application/x-ndjson"
        headers = {
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
        }
        super().__init__(None, headers=headers, media_type=media_type)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscription = self.subscription
        with counted(self.serving, subscription, self.framing):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            leaving = asyncio.create_task(_left(receive, subscription), name="watch reader leaves")
            try:
                if self.framing is Framing.SSE:
                    await self._send(send, b"retry: %d\n\n" % random.randint(1000, 5000))  # noqa: S311
                while frames := await subscription.next():
                    self.serving.traffic.told(frame.type for frame in frames)
                    await self._send(send, b"".join(map(self._framed, frames)))
                await send({"type": "http.response.body", "body": b""})
            except TimeoutError:
                subscription.stop("slow")
                abort = scope.get("extensions", {}).get("kubemirror.abort")
                if abort is not None:
                    abort()
            finally:
                leaving.cancel()

    async def _send(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})

    def _framed(self, frame: Frame) -> bytes:
        if self.framing is Framing.NDJSON:
            return frame.data + b"\n"
        if frame.expired:
            return b"id:\ndata: %s\n\n" % frame.data
        if frame.retry_seconds:
            return b"retry: %d000\nid: %s\ndata: %s\n\n" % (frame.retry_seconds, frame.cursor.encode(), frame.data)
        if frame.cursor:
            return b"id: %s\ndata: %s\n\n" % (frame.cursor.encode(), frame.data)
        return b"data: %s\n\n" % frame.data


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
            framing = Framing.SSE if "text/event-stream" in asked.accept else Framing.NDJSON
        last_event_id = asked.headers.get("last-event-id", "") if framing is Framing.SSE else ""
        if last_event_id:
            query = query.model_copy(update={"resource_version": last_event_id})
        try:
            subscription = await subscribe(serving, asked, query)
        except KubemirrorError as error:
            problem = problem_of(error)
            if problem.code != 410:
                raise
            return _expired(problem, framing)
        return StreamResponse(serving, subscription, framing)

    get(router, ROUTE, watch, query=WatchQuery, response_class=Response)
    return router


def _expired(problem: StatusError, framing: Framing) -> Response:
    """A cursor that cannot be resumed is told inside a stream: browsers show an EventSource no status."""
    data = b'{"type":"ERROR","object":%s,"id":"0"}' % problem.body
    if framing is Framing.SSE:
        return Response(b"id:\ndata: %s\n\n" % data, media_type="text/event-stream")
    return Response(data + b"\n", media_type="application/x-ndjson")


# -- WebSocket ----------------------------------------------------------------------------------------


async def websocket(serving: Serving, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
    """An upgrade of /watch. What is wrong before it is accepted is an HTTP answer, afterwards an ERROR frame."""
    await receive()  # websocket.connect
    try:
        query = socket_query(asked)
        subscription = await subscribe(serving, asked, query)
    except KubemirrorError as error:
        problem = problem_of(error)
        if problem.code == 410:
            await send({"type": "websocket.accept"})
            await _send_text(send, b'{"type":"ERROR","object":%s,"id":"0"}' % problem.body)
            await send({"type": "websocket.close", "code": CLOSE_ENDED, "reason": "expired"})
            return
        await send_status(problem, asked, scope, send)
        return
    with counted(serving, subscription, "websocket"):
        await send({"type": "websocket.accept"})
        listening = asyncio.create_task(_listen(receive, send, subscription), name="watch socket listens")
        try:
            while frames := await subscription.next():
                serving.traffic.told(frame.type for frame in frames)
                for frame in frames:
                    await _send_text(send, frame.data)
            if subscription.ended != "left":
                code = {"shutdown": CLOSE_RESTART, "forbidden": CLOSE_POLICY}.get(subscription.ended, CLOSE_ENDED)
                await send({"type": "websocket.close", "code": code, "reason": subscription.ended})
        except TimeoutError:
            subscription.stop("slow")
            abort = scope.get("extensions", {}).get("kubemirror.abort")
            if abort is not None:
                abort()
        finally:
            listening.cancel()


def socket_query(asked: Asked) -> WatchQuery:
    """The parameters of an upgrade, as strictly read as those of a request."""
    given: dict[str, list[str]] = parse_qs(asked.query, keep_blank_values=True)
    known = parameters(WatchQuery)
    for name in given:
        if name not in known:
            raise unknown_parameter(name, known)
    values: dict[str, Any] = {name: each if name == "resource" else each[-1] for name, each in given.items()}
    try:
        query = WatchQuery.model_validate(values)
    except ValidationError as error:
        raise bad_request(said_of(error.errors())) from None
    if query.output is not None:
        raise bad_request("output is not for a WebSocket: its messages are the events")
    return query


async def _listen(receive: Receive, send: Send, subscription: Subscription) -> None:
    """What the reader says: it may leave; anything else is answered."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            subscription.stop("left")
            return
        if (message.get("text") or "").replace(" ", "") == '{"action":"ping"}':
            await _send_text(send, b'{"type":"PONG"}')
        else:
            error = bad_request('this socket takes {"action":"ping"} only: what to watch is in its query')
            await _send_text(send, b'{"type":"ERROR","object":%s}' % error.body)


async def _send_text(send: Send, data: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "websocket.send", "text": data.decode()})


def origin_problem(asked: Asked, allowed: tuple[str, ...]) -> StatusError | None:
    """Whether a page of another origin tries to open a WebSocket with its visitor's rights (CSWSH).

    Browsers always send Origin; who sends none is no browser.
    """
    origin = asked.headers.get("origin")
    if origin is None or origin == asked.origin or origin in allowed:
        return None
    return forbidden(f'WebSockets from origin "{origin}" are refused: allow it with --allow-origin {origin}')
