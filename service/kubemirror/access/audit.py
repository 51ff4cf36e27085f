"""Who was refused, and who was shown a stream: one JSON line each, shaped as the API server's audit at level Metadata.

Denials, credentials that did not hold, streams opened and closed. Never a token, a body, or a query: only what was
decided about. Whoever decides does not know the connection, so a request's facts stand in a context variable, which
the tasks of its streams inherit. Floods are bounded: beyond the rate lines are counted and the count is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from kubemirror.access.authorizer import (
    Authorizer,
    Caller,
    Candidates,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)

# A burst that a bad deployment of some clients makes, then what a person can still read; a flood costs nothing more.
BURST_LINES = 500
LINES_PER_SECOND = 50.0
# A reason may quote what was asked for.
LONGEST_REASON = 300

Attributes = ResourceAttributes | PathAttributes


def _nothing_sent() -> int:
    return 0


@dataclass(slots=True)
class Asking:
    """The request at hand. client: its address. transport: http or websocket. sent: bytes, on its connection so far."""

    client: str = ""
    transport: str = ""
    method: str = ""
    path: str = ""
    sent: Callable[[], int] = _nothing_sent


_NOBODY = Asking()
asking: ContextVar[Asking] = ContextVar("asking", default=_NOBODY)


class Audit:
    """Writes lines. See the module."""

    def __init__(self, write: Callable[[str], None] | None, *, wall: Callable[[], float]) -> None:
        """write: takes one line; None: nothing is audited. wall: seconds since 1970."""
        self._write = write
        self._wall = wall
        self._tokens = float(BURST_LINES)
        self._at = wall()
        self.suppressed = 0  # lines, since the last one that was written

    def denied(self, caller: Caller, attributes: Attributes, reason: str) -> None:
        """The Authorizer's no."""
        self._told("denied", caller, _tuple_of(attributes), reason=reason[:LONGEST_REASON])

    def refused(self, reason: str) -> None:
        """A request that a guard turned away before anybody was asked: a foreign page, a name that is not ours."""
        self._told("refused", None, {}, reason=reason[:LONGEST_REASON])

    def unauthenticated(self, reason: str) -> None:
        """Credentials were given, and do not hold."""
        self._told("unauthenticated", None, {}, reason=reason[:LONGEST_REASON])

    def opened(self, caller: Caller, attributes: Iterable[ResourceAttributes], resource_version: str) -> Stream:
        """A stream begins; tell the answer when it has ended. resource_version: from where, "" for a snapshot."""
        tuples = [_tuple_of(each) for each in attributes]
        written = [self._told("stream opened", caller, each, resourceVersion=resource_version) for each in tuples]
        return Stream(self, caller, [each for each, told in zip(tuples, written, strict=True) if told])

    def _told(self, event: str, caller: Caller | None, about: dict[str, str], **facts: object) -> bool:
        if self._write is None or not (event == "stream closed" or self._may()):
            return False
        now, request = self._wall(), asking.get()
        line: dict[str, object] = {
            "audit": event,
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
            "client": request.client,
            "transport": request.transport,
            "method": request.method,
            "path": request.path,
        }
        if caller is not None:
            line |= {"user": caller.user, "groups": list(caller.groups)}
        line |= {name: value for name, value in {**about, **facts}.items() if value not in ("", None)}
        if self.suppressed:
            line["suppressed"], self.suppressed = self.suppressed, 0
        self._write(orjson.dumps(line).decode())
        return True

    def _may(self) -> bool:
        now = self._wall()
        self._tokens = min(float(BURST_LINES), self._tokens + max(0.0, now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._tokens < 1:
            self.suppressed += 1
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class Stream:
    """An open one. What was told as opened is told as closed."""

    audit: Audit
    caller: Caller
    tuples: list[dict[str, str]]
    before: int = field(default_factory=lambda: asking.get().sent())

    def closed(self, reason: str) -> None:
        """It is over. reason: left, slow, lifetime, shutdown, forbidden, ... Idempotent."""
        tuples, self.tuples = self.tuples, []
        for each in tuples:
            taken = max(0, asking.get().sent() - self.before)
            self.audit._told("stream closed", self.caller, each, bytes=taken, reason=reason)


class Audited:
    """An Authorizer whose every no to what was asked for is audited."""

    def __init__(self, authorizer: Authorizer, audit: Audit) -> None:
        self._authorizer = authorizer
        self._audit = audit

    async def authorize(
        self,
        caller: Caller,
        attributes: Attributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        decision = await self._authorizer.authorize(caller, attributes, partial=partial, held=held)
        if isinstance(decision, Deny) and not (isinstance(attributes, PathAttributes) and not attributes.wanted):
            self._audit.denied(caller, attributes, decision.reason)
        return decision


def _tuple_of(attributes: Attributes) -> dict[str, str]:
    if isinstance(attributes, PathAttributes):
        return {"verb": attributes.verb, "nonResourceURL": attributes.path}
    return {
        "verb": attributes.verb,
        "group": attributes.group,
        "version": attributes.version,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "namespace": attributes.namespace,
        "name": attributes.name,
        "labelSelector": attributes.label_selector,
        "fieldSelector": attributes.field_selector,
    }
