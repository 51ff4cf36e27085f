"""Faults on demand, at the HTTP surface: what a bad day at an API server looks like to its clients.

Standing faults (freeze, lag, forbid, rotated tokens) hold until they are taken back; injected ones concern the next
``times`` requests that match. Connection faults (restart, refuse) are the listener's, where there is one; in-process,
requests under way end as a lost connection does. All are switched by methods, or by ``POST /-/faults/...``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import orjson

from kubemirror.demo.cluster import Cluster, Snapshot
from kubemirror.demo.replica import standing_still
from kubemirror.demo.users import TOKENS, Users
from kubemirror.state.catalog import Catalog

HTML = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<h1>502 Bad Gateway</h1>\r\n</body>\r\n</html>"
)


class FaultKind(StrEnum):
    """What happens to a request that an injected fault concerns."""

    ANSWER = "answer"  # code, body, content_type, retry_after instead of the real answer
    RESET = "reset"  # the connection is lost before an answer
    HANG = "hang"  # accepted, never answered
    TRUNCATE = "truncate"  # the body breaks off after ``after`` bytes
    SLOW = "slow"  # ``rate`` bytes per second
    END = "end"  # a stream ends cleanly after ``after`` events
    EVENT = "event"  # ``body`` is sent as an event of its own after ``after`` events
    DUPLICATE = "duplicate"  # event number ``after`` (0 is the first) comes twice
    REORDER = "reorder"  # event number ``after`` comes after its successor
    LOSE = "lose"  # event number ``after`` never comes


@dataclass(slots=True)
class Fault:
    """One injected fault.

    verbs: get, list, watch, create, update, patch, delete; empty for all. resource: identity as in
    ``deployments.apps``, "" for any. times: how many requests it concerns, None until cleared. skip: matching
    requests let through first. after: events or bytes, see FaultKind. rate: bytes per second. retry_after: seconds.
    """

    kind: FaultKind
    verbs: frozenset[str] = frozenset()
    resource: str = ""
    times: int | None = 1
    skip: int = 0
    code: int = 500
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    retry_after: int | None = None
    after: int = 0
    rate: int = 1

    def concerns(self, verb: str, resource: str) -> bool:
        return (not self.verbs or verb in self.verbs) and self.resource in ("", resource)


class Listener(Protocol):
    """What faults may ask of whoever owns the sockets."""

    def abort(self, client: object = None) -> None:
        """Reset the connection of ``client`` (an ASGI scope's), or every open one."""

    async def refuse(self) -> None:
        """Reset every open connection and listen no more."""

    async def listen(self) -> None:
        """Listen again, on the same port."""


@dataclass(slots=True)
class Faults:
    """The switchboard of one demo cluster. ``log`` lists what was asked, newest last: (verb, resource, query)."""

    cluster: Cluster
    users: Users = field(default_factory=Users)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    listener: Listener | None = None
    past: Catalog | None = None  # what reads see while lagging
    log: list[tuple[str, str, str]] = field(default_factory=list)
    injected: list[Fault] = field(default_factory=list)
    backup: Snapshot | None = None
    _cut: asyncio.Event = field(default_factory=asyncio.Event)
    _thawed: asyncio.Event = field(default_factory=asyncio.Event)
    _frozen: bool = False
    _refusing: bool = False

    # -- connections ------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Lose every connection; resourceVersions and history are kept."""
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()
        if self.listener is not None:
            self.listener.abort()

    async def restart(self, *, seconds: float = 0.0) -> None:
        """As an API server restarts: connections are lost and refused for ``seconds``, then it is back."""
        await self.refuse()
        if seconds:
            await self.sleep(seconds)
        await self.accept()

    async def refuse(self) -> None:
        """Lose every connection and refuse new ones (in-process: ConnectionRefusedError)."""
        self.drop()
        if self.listener is not None:
            await self.listener.refuse()
        self._refusing = True

    async def accept(self) -> None:
        """Listen again after ``refuse``."""
        self._refusing = False
        if self.listener is not None:
            await self.listener.listen()

    def freeze(self) -> None:
        """Accept connections and requests, send nothing more, on open streams neither."""
        self._frozen = True
        self._thawed.clear()

    def thaw(self) -> None:
        self._frozen = False
        self._thawed.set()

    # -- state ------------------------------------------------------------------------------------------

    def compact(self, resource_version: int | None = None) -> None:
        """Forget history, as etcd's compaction does: older resourceVersions are 410 from now on."""
        self.cluster.compact(resource_version)

    def lag(self) -> None:
        """From now on reads see this moment, for ever: the API server behind the load balancer fell behind."""
        self.past = standing_still(self.cluster)
        self.drop()

    def catch_up(self) -> None:
        self.past = None
        self.drop()

    def save(self) -> None:
        """Take the backup that ``rollback`` restores."""
        self.backup = self.cluster.snapshot()

    def rollback(self) -> None:
        """Restore the backup: resourceVersions go back, connections are lost."""
        if self.backup is None:
            raise ValueError("nothing to roll back to: save first")
        self.past = None
        self.cluster.restore(self.backup)
        self.drop()

    # -- access -----------------------------------------------------------------------------------------

    def forbid(self, resource: str) -> None:
        """Refuse a resource to everyone without system:masters, anonymous included."""
        self.users.forbidden.add(resource)

    def permit(self, resource: str) -> None:
        self.users.forbidden.discard(resource)

    def rotate(self, old: str, new: str) -> None:
        """Accept ``new`` in place of ``old``; KeyError for a token nobody has."""
        self.users.tokens[new] = self.users.tokens.pop(old)

    def require_token(self, *, required: bool = True) -> None:
        """Whether requests without credentials are refused."""
        self.users.anonymous = not required

    # -- injection --------------------------------------------------------------------------------------

    def inject(self, fault: Fault) -> None:
        self.injected.append(fault)

    def answer(self, code: int, body: bytes = b"", **parameters: Any) -> None:
        """Shorthand: the next matching requests are answered so."""
        self.inject(Fault(FaultKind.ANSWER, code=code, body=body, **parameters))

    def too_many_requests(self, *, retry_after: int = 1, **parameters: Any) -> None:
        """As API priority and fairness refuses: plain text, Retry-After."""
        body = b"Too many requests, please try again later.\n"
        self.answer(429, body, retry_after=retry_after, **parameters)

    def bad_gateway(self, **parameters: Any) -> None:
        """As a proxy in between answers: HTML."""
        self.answer(502, HTML, content_type="text/html", **parameters)

    def expired(self, *, event: bool = True, after: int = 0, **parameters: Any) -> None:
        """410, as an ERROR event of a watch (which then ends) or as the HTTP status."""
        status = orjson.dumps(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "too old resource version: 1 (2)",
                "reason": "Expired",
                "code": 410,
            }
        )
        if not event:
            self.answer(410, status, content_type="application/json", **parameters)
            return
        line = b'{"type":"ERROR","object":' + status + b"}"
        parameters.setdefault("verbs", frozenset({"watch"}))
        self.inject(Fault(FaultKind.EVENT, body=line, after=after, code=410, **parameters))

    def clear(self) -> None:
        """Take back everything but what cannot be: nothing injected, thawed, all permitted, the present visible."""
        self.injected.clear()
        self.thaw()
        self.users.forbidden.clear()
        self.users.tokens = dict(TOKENS)
        self.users.anonymous = True
        if self.past is not None:
            self.catch_up()

    def describe(self) -> dict[str, Any]:
        """What is switched on, for ``GET /-/faults``."""
        return {
            "resourceVersion": self.cluster.resource_version,
            "frozen": self._frozen,
            "lagging": self.past is not None,
            "backup": None if self.backup is None else self.backup.resource_version,
            "forbidden": sorted(self.users.forbidden),
            "anonymous": self.users.anonymous,
            "injected": [
                {
                    "kind": fault.kind.value,
                    "verbs": sorted(fault.verbs),
                    "resource": fault.resource,
                    "times": fault.times,
                    "skip": fault.skip,
                    "code": fault.code,
                    "after": fault.after,
                    "rate": fault.rate,
                }
                for fault in self.injected
            ],
        }

    # -- what a request meets ---------------------------------------------------------------------------

    @property
    def refusing(self) -> bool:
        return self._refusing

    @property
    def cut(self) -> asyncio.Event:
        """Set when the connections of now are lost."""
        return self._cut

    async def thawed(self) -> None:
        """Wait while frozen."""
        while self._frozen:
            await self._thawed.wait()

    def take(self, verb: str, resource: str) -> Fault | None:
        """The injected fault that concerns this request, counted down."""
        for fault in self.injected:
            if not fault.concerns(verb, resource):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self.injected.remove(fault)
            return fault
        return None
