"""/watch as a WebSocket: one connection, many subscriptions.

The reader sends ``{"action":"subscribe","id":…}`` with the parameters of the path, ``unsubscribe`` and ``ping``; a
first subscription may be in the query. What it hears is what the other framings tell, and SUBSCRIBED, UNSUBSCRIBED,
PONG, and ERROR with the id of what could not be, or has ended.

Each subscription is a task that makes its next frames when the last have been taken; they share the connection by
turns of one batch, so none waits for more than one batch of each other. Nothing is queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from kubemirror.errors import KubemirrorError
from kubemirror.serve.asked import Asked
from kubemirror.serve.finishing import OMITTED
from kubemirror.serve.frame import Frame
from kubemirror.serve.kubernetes.streams import Outlet
from kubemirror.serve.kubernetes.websocket import subprotocol
from kubemirror.serve.life import Life
from kubemirror.serve.problems import not_found, problem_of, try_later
from kubemirror.serve.rendering import send_status
from kubemirror.serve.routes import require_once
from kubemirror.serve.serving import Serving
from kubemirror.serve.sharing import Wire
from kubemirror.serve.status import StatusError, bad_request
from kubemirror.serve.subscription import Subscription
from kubemirror.serve.watch import ROUTE
from kubemirror.serve.watch_query import REPEATED, WatchQuery, query_of, subscribe

# Close codes: the only subscription has ended (an ERROR tells why), its life is over, access was withdrawn, a message
# that is no text, the process leaves. 1009, too large a message, is the protocol's own.
CLOSE_ENDED, CLOSE_LIFETIME, CLOSE_POLICY, CLOSE_NOT_TEXT, CLOSE_RESTART = 1000, 1001, 1008, 1003, 1012
# Of the subscription in the query.
FIRST = "0"
LONGEST_ID = 128
# The first byte of a message that is text, and whole.
_TEXT = 0x81
_ACTIONS = ("subscribe", "unsubscribe", "ping")


@dataclass(slots=True)
class _Running:
    """One subscription of a socket, from the moment it was asked for."""

    task: asyncio.Task[None]
    subscription: Subscription | None = None  # once it is open


async def websocket(serving: Serving, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
    """An upgrade of /watch. What is wrong before it is accepted is an HTTP answer, afterwards an ERROR frame."""
    await receive()  # websocket.connect
    first: Subscription | None = None
    try:
        seat = serving.seats.take(asked.client, ROUTE, "websocket", asked.caller)
    except StatusError as error:
        await send_status(error, asked, scope, send)
        return
    with seat:
        life = Life(serving.context)
        expired: StatusError | None = None
        try:
            await serving.turns.take()
            query = first_query(asked)
            if query is not None:
                first = await subscribe(serving, asked, query, life)
        except KubemirrorError as error:
            problem = problem_of(error)
            if problem.code != 410:
                await send_status(problem, asked, scope, send)
                return
            expired = problem
        socket = Socket(serving, asked, scope, receive, send, life)
        await socket.run(first, expired)


def first_query(asked: Asked) -> WatchQuery | None:
    """The subscription in an upgrade's query, if there is one."""
    given: dict[str, list[str]] = parse_qs(asked.query, keep_blank_values=True)
    if not given:
        return None
    require_once(given, REPEATED)
    return query_of({name: each if name in REPEATED else each[-1] for name, each in given.items()})


