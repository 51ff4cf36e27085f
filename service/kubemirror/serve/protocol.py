"""The server's protocol classes, over uvicorn's: how many connections, how slow they may be, how they are cut.

uvicorn has no limit on how long a request's head may take or be, nor on its body, and its concurrency limit counts
requests, not connections. Descriptors are what runs out: the reflectors' own connections and the log need some, so
connections beyond the limit are answered 503; a few of them may still ask for health, or kubelet would end a process
for being popular. No address has more than its share. Pins uvicorn's minor version.
"""

from __future__ import annotations

import asyncio
import re
import resource
from collections import Counter
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from kubemirror.access.client_certificate import ClientCertificate, certificate_of
from kubemirror.serve import access_log, health, refusals
from kubemirror.serve.asked import counted_address
from kubemirror.serve.fastlane import JOINED_BYTES, Entry, Lane
from kubemirror.serve.sent import Sent, counted
from kubemirror.serve.traffic import SHORT_SECONDS
from kubemirror.serve.variant import connection_of
from kubemirror.settings import Settings

# A request's head comes in one or two packets; whoever drips it holds a descriptor for nothing.
HEAD_SECONDS = 10.0
# What had come by then may not have been read yet, where thousands connect at once: it is read within this.
LATE_SECONDS = 1.0
# For reflectors, their reconnects, files that are re-read, and a scrape while all else is taken.
RESERVED_DESCRIPTORS = 128
# Of those, for connections beyond the limit: a probe's. Whoever asks for something else gives its place back at once.
PROBES = 8
PROBE_HEAD_SECONDS = 2.0
# Several proxies' cookies, a token and a long list of groups fit; Go's servers take 1 MB, and hold it.
HEAD_BYTES = 64 * 1024
# A /watch that names a thousand objects that it holds, and no proxy in front takes more.
TARGET_BYTES = 32 * 1024
# Reviews are the only bodies that are read.
BODY_BYTES = 1024 * 1024
BODY_SECONDS = 30.0
# A target with a host in it, as proxies are sent them (RFC 9112, 3.2.2): host, and path with query.
_ABSOLUTE = re.compile(rb"https?://([^/?#@\s]+)((?:[/?][^#]*)?)", re.IGNORECASE)
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def connection_limit() -> int:
    """How many connections may be open, from the process' descriptor limit (raised to its maximum here)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft - min(RESERVED_DESCRIPTORS, soft * 3 // 4), 4)


class Outlet:
    """Past ASGI, straight into one answer's connection: chunks that are framed already and shared by many answers.

    For an answer in chunks that has begun. Who writes here asks ``ready`` first, each time: a transport that is
    full or closing, or an answer that is over, takes nothing. ASGI's own ``send`` may be used in turns with it.
    """

    __slots__ = ("_cycle", "_flow", "_transport", "write")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._transport = cycle.transport
        self.write = cycle.transport.write

    @classmethod
    def of(cls, cycle: RequestResponseCycle) -> Outlet | None:
        """None for an answer that has not begun, and for one without a body or in another framing."""
        fits = cycle.response_started and cycle.chunked_encoding and cycle.scope["method"] != "HEAD"
        return cls(cycle) if fits else None

    @property
    def ready(self) -> bool:
        """Whether a chunk may be written now."""
        cycle = self._cycle
        return not (
            self._flow.write_paused or cycle.disconnected or cycle.response_complete or self._transport.is_closing()
        )


class UntilClosed(RequestResponseCycle):
    """An answer to HTTP/1.0, which knows no chunks (RFC 9112, 6.1): where its size is not told it ends by closing."""

    _sized = True

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._sized = any(name.lower() == b"content-length" for name, _ in message.get("headers", []))
            if not self._sized:
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._sized:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def _cut(cycle: RequestResponseCycle) -> None:
    """End an answer that its reader does not take. It is disconnected from now on: uvicorn looks for no end of it."""
    cycle.disconnected = True
    cycle.message_event.set()
    cycle.transport.abort()


class HttpProtocol(HttpToolsProtocol):
    """HTTP connections within limits, with the fast lane in front of the parser.

    ``limit`` is set once, before the server starts. The lane has two entrances: a request whose head is known
    byte for byte is not parsed at all; another is answered when the parser has read its head. In both the
    connection must be at rest: no request in progress, and nothing that waits to be written.
    """

    limit = 1_000_000
    open = 0
    by_client: ClassVar[Counter[str]] = Counter()  # of one address, where it is not a proxy's or our own

    _head_timer: asyncio.TimerHandle | None = None
    _body_timer: asyncio.TimerHandle | None = None
    _counted = False
    _crowded = False  # beyond the limit: health is all that is answered
    _certificate: ClientCertificate | None = None

    def __init__(self, lane: Lane, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lane = lane
        self._between = True  # the parser stands between two messages
        self._unknown: tuple[bytes, bytes] | None = None  # request line and head that the parser reads next
        self._served = False  # the message that the parser reads has been answered
        self._answered_at = 0.0
        self._head_size = self._body_size = 0  # bytes of the request that the parser reads
        self._parsed = False  # the parser found the end of something in what came last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport = counted(transport)
        super().connection_made(transport)
        self._sent = Sent(transport)
        assert self.scheme is not None  # noqa: S101 - the base class has just set it
        settings = self._lane.settings
        self._certificate = certificate_of(transport.get_extra_info("ssl_object")) if settings.client_ca else None
        self._kind = connection_of(self.scheme, self.client, settings, self._certificate)
        self._heads = self._lane.heads(self._kind)
        HttpProtocol.open += 1
        self._counted = True
        self._address = counted_address(self.client, settings)
        if self._address:
            HttpProtocol.by_client[self._address] += 1
            if HttpProtocol.by_client[self._address] > settings.max_connections_per_client:
                self._refuse(refusals.too_many_of_one())
                return
        self._crowded = HttpProtocol.open > self.limit
        if HttpProtocol.open > self.limit + PROBES:
            self._refuse(refusals.too_many())
            return
        self._await_head(PROBE_HEAD_SECONDS if self._crowded else HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing that fails here may keep a connection counted, or its streams from hearing that it is over."""
        try:
            if self._counted:
                self._counted = False
                HttpProtocol.left(self._address)
            self._head_came()
            self._body_came()
            self._sent.last()
        finally:
            super().connection_lost(exc)

    @classmethod
    def left(cls, address: str) -> None:
        """A connection is over; also one that became a WebSocket."""
        cls.open -= 1
        if address:
            cls.by_client[address] -= 1
            if not cls.by_client[address]:
                del cls.by_client[address]

    def _refuse(self, answer: bytes) -> None:
        """Answer without a handler, and close. An answer that is under way is cut: nothing may stand inside it."""
        if self.transport.is_closing():
            return
        if self._resting or not self.cycle.response_started:
            self.transport.write(answer)
        self._head_came()
        self._body_came()
        self._served = True
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if self._between and not self._crowded and (cycle is None or cycle.response_complete):  # type: ignore[redundant-expr] # see _resting
            data = self._answer_known(data)
            if not data:
                return
        self._parsed = False
        super().data_received(data)
        self._unknown = None
        if not self._parsed and self._head_timer is not None:  # all of it is within one field that has not ended
            self._head_size += len(data)
            if self._head_size > HEAD_BYTES:
                self._refuse(refusals.long_head(HEAD_BYTES))

    @property
    def _resting(self) -> bool:
        """Whether no request of this connection is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None at first, whatever the base class says
        return cycle is None or cycle.response_complete

    def _answer_known(self, data: bytes) -> bytes:
        """Answer the requests at the start of ``data`` whose bytes say which; what remains is for the parser."""
        start = 0
        while True:
            end = data.find(b"\r\n\r\n", start) + 4
            space = data.find(b" ", start + 5, end)  # behind the target: "GET /" and "HEAD " are five
            if end < 4 or space < 0:
                break
            line, head = data[start:space], data[space:end]
            variant = self._heads.get(head)
            if variant is None:
                self._unknown = line, head
                break
            entry = variant.entries.get(line)
            if entry is None or self.flow.write_paused or not self._answer(entry):
                self._unknown = line, head
                break
            if end == len(data):
                return b""
            start = end
        return data[start:] if start else data

    def _answer(self, entry: Entry) -> bool:
        """Give ``entry`` again, if it holds."""
        started = perf_counter()
        lane, state, now = self._lane, self.server_state, self.loop.time()
        if (
            entry.moves != lane.moves or entry.defaults is not state.default_headers or now >= entry.until
        ) and not lane.renew(entry, state.default_headers, now):
            return False
        if len(entry.body) <= JOINED_BYTES:
            self.transport.write(entry.head)
        else:
            self.transport.writelines((entry.head, entry.body))
        entry.used = True
        state.total_requests += 1
        self._answered_at = now
        if self._head_timer is not None:
            self._head_came()
        if self.timeout_keep_alive_task is None:
            self._await_next(self.timeout_keep_alive)
        taken = perf_counter() - started
        tally = entry.tally
        if taken < SHORT_SECONDS:
            tally.count += 1
            tally.seconds += taken
        else:
            tally.longer(taken)
        if lane.settings.access_log:
            method, _, target = entry.line.decode("latin-1").partition(" ")
            access_log.told(self.client, method, target, entry.status, taken, lane="fast")
        return True

    def _await_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection: the fast lane does not touch the timer, so it looks when the last answer was."""
        self.timeout_keep_alive_task = None
        if not self._resting:
            return  # armed anew when the answer is complete
        remaining = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if self._answered_at and remaining > 0:
            self._await_next(remaining)
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        self._between = False
        self._parsed = True
        self._head_size = self._body_size = 0
        super().on_message_begin()
        extensions: dict[str, Any] = {"kubemirror.sent": self._sent}
        if self._certificate is not None:
            extensions["kubemirror.client_certificate"] = self._certificate
        self.scope["extensions"] = extensions
        if self._head_timer is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._parsed = True
        if len(self.url) > TARGET_BYTES:
            self._refuse(refusals.long_target(TARGET_BYTES))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._parsed = True
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_BYTES:
            self._refuse(refusals.long_head(HEAD_BYTES))
        else:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        if self._served:
            return
        self._body_size += len(body)
        if self._body_size > BODY_BYTES:
            self._refuse(refusals.large_body(BODY_BYTES))
        else:
            super().on_body(body)

    def on_headers_complete(self) -> None:
        self._head_came()
        if self._served:
            return
        if not self.url.startswith(b"/") and not self._take_host():
            self._refuse(refusals.odd_target())
            return
        if self._crowded and self.url.partition(b"?")[0].decode("latin-1") not in health.PATHS:
            self._refuse(refusals.too_many())
            return
        if any(name == b"content-length" and _size(value) > BODY_BYTES for name, value in self.headers):
            self._refuse(refusals.large_body(BODY_BYTES))
            return
        if not self._answer_parsed():
            super().on_headers_complete()
            if any(name in _FRAMING for name, _ in self.headers):
                self._body_timer = self.loop.call_later(BODY_SECONDS, self.transport.abort)
            cycle = cast("RequestResponseCycle | None", self.cycle)
            if cycle is not None and cycle.scope is self.scope:  # no cycle is made of a request to upgrade
                extensions: dict[str, Any] = self.scope["extensions"]
                extensions["kubemirror.outlet"] = partial(Outlet.of, cycle)
                extensions["kubemirror.abort"] = partial(_cut, cycle)
                if self.parser.get_http_version() != "1.1":
                    cycle.__class__ = UntilClosed  # it was made just now, and has not begun

    def _take_host(self) -> bool:
        """A target may name the host itself, and Host is not looked at then; from here on it is as any other.

        False for a target that names neither a path nor a host. What is odd about Host itself is said later.
        """
        found = _ABSOLUTE.fullmatch(self.url)
        if found is None:
            return False
        host, target = found.groups()
        self.url = target if target.startswith(b"/") else b"/" + target
        if sum(name == b"host" for name, _ in self.headers) == 1:
            self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]
        return True

    def on_message_complete(self) -> None:
        self._between = True
        self._body_came()
        if self._served:
            self._served = False
        else:
            super().on_message_complete()

    def _answer_parsed(self) -> bool:
        """Answer the request whose head was read, if it was answered before; else have its answer kept."""
        unknown, self._unknown = self._unknown, None
        parser = self.parser
        method = parser.get_method()
        if (
            self._crowded
            or method not in (b"GET", b"HEAD")
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
            or not parser.should_keep_alive()
        ):
            return False
        variant = self._lane.variant(self._kind, self.headers)
        if variant is None:
            return False
        line = b"%s %s" % (method, self.url)
        if unknown is not None and unknown[0] == line:
            self._lane.learn(self._heads, unknown[1], len(self.headers), variant)
        entry = variant.entries.get(line)
        if entry is not None and self._resting and not self.flow.write_paused and self._answer(entry):
            self._served = True
            return True
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions["kubemirror.keep"] = partial(self._lane.keep, line, variant)
        return False

    def handle_websocket_upgrade(self) -> None:
        self._head_came()
        if self._served or not self._resting:
            self.transport.close()  # an answer to what came before it is under way: its bytes would stand among frames
            return
        super().handle_websocket_upgrade()

    def _await_head(self, seconds: float = HEAD_SECONDS) -> None:
        self._head_timer = self.loop.call_later(seconds, self._await_what_came)

    def _await_what_came(self) -> None:
        self._head_timer = self.loop.call_later(LATE_SECONDS, self.transport.abort)

    def _body_came(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _size(value: bytes) -> int:
    return int(value) if value.isdigit() else 0  # what is no number the parser has refused


class SocketOutlet:
    """Past ASGI, straight into one WebSocket's connection: whole messages, shared by many. Not compressed, ever.

    Who writes here asks ``ready`` first, each time. ASGI's own ``send`` may be used in turns with it.
    """

    __slots__ = ("_closing", "_protocol", "write")

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol
        self._closing = protocol.transport.is_closing
        self.write = protocol.transport.write

    @property
    def ready(self) -> bool:
        """Whether messages may be written now. Asked before each of them: two looks, and not five."""
        return not (self._protocol.held or self._closing())


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket connections, counted with the others, which the application can cut and write to.

    held: nothing may be written past ``send`` now: not accepted yet, full, said goodbye, or gone.
    """

    held = True

    def __init__(self, settings: Settings, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.settings = settings
        self._sent: Sent | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """As of an HTTP connection: whatever fails, it is counted no more, and the application hears of it."""
        self.held = True
        try:
            HttpProtocol.left(counted_address(self.client, self.settings))
            if self._sent is not None:
                self._sent.last()
        finally:
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        self.held = True
        super().pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def _look(self) -> None:
        writable = self.handshake_complete and self.writable.is_set()
        self.held = not writable or self.close_sent or self.disconnected

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.held = True
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._look()

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions["kubemirror.abort"] = self.transport.abort
        extensions["kubemirror.outlet"] = SocketOutlet(self)
        self._sent = Sent(self.transport)
        extensions["kubemirror.sent"] = self._sent
        if self.settings.client_ca:
            certificate = certificate_of(self.transport.get_extra_info("ssl_object"))
            if certificate is not None:
                extensions["kubemirror.client_certificate"] = certificate
        asgi = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asgi(scope, receive, send)
            if self.initial_response is not None:
                self.handshake_complete = True  # refused with an answer: uvicorn would log each one as an error

        self.app = app
        await super().run_asgi()
