"""What many streams hear alike, encoded once and written to all of them in one loop.

A change that concerns thousands of readers is the same bytes for all that asked for the same: making them costs once.
Waking each one's task, and sending through ASGI, would cost several times what writing finished bytes to a transport
costs. So those that hear the same of each change of a journal are one *audience*, and while a reader has nothing to do
but to wait, it *rests*: the audience reads the journal for it, from one place for all, and writes to its transport.

All that is plain is told so: no snapshot, no outcome of a relist, no journal's end; and heartbeats. All else is for the
reader's own task, which goes on from where its rest ended, so that neither leaves out, repeats or reorders what the
other has told. A reader whose transport is full goes back to its task too: its place in the journal takes over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from math import inf
from typing import NamedTuple
from weakref import WeakValueDictionary

from kubemirror.serve.frame import Frame
from kubemirror.serve.kubernetes.streams import Outlet
from kubemirror.serve.round import Round
from kubemirror.state.journal import Change, Interest, Journal, Position

# A chunk as large as a transport's usual high-water mark: more would only wait in memory.
CHUNK_BYTES = 64 * 1024
# Changes looked at for one chunk: about 0.1 ms of matching, because a round does so for many.
CHUNK_CHANGES = 64
# The clock is read after so many readers: 0.1 ms.
_BETWEEN_CLOCKS = 8
# Where more happens than so many readers can be told one by one, it is gathered for this long between two chunks: a
# write costs ten times what one event more in it does, and whoever reads them has as much more to do.
MANY_READERS = 200
GATHER_SECONDS = 0.010
# A frozen upstream is to be seen within this time; proxies cut what is silent for 60 s.
HEARTBEAT_SECONDS = 15.0
# Heartbeats at rest are looked for this often, by one timer for all: a hundred or two of 10,000 readers' each time.
TICK_SECONDS = 0.25
# A rest's turn once it is over.
_OVER = -1


class Wire(NamedTuple):
    """Where a subscription's frames may be written past ASGI, and how. kind: equal for equal framings."""

    outlet: Outlet
    kind: str
    encode: Callable[[Sequence[Frame]], bytes]


class Chunk(NamedTuple):
    """What is written to an audience at one place in the journal, b"" where it hears nothing of what happened there.

    following: the record after those in it. resource_version: the cursor of the last of them. types: of its events.
    """

    data: bytes
    following: int
    resource_version: int
    types: tuple[str, ...]


class Rest:
    """One reader at rest, from ``Audience.rest`` until it is ``over``.

    turn: of the chunk that it was told last. place: where it waits for the audience to come, next record and cursor;
    None once that has. reached: when it is over, the cursor of what it was told in it; 0 for nothing.
    """

    __slots__ = (
        "_audience",
        "beat_at",
        "began",
        "ends",
        "outlet",
        "place",
        "position",
        "reached",
        "turn",
        "wake",
        "write",
    )

    def __init__(
        self,
        audience: Audience,
        position: Position,
        outlet: Outlet,
        wake: Callable[[], None],
        ends: float,
        beat_at: float,
    ) -> None:
        self._audience = audience
        self.position = position
        self.outlet = outlet
        self.write = outlet.write
        self.wake = wake
        self.ends = ends
        self.beat_at = beat_at
        self.place: tuple[int, int] | None = None
        self.began = self.turn = 0
        self.reached = 0

    def over(self) -> None:
        """Read for itself again, from where it was told last; idempotent."""
        if self.turn != _OVER:
            self._audience._leave(self)

    def beat(self, now: float) -> bool:
        """Write a heartbeat; False where it rests no more."""
        return self.turn != _OVER and self._audience._beat_for(self, now)


def _nobody(types: Iterable[str]) -> None:
    """Who is told of the events that were written, where nobody wants to know."""


