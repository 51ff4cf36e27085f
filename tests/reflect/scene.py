"""A reflector before a scripted API server, on virtual time: what each test of this folder plays.

Answers are given in the script's order, whatever is asked; when the script is over, a watch stays open with
a bookmark each minute. Audits are answered from a script of their own, and so is whether we may still watch.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

from kubemirror.kube.reflector import Reflector, ReflectorOptions
from kubemirror.kube.transport import Response, TransportError
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Event, Phase, PhaseChange
from kubemirror.state.statistics import ReflectorStatistics
from kubemirror.state.store import Reader, Writer
from tests.simulation import virtual_time

THINGS = Resource(
    group="example.com",
    version="v1",
    plural="things",
    singular="thing",
    kind="Thing",
    namespaced=True,
    versions=(ServedVersion("v1"),),
)
JSON = {"content-type": "application/json"}
COLUMNS: list[dict[str, object]] = [
    {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}
]


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop whose clock jumps."""

    @functools.wraps(test)
    def play(*args: Any, **kwargs: Any) -> None:
        virtual_time.run(test(*args, **kwargs))

    return play


# -- what a server says --------------------------------------------------------------------------------------


def thing(name: str, rv: int, *, uid: str = "", **fields: object) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "resourceVersion": str(rv)}
    return {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": metadata, **fields}


def line(type_: str, object_: object) -> bytes:
    return json.dumps({"type": type_, "object": object_}, separators=(",", ":")).encode() + b"\n"


def added(name: str, rv: int, **fields: Any) -> bytes:
    return line("ADDED", thing(name, rv, **fields))


def modified(name: str, rv: int, **fields: Any) -> bytes:
    return line("MODIFIED", thing(name, rv, **fields))


def deleted(name: str, rv: int, **fields: Any) -> bytes:
    return line("DELETED", thing(name, rv, **fields))


def bookmark(rv: int, *, end: bool = False) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(rv)}
    if end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return line("BOOKMARK", {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": metadata})


def row(type_: str, object_: object, cells: Sequence[object] = (), columns: object = None) -> bytes:
    table = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "1"},
        "columnDefinitions": columns,
        "rows": [{"cells": list(cells), "object": object_}],
    }
    return line(type_, table)


def status(
    code: int, reason: str = "", message: str = "", *, causes: Sequence[str] = (), after: int = 0
) -> dict[str, Any]:
    details: dict[str, object] = {"causes": [{"reason": cause} for cause in causes]}
    if after:
        details["retryAfterSeconds"] = after
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


def error(code: int, reason: str = "", message: str = "", **more: Any) -> bytes:
    return line("ERROR", status(code, reason, message, **more))


@dataclass(frozen=True)
class Pause:
    seconds: float


FOREVER = Pause(float("inf"))
RESET = TransportError("connection reset by peer", kind="reset")
Part = bytes | Pause | TransportError


@dataclass
class Answer:
    """A status, headers, and a body in parts; an ordinary end after the last."""

    parts: Sequence[Part]
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def stream(*parts: Part) -> Answer:
    return Answer(parts)


def initial(*names: str, rv: int, then: Sequence[Part] = (FOREVER,)) -> Answer:
    """A WatchList that holds the named things, their RVs counting up to ``rv``; then ``then``."""
    first = rv - len(names) + 1
    return Answer([*(added(name, first + at) for at, name in enumerate(names)), bookmark(rv, end=True), *then])


def page(*things: dict[str, Any], rv: int, continue_: str = "") -> Answer:
    metadata = {"resourceVersion": str(rv), "continue": continue_}
    items = [{name: value for name, value in found.items() if name not in ("kind", "apiVersion")} for found in things]
    body = {"kind": "ThingList", "apiVersion": "example.com/v1", "metadata": metadata, "items": items}
    return Answer([json.dumps(body, separators=(",", ":")).encode()])


def table_page(
    rows: Sequence[tuple[dict[str, Any], Sequence[object]]], *, rv: int, columns: object, continue_: str = ""
) -> Answer:
    body = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(rv), "continue": continue_},
        "columnDefinitions": columns,
        "rows": [{"cells": list(cells), "object": found} for found, cells in rows],
    }
    return Answer([json.dumps(body, separators=(",", ":")).encode()])


