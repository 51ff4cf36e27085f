"""One store that a subscription reads: the reader's place in its journal, and what each change means to that reader."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kubemirror.errors import ExpiredError
from kubemirror.serve.cursor import Mark, source_name
from kubemirror.serve.reading import Reading
from kubemirror.state.journal import Change, ChangeType, Gap, Interest, Position
from kubemirror.state.objects import Object, with_resource_version
from kubemirror.state.selectors import Selection
from kubemirror.state.store import Reader

# Looked at together for a reader that wants the latest state only: as much as a second of a busy store.
RUN_CHANGES = 4096


# Looked at in one go: a long replay walks the journal this often.
_AHEAD_CHANGES = 256


# Objects by (namespace, name), with the uid, or "" for any.
Holds = Mapping[tuple[str, str], str]


def _every(held: Object) -> bool:
    """Where nothing but selectors decides."""
    return True


def _always() -> bool:
    """Where nothing depends on how objects are printed."""
    return True


class Shape(NamedTuple):
    """What a reader is told of an object, and which it wants to hear of beside what selectors say.

    key: equal for equal shapes. current: whether the columns that either looks at are still those of the store.
    columns: as they are told, where rows are. cells: whether printed cells are looked at.
    """

    carry: Callable[[Object], bytes]
    key: Hashable
    wanted: Callable[[Object], bool] = _every
    current: Callable[[], bool] = _always
    columns: bytes = b""
    cells: bool = False


class Told(NamedTuple):
    """One event as this reader hears it. old, new: the states it is told from, selected or not.

    cursor: the store's, after it.
    """

    type: ChangeType
    object: Object
    old: Object | None
    new: Object | None
    cursor: int


class Run(NamedTuple):
    """Changes that are told together, each object's last state only. skipped: whether any was left out."""

    told: list[Told]
    skipped: bool


@dataclass(slots=True)
class _Net:
    """What became of one object. shown: the last change in which it was selected, where that matters."""

    old: Object | None
    last: Change | None = None
    shown: Change | None = None