class Audience:
    """Readers that hear the same of each change of one journal. See ``Sharing.audience``."""

    __slots__ = (
        "__weakref__",
        "_at",
        "_beat",
        "_beaten",
        "_chunk",
        "_current",
        "_due",
        "_early",
        "_encode",
        "_frame",
        "_heard",
        "_interest",
        "_position",
        "_queued",
        "_reached",
        "_resting",
        "_sharing",
        "_turn",
        "journal",
    )

    def __init__(
        self,
        sharing: Sharing,
        journal: Journal,
        interest: Interest,
        frame: Callable[[Change], Frame | None],
        encode: Callable[[Sequence[Frame]], bytes],
        *,
        beat: Callable[[int], Frame] | None = None,
        heard: Callable[[Iterable[str]], None] = _nobody,
        current: Callable[[], bool] = lambda: True,
    ) -> None:
        """frame: of a change, None where nothing is heard of it. encode: as it is written.

        beat: a heartbeat with that cursor. heard: is told the types of events that were written. current: whether what
        is told here still is what was asked for; if not, it is for each reader's task to say so.
        """
        self.journal = journal
        self._sharing = sharing
        self._interest = interest
        self._frame = frame
        self._encode = encode
        self._beat = beat
        self._heard = heard
        self._current = current
        self._position: Position | None = None  # of all that rest, while there are any
        self._resting: dict[Rest, None] = {}
        self._early: list[Rest] = []  # who came while others were still being told of what these have read themselves
        self._queued = False
        self._chunk: Chunk | None = None  # what is being told; the position is before it
        self._turn = 1
        self._due: list[Rest] = []
        self._at = 0
        self._reached = 0  # the cursor of the chunk before
        self._beaten = (0.0, 0, b"")  # when, with which cursor, and the heartbeat

    # -- who rests ------------------------------------------------------------------------------------

    def rest(
        self, position: Position, outlet: Outlet, wake: Callable[[], None], *, ends: float, beat_at: float = inf
    ) -> Rest:
        """Read for the one whose ``position`` this is, and who has read all there is.

        wake: it has to go on itself; its rest is over then. ends: it is told nothing from then on. beat_at: when it is
        to have a heartbeat. Times are the loop's seconds.
        """
        rest = Rest(self, position, outlet, wake, ends, beat_at)
        if self._position is None:
            self._position = self.journal.follow(self._stir, self._interest)
        if self._position.pending:
            rest.place = position.reached
            self._early.append(rest)
        else:
            self._admit(rest)
        position.part()
        self._count()
        if beat_at != inf:
            self._sharing.heartbeats.plan(rest)
        return rest

    def _admit(self, rest: Rest) -> None:
        rest.place = None
        rest.began = rest.turn = self._turn
        self._resting[rest] = None

    def _leave(self, rest: Rest) -> None:
        following, resource_version = self._place(rest)
        if rest.place is not None:
            self._early.remove(rest)
        else:
            del self._resting[rest]
            if rest.turn != rest.began:
                chunk = self._chunk
                rest.reached = (
                    chunk.resource_version if chunk is not None and rest.turn == self._turn else self._reached
                )
        rest.turn = _OVER
        rest.position.join(following, resource_version)
        self._count()
        # A heartbeat that was planned may keep it for some seconds, but not the connection.
        del rest.outlet, rest.write, rest.wake, rest.position, rest._audience

    def _count(self) -> None:
        assert self._position is not None, "somebody has rested"  # noqa: S101
        self._position.readers = len(self._resting) + len(self._early)
        if not self._position.readers:
            self._position.close()
            self._position = self._chunk = None
            self._due, self._at = [], 0

    def _send_back(self, rest: Rest) -> None:
        """What comes next is for its own task."""
        wake = rest.wake
        rest.over()
        wake()

    def _place(self, rest: Rest) -> tuple[int, int]:
        """Up to where it has been told: the next record, and the cursor."""
        if rest.place is not None:
            return rest.place
        chunk, position = self._chunk, self._position
        assert position is not None, "somebody rests"  # noqa: S101
        if chunk is not None and rest.turn == self._turn:
            return chunk.following, chunk.resource_version
        return position.reached

    def _dismiss(self) -> None:
        """What comes next is for each one's own task."""
        for rest in [*self._resting, *self._early]:
            self._send_back(rest)

    # -- what they are told ---------------------------------------------------------------------------

    def _stir(self) -> None:
        """The journal has something to read."""
        if not self._queued:
            self._queued = True
            self._sharing.round.add(self)

    def tell(self, now: float, full: Callable[[], bool]) -> bool:
        """See ``round.Telling``."""
        more = True  # it is in the round, or will be
        try:
            while self._next_chunk():
                self._tell_chunk(now, full)
                if self._at < len(self._due):
                    return True
                if len(self._due) >= MANY_READERS and self._has_more():
                    asyncio.get_running_loop().call_later(GATHER_SECONDS, self._sharing.round.add, self)
                    return False
                if full():
                    return True
            more = False
            return False
        finally:
            self._queued = more

    def _has_more(self) -> bool:
        """Whether something has happened while the present chunk was told."""
        return self._chunk is not None and self._chunk.following < self.journal.end

    def _tell_chunk(self, now: float, full: Callable[[], bool]) -> None:
        """Write it to those who have not been told, until the slice is full."""
        chunk, due, turn, at = self._chunk, self._due, self._turn, self._at
        assert chunk is not None, "there is one to tell"  # noqa: S101
        data, before, told = chunk.data, turn - 1, 0
        try:
            while at < len(due):
                rest = due[at]
                at += 1
                if rest.turn == before:
                    done = False
                    try:
                        if rest.ends > now and rest.outlet.ready:
                            rest.write(data)
                            rest.turn = turn
                            told += 1
                            done = True
                    finally:
                        if not done:
                            self._send_back(rest)
                if not at % _BETWEEN_CLOCKS and full():
                    break
        finally:
            if self._due is due:
                self._at = at
            if told:
                self._heard(chunk.types * told)

    def _next_chunk(self) -> bool:
        """Whether there is a chunk to tell: the present one, until all have been told, then the next."""
        while True:
            position, chunk = self._position, self._chunk
            if position is None:
                return False  # everybody has left
            if chunk is not None:
                if self._at < len(self._due):
                    return True
                self._pass(position, chunk)
            if not position.pending:
                return False
            made = None
            try:
                made = self._make(position)
            finally:
                if made is None:
                    self._dismiss()
            if made is None:
                return False
            if not made.data:
                self._pass(position, made)
                continue
            self._chunk, self._due, self._at = made, list(self._resting), 0
            self._turn += 1

    def _pass(self, position: Position, chunk: Chunk) -> None:
        """Go on behind it, where those may wait who came early."""
        if chunk is self._chunk:
            self._chunk, self._due, self._at = None, [], 0
            self._reached = chunk.resource_version
        position.move(chunk.following, chunk.resource_version)
        while self._early and self._early[0].place is not None and self._early[0].place[0] <= chunk.following:
            self._admit(self._early.pop(0))

    def _make(self, position: Position) -> Chunk | None:
        """What comes next, at most about CHUNK_BYTES of it; None where it is not plain.

        That is: the outcome of a gap, the journal's end, records that are kept no more.
        """
        if position.journal.ended is not None or not self._current():
            return None
        frames: list[Frame] = []
        size = taken = resource_version = 0
        limit = CHUNK_CHANGES
        if self._early and self._early[0].place is not None:  # who waits there has heard the rest of it
            limit = min(limit, self._early[0].place[0] - position.next)
        for change in position.peek(limit):
            if change.gap is not None:
                return None
            taken += 1
            resource_version = change.resource_version
            frame = self._frame(change)
            if frame is not None:
                frames.append(frame)
                size += len(frame.data)
                if size >= CHUNK_BYTES:
                    break
        if not taken:
            return None
        if not frames:
            return Chunk(b"", position.next + taken, resource_version, ())
        self._sharing.made += 1
        types = tuple(kind for frame in frames for kind in frame.types)
        return Chunk(self._encode(frames), position.next + taken, resource_version, types)

    def _beat_for(self, rest: Rest, now: float) -> bool:
        beat = self._beat
        if beat is None:
            return False
        if rest.ends <= now or not rest.outlet.ready or not self._current():
            self._send_back(rest)
            return False
        _, cursor = self._place(rest)
        at, of, data = self._beaten
        if at != now or of != cursor:
            data = self._encode([beat(cursor)])
            self._beaten = now, cursor, data
        rest.write(data)
        self._heard(("BOOKMARK",))
        return True


