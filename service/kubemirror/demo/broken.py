"""One request under faults: the ASGI ``receive`` and ``send`` that stand between the API and its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

from kubemirror.demo.faults import Fault, FaultKind, Faults
from kubemirror.serve.kubernetes.answer import Message, Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Bytes sent at once under SLOW: a tenth of a second's worth, at least one.
_SLOW_STEPS = 10


class StreamOver(Exception):  # noqa: N818 - an end, not an error
    """The fault ended the answer cleanly; whatever the application still wants to send is dropped."""


class Exchange:
    """A request and its answer. Raises ConnectionResetError out of send and receive when the connection is lost."""

    def __init__(self, faults: Faults, fault: Fault | None, receive: Receive, send: Send) -> None:
        self._faults = faults
        self._fault = fault
        self._receive = receive
        self._send = send
        self._cut = faults.cut
        self._events = 0
        self._bytes = 0
        self._fired = False
        self._held = b""  # the event that REORDER keeps back
        self._part = b""  # an event that has not come whole

    async def receive(self) -> Message:
        """As the server's, or a disconnect when the connection is dropped."""
        if self._cut.is_set():
            return {"type": "http.disconnect"}
        real = asyncio.ensure_future(self._receive())
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            await asyncio.wait({real, cut}, return_when=asyncio.FIRST_COMPLETED)
            return real.result() if real.done() else {"type": "http.disconnect"}
        finally:
            real.cancel()
            cut.cancel()

    async def send(self, message: Message) -> None:
        await self._faults.thawed()
        if self._cut.is_set():
            raise ConnectionResetError("the connection was dropped")
        fault = self._fault
        if fault is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        match fault.kind:
            case FaultKind.TRUNCATE:
                await self._truncated(body, fault.after)
            case FaultKind.SLOW:
                await self._slowly(body, more, fault.rate)
            case FaultKind.END | FaultKind.EVENT | FaultKind.DUPLICATE | FaultKind.REORDER | FaultKind.LOSE:
                await self._events_of(body, more, fault)
            case FaultKind.ANSWER | FaultKind.RESET | FaultKind.HANG:
                await self._send(message)
            case _:
                assert_never(fault.kind)

    async def _truncated(self, body: bytes, after: int) -> None:
        left = after - self._bytes
        self._bytes += len(body)
        await self._send({"type": "http.response.body", "body": body[: max(left, 0)], "more_body": True})
        if len(body) >= left:
            raise ConnectionResetError("the answer was truncated")

    async def _slowly(self, body: bytes, more: bool, rate: int) -> None:
        step = max(rate // _SLOW_STEPS, 1)
        for start in range(0, len(body), step):
            await self._send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
            await self._faults.sleep(step / rate)
            if self._cut.is_set():
                raise ConnectionResetError("the connection was dropped")
        if not more:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events_of(self, body: bytes, more: bool, fault: Fault) -> None:
        *lines, self._part = (self._part + body).split(b"\n")
        out = b""
        for line in lines:
            if self._fires(fault):
                await self._fire(fault, out)
                out = b""
            out += self._changed(line + b"\n", fault)
        if not more:
            out += self._part
        if self._fires(fault):
            await self._fire(fault, out)
        else:
            await self._send({"type": "http.response.body", "body": out, "more_body": more})

    def _fires(self, fault: Fault) -> bool:
        """Whether it is now that the stream ends, or that a foreign event comes."""
        return fault.kind in (FaultKind.END, FaultKind.EVENT) and not self._fired and self._events == fault.after

    async def _fire(self, fault: Fault, out: bytes) -> None:
        self._fired = True
        ends = fault.kind is FaultKind.END or fault.code == 410
        if fault.kind is FaultKind.EVENT:
            out += fault.body + b"\n"
        await self._send({"type": "http.response.body", "body": out, "more_body": not ends})
        if ends:
            raise StreamOver

    def _changed(self, line: bytes, fault: Fault) -> bytes:
        number = self._events
        self._events += 1
        match fault.kind:
            case FaultKind.DUPLICATE if number == fault.after:
                return line + line
            case FaultKind.LOSE if number == fault.after:
                return b""
            case FaultKind.REORDER if number == fault.after:
                self._held = line
                return b""
            case FaultKind.REORDER if number == fault.after + 1:
                return line + self._held
        return line


def broken(app: Application, faults: Faults, describe: Callable[[Scope], tuple[str, str]]) -> Application:
    """``app`` under ``faults``. describe: verb and resource identity of a scope ("" where it names none)."""

    async def under_faults(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        if faults.refusing:
            raise ConnectionRefusedError("the demo cluster refuses connections")
        verb, resource = describe(scope)
        faults.log.append((verb, resource, scope.get("query_string", b"").decode("latin-1")))
        fault = faults.take(verb, resource)
        exchange = Exchange(faults, fault, receive, send)
        await faults.thawed()
        if fault is not None and fault.kind is FaultKind.RESET:
            if faults.listener is not None:
                faults.listener.abort(scope.get("client"))
            raise ConnectionResetError("the connection was dropped")
        if fault is not None and fault.kind is FaultKind.HANG:
            while (await exchange.receive())["type"] != "http.disconnect":
                pass
            return
        if fault is not None and fault.kind is FaultKind.ANSWER:
            await _answer(fault, exchange)
            return
        try:
            await app(scope, exchange.receive, exchange.send)
        except StreamOver:
            return

    return under_faults


async def _answer(fault: Fault, exchange: Exchange) -> None:
    headers = [
        (b"content-type", fault.content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(fault.body)),
    ]
    if fault.retry_after is not None:
        headers.append((b"retry-after", b"%d" % fault.retry_after))
    await exchange.send({"type": "http.response.start", "status": fault.code, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": fault.body, "more_body": False})