@dataclass(slots=True)
class Source:
    """See the module.

    namespace: "" for a store of all. floor: the reader came from a replica ahead of us: drop what it has seen.
    holds: what the reader names, by (namespace, name), with the uid or ""; only while a snapshot is being told.
    told: the cursor of what was told last. resumed: the reader came with a cursor. missed: where the journal ended
    then. shown: it was told what there was.
    """

    name: str
    namespace: str
    reader: Reader
    reading: Reading
    selection: Selection
    object_name: str
    shape: Shape
    position: Position | None = None
    floor: int = 0
    objects: Iterator[Object] = field(default_factory=lambda: iter(()))
    holds: Holds = field(default_factory=dict)
    told: int = 0
    resumed: bool = False
    missed: int = 0
    shown: bool = False
    gap: Gap | None = None  # what is told now is its outcome

    @property
    def place(self) -> Position:
        assert self.position is not None, "open() makes one"  # noqa: S101
        return self.position

    @property
    def interest(self) -> Interest:
        """What it must be woken for."""
        interest = self.selection.interest(self.reading.namespace)
        return interest._replace(name=self.object_name) if self.object_name else interest

    @property
    def cursor(self) -> int:
        """Up to here the reader has been told everything; it can go on from here at any replica.

        While the outcome of a gap is told that is the gap's beginning. An RV within says nothing: what the outcome
        shows there may be followed by an object that was created before it, and has changed again since.
        """
        reached = max(self.place.resource_version, self.told, self.floor)
        untold = self.gap is not None or (self.behind and self.place.journal.inside_gap(reached))
        return max(self.told, self.floor) if untold else reached

    @property
    def behind(self) -> bool:
        return self.place.pending

    @property
    def ahead(self) -> bool:
        """Whether the reader came from a replica that was further than this one is still."""
        return self.floor > self.reader.resource_version

    @property
    def misses(self) -> bool:
        """Whether a reader that came with a cursor has not been told yet all that had happened by then."""
        return self.ahead or (self.behind and self.place.next < self.missed)

    @property
    def gap_told(self) -> bool:
        """Whether the outcome of a gap has been told to its end, so that a bookmark may say so."""
        return self.gap is not None and self.gap.high is not None and not self.behind

    def shows(self, held: Object) -> bool:
        if self.object_name and held.name != self.object_name:
            return False
        return self.reading.shows(held.namespace) and self.selection.matches(held) and self.shape.wanted(held)

    def require_kept(self) -> None:
        """Raise ExpiredError where what happened since the snapshot is no longer kept.

        What the journal keeps it keeps for everyone: so an unfinished snapshot holds nothing of its own in memory.
        """
        place = self.place
        if place.pending and place.next < place.journal.start:
            raise ExpiredError(place.resource_version, place.journal.oldest)

    @property
    def within(self) -> int:
        """Up to where the outcome leads that is being told, 0 where none is (or its end is not known yet)."""
        return (self.gap.high or 0) if self.gap is not None else 0

    def can_resume(self, mark: Mark) -> bool:
        """Whether the outcome that the reader has heard some of, if it has, is one that is known here."""
        return mark.within <= mark.reached or mark in ((gap.low, gap.high) for gap in self.reader.journal.gaps)

    # -- changes --------------------------------------------------------------------------------------

    def take(self) -> Iterator[Told | None]:
        """The changes there are, one after the other, None for what is nothing to this reader.

        Whoever stops asking has taken what it was given, and no more. Not to be kept over an ``await``.
        Raises what the journal ended with, or ExpiredError.
        """
        while self.behind:
            for change in self._ahead(_AHEAD_CHANGES):
                seen = self._seen(change)
                self._pass(1, change)
                yield None if seen else self.heard(change.old, change)

    def take_run(self, budget: int) -> Run:
        """The next changes, up to about ``budget`` bytes of objects, each object in its last state only.

        Two objects of one name are two: the first one's deletion is told.
        """
        changes = self._ahead(RUN_CHANGES)
        seen = sum(map(self._seen, changes))
        if seen:
            self._pass(seen, changes[seen - 1])
            return Run([], skipped=False)
        states: dict[str, _Net] = {}
        taken = 0
        for change in changes:
            state = change.state
            identity = state.uid or f"{state.namespace}/{state.name}"
            net = states.pop(identity, None)
            if net is None:
                budget -= len(state.raw)
                if budget < 0 and taken:
                    break
                net = _Net(change.old)
            net.last = change
            if self.resumed and change.new is not None and self.shows(change.new):
                net.shown = change
            states[identity] = net
            taken += 1
        self._pass(taken, changes[taken - 1])
        return Run([told for net in states.values() for told in self._told(net)], skipped=taken > len(states))

    def _told(self, net: _Net) -> Iterator[Told]:
        assert net.last is not None, "it has one change at least"  # noqa: S101
        told = self.heard(net.old, net.last)
        if told is not None:
            yield told
        elif net.shown is not None:
            # It came and went. A reader that was cut off within the outcome of a relist may have heard that it came.
            for each in (self.heard(None, net.shown), self.heard(net.shown.new, net.last)):
                if each is not None:
                    yield each

    def _ahead(self, limit: int) -> list[Change]:
        place = self.place
        changes = place.peek(limit) or place.read(limit)  # which raises where there is nothing to peek at
        if self.floor and place.journal.inside_gap(self.floor):
            raise ExpiredError(self.floor, place.journal.oldest)
        return changes

    def _seen(self, change: Change) -> bool:
        """Whether a reader that came from a replica ahead of us has heard of it there.

        Not of the deletions of a gap that begins just where the reader is: they lie behind its beginning.
        """
        behind = change.resource_version <= self.floor
        return behind and (change.gap is None or change.gap.low < self.floor)

    def _pass(self, count: int, last: Change) -> None:
        place = self.place
        place.move(place.next + count, last.resource_version)
        self.gap = last.gap
        self.told = max(self.told, _cursor_of(last))
        if last.resource_version > self.floor:
            self.floor = 0

    def heard(self, old: Object | None, change: Change) -> Told | None:
        """What a change means to whoever sees only part of the store (apiserver's cache_watcher.go)."""
        new = change.new
        shown_now = new is not None and self.shows(new)
        shown_before = old is not None and self.shows(old)
        cursor = _cursor_of(change)
        if shown_now:
            return Told(ChangeType.MODIFIED if shown_before else ChangeType.ADDED, change.object, old, new, cursor)
        if not shown_before or old is None:
            return None
        # Deleted, or left the selection: then its last state inside, under the RV at which it left.
        last = change.object if new is None else with_resource_version(old, new.resource_version)
        return Told(ChangeType.DELETED, last, old, new, cursor)


def _cursor_of(change: Change) -> int:
    return change.resource_version if change.gap is None else change.gap.low


def sources_of(reading: Reading, selection: Selection, object_name: str, shape: Shape) -> list[Source]:
    """One source per store of the reading."""
    return [
        Source(source_name(reading.name, key), key, reader, reading, selection, object_name, shape)
        for key, reader in reading.stores
    ]
