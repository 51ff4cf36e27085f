"""One subscription: the snapshot, its end, and from then on every change, from one or several stores.

It is a position in each store's journal and nothing else: no queue. What changed meanwhile is read when the
reader is ready for more, and whoever is slower than the journal's window is told so (410), or is given a new
snapshot where it asked for that. Framing is not known here: WebSocket, server-sent events and NDJSON send the
same frames.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

import orjson

from kubemirror.errors import ExpiredError, ForeignError, KubemirrorError, StoreError, TooLargeResourceVersionError
from kubemirror.serve.context import Context
from kubemirror.serve.cursor import Mark, read_cursor, write_cursor
from kubemirror.serve.forms import As, carried, key
from kubemirror.serve.frame import Frame, batched
from kubemirror.serve.life import Life
from kubemirror.serve.problems import problem_of
from kubemirror.serve.reading import freshness
from kubemirror.serve.sharing import Audience, Sharing, Wire
from kubemirror.serve.source import Holds, Source, Told
from kubemirror.serve.status import StatusError
from kubemirror.serve.waiting import fresh, ours, resumable
from kubemirror.state.events import Phase
from kubemirror.state.journal import Change, ChangeType
from kubemirror.state.meaning import Comparison, Meaning, compared

# A frozen upstream is to be seen within this time; proxies cut what is silent for 60 s.
HEARTBEAT_SECONDS = 15.0
# A replica is behind for moments; one that stays so longer is asked why. As long as a read waits.
DOUBT_SECONDS = 3.0
# Timers may fire a moment early: what is due within this is due now, or the loop would spin until it is.
CLOCK_SLACK_SECONDS = 0.001
# Looked at before others get their turn: about 2 ms of selecting.
_TURN = 2000
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}

_TYPES = {kind: kind.value.encode() for kind in ChangeType}


def _nobody(types: Iterable[str]) -> None:
    """Who is told of events that are written at rest, until ``at_rest_through`` says."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader wants to be told, and how.

    snapshot: whether it begins with what is there; None: where no cursor says from where to go on.
    changes: only changes that mean one of these; empty: all. batch: everything there is in one frame.
    latest: of what it has missed, the last state of each object. begins_again: with a new snapshot, not 410.
    holds: the objects that it has, by source name and (namespace, name), with uid or "".
    """

    form: As = As.OBJECT
    snapshot: bool | None = None
    changes: frozenset[Meaning] = frozenset()
    batch: bool = False
    latest: bool = False
    begins_again: bool = False
    holds: Mapping[str, Holds] | None = None


class Subscription:
    """Frames of one subscription, in order. Use from one task; ``stop`` may be called from another."""

    def __init__(
        self,
        context: Context,
        sources: list[Source],
        wanted: Wanted,
        life: Life,
        *,
        id: str = "0",  # noqa: A002 - its name on the wire
        until: float = inf,
        ask_again: Callable[[], Awaitable[float]] | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        """life: the connection's. ask_again: asks the Authorizer at ``until``; the new until, or raises StatusError.

        sharing: of what others hear alike, once ``at_rest_through`` says where it may be written.
        """
        self._context = context
        self._sources = sources
        self._wanted = wanted
        self._life = life
        self._carry = carried(wanted.form)
        self._tail = b',"id":%s' % orjson.dumps(id)
        self._id = id
        # Framing and the transport hold it a few times over.
        self._batch_bytes = context.settings.stream_bytes // 4
        self._until = until
        self._ask_again = ask_again
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._leave = context.lifecycle.on_change(self._woken.set)
        self._initial: Iterator[Frame | None] | None = None
        self._initial_of: Source | None = None  # whose objects are being told
        self._cursor: dict[str, int] = {}
        self._beat_at = 0.0
        self._doubt_at = inf  # when to ask whether what the reader is ahead of is the same history at all
        self._failure: tuple[KubemirrorError, Source] | None = None
        self._sharing = sharing
        self._wire: Wire | None = None
        self._heard: Callable[[Iterable[str]], None] = _nobody
        self._audience: Audience | None = None
        self._resting = False  # the task waits, and what is plain may be told without it
        self._rest_ends = 0.0
        self._queued = False  # in the round
        self.ended = ""

    @property
    def resources(self) -> list[str]:
        """Names of what is told."""
        return list(dict.fromkeys(source.reading.name for source in self._sources))

    # -- opening --------------------------------------------------------------------------------------

    async def open(self, cursor: str) -> None:
        """Wait until the store is as new as it must be, then take snapshots and positions in one step.

        Raises 400, 410, 504, or what a store answers.
        """
        wanted = self._wanted
        starts = read_cursor(cursor, [source.name for source in self._sources], least=bool(wanted.snapshot))
        seconds = self._context.settings.freshness_seconds
        foreign: dict[str, ForeignError] = {}
        for source in self._sources:
            source.reader.require_served()
            start = starts.get(source.name)
            if start is not None:
                if not wanted.snapshot and (source.can_resume(start) or not wanted.begins_again):
                    continue
                error = await self._fresh(source, start.least)  # who has seen that much is not shown less
                if error is not None:
                    foreign[source.name] = error
            await resumable(source.reader, seconds=seconds)
        resets: list[Frame] = []
        for source in self._sources:
            self._place(source, starts.get(source.name), foreign.get(source.name), resets)
        if any(source.floor for source in self._sources):
            self._doubt_at = self._loop.time() + DOUBT_SECONDS
        self._initial = self._initial_frames(resets)

    async def _fresh(self, source: Source, least: int) -> ForeignError | None:
        """Wait until the store is as new as the reader. The error where it never will be."""
        try:
            await fresh(source.reader, least, seconds=self._context.settings.freshness_seconds)
        except TooLargeResourceVersionError as behind:
            try:
                await self._ours(source, least)
            except ForeignError as error:
                return error
            raise behind from None
        return None

    async def _ours(self, source: Source, resource_version: int) -> bool:
        resource = source.reading.entry.resource
        return await ours(self._context, resource, source.namespace, source.reader, resource_version)

    def _place(self, source: Source, start: Mark | None, foreign: ForeignError | None, resets: list[Frame]) -> None:
        """foreign: that the reader has come from another history."""
        wanted = self._wanted
        holds = (wanted.holds or {}).get(source.name, {})
        if start is None or (wanted.snapshot and foreign is None):
            self._follow(source, shown=wanted.snapshot is not False, holds=holds)
            return
        reader = source.reader
        try:
            if foreign is not None:
                raise foreign
            if not source.can_resume(start):
                raise ExpiredError(start.reached, reader.journal.oldest)
            source.position = reader.subscribe(start.reached, self._stir, source.interest)
        except ExpiredError as error:
            if not wanted.begins_again:
                raise
            self._follow(source, shown=True, holds=holds)
            if wanted.holds is None:
                resets.append(self._reset(source, error))
            return
        source.floor = start.reached if start.reached > reader.resource_version else 0
        source.told = start.reached
        source.resumed = True

    def _follow(self, source: Source, *, shown: bool, holds: Holds | None = None) -> None:
        """From now on. shown: with what is there now first. holds: what the reader has of it."""
        source.position = source.reader.follow(self._stir, source.interest)
        journal = source.position.journal
        source.gap = journal.gaps[-1] if journal.gap_is_open else None
        source.told = source.position.resource_version if source.gap is None else source.gap.low
        source.floor = 0
        source.resumed = False
        if shown:
            source.objects = source.reading.objects_of(source.reader)
            source.holds = holds or {}

    def _begin_again(self, source: Source, error: ExpiredError) -> None:
        """A new snapshot of what the reader was too slow for, or what went back in time; 410 where there is none."""
        if source.floor > source.reader.resource_version:
            raise error  # it has seen more than there is here: it is not led back in time
        source.place.close()
        self._follow(source, shown=True)
        self._initial = self._initial_frames([self._reset(source, error)])  # and what was being told of others

    def close(self) -> None:
        """Give the journal positions back; idempotent."""
        self._leave()
        self._audience = self._wire = None  # the audience may live on by others, and would keep this one
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
        """The next frames, at least one and about a batch's bytes at most; [] once the subscription has ended."""
        frames = await self._next()
        return [batched(frames)] if frames and self._wanted.batch else frames

    async def _next(self) -> list[Frame]:
        while not self.ended:
            now = self._loop.time() + CLOCK_SLACK_SECONDS
            # Only its end makes a snapshot worth anything: it is cut short by nothing but the process' own end.
            if now >= self._life.ends and (self._initial is None or self._life.reason == "shutdown"):
                return self._goodbye()
            if now >= self._until and not await self._still_allowed():
                return [self._failed(self._refusal)]
            if now >= self._doubt_at:
                await self._doubt()
            frames = self._ready()
            if frames or self.ended:
                return frames
            if self._initial is not None or self._failure is not None or any(each.behind for each in self._sources):
                await asyncio.sleep(0)  # nothing of it was selected so far: others first
                continue
            self._woken.clear()
            self._rest_ends = min(self._beat_at, self._life.ends, self._until, self._doubt_at)
            self._resting = self._may_rest()
            try:
                async with asyncio.timeout_at(self._rest_ends):
                    await self._woken.wait()
            except TimeoutError:
                pass
            finally:
                self._resting = False
        return []

    async def _doubt(self) -> None:
        """Ask whether upstream was ever where the reader comes from. If not, its cursor is of no use."""
        self._doubt_at = inf
        for source in self._sources:
            if source.floor <= source.reader.resource_version:
                continue
            try:
                known = await self._ours(source, source.floor)
            except ForeignError as error:
                source.floor = 0  # of this history it has seen nothing
                self._failure = self._failure or (error, source)
                known = False  # others are asked about when this has been told
            if not known:
                self._doubt_at = self._loop.time() + DOUBT_SECONDS

    def _ready(self) -> list[Frame]:
        """What can be sent now, without waiting; [] may also mean that nothing was selected in this turn."""
        if self._failure is not None:
            error, source = self._failure
            self._failure = None
            try:
                if not (isinstance(error, ExpiredError) and self._wanted.begins_again):
                    raise error
                self._begin_again(source, error)
            except KubemirrorError:  # what came before has been told; the first error says what to do
                return [self._failed(problem_of(error))]
        frames: list[Frame] = []
        if self._initial is not None:
            self._go_on(self._initial, frames)
            return frames
        size, turn = 0, _TURN
        for source in self._sources:
            try:
                while source.behind and turn > 0 and size < self._batch_bytes:
                    for some in self._changes(source, self._batch_bytes - size):
                        frames += some
                        size += sum(len(frame.data) for frame in some)
                        turn -= 1
                        if turn <= 0 or size >= self._batch_bytes:
                            break
            except StoreError as error:
                self._failure = error, source  # what came before the end is told before it
                return frames
            if source.gap_told:
                # From here a reader can be resumed; from within the gap it could not.
                source.gap = None
                self._cursor[source.name] = source.cursor
                frames.append(self._bookmark(source, self._written()))
        if self._loop.time() + CLOCK_SLACK_SECONDS >= self._beat_at:
            self._plan_beat()
            self._mark_cursor()
            frames += [self._bookmark(source, self._written(), heartbeat=not frames) for source in self._sources]
        return frames

    def _go_on(self, initial: Iterator[Frame | None], frames: list[Frame]) -> None:
        """Add the snapshot's next frames."""
        size = 0
        try:
            for frame in initial:
                if frame is None:
                    return
                frames.append(frame)
                size += len(frame.data)
                if size >= self._batch_bytes:
                    return
        except ExpiredError as error:
            assert self._initial_of is not None, "it was being told"  # noqa: S101
            self._failure = error, self._initial_of
            return
        self._initial = None
        self._plan_beat()

    def _initial_frames(self, resets: Iterable[Frame]) -> Iterator[Frame | None]:
        """The snapshot, of what is still to be told of it, and its end; None now and then, where others get a turn."""
        yield from resets
        sources = self._sources
        for source in sources:
            self._initial_of = source
            yield from self._vanished(source)
            for count, held in enumerate(source.objects, start=1):
                if source.shows(held):
                    kind = ChangeType.MODIFIED if (held.namespace, held.name) in source.holds else ChangeType.ADDED
                    yield Frame((kind.value,), self._event(kind, self._carry(held), ""))
                if count % _TURN == 0:
                    source.require_kept()
                    yield None
            source.objects, source.holds = iter(()), {}
        for source in sources:
            self._initial_of = source
            source.require_kept()
        self._mark_cursor()
        cursor = self._written()
        *others, final = sources
        for source in others:
            yield self._bookmark(source, "")
        yield self._bookmark(final, cursor, annotations=_INITIAL_EVENTS_END)

    def _vanished(self, source: Source) -> Iterator[Frame]:
        """DELETED for what the reader names and is not there any more, or is another object of the same name."""
        if not source.holds:
            return
        shown = {(held.namespace, held.name): held.uid for held in source.reading.objects() if source.shows(held)}
        resource = source.reading.entry.resource
        kept: dict[tuple[str, str], str] = {}
        for (namespace, name), uid in source.holds.items():
            there = shown.get((namespace, name))
            if there is not None and uid in ("", there):
                kept[namespace, name] = uid
                continue
            named = {"namespace": namespace, "name": name, "uid": uid}
            metadata = {field: value for field, value in named.items() if value}
            body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
            yield Frame((ChangeType.DELETED.value,), self._event(ChangeType.DELETED, orjson.dumps(body), ""))
        source.holds = kept

    def _changes(self, source: Source, budget: int) -> Iterator[list[Frame]]:
        """What changed, by frames that belong together."""
        if not self._wanted.latest:
            for told in source.take():
                yield [self._frame(source, told)] if told is not None and self._means(told) else []
            return
        run = source.take_run(budget)
        meant = [told for told in run.told if self._means(told)]
        if not (run.skipped and meant):
            yield [self._frame(source, told) for told in meant]
            return
        # A cursor between them would promise states that were skipped: they are heard together, or not at all.
        self._cursor[source.name] = source.told
        *others, last = meant
        frames = [*(self._frame(source, told, alone=False) for told in others), self._frame(source, last)]
        yield frames if self._wanted.batch else [batched(frames)]

    def _compared(self, told: Told) -> Comparison | None:
        wanted = self._wanted
        if told.old is None or told.new is None or not (wanted.changes or wanted.form is As.DIFF):
            return None
        return compared(told.old, told.new)

    def _means(self, told: Told) -> bool:
        """Whether it is one of the changes that are wanted; coming and going always is."""
        changes = self._wanted.changes
        comparison = self._compared(told) if changes and told.type is ChangeType.MODIFIED else None
        return comparison is None or bool(changes & comparison.meanings)

    def _frame(self, source: Source, told: Told, *, alone: bool = True) -> Frame:
        """Its frame. alone: with a cursor of its own."""
        cursor = ""
        if alone:
            self._cursor[source.name] = max(self._cursor.get(source.name, 0), told.cursor)
            cursor = self._written()
        return self._shown(told, cursor)

    def _shown(self, told: Told, cursor: str) -> Frame:
        differs = self._wanted.form is As.DIFF and told.type is not ChangeType.ADDED
        shown = key(told.object) if differs else self._carry(told.object)
        return Frame((told.type.value,), self._event(told.type, shown, cursor, self._compared(told)), cursor)

    # -- at rest --------------------------------------------------------------------------------------

    def at_rest_through(self, wire: Wire, heard: Callable[[Iterable[str]], None]) -> None:
        """While ``next`` waits, what others hear alike may be written there. heard: is told the events' types."""
        self._wire = wire
        self._heard = heard

    def _may_rest(self) -> bool:
        """Whether nothing about it is its own: one store, no RV ahead to come up to, nothing to put together."""
        if self._wire is None or self._sharing is None or len(self._sources) > 1 or self._wanted.latest:
            return False
        (source,) = self._sources
        if source.floor or source.gap is not None:
            return False
        journal = source.place.journal
        if self._audience is None or self._audience.journal is not journal:
            wire, reading, wanted = self._wire, source.reading, self._wanted
            asked = (reading.namespace, reading.allowed, source.selection, source.object_name)
            told = (self._id, wanted.form, wanted.changes, wanted.batch, wire.kind)
            key = (journal, source.name, asked, told)
            self._audience = self._sharing.audience(key, lambda: Audience(journal, self._plain, self._encoding(wire)))
        return True

    def _encoding(self, wire: Wire) -> Callable[[Sequence[Frame]], bytes]:
        encode = wire.encode
        return (lambda frames: encode([batched(frames)])) if self._wanted.batch else encode

    def _plain(self, change: Change) -> Frame | None:
        """The frame of a change as everyone of this audience hears it."""
        (source,) = self._sources
        told = source.heard(change.old, change)
        if told is None or not self._means(told):
            return None
        return self._shown(told, write_cursor({source.name: Mark(told.cursor)}))

    def _stir(self) -> None:
        """The journal has something to read."""
        if not self._resting or self._sharing is None:
            self._woken.set()
        elif not self._queued:
            self._queued = True
            self._sharing.round.add(self)

    def tell(self, now: float) -> None:
        """The round has come here: tell what is plain, or wake the task."""
        self._queued = False
        told = False
        try:
            told = self._tell_at_rest(now)
        finally:
            if not told:
                self._woken.set()

    def _tell_at_rest(self, now: float) -> bool:
        """Write the next chunk, and move on; False, and nothing done, where that is for the task."""
        sharing, wire, audience = self._sharing, self._wire, self._audience
        if not self._resting or self._woken.is_set() or self.ended or now >= self._rest_ends:
            return False
        assert sharing is not None and wire is not None and audience is not None, "what rests has them"  # noqa: S101, PT018
        (source,) = self._sources
        place = source.place
        if not place.pending:
            return True  # the task has been here since
        if not wire.outlet.ready:
            return False
        chunk = sharing.chunk(audience, place)
        if chunk is None:
            return False
        if chunk.data:
            wire.outlet.write(chunk.data)
            self._heard(chunk.types)
        place.move(chunk.following, chunk.resource_version)
        source.told = max(source.told, chunk.resource_version)
        self._cursor[source.name] = source.told
        if place.pending:
            self._stir()
        return True

    # -- writing --------------------------------------------------------------------------------------

    def _event(self, kind: ChangeType, shown: bytes, cursor: str, comparison: Comparison | None = None) -> bytes:
        parts = [b'{"type":"', _TYPES[kind], b'","object":', shown, self._tail]
        if comparison is not None:
            parts += (b',"changed":', orjson.dumps(comparison.names))
            if self._wanted.form is As.DIFF and kind is ChangeType.MODIFIED:
                parts += (b',"diff":', orjson.dumps([each.told for each in comparison.differences]))
        parts.append(b',"resourceVersion":"%s"}' % cursor.encode() if cursor else b"}")
        return b"".join(parts)

    def _bookmark(
        self, source: Source, cursor: str, annotations: dict[str, str] | None = None, *, heartbeat: bool = False
    ) -> Frame:
        context, resource = self._context, source.reading.entry.resource
        state = freshness([source.reader], context.clock())
        stale = state.stale_seconds
        since = None if stale is None else datetime.fromtimestamp(context.wall() - stale, UTC)
        metadata: dict[str, object] = {"resourceVersion": str(source.cursor), "creationTimestamp": None}
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
        return Frame(("BOOKMARK",), orjson.dumps(event), cursor, heartbeat=heartbeat)

    def _reset(self, source: Source, error: ExpiredError) -> Frame:
        """What the reader holds of this store is to be forgotten: a snapshot follows."""
        where = b',"resource":%s' % orjson.dumps(source.reading.name)
        if source.namespace:
            where += b',"namespace":%s' % orjson.dumps(source.namespace)
        data = b"".join((b'{"type":"RESET","object":', problem_of(error).body, self._tail, where, b"}"))
        return Frame(("RESET",), data, expired=True)

    def _failed(self, error: StatusError) -> Frame:
        expired = error.code == 410
        self.ended = {403: "forbidden", 404: "gone", 410: "expired", 503: "shutdown"}.get(error.code, "error")
        cursor = "" if expired or self._initial is not None else self._written()
        end = b',"resourceVersion":"%s"}' % cursor.encode() if cursor else b"}"
        data = b"".join((b'{"type":"ERROR","object":', error.body, self._tail, end))
        retry = int((error.details or {}).get("retryAfterSeconds", 0))
        return Frame(("ERROR",), data, cursor, expired=expired, retry_seconds=retry)

    def _goodbye(self) -> list[Frame]:
        """The connection's life is over: where to resume; and when to come back, where the process is leaving."""
        frames: list[Frame] = []
        if self._initial is None:
            self._mark_cursor()
            frames = [self._bookmark(each, self._written()) for each in self._sources]
        if self._life.reason != "shutdown":
            self.ended = self._life.reason
            return frames
        seconds = self._life.retry_seconds
        message = f"the mirror is shutting down: resume in {seconds} s from the last resourceVersion"
        error = StatusError(503, "ServiceUnavailable", message, {"retryAfterSeconds": seconds})
        return [*frames, self._failed(error)]

    def _mark_cursor(self) -> None:
        """Everything up to each position has been read: the cursor may say so."""
        for source in self._sources:
            self._cursor[source.name] = source.cursor

    def _written(self) -> str:
        return write_cursor(
            {source.name: Mark(self._cursor.get(source.name, 0), source.within) for source in self._sources}
        )

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
