"""The last minutes of changes, and the readers that hold a position in them.

A reader is a number, not a queue: a slow or idle one costs nothing, and falls off the end with an
ExpiredError instead of missing anything. Readers are indexed by namespace, name and label equality, so that
a change wakes only those it may concern; the others' positions move for free.

Order: the cursors (``Change.resource_version``) never decrease. A relist is a *gap*: what happened between
the RV reached before (``low``) and the list's RV (``high``) was not watched, only its outcome is known. The
diff is written as DELETED records under ``low``, then ADDED and MODIFIED under their own RV, and the gap is
closed at ``high``. Resuming at ``low`` replays the whole diff; strictly inside it is refused, because an
intermediate state may have mattered to a selector.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from kubemirror.errors import ExpiredError, StreamEndedError, UnwatchedError
from kubemirror.state.objects import Object, with_resource_version

# A record's own cost beside the bytes it alone keeps alive: the Change, two Objects' headers, deque slot.
_RECORD_OVERHEAD = 600


class ChangeType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(slots=True)
class Gap:
    """A stretch that was not watched. ``high`` is None while it is open (no bookmark has closed it yet)."""

    low: int
    high: int | None
    start: int  # sequence number of its first record
    end: int  # one past its last record


@dataclass(slots=True, eq=False)  # not frozen: a relist makes up to 100,000 in one step, each at a third of the cost
class Change:
    """One step of one object, with its state before and after. Never changes.

    state: what the change was told with. That of a DELETED told without an object of its own is ``old`` itself.
    old: the state held before; None exactly for ADDED.
    resource_version: the reader's cursor after this change. It is the object's own RV, but in a gap's
        DELETED records (the RV before the gap) and for a loss found late (the RV already reached).
    at: the store clock's seconds when it was written.
    gap: the stretch that this is the outcome of; None where it was watched.
    """

    type: ChangeType
    resource_version: int
    state: Object
    old: Object | None
    at: float
    gap: Gap | None = None

    @property
    def object(self) -> Object:
        """The new state; for DELETED the last state under the deletion's resourceVersion."""
        if self.state is self.old:
            return _rewritten(self.state, self.resource_version)
        return self.state

    @property
    def new(self) -> Object | None:
        """The state after the change; None when it was a deletion."""
        return None if self.type is ChangeType.DELETED else self.state

    @property
    def size(self) -> int:
        """Bytes that only the journal keeps alive because of this record."""
        size = _RECORD_OVERHEAD
        old = self.old
        if old is not None:
            size += len(old.raw) + len(old.cells)
        if self.type is ChangeType.DELETED and self.state is not old:
            size += self.state.size
        return size


# Rewriting costs 15 µs, which half a store's deletions cannot all cost in one step; so it is done for whoever reads
# them, and its readers mostly read the same few at about the same time.
_rewritten = lru_cache(maxsize=512)(with_resource_version)


class Interest(NamedTuple):
    """What a reader wants to be woken for; a coarse index only, readers still match each change."""

    namespace: str | None = None
    name: str | None = None
    label: tuple[str, str] | None = None


EVERYTHING = Interest()


def _nothing() -> None:
    """What a closed position does when a writer that is just waking readers comes to it."""