class Socket:
    """One accepted connection."""

    def __init__(self, serving: Serving, asked: Asked, scope: Scope, receive: Receive, send: Send, life: Life) -> None:
        self._serving = serving
        self._settings = serving.context.settings
        self._asked = asked
        self._receive = receive
        self._send = send
        self._life = life
        self._subprotocol = subprotocol(scope)
        self._abort = scope.get("extensions", {}).get("kubemirror.abort")
        self._outlet: Outlet | None = scope.get("extensions", {}).get("kubemirror.outlet")
        self._running: dict[str, _Running] = {}
        # Who has the connection; the others come in the order in which they asked.
        self._turn = asyncio.Lock()
        self._alone = True  # nothing was asked for but what is in the query: the socket ends with it
        self._ended = ""

    async def run(self, first: Subscription | None, expired: StatusError | None) -> None:
        """Serve it until either side leaves."""
        try:
            headers = [OMITTED] if first is not None and first.confined else []
            await self._send({"type": "websocket.accept", "subprotocol": self._subprotocol, "headers": headers})
            if expired is not None:
                await self._write([_error(expired, FIRST)])
                await self._close("expired")
                return
            if first is not None:
                if first.tells_columns:
                    await self._write([first.subscribed])
                task = asyncio.create_task(self._tell(FIRST, first), name="subscription 0")
                self._running[FIRST] = _Running(task, first)
                first = None
            await self._listen()
        except TimeoutError:
            self._cut()
        finally:
            if first is not None:
                first.close()
            await self._stop_all()
            self._serving.traffic.stream_ends[self._ended or "left"] += 1

    async def _listen(self) -> None:
        """Take what the reader says until it leaves or its time is over."""
        life = self._life
        deadline = asyncio.timeout_at(life.ends)
        try:
            async with deadline:
                forget = self._serving.context.lifecycle.on_change(lambda: _bring_forward(deadline, life.ends))
                try:
                    while (message := await self._receive())["type"] != "websocket.disconnect":
                        await self._take(message)
                finally:
                    forget()
        except TimeoutError:
            if not deadline.expired():
                raise  # it was the reader that took nothing
            # Each subscription says where to resume, in its own task; then the socket may go.
            tasks = [each.task for each in self._running.values()]
            if tasks:
                await asyncio.wait(tasks, timeout=self._settings.stream_send_seconds)
            await self._close(life.reason)

    async def _take(self, message: Any) -> None:
        text = message.get("text")
        if text is None:
            await self._close("not text")
            return
        given: dict[str, Any] = {}
        try:
            given = _said(text)
            await self._do(given)
        except StatusError as error:
            id_ = given.get("id")
            await self._write([_error(error, id_ if isinstance(id_, str) else None)])

    async def _do(self, given: dict[str, Any]) -> None:
        action, id_ = given.pop("action"), given.get("id")
        if action == "ping":
            named = b"" if id_ is None else b',"id":%s' % orjson.dumps(id_)
            await self._write([b'{"type":"PONG"%s}' % named])
            return
        if not isinstance(id_, str) or not 0 < len(id_) <= LONGEST_ID:
            raise bad_request(f'"id" must be a string of 1 to {LONGEST_ID} characters: every frame of it bears it')
        parameters = {name: value for name, value in given.items() if name != "id"}
        if action == "unsubscribe":
            await self._unsubscribe(id_)
            return
        self._alone = False
        if id_ in self._running:
            raise StatusError(
                409, "AlreadyExists", f'a subscription "{id_}" is running, and goes on: choose another id'
            )
        if len(self._running) >= self._settings.max_subscriptions:
            message = "as many subscriptions are open on this socket as --max-subscriptions allows"
            raise try_later(429, "TooManyRequests", message, seconds=5)
        query = query_of(parameters)
        task = asyncio.create_task(self._subscribe(id_, query), name=f"subscription {id_}")
        self._running[id_] = _Running(task)

    # -- subscriptions --------------------------------------------------------------------------------

    async def _subscribe(self, id_: str, query: WatchQuery) -> None:
        try:
            subscription = await subscribe(self._serving, self._asked, query, self._life, id_)
        except KubemirrorError as error:
            del self._running[id_]
            await self._guarded([_error(problem_of(error), id_)])
            return
        self._running[id_].subscription = subscription
        if await self._guarded([subscription.subscribed]):
            await self._tell(id_, subscription)

    async def _tell(self, id_: str, subscription: Subscription) -> None:
        """Tell all of one subscription, until it ends."""
        if self._outlet is not None:
            subscription.at_rest_through(Wire(self._outlet, "websocket", messages), self._serving.traffic.told)
        while frames := await subscription.next():
            self._serving.traffic.told(kind for frame in frames for kind in frame.types)
            if subscription.ended:  # from here on its id may be used again
                subscription.close()
                del self._running[id_]
            if not await self._guarded([frame.data for frame in frames]):
                return
        if self._alone:
            await self._close(subscription.ended)

    async def _guarded(self, messages: Sequence[bytes]) -> bool:
        """Write from a subscription's task; False, and the connection cut, where the reader takes nothing."""
        try:
            await self._write(messages)
        except TimeoutError:
            self._cut()
            return False
        except OSError:  # it has left: the listening task learns of it
            return False
        return True

    async def _unsubscribe(self, id_: str) -> None:
        running = self._running.pop(id_, None)
        if running is None:
            raise not_found(f'there is no subscription "{id_}" on this socket', id_)
        self._alone = False
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        if running.subscription is not None:
            running.subscription.close()
        await self._write([orjson.dumps({"type": "UNSUBSCRIBED", "id": id_})])

    async def _stop_all(self) -> None:
        running = list(self._running.values())
        self._running.clear()
        for each in running:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in running), return_exceptions=True)
        for each in running:
            if each.subscription is not None:
                each.subscription.close()

    # -- the connection -------------------------------------------------------------------------------

    async def _write(self, messages: Sequence[bytes]) -> None:
        """Whole messages, one after the other. Raises TimeoutError where the reader takes none of them."""
        async with self._turn:
            outlet = self._outlet
            if outlet is not None and outlet.ready:  # a reader that takes what comes is told a batch at once
                outlet.write(b"".join([part for message in messages for part in framed(message)]))
                return
            for message in messages:
                async with asyncio.timeout(self._settings.stream_send_seconds):
                    await self._send({"type": "websocket.send", "text": message.decode()})

    async def _close(self, reason: str) -> None:
        """Say goodbye; the listening task then hears that the connection is over."""
        if self._ended:
            return
        self._ended = reason
        code = {
            "lifetime": CLOSE_LIFETIME,
            "shutdown": CLOSE_RESTART,
            "forbidden": CLOSE_POLICY,
            "not text": CLOSE_NOT_TEXT,
        }.get(reason, CLOSE_ENDED)
        async with self._turn:
            try:
                async with asyncio.timeout(self._settings.stream_send_seconds):
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
            except TimeoutError:
                self._cut()
            except OSError:
                return  # it was faster

    def _cut(self) -> None:
        """The reader takes nothing: what it has heard last says where to resume."""
        self._ended = "slow"
        if self._abort is not None:
            self._abort()


def messages(frames: Sequence[Frame]) -> bytes:
    """Each as a message of its own."""
    return b"".join([part for frame in frames for part in framed(frame.data)])


def framed(message: bytes) -> tuple[bytes, bytes]:
    """Head and payload of an unfragmented text message of a server (RFC 6455, 5.2): not masked, the same for all."""
    size = len(message)
    if size < 126:
        return pack("!BB", _TEXT, size), message
    if size < 1 << 16:
        return pack("!BBH", _TEXT, 126, size), message
    return pack("!BBQ", _TEXT, 127, size), message


def _bring_forward(deadline: asyncio.Timeout, ends: float) -> None:
    if not deadline.expired():
        deadline.reschedule(ends)


def _said(text: str) -> dict[str, Any]:
    """A reader's message. Raises 400 where it is none."""
    try:
        given = orjson.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict) or given.get("action") not in _ACTIONS:
        raise bad_request(f'write {{"action":…}} with one of {", ".join(_ACTIONS)}')
    return given


def _error(error: StatusError, id_: str | None) -> bytes:
    named = b"" if id_ is None else b',"id":%s' % orjson.dumps(id_)
    return b'{"type":"ERROR","object":%s%s}' % (error.body, named)
