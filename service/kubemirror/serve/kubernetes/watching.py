"""One watch: a position in the journal, turned into lines.

The reader is its place in the journal and nothing else; what it has not taken stays there, shared with
everyone, until it falls off the end and the stream ends with 410. Nothing is queued for it but the one batch
being sent, and its transport's backpressure decides when the next is made.

While it rests, and what happened is plain (frames.py says when), it is told by the round (round.py), without its task:
the shared chunk goes to its transport, and the position moves. All else is for the task, which goes on from the same
position, so that neither can leave out, repeat or reorder what the other has told.

Each event's type is decided from the object's state before and after against the reader's selection
(apiserver pkg/storage/cacher/cache_watcher.go): entering is ADDED, staying MODIFIED, leaving DELETED.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from random import random
from typing import Protocol

from kubemirror.access.authorizer import Allow, Decision, Deny
from kubemirror.errors import ExpiredError, GoneError, KubemirrorError, StreamEndedError, TooLargeResourceVersionError
from kubemirror.serve import status
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes.forms import Shape, View
from kubemirror.serve.kubernetes.frames import Audience, Frames
from kubemirror.serve.kubernetes.round import Round
from kubemirror.serve.kubernetes.streams import Outlet
from kubemirror.serve.waiting import caught_up, fresh, resumable
from kubemirror.state.catalog import Resource
from kubemirror.state.journal import Change, Gap, Position
from kubemirror.state.selectors import Selection
from kubemirror.state.store import Reader, Snapshot

# Upstream's cadence (cacher.go): a bookmark about each minute, and 2 s before the deadline.
BOOKMARK_SECONDS = 60.0
BOOKMARK_BEFORE_DEADLINE_SECONDS = 2.0
# Upstream ends a watch that asked for no limit after 30 to 60 minutes, so that load spreads again.
LEAST_SECONDS = 1800.0
# A batch of lines as large as a transport's usual high-water mark: more would only wait in memory.
BATCH_BYTES = 64 * 1024
# Changes looked at before others get a turn: about 2 ms of matching.
BATCH_CHANGES = 500
# A reader that takes nothing of one batch for this long is cut off: it resumes from its last RV.
SEND_SECONDS = 60.0


# Timers may fire a moment early: what is due within this is due now, or the loop would spin until it is.
CLOCK_SLACK_SECONDS = 0.001


class SlowReaderError(Exception):
    """A reader has taken nothing of one batch for SEND_SECONDS."""


class Output(Protocol):
    """Where the lines go."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    @property
    def outlet(self) -> Outlet | None:
        """The way past ``send``, where there is one."""

    async def send(self, lines: list[bytes]) -> None:
        """Write whole lines, waiting while the client does not take them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a watch was asked for, parsed and authorised.

    resource_version: 0 for unset or "0". initial: send the present state first; consistent: as new as upstream's.
    seconds: how long it lasts at most. entry_version: the resource as it was when the watch began.
    """

    resource: Resource
    reader: Reader
    view: View
    selection: Selection
    namespace: str | None
    resource_version: int
    initial: bool
    consistent: bool
    bookmarks: bool
    seconds: float
    decision: Allow
    ask_again: Callable[[], Awaitable[Decision]]