class Position:
    """A reader's place in one journal. Close it when the reader leaves.

    ``wake`` is called at most once between two reads, synchronously from the writer: it must only note
    that there is something to read. It is also called when the journal ends.

    readers: how many it stands for, who have ``part``ed from theirs meanwhile.
    """

    __slots__ = ("_cursor", "_interest", "_journal", "_next", "_pending", "_wake", "readers")

    def __init__(
        self, journal: Journal, next_record: int, cursor: int, interest: Interest, wake: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._next = next_record
        self._cursor = cursor
        self._interest = interest
        self._wake = wake
        self._pending = next_record < journal.end
        self.readers = 1

    @property
    def pending(self) -> bool:
        """Whether a read would return changes or raise."""
        return self._pending or self._journal.ended is not None

    @property
    def resource_version(self) -> int:
        """Everything up to here has been read: what a bookmark for this reader may promise."""
        return self._cursor if self._pending else max(self._cursor, self._journal.resource_version)

    @property
    def journal(self) -> Journal:
        """The journal that this is a place in."""
        return self._journal

    @property
    def next(self) -> int:
        """The sequence number of the record that is read next."""
        return self._next

    @property
    def reached(self) -> tuple[int, int]:
        """The record that is read next, all before it being known, and the cursor."""
        return self._next if self._pending else self._journal.end, self.resource_version

    @property
    def behind(self) -> int:
        """How many records lie ahead, concerning this reader or not."""
        return self._journal.end - self._next if self._pending else 0

    def read(self, limit: int = 1000) -> list[Change]:
        """The next changes, at most ``limit``, and move on.

        Records outside the interest may be among them. Raises ExpiredError when they are no longer kept and
        another StreamEndedError when the journal ended and everything before its end has been read.
        """
        journal = self._journal
        if not self._pending:
            if journal.ended is not None:
                raise journal.ended
            return []
        if self._next < journal.start:
            raise ExpiredError(self._cursor, journal.oldest)
        changes = journal.records(self._next, limit)
        if changes:
            self.move(self._next + len(changes), changes[-1].resource_version)
        return changes

    def peek(self, limit: int) -> list[Change]:
        """The changes that ``read`` would return; [] also where it would raise."""
        journal = self._journal
        return journal.records(self._next, limit) if self._pending and self._next >= journal.start else []

    def move(self, following: int, resource_version: int) -> None:
        """Go on to the record ``following``: all before it is known by other means than ``read``.

        resource_version: the cursor of the record before it.
        """
        journal = self._journal
        self._next = following
        if following == journal.end:
            self._pending = False
            resource_version = max(resource_version, journal.resource_version)
        if resource_version > self._cursor:
            self._cursor = resource_version

    def part(self) -> None:
        """Be woken no more, and read nothing, until ``join``: another position stands in for this one."""
        self._journal._leave(self)

    def join(self, following: int, resource_version: int) -> None:
        """Go on from the record ``following``, as ``move`` does, and be woken again; not once it is closed."""
        if self._wake is not _nothing:
            self._pending = following < self._journal.end
            self.move(following, resource_version)
            self._journal._join(self)

    def close(self) -> None:
        """Leave the journal's index; idempotent. ``wake`` is not called any more."""
        self._wake = _nothing
        self._journal._leave(self)


class Journal:
    """Changes of one store since ``resource_version``. One writer (its store), many positions."""

    def __init__(self, resource_version: int, *, window: float, budget: int) -> None:
        """window: seconds aimed at. budget: bytes, which win over the window."""
        self.window = window
        self.budget = budget
        self.size = 0
        self.start = 0  # sequence number of the oldest record kept
        self.resource_version = resource_version  # everything up to here has been told
        self.oldest = resource_version  # the smallest RV from which a reader may resume
        self.ended: StreamEndedError | None = None
        self.gaps: list[Gap] = []
        self._records: deque[Change] = deque()
        self._readers: dict[Interest, dict[Position, None]] = {}
        self._label_names: Counter[str] = Counter()

    @property
    def end(self) -> int:
        """One past the newest record's sequence number."""
        return self.start + len(self._records)

    @property
    def positions(self) -> int:
        """How many readers hold a position, or are stood in for by one."""
        return sum(position.readers for positions in self._readers.values() for position in positions)

    @property
    def span(self) -> tuple[float, float] | None:
        """Store-clock seconds of the oldest and newest record kept."""
        return (self._records[0].at, self._records[-1].at) if self._records else None

    def records(self, first: int, limit: int) -> list[Change]:
        """Up to ``limit`` records from sequence number ``first`` on."""
        offset = first - self.start
        if offset > len(self._records) // 2:  # a deque is linked blocks: walk from the nearer end
            count = len(self._records) - offset
            tail = list(islice(reversed(self._records), count))
            tail.reverse()
            return tail[:limit]
        return list(islice(self._records, offset, offset + limit))

    def __iter__(self) -> Iterator[Change]:
        return iter(self._records)

    def newest_first(self) -> Iterator[Change]:
        """Records from the newest back: for rolling a snapshot back to an earlier RV."""
        return reversed(self._records)

    def inside_gap(self, resource_version: int) -> bool:
        """Whether the state at this RV is unknown because it was never watched."""
        return any(
            gap.low < resource_version and (gap.high is None or resource_version < gap.high) for gap in self.gaps
        )

    def after(self, resource_version: int) -> int:
        """The sequence number of the first record that a reader at ``resource_version`` has not seen.

        Raises ExpiredError where that cannot be told. An RV ahead of the journal gives its end.
        """
        if self.ended is not None:
            raise self.ended
        if resource_version < self.oldest:
            raise ExpiredError(resource_version, self.oldest)
        if self.inside_gap(resource_version):
            raise UnwatchedError(resource_version, self.oldest)
        for gap in self.gaps:
            if gap.low == resource_version:
                if gap.start >= self.start:
                    return gap.start
                # Who comes with the newest RV there is has perhaps just listed, and must be able to follow.
                if not gap.low == gap.high == self.resource_version:
                    raise UnwatchedError(resource_version, self.oldest)
        return self.start + bisect_right(self._records, resource_version, key=_cursor)

    def subscribe(self, resource_version: int, wake: Callable[[], None], interest: Interest = EVERYTHING) -> Position:
        """A position right after ``resource_version``; ExpiredError as in ``after``.

        An RV ahead of the journal is legal: the reader's cursor starts there, and it is the reader that
        drops what it is told at or below that RV.
        """
        return self._join(Position(self, self.after(resource_version), resource_version, interest, wake))

    def follow(self, wake: Callable[[], None], interest: Interest = EVERYTHING) -> Position:
        """A position at the end, for whoever has just taken a snapshot; never expired, an open gap included."""
        if self.ended is not None:
            raise self.ended
        return self._join(Position(self, self.end, self.resource_version, interest, wake))

    def append(self, change: Change) -> None:
        """Write one record, wake whom it concerns, and trim."""
        sequence = self.end
        reached = self.resource_version
        self._records.append(change)
        self.size += change.size
        if change.resource_version > self.resource_version:
            self.resource_version = change.resource_version
        if self.gap_is_open:
            self.gaps[-1].end = sequence + 1
        if self._readers:
            self._wake(change, sequence, reached)
        self.trim(change.at)

    def extend(self, changes: Sequence[Change]) -> None:
        """Write many records at once, wake whom they concern, and leave trimming to the next who writes."""
        sequence = self.end
        reached = self.resource_version
        self._records.extend(changes)
        self.size += sum([change.size for change in changes])
        if changes and changes[-1].resource_version > reached:
            self.resource_version = changes[-1].resource_version
        if self.gap_is_open:
            self.gaps[-1].end = self.end
        resting = sum(not position._pending for positions in self._readers.values() for position in positions)
        for change in changes:
            if not resting:
                break
            resting -= self._wake(change, sequence, reached)
            sequence += 1
            reached = max(reached, change.resource_version)

    @property
    def gap_is_open(self) -> bool:
        """Whether what is written now is the outcome of a stretch that was not watched."""
        return bool(self.gaps) and self.gaps[-1].high is None

    def open_gap(self) -> None:
        """From here on, what is written is the outcome of a stretch that was not watched."""
        if not self.gap_is_open:
            self.gaps.append(Gap(self.resource_version, None, self.end, self.end))

    def close_gap(self, resource_version: int) -> None:
        """The unwatched stretch ends at ``resource_version``; a gap that hides nothing is forgotten."""
        if self.gap_is_open:
            gap = self.gaps[-1]
            gap.high = max(resource_version, gap.low)
            if gap.start == gap.end and gap.high == gap.low:
                self.gaps.pop()
        self.progress(resource_version)

    def progress(self, resource_version: int) -> None:
        """Upstream promised that everything up to here has been told (a bookmark)."""
        if resource_version > self.resource_version:
            self.resource_version = resource_version

    def trim(self, now: float) -> None:
        """Forget what is older than the window or beyond the budget."""
        horizon = now - self.window
        while self._records and (self.size > self.budget or self._records[0].at < horizon) and not self._needed():
            self._forget_first()
        self._forget_gaps()

    def shorten(self, budget: int, now: float) -> None:
        """Keep at most ``budget`` bytes until the writer sets its own budget again: memory is short."""
        self.budget = min(self.budget, budget)
        self.trim(now)

    def forget(self, resource_version: int) -> None:
        """Forget all records up to ``resource_version``, as etcd's compaction does."""
        while self._records and self._records[0].resource_version <= resource_version:
            self._forget_first()
        self.oldest = max(self.oldest, min(resource_version, self.resource_version))
        self._forget_gaps()

    def finish(self, reason: StreamEndedError) -> None:
        """End every reader: each hears what was written before, then ``reason``."""
        if self.ended is not None:
            return
        self.ended = reason
        for positions in list(self._readers.values()):
            for position in list(positions):
                position._wake()

    def _join(self, position: Position) -> Position:
        interest = position._interest
        self._readers.setdefault(interest, {})[position] = None
        if interest.label is not None:
            self._label_names[interest.label[0]] += 1
        return position

    def _needed(self) -> bool:
        """Whether the oldest record is of a gap whose low is still the newest RV.

        Nothing but these records tells a reader at that RV who has heard of them from one who has not; the next
        event or bookmark moves the RV on.
        """
        if not self.gaps:
            return False
        gap = self.gaps[-1]
        return gap.low == self.resource_version and gap.start <= self.start < gap.end

    def _forget_first(self) -> None:
        record = self._records.popleft()
        self.start += 1
        self.size -= record.size
        self.oldest = max(self.oldest, record.resource_version)

    def _forget_gaps(self) -> None:
        while (
            self.gaps
            and self.gaps[0].high is not None
            and self.gaps[0].end <= self.start
            and self.gaps[0].start < self.start
        ):
            gap = self.gaps[0]
            if gap.low == gap.high:
                # A loss found late, told under the RV already reached: nothing tells a reader at that RV who has
                # heard it from one who has not, so nobody may resume there once the records are gone.
                if self.resource_version == gap.high:
                    break
                self.oldest = max(self.oldest, self.gaps[0].high + 1)
            self.oldest = max(self.oldest, self.gaps[0].high)
            self.gaps.pop(0)

    def _wake(self, change: Change, sequence: int, reached: int) -> int:
        """Wake those who rest and whom the record concerns; how many."""
        woken = 0
        for positions in self._concerned(change):
            for position in list(positions):
                if not position._pending:
                    position._pending = True
                    if reached > position._cursor:
                        position._cursor = reached
                    position._next = sequence
                    position._wake()
                    woken += 1
        return woken

    def _concerned(self, change: Change) -> Iterator[Iterable[Position]]:
        readers = self._readers
        if not readers:
            return
        changed = change.state
        labels: list[tuple[str, str] | None] = [None]
        if self._label_names:
            pairs = dict.fromkeys(changed.labels.items())  # in one order: the same history wakes readers the same
            if change.old is not None:
                pairs |= dict.fromkeys(change.old.labels.items())
            labels += [pair for pair in pairs if pair[0] in self._label_names]
        for label in labels:
            for namespace in (None, changed.namespace):
                for name in (None, changed.name):
                    positions = readers.get(Interest(namespace, name, label))
                    if positions is not None:
                        yield positions

    def _leave(self, position: Position) -> None:
        interest = position._interest
        positions = self._readers.get(interest)
        if positions is None or position not in positions:
            return
        del positions[position]
        if not positions:
            del self._readers[interest]
        if interest.label is not None:
            self._label_names[interest.label[0]] -= 1
            if not self._label_names[interest.label[0]]:
                del self._label_names[interest.label[0]]


def _cursor(change: Change) -> int:
    return change.resource_version
