"""What changed in meaning, object by object: who set which image when, and what it was before.

It begins when this process does, and says so; what it did not watch (a list that had to be taken again) and what came
too fast to be looked at are stretches that it names. Nothing here reads a clock: times are those of the stores' clock.

A change is only noted when it is written, which costs the Writer less than a microsecond; what it means is found out
later (``settle``), by state/meaning.py and under its names. The first list is no change, and costs nothing.

Kept are the newest MOST_PER_OBJECT entries of each object, within a byte budget over all: beyond it the oldest go. A
rollout tells each of its steps; those that follow each other closely are one entry, as are an object's creation and
what controllers first say of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson

from kubemirror.state.journal import Change, ChangeType
from kubemirror.state.meaning import Comparison, Difference, Item, Meaning, Step, compared
from kubemirror.state.objects import Object
from kubemirror.state.store import Reader

# A page shows as many; a Deployment that is released ten times a day goes back a week.
MOST_PER_OBJECT = 50
# Changes noted and not looked at yet: 20 MB of old states at most, and a second's work.
MOST_PENDING = 5_000
# Steps of one rollout, or of one creation, that follow each other within this many seconds are told together.
TOGETHER_SECONDS = 30.0
# Of one change as many paths are told, of one value as many characters: the rest is counted, or cut.
MOST_DETAILS, MOST_CHARACTERS = 12, 160
# Stretches that were not watched, of one store; a store that is listed anew more often has other troubles.
MOST_STRETCHES = 20
# Of all objects' entries a reader is given as many at once.
MOST_RECENT = 200
# An entry's own cost beside its texts, in bytes.
_ENTRY_OVERHEAD, _DETAIL_OVERHEAD = 400, 200
# Kinds that are heartbeats themselves: they change all the time, and never in meaning.
UNTOLD = frozenset({"events", "events.events.k8s.io", "leases.coordination.k8s.io"})

# How the label of a condition's reason ends: it moves along without the condition.
_REASON = ": reason"
_STEPS_ONLY = frozenset({Meaning.ROLLOUT})
_OF_STATUS = frozenset({Meaning.ROLLOUT, Meaning.CONDITION})
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_IMPORTANCE = {meaning: index for index, meaning in enumerate(Meaning)}


class ObjectKey(NamedTuple):
    """An object among those of all resources; namespace is "" when cluster-scoped."""

    resource: str
    namespace: str
    name: str


class Detail(NamedTuple):
    """One value that changed. old or new is None where there is none, or where only its name is told."""

    meaning: Meaning | None
    label: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One change of an object, or the steps of one rollout, or of its creation.

    at, until: the stores' clock. meanings: in the order of Meaning; empty for what came or went.
    manager: who wrote it, as managedFields tell it, "" where they do not. more: how many details are not kept.
    steps: how many changes these are. unwatched: the outcome of a stretch that was not watched.
    """

    type: ChangeType
    at: float
    until: float
    meanings: tuple[Meaning, ...]
    manager: str
    details: tuple[Detail, ...]
    more: int
    steps: int
    resource_version: int
    unwatched: bool

    @property
    def size(self) -> int:
        texts = sum(len(each.label) + len(each.old or "") + len(each.new or "") for each in self.details)
        return _ENTRY_OVERHEAD + _DETAIL_OVERHEAD * len(self.details) + texts

    @property
    def intended(self) -> bool:
        """Whether somebody wanted it: more than what a controller reports."""
        return self.type is not ChangeType.MODIFIED or any(
            each in (Meaning.IMAGE, Meaning.SCALE, Meaning.SPEC, Meaning.META) for each in self.meanings
        )

    @property
    def news(self) -> bool:
        """Whether it matters beyond its object: what somebody intended, or a condition or phase that turned."""
        return self.intended or any(
            each.meaning is Meaning.CONDITION and not each.label.endswith(_REASON) for each in self.details
        )


class Stretch(NamedTuple):
    """Seconds of the stores' clock about which nothing, or only the outcome, is known. skipped: they came too fast."""

    since: float
    until: float
    skipped: bool


@dataclass(slots=True)
class _Of:
    """What is kept of one object."""

    entries: deque[Entry] = field(default_factory=deque)
    forgotten: int = 0