def refusal(
    code: int, reason: str = "", message: str = "", *, headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    return Answer([json.dumps(status(code, reason, message, **more)).encode()], code, {**JSON, **(headers or {})})


def text(code: int, body: bytes, content_type: str = "text/html", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer([body], code, {"content-type": content_type, **named})


REFUSED = TransportError("connection refused", kind="refused")


# -- the server ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    at: float
    query: dict[str, str]

    @property
    def kind(self) -> str:
        if "watch" in self.query:
            return "watchlist" if "sendInitialEvents" in self.query else "watch"
        return "list"

    @property
    def asked(self) -> tuple[str, str]:
        """What for, and at which resourceVersion ("" for none)."""
        return (self.kind, self.query.get("continue") or self.query.get("resourceVersion", ""))


class Body:
    def __init__(self, server: Server, parts: Sequence[Part]) -> None:
        self._server = server
        self._parts = list(parts)
        self.closed = False

    async def read(self) -> bytes:
        assert not self.closed
        while self._parts:
            part = self._parts.pop(0)
            if isinstance(part, Pause):
                if part is FOREVER:
                    self._parts.insert(0, part)
                    await asyncio.Event().wait()
                await asyncio.sleep(part.seconds)
            elif isinstance(part, TransportError):
                raise part
            else:
                return part
        return b""

    async def close(self) -> None:
        self.closed = True


class Quiet(Body):
    """What follows the script: nothing happens any more, and a bookmark each minute says so."""

    async def read(self) -> bytes:
        await asyncio.sleep(60.0)
        return bookmark(self._server.reached())


Scripted = Answer | TransportError | Callable[[], Awaitable[Response]]


class Server:
    def __init__(
        self,
        *script: Scripted,
        audits: Sequence[Answer] = (),
        rights: Sequence[Answer] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        self.script = list(script)
        self.audits = list(audits)
        self.rights = list(rights)
        self.headers = headers or {}
        self.requests: list[Request] = []
        self.audited: list[Request] = []
        self.rights_asked: list[Request] = []
        self.bodies: list[Body] = []
        self.reached: Callable[[], int] = lambda: 0

    async def request(
        self, method: str, path: str, *, query: Any = (), headers: Any = None, body: bytes = b"", seconds: float
    ) -> Response:
        request = Request(asyncio.get_running_loop().time(), dict(query))
        assert (method, path) == ("GET", "/apis/example.com/v1/things")
        if "PartialObjectMetadataList" in headers["accept"]:
            self.audited.append(request)
            return self._respond(self.audits.pop(0) if self.audits else refusal(503, "ServiceUnavailable"))
        if request.query.get("timeoutSeconds") == "1":
            self.rights_asked.append(request)
            return self._respond(self.rights.pop(0) if self.rights else stream())
        self.requests.append(request)
        if not self.script:
            if request.kind != "watch":
                return self._respond(refusal(503, "ServiceUnavailable", "the script is over"))
            quiet = Quiet(self, ())
            self.bodies.append(quiet)
            return Response(200, {**JSON, **self.headers}, quiet)
        answer = self.script.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        if isinstance(answer, Answer):
            return self._respond(answer)
        return await answer()

    def _respond(self, answer: Answer) -> Response:
        body = Body(self, answer.parts)
        self.bodies.append(body)
        return Response(answer.status, {**answer.headers, **self.headers}, body)

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [request.asked for request in self.requests]

    def count(self, kind: str) -> int:
        return sum(request.kind == kind for request in self.requests)


class Scene:
    """A reflector at work; ``play`` lets time pass."""

    def __init__(
        self,
        *script: Scripted,
        audits: Sequence[Answer] = (),
        rights: Sequence[Answer] = (),
        headers: dict[str, str] | None = None,
        resource: Resource = THINGS,
        seed: int = 1,
        **options: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.server = Server(*script, audits=audits, rights=rights, headers=headers)
        self.writer = Writer(clock=loop.time)
        self.reader: Reader = self.writer.reader
        self.server.reached = lambda: self.reader.resource_version
        self.events: list[Event] = []
        self.phases: list[tuple[float, Phase, str]] = []
        options.setdefault("audit_seconds", 1e9)
        self.reflector = Reflector(
            transport=self.server,
            resource=resource,
            writer=self.writer,
            options=ReflectorOptions(**options),
            clock=loop.time,
            random=Random(seed),
            sink=self._take,
        )
        self.task: asyncio.Task[None] | None = None

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, PhaseChange):
            self.phases.append((asyncio.get_running_loop().time(), event.phase, event.reason))

    async def play(self, seconds: float) -> Scene:
        if self.task is None:
            self.task = asyncio.create_task(self.reflector.run(), name="reflector")
        done, _ = await asyncio.wait([self.task], timeout=seconds)
        if done:
            self.task.result()
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    @property
    def statistics(self) -> ReflectorStatistics:
        return self.writer.statistics

    @property
    def held(self) -> dict[str, int]:
        return {found.name: found.resource_version for found in self.reader.snapshot().objects}

    @property
    def journal(self) -> list[tuple[str, str, int]]:
        return [(change.type.value, change.object.name, change.resource_version) for change in self.reader.journal]

    @property
    def phase(self) -> Phase:
        return self.reader.phase