class Watch:
    """One running watch. Make it, ``open`` it before the answer starts, then ``run`` it to its end."""

    def __init__(self, context: Context, asked: Asked, frames: Frames, round_: Round) -> None:
        self._context = context
        self._asked = asked
        self._frames = frames
        self._round = round_
        self._audience: Audience | None = None
        self._outlet: Outlet | None = None
        self._resting = False  # the task waits, and what is plain may be told without it
        self._rest_ends = 0.0  # loop seconds
        self._queued = False  # in the round
        self._loop = asyncio.get_running_loop()
        self._moved = asyncio.Event()
        self._until = asked.decision.until
        self._deadline = self._loop.time() + asked.seconds
        self._next_bookmark = self._bookmark_time()
        self._first = asked.view.form.shape is Shape.TABLE  # the first line carries the columns
        self._position: Position | None = None
        self._snapshot: Snapshot | None = None
        self._gap: Gap | None = None  # what is told now is its outcome
        self._ahead = 0  # nothing at or below this RV is told: the reader was already there
        self._identity = (
            asked.resource.name,
            asked.view.version,
            asked.view.form,
            asked.reader.columns_version,
        )
        self._failure: status.StatusError | None = None

    def wake(self) -> None:
        """Look again: something happened that ``run`` may be waiting for."""
        self._moved.set()

    @property
    def failed(self) -> bool:
        """Whether all that there is to tell is an error."""
        return self._failure is not None

    def _stir(self) -> None:
        """The journal has something to read."""
        if not self._resting:
            self._moved.set()
        elif not self._queued:
            self._queued = True
            self._round.add(self)

    def tell(self, now: float) -> None:
        """The round has come here: tell what is plain, or wake the task."""
        self._queued = False
        told = False
        try:
            told = self._tell_at_rest(now)
        finally:
            if not told:
                self._moved.set()

    def _tell_at_rest(self, now: float) -> bool:
        """Write the next chunk to the transport, and move on; False, and nothing done, where that is for the task."""
        position, outlet, audience = self._position, self._outlet, self._audience
        if not self._resting or self._moved.is_set() or now >= self._rest_ends:
            return False
        assert position is not None and outlet is not None and audience is not None, "what rests has them"  # noqa: S101, PT018
        if not position.pending:
            return True  # the task has been here since
        if not outlet.ready:
            return False
        chunk = self._frames.chunk(audience, position, self._context.wall)
        if chunk is None:
            return False
        if chunk.data:
            outlet.write(chunk.data)
        position.move(chunk.following, chunk.resource_version)
        if position.pending:
            self._stir()
        return True

    async def open(self) -> None:
        """Take the snapshot and the position. What can only be told inside the stream is kept for ``run``.

        Raises ForbiddenError, NotSyncedError, GoneError.
        """
        asked, reader = self._asked, self._asked.reader
        reader.require_served()
        interest = asked.selection.interest(asked.namespace)
        try:
            if asked.initial:
                seconds = self._context.settings.freshness_seconds
                if asked.consistent:
                    await caught_up(self._context, asked.resource, asked.namespace, reader)
                await fresh(reader, asked.resource_version, seconds=seconds)
                await resumable(reader, seconds=seconds)
                reader.require_served()
                self._snapshot = reader.snapshot(asked.namespace)
                self._position = reader.follow(self._stir, interest)
            elif asked.resource_version == 0:
                self._position = reader.follow(self._stir, interest)
            else:
                if asked.resource_version > reader.resource_version:
                    self._ahead = asked.resource_version
                self._position = reader.subscribe(asked.resource_version, self._stir, interest)
        except (ExpiredError, TooLargeResourceVersionError) as error:
            self._failure = status.from_error(error)
        if self._position is not None:
            self._audience = self._frames.audience(
                self._position.journal, asked.view, self._identity, asked.namespace, asked.selection
            )

    async def run(self, output: Output) -> None:
        """Tell everything until the deadline, an error or the client's leave. Raises SlowReaderError alone."""
        cancels = [
            self._context.lifecycle.on_change(self.wake),
            self._context.catalog.on_change(self.wake),
        ]
        self._outlet = output.outlet
        try:
            if self._failure is None:
                await self._tell(output)
            if self._failure is not None and not output.gone:
                await self._send(output, [b'{"type":"ERROR","object":%s}\n' % self._failure.body])
        finally:
            for cancel in cancels:
                cancel()
            if self._position is not None:
                self._position.close()

    def close(self) -> None:
        """Leave the journal without having run."""
        if self._position is not None:
            self._position.close()

    async def _tell(self, output: Output) -> None:
        if self._snapshot is not None:
            await self._tell_snapshot(output, self._snapshot)
            self._snapshot = None  # it may be the only thing that keeps an old state in memory
        while not output.gone and self._failure is None:
            self._moved.clear()
            try:
                told = await self._tell_changes(output)
            except GoneError:
                return
            except StreamEndedError as error:
                self._failure = status.from_error(error)
                return
            if told or await self._leave_gap(output):
                continue
            now = self._loop.time() + CLOCK_SLACK_SECONDS
            if self._context.lifecycle.closing:
                self._deadline = min(self._deadline, now + random() * self._context.lifecycle.spread_seconds)  # noqa: S311
            if now >= self._deadline or not self._current():
                return
            if now >= self._until and not await self._still_allowed():
                return
            if now >= self._next_bookmark:
                self._next_bookmark = self._bookmark_time()
                await self._tell_bookmark(output)
                continue
            await self._wait(min(self._deadline, self._until, self._next_bookmark) - now + CLOCK_SLACK_SECONDS)

    async def _tell_snapshot(self, output: Output, snapshot: Snapshot) -> None:
        view, selection = self._asked.view, self._asked.selection
        lines: list[bytes] = []
        size = 0
        now = self._context.wall()
        for count, held in enumerate(snapshot.objects, 1):
            if selection.matches(held):
                line = view.event("ADDED", held, now, columns=self._first)
                self._first = False
                lines.append(line)
                size += len(line)
            if size >= BATCH_BYTES or count % BATCH_CHANGES == 0:
                await self._send(output, lines)
                lines, size = [], 0
                await asyncio.sleep(0)
                if output.gone:
                    return
        if self._asked.bookmarks:
            lines.append(self._bookmark(snapshot.resource_version, initial_end=True))
        await self._send(output, lines)

    async def _tell_changes(self, output: Output) -> bool:
        """One batch; whether there was anything to read."""
        position = self._position
        assert position is not None, "open() made one or a failure"  # noqa: S101
        if self._ahead and self._asked.reader.journal.inside_gap(self._ahead):
            raise ExpiredError(self._ahead, self._asked.reader.journal.oldest)
        if not position.pending:
            return False
        changes = position.read(BATCH_CHANGES)
        lines: list[bytes] = []
        size = 0
        now = self._context.wall()
        audience = self._audience
        assert audience is not None, "open() made one with the position"  # noqa: S101
        for change in changes:
            type_ = None if self._seen(change) else audience.heard(change)
            if type_ is None:
                continue
            if change.gap is not self._gap:
                self._cross(change.gap, lines)
            line = self._frames.line(type_, change, self._asked.view, self._identity, now, columns=self._first)
            self._first = False
            lines.append(line)
            size += len(line)
            if size >= BATCH_BYTES:
                await self._send(output, lines)
                lines, size = [], 0
                if output.gone:
                    return False
        await self._send(output, lines)
        if len(changes) == BATCH_CHANGES:
            await asyncio.sleep(0)  # a long replay must not hold up those who wait for one event
        return True

    def _seen(self, change: Change) -> bool:
        """Whether the reader has heard of it where it came from, which was ahead.

        Not of the deletions of a gap that begins just where the reader is: they lie behind its beginning.
        """
        behind = change.resource_version <= self._ahead
        return behind and (change.gap is None or change.gap.low < self._ahead)

    async def _leave_gap(self, output: Output) -> bool:
        """Tell the end of a gap that closed with nothing more to tell; whether there was one."""
        position = self._position
        if self._gap is None or self._gap.high is None or position is None or position.pending:
            return False
        lines: list[bytes] = []
        self._cross(None, lines)
        await self._send(output, lines)
        return True

    def _cross(self, entered: Gap | None, lines: list[bytes]) -> None:
        """Frame a gap with bookmarks: a mirror of this mirror publishes its outcome in one step, as it was here.

        At once, not within a minute: until it has heard the second one, the first is how far that mirror is.
        """
        left, self._gap = self._gap, entered
        if not self._asked.bookmarks:
            return
        if left is not None and left.high is not None and left.low >= self._ahead:
            lines.append(self._bookmark(left.high))
        if entered is not None and entered.low >= self._ahead:
            lines.append(self._bookmark(entered.low, gap=True))

    async def _tell_bookmark(self, output: Output) -> None:
        position = self._position
        assert position is not None, "open() made one or a failure"  # noqa: S101
        resource_version = position.resource_version
        journal = self._asked.reader.journal
        if self._gap is not None or journal.resource_version < self._ahead or journal.inside_gap(resource_version):
            return  # a promise that could not be kept: the mirror is not there yet, or a relist is still being told
        line = self._bookmark(resource_version)
        await self._send(output, [line])

    def _bookmark(self, resource_version: int, *, initial_end: bool = False, gap: bool = False) -> bytes:
        columns, self._first = self._first, False
        blank = self._asked.reader.blank
        return self._asked.view.bookmark(
            resource_version, columns=columns, blank=blank, initial_end=initial_end, gap=gap
        )

    async def _send(self, output: Output, lines: list[bytes]) -> None:
        if lines:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await output.send(lines)
            except TimeoutError:
                raise SlowReaderError from None

    async def _wait(self, seconds: float) -> None:
        self._rest_ends = self._loop.time() + seconds
        self._resting = self._may_rest()
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._moved.wait()
        except TimeoutError:
            pass
        finally:
            self._resting = False

    def _may_rest(self) -> bool:
        """Whether nothing about this watch is its own: no columns or gap's end to tell, no RV ahead to come up to."""
        position = self._position
        assert position is not None, "open() made one or a failure"  # noqa: S101
        if self._ahead and self._gap is None and position.resource_version > self._ahead:
            # Came up to, and told from there: gaps to come lie above. One that it lies in was found by _tell_changes.
            self._ahead = 0
        return self._outlet is not None and not self._first and self._gap is None and not self._ahead

    async def _still_allowed(self) -> bool:
        resource = self._asked.resource
        try:
            decision = await self._asked.ask_again()
        except KubemirrorError as error:
            self._failure = status.from_error(error)
            return False
        if isinstance(decision, Allow):
            self._until = decision.until
            return True
        reason = decision.reason if isinstance(decision, Deny) else "not in all namespaces any more"
        self._failure = status.forbidden(reason, resource=resource.plural, group=resource.group)
        return False

    def _current(self) -> bool:
        """Whether the resource is still what it was; a changed definition ends its watches, as upstream's do."""
        entry = self._context.catalog.get(self._asked.resource.name)
        return entry is not None and entry.resource.serves_as(self._asked.resource)

    def _bookmark_time(self) -> float:
        if not self._asked.bookmarks:
            return inf
        now = self._loop.time() + CLOCK_SLACK_SECONDS  # the one before the deadline may just have been told
        before_deadline = self._deadline - BOOKMARK_BEFORE_DEADLINE_SECONDS
        # Readers that came together do not all want theirs in the same moment.
        usual = now + BOOKMARK_SECONDS * (1 - 0.1 * random())  # noqa: S311
        return before_deadline if now < before_deadline < usual else usual