@dataclass(slots=True)
class _Watched:
    """What is known of the watching of one store."""

    began: float | None = None
    left: float = 0.0  # when the store before the one that is followed now was last heard
    stretches: deque[Stretch] = field(default_factory=lambda: deque(maxlen=MOST_STRETCHES))


@dataclass(frozen=True, slots=True)
class Told:
    """The history of one object, newest first.

    began: since when its resource is watched, None before. forgotten: how many older entries were there.
    """

    entries: tuple[Entry, ...]
    stretches: tuple[Stretch, ...]
    began: float | None
    forgotten: int


def _nothing() -> None:
    """Where nobody wants to be woken."""


def _everything(key: ObjectKey, entry: Entry) -> bool:
    """Where nothing is left out."""
    return True


class History:
    """The changes of all objects that are followed."""

    def __init__(self, budget: int) -> None:
        """budget: bytes, over all objects."""
        self.budget = budget
        self.size = 0
        self.skipped = 0
        self._objects: dict[ObjectKey, _Of] = {}
        self._order: deque[tuple[ObjectKey, Entry]] = deque()  # oldest first; entries that are gone are passed over
        self._live: set[int] = set()  # ids of the entries that are kept
        self._pending: dict[ObjectKey, list[Change]] = {}
        self._pending_count = 0
        self._watched: dict[tuple[str, str], _Watched] = {}
        self.wake: Callable[[], None] = _nothing  # called when there is something to settle, and was nothing before

    def __len__(self) -> int:
        """How many entries are kept."""
        return len(self._live)

    @property
    def pending(self) -> int:
        """Changes noted and not looked at yet."""
        return self._pending_count

    # -- what is noted ----------------------------------------------------------------------------------

    def follow(self, resource: str, reader: Reader, namespace: str = "") -> Callable[[], None]:
        """Remember what changes in ``reader`` from now on, until the returned function is called.

        namespace: the one that the store holds, "" for all.
        """
        watched = self._watched.setdefault((resource, namespace), _Watched())
        if reader.synced and watched.began is None:
            watched.began = reader.phase_since
        leave_list = reader.on_list(partial(self._listed, watched))
        leave_changes = _nothing
        if resource not in UNTOLD:
            leave_changes = reader.on_change(partial(self._note, resource, watched))

        def leave() -> None:
            leave_list()
            leave_changes()
            watched.left = reader.heard

        return leave

    def _listed(self, watched: _Watched, since: float, until: float) -> None:
        if watched.began is None:
            watched.began = until
        elif since or watched.left:
            watched.stretches.append(Stretch(since or watched.left, until, skipped=False))
            watched.left = 0.0

    def _note(self, resource: str, watched: _Watched, change: Change) -> None:
        if self._pending_count >= MOST_PENDING:
            self._skip(watched, change.at)
            return
        state = change.state
        key = ObjectKey(resource, state.namespace, state.name)
        noted = self._pending.get(key)
        if noted is None:
            noted = self._pending[key] = []
        noted.append(change)
        self._pending_count += 1
        if self._pending_count == 1:
            self.wake()

    def _skip(self, watched: _Watched, at: float) -> None:
        self.skipped += 1
        stretches = watched.stretches
        if stretches and stretches[-1].skipped and at - stretches[-1].until < TOGETHER_SECONDS:
            stretches[-1] = stretches[-1]._replace(until=at)
        else:
            stretches.append(Stretch(at, at, skipped=True))

    # -- what it means ----------------------------------------------------------------------------------

    def settle(self, most: int = 1) -> bool:
        """Find out what the oldest ``most`` objects' noted changes mean; whether more are left."""
        for _ in range(most):
            if not self._pending:
                return False
            self._settle(next(iter(self._pending)))
        return bool(self._pending)

    def _settle(self, key: ObjectKey) -> None:
        noted = self._pending.pop(key, None)
        if noted is None:
            return
        self._pending_count -= len(noted)
        for change in noted:
            entry = entry_of(change)
            if entry is not None:
                self._keep(key, entry)

    def _keep(self, key: ObjectKey, entry: Entry) -> None:
        held = self._objects.get(key)
        if held is None:
            held = self._objects[key] = _Of()
        if held.entries and (joined := _joined(held.entries[-1], entry)) is not None:
            self._drop(held.entries.pop())
            if not joined.details and joined.type is ChangeType.MODIFIED:  # there and back again
                return
            entry = joined
        held.entries.append(entry)
        self._live.add(id(entry))
        self._order.append((key, entry))
        self.size += entry.size
        if len(held.entries) > MOST_PER_OBJECT:
            self._drop(_least(held.entries))
            held.forgotten += 1
        while self.size > self.budget and self._order:
            self._forget_oldest()
        if len(self._order) > 2 * len(self._live) + MOST_PER_OBJECT:
            self._order = deque(each for each in self._order if id(each[1]) in self._live)

    def _forget_oldest(self) -> None:
        key, entry = self._order.popleft()
        if id(entry) not in self._live:
            return
        held = self._objects[key]
        held.entries.remove(entry)
        held.forgotten += 1
        self._drop(entry)
        if not held.entries:
            del self._objects[key]

    def _drop(self, entry: Entry) -> None:
        self._live.discard(id(entry))
        self.size -= entry.size

    # -- what is told -----------------------------------------------------------------------------------

    def of(self, key: ObjectKey) -> Told:
        """All that is known of one object, as of now."""
        self._settle(key)
        held = self._objects.get(key)
        watched = self._watched.get((key.resource, key.namespace)) or self._watched.get((key.resource, ""))
        return Told(
            tuple(reversed(held.entries)) if held is not None else (),
            tuple(reversed(watched.stretches)) if watched is not None else (),
            watched.began if watched is not None else None,
            held.forgotten if held is not None else 0,
        )

    def last(self, key: ObjectKey) -> Entry | None:
        """The newest change that somebody intended."""
        self._settle(key)
        held = self._objects.get(key)
        return next((each for each in reversed(held.entries) if each.intended), None) if held is not None else None

    def recent(
        self, since: float, keep: Callable[[ObjectKey, Entry], bool] = _everything, most: int = MOST_RECENT
    ) -> list[tuple[ObjectKey, Entry]]:
        """The newest ``most`` entries that ``keep`` takes and that end after ``since``, newest first. Settle before."""
        found: list[tuple[ObjectKey, Entry]] = []
        for key, entry in reversed(self._order):
            if entry.until < since - TOGETHER_SECONDS or len(found) == most:
                break  # objects are looked at one after the other: their entries are nearly in order
            if entry.until >= since and id(entry) in self._live and keep(key, entry):
                found.append((key, entry))
        found.sort(key=lambda each: each[1].until, reverse=True)
        return found

    def began(self, resource: str) -> float | None:
        """Since when ``resource`` is watched (the stores' clock); None where it is not, or nothing is kept."""
        began = [watched.began for (name, _), watched in self._watched.items() if name == resource]
        return max((at for at in began if at is not None), default=None)


