"""One subscription: the snapshot, its end, and from then on every change, from one or several stores.

It is a position in each store's journal and nothing else: no queue. What changed meanwhile is read when the
reader is ready for more, and whoever is slower than the journal's window is told so (410). Framing is not
known here: WebSocket, server-sent events and NDJSON send the same frames.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

import orjson

from kubemirror.errors import ExpiredError, KubemirrorError
from kubemirror.serve.context import Context
from kubemirror.serve.cursor import read_cursor, source_name, write_cursor
from kubemirror.serve.problems import problem_of
from kubemirror.serve.reading import Reading, freshness
from kubemirror.serve.status import StatusError
from kubemirror.state.events import Phase
from kubemirror.state.journal import Change, ChangeType, Position
from kubemirror.state.objects import Object, with_resource_version
from kubemirror.state.selectors import Selection
from kubemirror.state.store import Reader

# A frozen upstream is to be seen within this time; proxies cut what is silent for 60 s.
HEARTBEAT_SECONDS = 15.0
# Handed to the connection at once; it says stop at 64 KiB, so this bounds what a slow reader costs.
BATCH_BYTES = 256 * 1024
# Looked at before others get their turn: about 2 ms of selecting.
_TURN = 2000
# Taken from the journal at once: they are held until they are sent, however large they are.
_READ_CHANGES = 64
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}

_TYPES = {"ADDED": b"ADDED", "MODIFIED": b"MODIFIED", "DELETED": b"DELETED"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it is sent. ``cursor``: where to resume after it; "" while the snapshot is not complete.

    last: nothing follows. expired: the cursor is of no use any more. retry_seconds: when to come back, if told.
    """

    type: str
    data: bytes
    cursor: str = ""
    last: bool = False
    expired: bool = False
    retry_seconds: int = 0


@dataclass(slots=True)
class Source:
    """One store that is read. ``floor``: the reader came from a replica ahead of us: drop what it has seen."""

    name: str
    reader: Reader
    reading: Reading
    selection: Selection
    object_name: str
    position: Position | None = None
    floor: int = 0
    start: int | None = None  # the cursor to resume from, None for a snapshot
    objects: Iterator[Object] = field(default_factory=lambda: iter(()))
    unsent: deque[Change] = field(default_factory=deque)
    told: int = 0

    @property
    def resource_version(self) -> int:
        """Up to here the reader has been told everything."""
        if self.unsent or self.position is None:
            return max(self.told, self.floor)
        return max(self.position.resource_version, self.floor)

    @property
    def behind(self) -> bool:
        return bool(self.unsent) or (self.position is not None and self.position.pending)

    def take(self) -> Change:
        """The next change; only while ``behind``. Raises what the journal ended with, or ExpiredError."""
        if not self.unsent and self.position is not None:
            self.told = self.position.resource_version
            self.unsent.extend(self.position.read(_READ_CHANGES))
        change = self.unsent.popleft()
        self.told = max(self.told, change.resource_version)
        if self.floor:
            if self.reader.journal.inside_gap(self.floor):
                raise ExpiredError(self.floor, self.reader.journal.oldest)
            if self.told > self.floor:
                self.floor = 0
        return change

    def shows(self, held: Object) -> bool:
        if self.object_name and held.name != self.object_name:
            return False
        return self.reading.shows(held.namespace) and self.selection.matches(held)


