"""Whether a store still holds what upstream holds: a digest over (uid, resourceVersion), compared now and then.

A watch that loses an event says nothing, and an API server whose etcd was restored says nothing either: the
mirror would be wrong until its next list (kubernetes/kubernetes#107457, etcd-io/etcd#16028). So every few
minutes a consistent LIST of metadata is summed up and compared with the store *at the list's own
resourceVersion*: events told since are taken back by the journal, events still in flight are waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

from kubemirror.kube.transport import Transport, TransportError
from kubemirror.kube.watcher import Watcher, Watching
from kubemirror.kube.wire import ACCEPT_IDENTITIES, Identities, Status, WireError, identities, is_json, refusal
from kubemirror.state.journal import ChangeType
from kubemirror.state.store import DIGEST_MODULUS, Reader, identity_digest

# How long events that the list knows and the store does not may be on their way: longer than a bookmark's
# period (60 s), so that a quiet resource's bookmark has come too.
IN_FLIGHT_SECONDS = 75.0
POLL_SECONDS = 1.0
PAGE_SECONDS = 60.0  # one page's body, read whole
SLICE = 500  # identities summed up between two breaths of the event loop: about a millisecond


class Verdict(Enum):
    EQUAL = auto()
    MISMATCH = auto()  # something was lost: list again
    ROLLBACK = auto()  # upstream went back in time: list again, and start every reader over
    DENIED = auto()  # our right to list was taken; an open watch would not have noticed
    UNKNOWN = auto()  # it could not be told this time


@dataclass(frozen=True, slots=True)
class _Sum:
    resource_version: int
    digest: int


class _Refused(Exception):  # noqa: N818 - a soft error, told apart by its status
    def __init__(self, status: Status) -> None:
        self.status = status


class Audit:
    """Audits one store; remembers what only repeated audits can tell."""

    def __init__(
        self,
        *,
        transport: Transport,
        path: str,
        watcher: Watcher,
        reader: Reader,
        options_page_size: int,
        seconds: float,
        patience: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """patience: seconds for which a mirror upstream must refuse our resourceVersion to be believed."""
        self._transport = transport
        self._path = path
        self._watcher = watcher
        self._reader = reader
        self._page_size = options_page_size
        self._seconds = seconds
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._refused_since: float | None = None
        self._explained: int | None = None  # a difference that a new list did not mend

    async def run(self) -> Verdict:
        """Compare once. Never raises for what upstream does; anything it cannot tell is UNKNOWN."""
        watcher = self._watcher
        if not isinstance(watcher.state, Watching) or watcher.reached is None:
            return Verdict.UNKNOWN
        reached, lists = watcher.reached, watcher.lists
        try:
            listed = await self._sum(reached)
            if listed.resource_version < reached:
                # A list asked after we knew of `reached` and older than it. Once more, then it is believed.
                confirmed = await self._page(reached, limit=1)
                if confirmed.resource_version >= reached or watcher.lists != lists:
                    return Verdict.UNKNOWN
                return Verdict.UNKNOWN if watcher.mirror else Verdict.ROLLBACK
        except _Refused as refused:
            return self._refused(refused.status)
        except (TransportError, WireError, TimeoutError):
            return Verdict.UNKNOWN
        self._refused_since = None
        self._reader.statistics.audits += 1
        return await self._compare(listed, lists)

    def _refused(self, status: Status) -> Verdict:
        if status.code in (401, 403):
            return Verdict.DENIED
        if not (self._watcher.mirror and status.too_large):
            return Verdict.UNKNOWN
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since < self._patience * 2 / 3:  # the audits' jitter: at least one period lies between
            return Verdict.UNKNOWN
        self._refused_since = None
        return Verdict.ROLLBACK

    async def _compare(self, listed: _Sum, lists: int) -> Verdict:
        deadline = self._clock() + IN_FLIGHT_SECONDS
        while True:
            if self._watcher.lists != lists:
                return Verdict.UNKNOWN  # a new list came between
            ours = self._digest_at(listed.resource_version)
            if ours == listed.digest:
                self._explained = None
                return Verdict.EQUAL
            reached = self._watcher.reached or 0
            if reached >= listed.resource_version or self._clock() >= deadline:
                break
            await self._sleep(POLL_SECONDS)
        if ours is None or not isinstance(self._watcher.state, Watching):
            return Verdict.UNKNOWN
        self._reader.statistics.audit_mismatches += 1
        difference = (listed.digest - ours) % DIGEST_MODULUS
        if difference == self._explained:
            return Verdict.UNKNOWN  # an object that cannot be held: a list has been tried and did not help
        self._explained = difference
        return Verdict.MISMATCH

    def _digest_at(self, resource_version: int) -> int | None:
        """The store's digest as it was at ``resource_version``; None where the journal reaches back less far."""
        journal = self._reader.journal
        if journal.oldest > resource_version:
            return None
        digest = self._reader.digest()
        for change in journal.newest_first():
            if change.resource_version <= resource_version:
                break
            if change.old is not None:
                digest += identity_digest(change.old.uid, change.old.resource_version)
            if change.type is not ChangeType.DELETED:
                digest -= identity_digest(change.object.uid, change.object.resource_version)
        return digest % DIGEST_MODULUS

    async def _sum(self, reached: int) -> _Sum:
        first: int | None = None
        continue_ = ""
        digest = 0
        while True:
            listed = await self._page(reached, limit=self._page_size, continue_=continue_)
            first = listed.resource_version if first is None else first
            for start in range(0, len(listed.items), SLICE):
                for uid, resource_version in listed.items[start : start + SLICE]:
                    digest += identity_digest(uid, resource_version)
                await asyncio.sleep(0)
            continue_ = listed.continue_
            if not continue_:
                return _Sum(first, digest % DIGEST_MODULUS)

    async def _page(self, reached: int, *, limit: int, continue_: str = "") -> Identities:
        query = [("limit", str(limit))]
        if continue_:
            query.append(("continue", continue_))
        elif self._watcher.mirror:
            query += [("resourceVersion", str(reached)), ("resourceVersionMatch", "NotOlderThan")]
        async with asyncio.timeout(self._seconds + PAGE_SECONDS):
            response = await self._transport.request(
                "GET", self._path, query=query, headers={"accept": ACCEPT_IDENTITIES}, seconds=self._seconds
            )
            try:
                chunks: list[bytes] = []
                while chunk := await response.body.read():
                    chunks.append(chunk)
            finally:
                await response.body.close()
        body = b"".join(chunks)
        self._reader.statistics.upstream_bytes += len(body)
        if response.status != 200 or not is_json(response.headers):
            raise _Refused(refusal(response.status, response.headers, body))
        return identities(body)