class Heartbeats:
    """When those who rest are to have their heartbeats: one timer for all, and few at a time."""

    def __init__(self) -> None:
        self._due: dict[int, list[Rest]] = {}  # by tick
        self._ticking = False
        self._past = 0  # the last tick that is over

    def plan(self, rest: Rest) -> None:
        """Let it have one at ``rest.beat_at``, or a moment before."""
        loop = asyncio.get_running_loop()
        if not self._ticking:
            self._past = int(loop.time() / TICK_SECONDS)
            self._schedule(loop)
        tick = max(int(rest.beat_at / TICK_SECONDS), self._past + 1)
        self._due.setdefault(tick, []).append(rest)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticking = True
        loop.call_later(TICK_SECONDS, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticking = False
        now = loop.time()
        until = int(now / TICK_SECONDS)
        due = [rest for tick in range(self._past + 1, until + 1) for rest in self._due.pop(tick, ())]
        self._past = max(self._past, until)
        if self._due or due:
            self._schedule(loop)
        for rest in due:
            if rest.beat(now):
                rest.beat_at = now + beat_seconds()
                self.plan(rest)


def beat_seconds() -> float:
    """Until the next heartbeat: readers that came together do not all want theirs in the same moment."""
    return HEARTBEAT_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311


class Sharing:
    """The audiences of one app, and the round in which they are told."""

    def __init__(self) -> None:
        self.round = Round()
        self.heartbeats = Heartbeats()
        self.made = 0  # chunks that were really made
        self._audiences: WeakValueDictionary[Hashable, Audience] = WeakValueDictionary()

    def audience(self, key: Hashable, make: Callable[[], Audience]) -> Audience:
        """The audience of that key, shared by all who ask while one of them holds it."""
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = make()
        return audience