def _least(entries: deque[Entry]) -> Entry:
    """Take out the entry that is missed least: the oldest that only tells how far a rollout came, else the oldest."""
    for entry in entries:
        if not entry.intended:
            entries.remove(entry)
            return entry
    return entries.popleft()


def entry_of(change: Change) -> Entry | None:
    """What one change means; None where it means nothing."""
    new, old = change.state, change.old
    unwatched = change.gap is not None
    if change.type is not ChangeType.MODIFIED or old is None:
        manager = new.managers.writer(None) if new.managers is not None and old is None else ""
        return Entry(change.type, change.at, change.at, (), manager, (), 0, 1, change.resource_version, unwatched)
    found = compared(old, new)
    if not found.meanings:
        return None
    parts = (part for difference in found.differences for part in difference.parts)
    details = [each for part in parts if (each := _told(part)) is not None]
    details.sort(key=lambda each: _IMPORTANCE[each.meaning] if each.meaning is not None else len(_IMPORTANCE))
    return Entry(
        change.type,
        change.at,
        change.at,
        tuple(each for each in Meaning if each in found.meanings),
        _writer(old, new, found),
        tuple(details[:MOST_DETAILS]),
        max(0, len(details) - MOST_DETAILS),
        1,
        change.resource_version,
        unwatched,
    )