class Subscription:
    """Frames of one subscription, in order. Use from one task; ``stop`` may be called from another."""

    def __init__(
        self,
        context: Context,
        sources: list[Source],
        *,
        carry: Callable[[Object], bytes],
        id: str = "0",  # noqa: A002 - its name on the wire
        snapshot: bool = True,
        until: float = inf,
        ask_again: Callable[[], Awaitable[float]] | None = None,
    ) -> None:
        """ask_again: asks the Authorizer when ``until`` has come; the new until, or raises StatusError."""
        self._context = context
        self._sources = sources
        self._carry = carry
        self._id = id
        self._tail = b',"id":%s' % orjson.dumps(id)
        self._snapshot = snapshot
        self._until = until
        self._ask_again = ask_again
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._leave = context.lifecycle.on_change(self._woken.set)
        self._initial: Iterator[Frame | None] | None = None
        self._cursor: dict[str, int] = {}
        self._beat_at = 0.0
        self._end_at = inf
        self._failure: KubemirrorError | None = None
        self.ended = ""

    # -- opening --------------------------------------------------------------------------------------

    def open(self, cursor: str) -> None:
        """Take the snapshots and the journal positions in one step. Raises 400, or what a store answers.

        An expired cursor is not raised but told as the first frame: the reader holds an open stream.
        """
        names = [source.name for source in self._sources]
        starts = read_cursor(cursor, names)
        for source in self._sources:
            source.start = starts.get(source.name)
            reader = source.reader
            reader.require_served()
            interest = source.selection.interest(source.reading.namespace)
            if source.object_name:
                interest = interest._replace(name=source.object_name)
            if source.start is None:
                source.position = reader.follow(self._woken.set, interest)
                if self._snapshot:
                    source.objects = source.reading.objects_of(reader)
            else:
                source.floor = source.start if source.start > reader.resource_version else 0
                source.position = reader.subscribe(source.start, self._woken.set, interest)
            source.told = source.position.resource_version
        self._initial = self._initial_frames()

    def close(self) -> None:
        """Give the journal positions back; idempotent."""
        self._leave()
        for source in self._sources:
            if source.position is not None:
                source.position.close()
            source.objects = iter(())
        self._initial = None

    def stop(self, reason: str) -> None:
        """End without a word: the reader has left."""
        self.ended = self.ended or reason
        self._woken.set()

    # -- frames ---------------------------------------------------------------------------------------

    async def next(self) -> list[Frame]:
        """The next frames, at least one and about BATCH_BYTES at most; [] once the subscription has ended."""
        while not self.ended:
            if self._loop.time() >= self._until and not await self._still_allowed():
                return [self._failed(self._refusal)]
            try:
                frames = self._ready()
            except KubemirrorError as error:
                return [self._failed(problem_of(error))]
            if frames:
                return frames
            if self._initial is not None or any(source.behind for source in self._sources):
                await asyncio.sleep(0)  # nothing of it was selected so far: others first
                continue
            now = self._loop.time()
            if self._context.lifecycle.closing:
                if self._end_at == inf:
                    self._end_at = now + random.random() * self._context.lifecycle.spread_seconds  # noqa: S311
                if now >= self._end_at:
                    return self._goodbye()
            self._woken.clear()
            wait = min(self._beat_at, self._end_at, self._until) - now
            try:
                async with asyncio.timeout(max(0.0, wait)):
                    await self._woken.wait()
            except TimeoutError:
                pass
        return []

    def _ready(self) -> list[Frame]:
        """What can be sent now, without waiting; [] may also mean that nothing was selected in this turn."""
        frames: list[Frame] = []
        size = 0
        if self._failure is not None:
            raise self._failure
        if self._initial is not None:
            for frame in self._initial:
                if frame is None:
                    return frames
                frames.append(frame)
                size += len(frame.data)
                if size >= BATCH_BYTES:
                    return frames
            self._initial = None
            self._plan_beat()
            return frames
        turn = _TURN
        for source in self._sources:
            while source.behind and turn and size < BATCH_BYTES:
                turn -= 1
                try:
                    frame = self._changed(source)
                except KubemirrorError as error:
                    if not frames:
                        raise
                    self._failure = error  # what came before the end is told before it
                    return frames
                if frame is not None:
                    frames.append(frame)
                    size += len(frame.data)
        if self._loop.time() >= self._beat_at:
            self._plan_beat()
            self._mark_cursor()
            frames += [self._bookmark(source, self._written()) for source in self._sources]
        return frames

    def _initial_frames(self) -> Iterator[Frame | None]:
        """The snapshot and its end; None now and then, where others should get their turn."""
        for source in self._sources:
            for count, held in enumerate(source.objects, start=1):
                if source.shows(held):
                    yield Frame("ADDED", self._event("ADDED", self._carry(held), ""))
                if count % _TURN == 0:
                    yield None
        self._mark_cursor()
        cursor = self._written()
        *others, final = self._sources
        for source in others:
            yield self._bookmark(source, "")
        yield self._bookmark(final, cursor, annotations=_INITIAL_EVENTS_END)

    def _changed(self, source: Source) -> Frame | None:
        change = source.take()
        self._cursor[source.name] = source.told
        told = None if change.resource_version <= source.floor else self._told(source, change)
        if told is None:
            return None
        kind, shown = told
        cursor = self._written()
        return Frame(kind, self._event(kind, self._carry(shown), cursor), cursor)

    @staticmethod
    def _told(source: Source, change: Change) -> tuple[str, Object] | None:
        """What a change means to whoever sees only part of the store (apiserver's cache_watcher.go)."""
        new = change.new
        shown_now = new is not None and source.shows(new)
        shown_before = change.old is not None and source.shows(change.old)
        if shown_now:
            return (ChangeType.MODIFIED if shown_before else ChangeType.ADDED).value, change.object
        if not shown_before or change.old is None:
            return None
        # Deleted, or left the selection: then its last state inside, under the RV at which it left.
        last = change.object if new is None else with_resource_version(change.old, new.resource_version)
        return ChangeType.DELETED.value, last

    # -- writing --------------------------------------------------------------------------------------

    def _event(self, kind: str, shown: bytes, cursor: str) -> bytes:
        end = b',"resourceVersion":"%s"}' % cursor.encode() if cursor else b"}"
        return b"".join((b'{"type":"', _TYPES[kind], b'","object":', shown, self._tail, end))

    def _bookmark(self, source: Source, cursor: str, annotations: dict[str, str] | None = None) -> Frame:
        context, resource = self._context, source.reading.entry.resource
        state = freshness([source.reader], context.clock())
        stale = state.stale_seconds
        since = None if stale is None else datetime.fromtimestamp(context.wall() - stale, UTC)
        metadata: dict[str, object] = {"resourceVersion": str(source.resource_version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        event: dict[str, object] = {
            "type": "BOOKMARK",
            "object": {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata},
            "id": self._id,
        }
        if cursor:
            event["resourceVersion"] = cursor
        event["state"] = state.phase.value
        if since is not None and state.phase is Phase.STALE:
            event["staleSince"] = since.isoformat(timespec="seconds").replace("+00:00", "Z")
        if state.heard_seconds is not None:
            event["upstreamAgeSeconds"] = round(state.heard_seconds, 3)
        return Frame("BOOKMARK", orjson.dumps(event), cursor)

    def _failed(self, error: StatusError) -> Frame:
        expired = error.code == 410
        self.ended = {403: "forbidden", 404: "gone", 410: "expired", 503: "shutdown"}.get(error.code, "error")
        cursor = "" if expired or self._initial is not None else self._written()
        end = b',"resourceVersion":"%s"}' % cursor.encode() if cursor else b"}"
        data = b"".join((b'{"type":"ERROR","object":', error.body, self._tail, end))
        retry = int((error.details or {}).get("retryAfterSeconds", 0))
        return Frame("ERROR", data, cursor, last=True, expired=expired, retry_seconds=retry)

    def _goodbye(self) -> list[Frame]:
        """The process is leaving: where to resume, and when to come back (spread over the readers)."""
        seconds = random.randint(1, 5)  # noqa: S311 - spreads load, keeps no secret
        self._mark_cursor()
        frames = [] if self._initial is not None else [self._bookmark(each, self._written()) for each in self._sources]
        message = f"the mirror is shutting down: resume in {seconds} s from the last resourceVersion"
        error = StatusError(503, "ServiceUnavailable", message, {"retryAfterSeconds": seconds})
        return [*frames, self._failed(error)]

    def _mark_cursor(self) -> None:
        """Everything up to each position has been read: the cursor may say so."""
        for source in self._sources:
            self._cursor[source.name] = source.resource_version

    def _written(self) -> str:
        return write_cursor({source.name: self._cursor.get(source.name, 0) for source in self._sources})

    def _plan_beat(self) -> None:
        self._beat_at = self._loop.time() + HEARTBEAT_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311

    # -- access ---------------------------------------------------------------------------------------

    _refusal = StatusError(403, "Forbidden", "access was withdrawn")

    async def _still_allowed(self) -> bool:
        if self._ask_again is None:
            self._until = inf
            return True
        try:
            self._until = await self._ask_again()
        except StatusError as error:
            self._refusal = error
            return False
        return True


def sources_of(reading: Reading, selection: Selection, object_name: str) -> list[Source]:
    """One source per store of the reading."""
    return [
        Source(source_name(reading.name, key), reader, reading, selection, object_name)
        for key, reader in reading.stores
    ]
