"""One subscription: the snapshot, its end, and from then on every change, from one or several stores.

It is a position in each store's journal and nothing else: no queue. What changed meanwhile is read when the
reader is ready for more, and whoever is slower than the journal's window is told so (410), or is given a new
snapshot where it asked for that. Framing is not known here: WebSocket, server-sent events and NDJSON send the
same frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from math import inf

import orjson

from kubemirror.access.audit import Stream
from kubemirror.errors import ExpiredError, ForeignError, KubemirrorError, StoreError, TooLargeResourceVersionError
from kubemirror.serve.context import Context
from kubemirror.serve.cursor import Mark, read_cursor, write_cursor
from kubemirror.serve.forms import As, key
from kubemirror.serve.frame import Frame, batched
from kubemirror.serve.life import Life
from kubemirror.serve.problems import problem_of
from kubemirror.serve.reading import Reading, freshness
from kubemirror.serve.sharing import Audience, Rest, Sharing, Wire, beat_seconds
from kubemirror.serve.source import Holds, Source, Told, sources_of
from kubemirror.serve.status import StatusError
from kubemirror.serve.waiting import fresh, ours, resumable
from kubemirror.state.events import Phase
from kubemirror.state.journal import Change, ChangeType
from kubemirror.state.meaning import Comparison, Meaning, compared
from kubemirror.state.objects import Object

# A replica is behind for moments; one that stays so longer is asked why. As long as a read waits.
DOUBT_SECONDS = 3.0
# A snapshot's wait for a replica that is behind is patient for this part of its time; in the rest it is asked why.
PATIENT = 2 / 3
# Timers may fire a moment early: what is due within this is due now, or the loop would spin until it is.
CLOCK_SLACK_SECONDS = 0.001
# Looked at before others get their turn: about 2 ms of selecting.
_TURN = 2000
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}

_OTHER_COLUMNS = StatusError(410, "Expired", "the resource has other columns now: begin with a snapshot")
_TYPES = {kind: kind.value.encode() for kind in ChangeType}

_ENDS = {401: "forbidden", 403: "forbidden", 404: "gone", 410: "expired", 503: "shutdown"}


def _unseen(objects: Iterable[Object], before: Reading) -> Iterator[Object]:
    return (held for held in objects if not before.shows(held.namespace))


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
        ask_again: Callable[[Sequence[Reading]], Awaitable[tuple[float, list[Reading]]]] | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        """life: the connection's. ask_again: asks the Authorizer at ``until``, what is read now being given; until when
        and what may be read from now on, at least as much; or raises what ends this.

        sharing: of what others hear alike, once ``at_rest_through`` says where it may be written.
        """
        self._context = context
        self._sources = sources
        self._wanted = wanted
        self._life = life
        self._tail = b',"id":%s' % orjson.dumps(id)
        self._id = id
        # Framing and the transport hold it a few times over.
        self._batch_bytes = context.settings.stream_bytes // 4
        self._until = until
        self._ask_again = ask_again
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._leave = context.lifecycle.on_change(self._wake)
        self._initial: Iterator[Frame | None] | None = None
        self._initial_of: Source | None = None  # whose objects are being told
        self._cursor: dict[str, int] = {}
        self._beat_at = 0.0
        self._ends_initial = False  # what was missed is being told: its end is to be said
        self._gained: list[Reading] = []  # more may be read from now on, once what is behind has been told
        self._doubt_at = inf  # when to ask whether what the reader is ahead of is the same history at all
        self._failure: tuple[KubemirrorError, Source] | None = None
        self._sharing = sharing
        self._wire: Wire | None = None
        self._heard: Callable[[Iterable[str]], None] = _nobody
        self._audience: Audience | None = None
        self._rest: Rest | None = None  # the task waits, and what is plain is told without it
        self.ended = ""
        self.audited: Stream | None = None  # once it is told as opened

    @property
    def resources(self) -> list[str]:
        """Names of what is told."""
        return list(dict.fromkeys(source.reading.name for source in self._sources))

    @property
    def confined(self) -> bool:
        """Whether its reader may not see all namespaces."""
        return any(source.reading.confined for source in self._sources)

    @property
    def tells_columns(self) -> bool:
        """Whether it tells rows, which mean nothing to a reader who has not heard ``subscribed``."""
        return self._wanted.form is As.ROW

    @property
    def subscribed(self) -> bytes:
        """The frame that says what is told, and in which columns."""
        parts = [b'{"type":"SUBSCRIBED"', self._tail, b',"resource":', orjson.dumps(self.resources)]
        if self.confined:
            parts.append(b',"omitted":"namespaces"')
        if self.tells_columns:
            columns = {source.reading.name: source.shape.columns for source in self._sources}
            told = b",".join(b"%s:%s" % (orjson.dumps(name), each) for name, each in columns.items())
            parts.append(b',"columns":{%s}' % told)
        return b"".join([*parts, b"}"])

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
        """Wait until the store is as new as the reader. The error where it never will be; both within one deadline."""
        seconds = self._context.settings.freshness_seconds
        ends = self._loop.time() + seconds
        try:
            await fresh(source.reader, least, seconds=seconds * PATIENT)
        except TooLargeResourceVersionError:
            try:
                await self._ours(source, least, seconds=ends - self._loop.time())
            except ForeignError as error:
                return error
            await fresh(source.reader, least, seconds=ends - self._loop.time())
        return None

    async def _ours(self, source: Source, resource_version: int, *, seconds: float) -> bool:
        resource = source.reading.entry.resource
        return await ours(self._context, resource, source.namespace, source.reader, resource_version, seconds=seconds)

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
            if source.shape.cells and start.reached < reader.columns_since:
                raise ExpiredError(start.reached, reader.columns_since)
            if not source.can_resume(start):
                raise ExpiredError(start.reached, reader.journal.oldest)
            source.position = reader.subscribe(start.reached, self._wake, source.interest)
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
        source.missed = reader.journal.end

    def _follow(self, source: Source, *, shown: bool, holds: Holds | None = None) -> None:
        """From now on. shown: with what is there now first. holds: what the reader has of it."""
        source.position = source.reader.follow(self._wake, source.interest)
        journal = source.position.journal
        source.gap = journal.gaps[-1] if journal.gap_is_open else None
        source.told = source.position.resource_version if source.gap is None else source.gap.low
        source.floor = 0
        source.resumed = False
        source.shown = shown
        source.missed = 0
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
        if self.audited is not None:
            self.audited.closed(self.ended or "left")
        self._rise()
        self._audience = self._wire = None  # the audience may live on by others, and would keep this one
        for source in self._sources:
            if source.position is not None:
                source.position.close()
            source.objects = iter(())
        self._initial = None

    def stop(self, reason: str) -> None:
        """End without a word: the reader has left."""
        self.ended = self.ended or reason
        self._wake()

    def _wake(self) -> None:
        """The task has to look: at the journal, or at what ends it."""
        if self._rest is not None:
            self._rest.over()
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
            if now >= self._until:
                refusal = await self._still_allowed()
                if refusal is not None:
                    return [self._failed(refusal)]
            if now >= self._doubt_at:
                await self._doubt()
            frames = self._ready()
            if frames or self.ended:
                return frames
            if (
                self._initial is not None
                or self._failure is not None
                or self._gained
                or any(each.behind for each in self._sources)
            ):
                await asyncio.sleep(0)  # nothing of it was selected so far: others first
                continue
            self._woken.clear()
            ends = min(self._life.ends, self._until, self._doubt_at)
            self._lie_down(ends)
            try:
                async with asyncio.timeout_at(ends if self._rest is not None else min(ends, self._beat_at)):
                    await self._woken.wait()
            except TimeoutError:
                pass
            finally:
                self._rise()
        return []

    async def _doubt(self) -> None:
        """Ask whether upstream was ever where the reader comes from. If not, its cursor is of no use."""
        self._doubt_at = inf
        for source in self._sources:
            if source.floor <= source.reader.resource_version:
                continue
            try:
                known = await self._ours(source, source.floor, seconds=self._context.settings.freshness_seconds)
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
        if not all(source.shape.current() for source in self._sources):
            # Whether an object was shown before can no longer be told, and the cells that were are under other titles.
            return [self._failed(_OTHER_COLUMNS)]
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
                frames.append(self._bookmark(source, self._written(), self._initial_end()))
        end = self._initial_end()
        if end is not None:
            self._plan_beat()
            self._mark_cursor()
            frames.append(self._bookmark(self._sources[-1], self._written(), end))
        if self._gained and not any(each.behind for each in self._sources):
            self._admit()
            return frames
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
            yield from self._shown_frames(source)
        for source in sources:
            self._initial_of = source
            source.require_kept()
        self._mark_cursor()
        self._ends_initial = not any(source.shown for source in sources)
        cursor = self._written()
        *others, final = sources
        for source in others:
            yield self._bookmark(source, "")
        end = self._initial_end() if self._ends_initial else _INITIAL_EVENTS_END
        yield self._bookmark(final, cursor, annotations=end)

    def _initial_end(self) -> dict[str, str] | None:
        """What a bookmark says once what a reader has missed was told, to its end and at a mirror as new as itself."""
        if not self._ends_initial or any(each.misses or each.gap is not None for each in self._sources):
            return None
        self._ends_initial = False
        return _INITIAL_EVENTS_END

    def _shown_frames(self, source: Source) -> Iterator[Frame | None]:
        self._initial_of = source
        for count, held in enumerate(source.objects, start=1):
            if source.shows(held):
                kind = ChangeType.MODIFIED if (held.namespace, held.name) in source.holds else ChangeType.ADDED
                yield Frame((kind.value,), self._event(kind, source.shape.carry(held), ""))
            if count % _TURN == 0:
                source.require_kept()
                yield None
        source.objects, source.holds = iter(()), {}

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
        return self._shown(source, told, cursor)

    def _shown(self, source: Source, told: Told, cursor: str) -> Frame:
        differs = self._wanted.form is As.DIFF and told.type is not ChangeType.ADDED
        shown = key(told.object) if differs else source.shape.carry(told.object)
        return Frame((told.type.value,), self._event(told.type, shown, cursor, self._compared(told)), cursor)

    # -- at rest --------------------------------------------------------------------------------------

    def at_rest_through(self, wire: Wire, heard: Callable[[Iterable[str]], None]) -> None:
        """While ``next`` waits, what others hear alike may be written there. heard: is told the events' types."""
        self._wire = wire
        self._heard = heard

    def _lie_down(self, ends: float) -> None:
        """Be told by the audience, where nothing about this is its own: one store, no RV ahead, nothing to compact."""
        wire, sharing = self._wire, self._sharing
        if wire is None or sharing is None or len(self._sources) > 1 or self._wanted.latest:
            return
        (source,) = self._sources
        place = source.place
        if source.floor or source.gap is not None or place.pending:
            return
        if self._audience is None or self._audience.journal is not place.journal:
            reading, wanted = source.reading, self._wanted
            asked = (reading.namespace, reading.allowed, reading.excluded, source.selection, source.object_name)
            told = (self._id, source.shape.key, wanted.changes, wanted.batch, wire.kind)
            key = (place.journal, source.name, asked, told)
            self._audience = sharing.audience(key, lambda: self._gathered(sharing, source, wire))
        self._rest = self._audience.rest(place, wire.outlet, self._woken.set, ends=ends, beat_at=self._beat_at)

    def _gathered(self, sharing: Sharing, source: Source, wire: Wire) -> Audience:
        """Those who hear what this one hears."""
        encode = wire.encode
        if self._wanted.batch:
            encode = lambda frames: wire.encode([batched(frames)])  # noqa: E731
        return Audience(
            sharing,
            source.place.journal,
            source.interest,
            partial(self._plain, source),
            encode,
            beat=partial(self._beat, source),
            heard=self._heard,
            current=source.shape.current,
        )

    def _rise(self) -> None:
        """Read for itself again, from where the audience has come."""
        rest, self._rest = self._rest, None
        if rest is None:
            return
        rest.over()
        self._beat_at = rest.beat_at
        if rest.reached:
            (source,) = self._sources
            source.told = self._cursor[source.name] = max(source.told, rest.reached)

    def _plain(self, source: Source, change: Change) -> Frame | None:
        """The frame of a change as everyone of this audience hears it: by ``source`` as it was when they gathered."""
        told = source.heard(change.old, change)
        if told is None or not self._means(told):
            return None
        return self._shown(source, told, write_cursor({source.name: Mark(told.cursor)}))

    def _beat(self, source: Source, cursor: int) -> Frame:
        """A heartbeat of everyone of this audience who has come that far."""
        return self._bookmark(source, write_cursor({source.name: Mark(cursor)}), heartbeat=True, reached=cursor)

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
        self,
        source: Source,
        cursor: str,
        annotations: dict[str, str] | None = None,
        *,
        heartbeat: bool = False,
        reached: int | None = None,
    ) -> Frame:
        """reached: the source's cursor, where it is not as this subscription has read."""
        context, resource = self._context, source.reading.entry.resource
        state = freshness([source.reader], context.clock())
        stale = state.stale_seconds
        since = None if stale is None else datetime.fromtimestamp(context.wall() - stale, UTC)
        metadata: dict[str, object] = {"resourceVersion": str(source.cursor if reached is None else reached)}
        metadata["creationTimestamp"] = None
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
        if source.ahead:
            event["behind"] = True
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
        self.ended = _ENDS.get(error.code, "error")
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
        self._beat_at = self._loop.time() + beat_seconds()

    # -- access ---------------------------------------------------------------------------------------

    async def _still_allowed(self) -> StatusError | None:
        """None, or why not."""
        if self._ask_again is None:
            self._until = inf
            return None
        now = {source.reading.name: source.reading for source in self._sources}
        now |= {reading.name: reading for reading in self._gained}
        try:
            self._until, then = await self._ask_again(list(now.values()))
        except KubemirrorError as error:
            return problem_of(error)
        if [each.allowed for each in then] != [each.allowed for each in now.values()]:
            self._gained = then
        return None

    def _admit(self) -> None:
        """Tell what else may be seen from now on, as ADDED: this reader stands where the stores do."""
        readings = {reading.name: reading for reading in self._gained}
        self._gained = []
        self._audience = None
        admitted: list[Source] = []
        for index, before in enumerate(self._sources):
            # Another one: an audience goes by the one before, and some of it may see no more than that shows.
            source = self._sources[index] = replace(before, reading=readings[before.reading.name])
            if source.reading.allowed != before.reading.allowed and not source.namespace:
                shown = source.reading.objects_of(source.reader)
                source.objects = _unseen(shown, before.reading)
                admitted.append(source)
        present = {source.name for source in self._sources}
        for reading in readings.values():
            like = next(source for source in self._sources if source.reading is reading)
            for source in sources_of(reading, like.selection, like.object_name, like.shape):
                if source.name not in present:  # a store of a namespace, which could not be read before
                    self._follow(source, shown=True)
                    self._sources.append(source)
                    admitted.append(source)
        self._initial = self._admitted_frames(admitted)

    def _admitted_frames(self, admitted: list[Source]) -> Iterator[Frame | None]:
        for source in admitted:
            yield from self._shown_frames(source)
        for source in admitted:
            self._initial_of = source
            source.require_kept()
        self._mark_cursor()
        for source in admitted:
            yield self._bookmark(source, self._written())