def _writer(old: Object, new: Object, found: Comparison) -> str:
    if new.managers is None:
        return ""
    return new.managers.writer(
        old.managers,
        status=found.meanings <= _OF_STATUS,
        scale=Meaning.SCALE in found.meanings,
        removed=all(each.new is Difference.ABSENT for each in found.differences),
    )


def _joined(before: Entry, after: Entry) -> Entry | None:
    """Two steps of a rollout, or an object's creation and its first steps, as one; None where they are apart."""
    created = before.type is ChangeType.ADDED
    if after.type is not ChangeType.MODIFIED or after.at - before.until > TOGETHER_SECONDS:
        return None
    if any(each.more or each.unwatched for each in (before, after)):
        return None
    if created:
        if not all(each.meaning in _OF_STATUS for each in after.details):
            return None
    elif before.type is not ChangeType.MODIFIED or not set(before.meanings) == set(after.meanings) == _STEPS_ONLY:
        return None
    details = {detail.label: detail for detail in before.details}
    for detail in after.details:
        held = details.get(detail.label)
        details[detail.label] = detail if held is None else held._replace(new=detail.new)
    if created:  # its conditions first, and of each how it stands
        for label in [each for each in details if each.endswith(_REASON)]:
            held = details.get(label.removesuffix(_REASON))
            if held is not None and held.old is None and held.new is not None:
                reason = details.pop(label).new
                status = held.new.partition(" (")[0]
                details[held.label] = held._replace(new=f"{status} ({reason})" if reason else status)
    kept = [each for each in details.values() if each.old != each.new]
    if created:
        kept.sort(key=lambda each: each.meaning is not Meaning.CONDITION)
    if len(kept) > MOST_DETAILS:
        return None
    return Entry(
        before.type,
        before.at,
        after.until,
        before.meanings,
        before.manager if created else after.manager,
        tuple(kept),
        0,
        before.steps + after.steps,
        after.resource_version,
        unwatched=False,
    )


# -- in words -------------------------------------------------------------------------------------------


def _told(difference: Difference) -> Detail | None:
    meanings = set(difference.meanings)
    if not meanings:
        return None
    meaning = min(meanings, key=_IMPORTANCE.__getitem__)
    old, new = difference.old, difference.new
    label, shown = _label(difference.steps)
    if not shown:
        return Detail(meaning, label, None, None)
    return Detail(meaning, label, _written(difference.steps, old), _written(difference.steps, new))


def _label(steps: tuple[Step, ...]) -> tuple[str, bool]:
    """What a path is called, and whether its values are told: those of env are not, they are often secrets."""
    rest = steps[3:] if steps[:3] == ("spec", "template", "spec") else steps[1:] if len(steps) > 1 else steps
    where = ""
    if len(rest) > 1 and rest[0] in _CONTAINERS and isinstance(rest[1], Item):
        where = f"{'container' if rest[0] == 'containers' else rest[0]} {rest[1].value}"
        rest = rest[2:]
    if rest and rest[0] in ("env", "envFrom") and where:
        name = f" {rest[1].value}" if len(rest) > 1 and isinstance(rest[1], Item) else ""
        return f"{where}: {rest[0]}{name}", False
    match rest:
        case ["conditions", Item(_, type_), *inner]:
            where, rest = str(type_), tuple(each for each in inner if each != "status")
        case ["labels" | "annotations" as field_, str() as name, *_]:
            where, rest = f"{field_[:-1]} {name}", ()
        case [str() as field_, Item(_, container), *inner] if field_.endswith("Statuses"):
            where, rest = f"container {container}", tuple(inner)
        case _:
            pass
    path = Difference(rest, None, None).path.removeprefix(".")
    return _cut(": ".join(filter(None, (where, path))) or Difference(steps, None, None).path), True


def _written(steps: tuple[Step, ...], value: Any) -> str | None:
    if value is Difference.ABSENT:
        return None
    if isinstance(value, dict) and len(steps) > 1:
        if steps[-2] in _CONTAINERS:
            return _cut(str(value.get("image", "")))
        if steps[-2] == "conditions":
            reason = value.get("reason")
            return _cut(f"{value.get('status', '')} ({reason})" if reason else str(value.get("status", "")))
    return _cut(value if isinstance(value, str) else orjson.dumps(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
