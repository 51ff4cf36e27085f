"""A store: one Writer (the reflector), any number of Readers (everyone else).

A relist is collected beside what is held and published in one step, as a diff in the journal, so that
readers keep their streams; until then the previous complete state is served. Only a rollback, the loss of
the resource or of the right to read it ends the readers.

Nothing here waits, reads a clock or does I/O: the clock is handed in, and whoever wants to wait registers
a callback (serve/waiting.py makes futures of them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import assert_never

from kubemirror.errors import (
    DeniedError,
    ExpiredError,
    ForbiddenError,
    GoneError,
    NotSyncedError,
    StreamEndedError,
)
from kubemirror.state.events import (
    Apply,
    Bookmark,
    Columns,
    Delete,
    Event,
    Init,
    InitApply,
    InitDelete,
    InitDone,
    Phase,
    PhaseChange,
)
from kubemirror.state.journal import EVERYTHING, Change, ChangeType, Interest, Journal, Position
from kubemirror.state.objects import Blank, Key, Object
from kubemirror.state.statistics import ReflectorStatistics

# Five minutes, as etcd's default compaction keeps: a reader that was away for less resumes without a list.
JOURNAL_WINDOW_SECONDS = 300.0
# The larger of this and half the store's bytes: bounds what churn may cost, and wins over the window.
JOURNAL_LEAST_BYTES = 64 * 1024 * 1024
DIGEST_MODULUS = 1 << 128


def identity_digest(uid: str, resource_version: int) -> int:
    """What one object adds (mod 2**128) to a store's digest; the same on every replica."""
    return int.from_bytes(blake2b(f"{uid}/{resource_version}".encode(), digest_size=16).digest(), "big")


class _Namespace:
    """The objects of one namespace, with what is kept incrementally about them."""

    __slots__ = ("digest", "objects", "ordered", "size", "version")

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.ordered: tuple[Object, ...] | None = None
        self.digest = 0
        self.size = 0
        self.version = 0

    def put(self, new: Object) -> None:
        old = self.objects.get(new.name)
        if old is not None:
            self._forget(old)
        self.objects[new.name] = new
        self.digest = (self.digest + identity_digest(new.uid, new.resource_version)) % DIGEST_MODULUS
        self.size += new.size
        self.ordered = None

    def drop(self, name: str) -> None:
        self._forget(self.objects.pop(name))
        self.ordered = None

    def in_order(self) -> tuple[Object, ...]:
        if self.ordered is None:
            self.ordered = tuple(self.objects[name] for name in sorted(self.objects))
        return self.ordered

    def _forget(self, old: Object) -> None:
        self.digest = (self.digest - identity_digest(old.uid, old.resource_version)) % DIGEST_MODULUS
        self.size -= old.size


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What a store (or one of its namespaces) held at one moment; never changes.

    objects: in upstream's order, by storage key namespace/name bytewise.
    version: equal versions of equal stores mean equal snapshots; moves only when the content changes.
    """

    objects: tuple[Object, ...]
    resource_version: int
    version: int


class _Store:
    def __init__(self, clock: Callable[[], float], window: float, least_budget: int) -> None:
        self.clock = clock
        self.window = window
        self.least_budget = least_budget
        self.namespaces: dict[str, _Namespace] = {}
        self.ordered: tuple[Object, ...] | None = None
        self.ordered_namespaces: tuple[str, ...] | None = None
        self.count = 0
        self.version = 0
        self.epoch = 0
        self.columns = b""
        self.columns_version = 0
        self.columns_since = 0
        self.warning = ""
        self.blank = Blank()
        self.synced_once = False
        self.phase = Phase.INIT
        self.reason = ""
        self.phase_since = clock()
        self.heard = 0.0
        self.journal = Journal(0, window=window, budget=least_budget)
        self.listeners: dict[object, Callable[[], None]] = {}
        self.changed: dict[object, Callable[[Change], None]] = {}
        self.listed: dict[object, Callable[[float, float], None]] = {}
        self.statistics = ReflectorStatistics()

    @property
    def size(self) -> int:
        return sum(space.size for space in self.namespaces.values())

    def notify(self) -> None:
        for listener in list(self.listeners.values()):
            listener()


class Reader:
    """All that anyone but the reflector may do with a store."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    # -- where it stands ------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        return self._store.phase

    @property
    def reason(self) -> str:
        """Why the phase is what it is; one line, "" when SYNCED."""
        return self._store.reason

    @property
    def phase_since(self) -> float:
        """Store-clock seconds of the last change of phase."""
        return self._store.phase_since

    @property
    def heard(self) -> float:
        """Store-clock seconds when upstream last said something (an event or a bookmark); 0 if never."""
        return self._store.heard

    @property
    def synced(self) -> bool:
        """Whether the store has been complete once: it then always shows a complete state."""
        return self._store.synced_once

    @property
    def resource_version(self) -> int:
        """Everything up to here is in the store."""
        return self._store.journal.resource_version

    @property
    def epoch(self) -> int:
        """Counts rollbacks: resourceVersions of different epochs cannot be compared."""
        return self._store.epoch

    @property
    def statistics(self) -> ReflectorStatistics:
        """What the reflector counted; for metrics and /-/status."""
        return self._store.statistics

    def require_served(self) -> None:
        """Raise what a request for this store must be answered with where it cannot be served at all.

        NotSyncedError (never complete), ForbiddenError (refused to us), GoneError (not there any more).
        """
        store = self._store
        if store.phase is Phase.FORBIDDEN:
            raise ForbiddenError(store.reason)
        if store.phase is Phase.GONE:
            raise GoneError(store.reason)
        if not store.synced_once:
            raise NotSyncedError(store.reason or "the first list is not complete yet")

    # -- what it holds --------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._store.count

    @property
    def size(self) -> int:
        """Bytes of raw objects and cells held."""
        return self._store.size

    @property
    def columns(self) -> bytes:
        """columnDefinitions of the cells, as JSON; b"" where upstream has no Tables."""
        return self._store.columns

    @property
    def columns_since(self) -> int:
        """The resourceVersion at which the columns became what they are; 0 where they have never been others.

        What the journal has of earlier objects was printed under the columns before.
        """
        return self._store.columns_since

    @property
    def warning(self) -> str:
        """Upstream's Warning header with this resource, as it came: that its version is deprecated. "" for none."""
        return self._store.warning

    @property
    def blank(self) -> Blank:
        """What upstream writes this resource's bookmarks on; empty until one came."""
        return self._store.blank

    @property
    def columns_version(self) -> int:
        """Moves when the columnDefinitions change: such a change has no resourceVersion."""
        return self._store.columns_version

    def version(self, namespace: str | None = None) -> int:
        """Moves whenever the content (of one namespace) changes, never otherwise. What caches key on."""
        if namespace is None:
            return self._store.version
        space = self._store.namespaces.get(namespace)
        return space.version if space is not None else 0

    def digest(self, namespace: str | None = None) -> int:
        """Sum mod 2**128 of identity_digest over (uid, RV): equal on all replicas for equal content."""
        spaces = self._spaces(namespace)
        return sum(space.digest for space in spaces) % DIGEST_MODULUS

    def count(self, namespace: str) -> int:
        space = self._store.namespaces.get(namespace)
        return len(space.objects) if space is not None else 0

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Namespaces that hold objects, in storage order; ("",) for a cluster-scoped resource with objects."""
        store = self._store
        if store.ordered_namespaces is None:
            # Storage keys are "namespace/name": "a-b/x" comes before "a/x", because "-" is below "/".
            store.ordered_namespaces = tuple(sorted(store.namespaces, key=lambda name: name + "/"))
        return store.ordered_namespaces

    def get(self, name: str, namespace: str = "") -> Object | None:
        space = self._store.namespaces.get(namespace)
        return space.objects.get(name) if space is not None else None

    def snapshot(self, namespace: str | None = None) -> Snapshot:
        """What is held now; shared by all who ask at the same version."""
        store = self._store
        if namespace is not None:
            space = store.namespaces.get(namespace)
            objects = space.in_order() if space is not None else ()
            return Snapshot(objects, self.resource_version, space.version if space is not None else 0)
        if store.ordered is None:
            ordered: list[Object] = []
            for name in self.namespaces:
                ordered.extend(store.namespaces[name].in_order())
            store.ordered = tuple(ordered)
        return Snapshot(store.ordered, self.resource_version, store.version)

    # -- what changes ---------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The journal of the current epoch; read-only for readers but for their own positions."""
        return self._store.journal

    def subscribe(self, resource_version: int, wake: Callable[[], None], interest: Interest = EVERYTHING) -> Position:
        """A position right after ``resource_version``, for a reader that resumes.

        Raises ExpiredError for an RV that cannot be resumed, ForbiddenError, GoneError, NotSyncedError.
        """
        self.require_served()
        return self._store.journal.subscribe(resource_version, wake, interest)

    def follow(self, wake: Callable[[], None], interest: Interest = EVERYTHING) -> Position:
        """A position right after the snapshot that is taken now, with no await between.

        Raises ForbiddenError, GoneError, NotSyncedError.
        """
        self.require_served()
        return self._store.journal.follow(wake, interest)

    def on_progress(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` whenever RV or phase moved, until the returned function is called."""
        token = object()
        self._store.listeners[token] = listener
        return lambda: self._store.listeners.pop(token, None) and None

    def on_change(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``listener`` with each change as it is written; for catalog following and derived views."""
        token = object()
        self._store.changed[token] = listener
        return lambda: self._store.changed.pop(token, None) and None

    def on_list(self, listener: Callable[[float, float], None]) -> Callable[[], None]:
        """Call ``listener`` when a list is published, with the store-clock seconds between which nothing was watched.

        The first of them is 0 for the first list ever.
        """
        token = object()
        self._store.listed[token] = listener
        return lambda: self._store.listed.pop(token, None) and None

    def _spaces(self, namespace: str | None) -> Iterable[_Namespace]:
        if namespace is None:
            return self._store.namespaces.values()
        space = self._store.namespaces.get(namespace)
        return () if space is None else (space,)


class Writer:
    """The only one who changes a store; give it to one reflector and to no one else."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        journal_window: float = JOURNAL_WINDOW_SECONDS,
        journal_least_bytes: int = JOURNAL_LEAST_BYTES,
    ) -> None:
        """clock: monotonic seconds. journal_window: seconds. journal_least_bytes: see the module constants."""
        self._store = _Store(clock, journal_window, journal_least_bytes)
        self._buffer: dict[str, _Namespace] | None = None
        self._heard_before = 0.0  # when upstream was last heard before the list that is arriving
        self.reader = Reader(self._store)
        self.statistics = self._store.statistics

    def handle(self, event: Event) -> None:
        """Take one reflector event into the store: one synchronous step, journal and readers included."""
        store = self._store
        now = store.clock()
        match event:
            case Apply(new):
                store.heard = now
                self._apply(new, now)
            case Delete(final):
                store.heard = now
                self._delete(final, now)
            case Bookmark(resource_version, gap):
                store.heard = now
                store.journal.close_gap(resource_version)
                if gap:
                    store.journal.open_gap()
                store.journal.budget = self._budget()
                store.journal.trim(now)
            case Init():
                self._buffer = {}
                self._heard_before = store.heard
            case InitApply(new):
                store.heard = now
                self._collect(new)
                return  # not visible yet: nobody to notify
            case InitDelete(final):
                store.heard = now
                self._collect_deletion(final)
                return
            case InitDone(resource_version, rollback):
                store.heard = now
                self._publish(resource_version, now, rollback=rollback)
            case Columns(definitions):
                if definitions != store.columns:
                    if store.columns:
                        store.columns_since = store.journal.resource_version
                    store.columns = definitions
                    store.columns_version += 1
                    store.version += 1
                    for space in store.namespaces.values():
                        space.version += 1
            case PhaseChange(phase, reason):
                self._enter(phase, reason, now)
            case _:
                assert_never(event)
        store.notify()

    def warn(self, warning: str) -> None:
        """What upstream's Warning header says of the resource, "" for nothing."""
        if warning != self._store.warning:
            self._store.warning = warning
            self._store.notify()

    def learn(self, blank: Blank) -> None:
        """What a bookmark of upstream's was written on."""
        self._store.blank = blank

    def refresh_cells(self, cells: Mapping[Key, Object]) -> None:
        """Replace objects by equal versions with newer cells, after their columns changed; no journal record.

        An object that moved on meanwhile (another resourceVersion) keeps its own.
        """
        store = self._store
        for key, new in cells.items():
            space = store.namespaces.get(key.namespace)
            held = space.objects.get(key.name) if space is not None else None
            if space is not None and held is not None and held.resource_version == new.resource_version:
                space.put(new)
                space.version += 1
        store.ordered = None
        store.version += 1
        store.notify()

    def compact(self, resource_version: int) -> None:
        """Forget the journal up to here, as etcd's compaction does (the demo cluster's fault switch)."""
        self._store.journal.forget(resource_version)

    def supersede(self, reason: str) -> None:
        """End this store because another takes its place: the resource is now mirrored otherwise.

        Its readers start over (410) and are told of no deletions: the objects live on in the other store.
        """
        store = self._store
        resource_version = store.journal.resource_version
        store.phase, store.reason, store.phase_since = Phase.GONE, reason, store.clock()
        self._end(ExpiredError(resource_version, resource_version))
        store.notify()

    # -- one change -----------------------------------------------------------------------------------

    def _apply(self, new: Object, now: float) -> None:
        held = self.reader.get(new.name, new.namespace)
        if held is not None and held.uid == new.uid and new.resource_version <= held.resource_version:
            return  # a duplicate, or older than what is held (F19, F20)
        if held is not None and held.uid != new.uid:
            self._replace(held, new, now)
            return
        self._put(new)
        self._write(ChangeType.MODIFIED if held is not None else ChangeType.ADDED, new, held, now)

    def _replace(self, held: Object, new: Object, now: float) -> None:
        """Deleted and created again, and the deletion was not told: two objects, so two changes, over a gap."""
        journal = self._store.journal
        closed = not journal.gap_is_open
        journal.open_gap()
        self._write(ChangeType.DELETED, held, held, now)
        self._put(new)
        self._write(ChangeType.ADDED, new, None, now)
        if closed:
            journal.close_gap(new.resource_version)

    def _delete(self, final: Object, now: float) -> None:
        held = self.reader.get(final.name, final.namespace)
        if held is None or held.uid != final.uid:
            return
        if final.resource_version <= self._store.journal.resource_version:
            # Upstream is a mirror that relisted: what it tells now is the outcome of its own gap.
            self._store.journal.open_gap()
        self._drop(held)
        self._write(ChangeType.DELETED, final, held, now)

    def _write(self, type_: ChangeType, changed: Object, old: Object | None, now: float) -> None:
        """One record; ``changed`` is ``old`` for a deletion that upstream has told no last state of."""
        journal = self._store.journal
        cursor = max(changed.resource_version, journal.resource_version)
        change = Change(type_, cursor, changed, old, now, journal.gaps[-1] if journal.gap_is_open else None)
        journal.append(change)
        for listener in list(self._store.changed.values()):
            listener(change)

    def _write_all(self, changes: list[Change]) -> None:
        self._store.journal.extend(changes)
        for listener in list(self._store.changed.values()):
            for change in changes:
                listener(change)

    def _put(self, new: Object) -> None:
        store = self._store
        space = store.namespaces.get(new.namespace)
        if space is None:
            space = store.namespaces[new.namespace] = _Namespace()
            space.version = store.version
            store.ordered_namespaces = None
        if new.name not in space.objects:
            store.count += 1
        space.put(new)
        self._touch(space)

    def _drop(self, held: Object) -> None:
        store = self._store
        space = store.namespaces[held.namespace]
        space.drop(held.name)
        store.count -= 1
        self._touch(space)
        if not space.objects:
            del store.namespaces[held.namespace]
            store.ordered_namespaces = None

    def _touch(self, space: _Namespace) -> None:
        store = self._store
        store.version += 1
        space.version = store.version
        store.ordered = None

    # -- a list ---------------------------------------------------------------------------------------

    def _collect(self, new: Object) -> None:
        if self._buffer is None:
            raise RuntimeError("InitApply without Init: the reflector broke its contract")
        held = self.reader.get(new.name, new.namespace)
        if (
            held is not None
            and held.uid == new.uid
            and held.resource_version == new.resource_version
            and held.cells == new.cells
            and held.raw == new.raw  # after a rollback upstream may give the same RV to another content
        ):
            new = held  # the same version: one copy in memory, and nothing to tell
        space = self._buffer.get(new.namespace)
        if space is None:
            space = self._buffer[new.namespace] = _Namespace()
        collected = space.objects.get(new.name)
        if collected is not None and collected.uid == new.uid and collected.resource_version > new.resource_version:
            return  # a streamed list told the newer version first
        space.put(new)

    def _collect_deletion(self, final: Object) -> None:
        if self._buffer is None:
            raise RuntimeError("InitDelete without Init: the reflector broke its contract")
        space = self._buffer.get(final.namespace)
        collected = space.objects.get(final.name) if space is not None else None
        if space is not None and collected is not None and collected.uid == final.uid:
            space.drop(final.name)
            if not space.objects:
                del self._buffer[final.namespace]

    def _publish(self, resource_version: int, now: float, *, rollback: bool) -> None:
        store = self._store
        if self._buffer is None:
            raise RuntimeError("InitDone without Init: the reflector broke its contract")
        before, after = store.namespaces, self._buffer
        self._buffer = None
        fresh = not store.synced_once
        store.namespaces = after
        store.count = sum(len(space.objects) for space in after.values())
        store.ordered = None
        store.ordered_namespaces = None
        if fresh or rollback:
            store.version += 1
            for space in after.values():
                space.version = store.version
            ended = store.journal
            store.journal = Journal(resource_version, window=store.window, budget=self._budget())
            if rollback:
                store.epoch += 1
                ended.finish(ExpiredError(ended.resource_version, resource_version))
        else:
            self._publish_diff(before, after, resource_version, now)
            store.journal.budget = self._budget()
            store.journal.trim(now)
        store.synced_once = True
        for listener in list(store.listed.values()):
            listener(self._heard_before, now)

    def _publish_diff(
        self, before: dict[str, _Namespace], after: dict[str, _Namespace], resource_version: int, now: float
    ) -> None:
        store = self._store
        journal = store.journal
        low = journal.resource_version
        deleted: list[Object] = []
        changed: list[tuple[Object, Object | None]] = []
        for name, space in after.items():
            old_space = before.get(name)
            touched = old_space is None
            kept = 0
            for new in space.objects.values():
                old = old_space.objects.get(new.name) if old_space is not None else None
                kept += old is not None
                if old is new:
                    continue
                touched = True
                if old is not None and old.uid == new.uid and old.resource_version == new.resource_version:
                    continue  # only its cells were printed anew
                if old is not None and old.uid != new.uid:
                    deleted.append(old)
                    old = None
                changed.append((new, old))
            if old_space is not None:
                if kept < len(old_space.objects):
                    deleted += [old for old in old_space.objects.values() if old.name not in space.objects]
                    touched = True
                space.version = old_space.version
            if touched:
                store.version += 1
                space.version = store.version
        for name, old_space in before.items():
            if name not in after:
                deleted += old_space.objects.values()
                store.version += 1
        journal.open_gap()
        gap = journal.gaps[-1]
        # What a list shows was there before its own resourceVersion; cursors never decrease, whatever it shows.
        changed.sort(key=lambda pair: pair[0].resource_version)
        added, modified = ChangeType.ADDED, ChangeType.MODIFIED
        changes = [Change(ChangeType.DELETED, low, old, old, now, gap) for old in deleted]
        changes += [
            Change(modified if old is not None else added, max(new.resource_version, low), new, old, now, gap)
            for new, old in changed
        ]
        self._write_all(changes)
        journal.close_gap(resource_version)

    def _budget(self) -> int:
        return max(self._store.least_budget, self._store.size // 2)

    # -- phases ---------------------------------------------------------------------------------------

    def _enter(self, phase: Phase, reason: str, now: float) -> None:
        store = self._store
        store.reason = reason
        if phase is store.phase:
            return
        store.phase, store.phase_since = phase, now
        if phase is Phase.FORBIDDEN:
            self._end(DeniedError(reason))
        elif phase is Phase.GONE:
            self._tell_deletions(now)
            self._end(GoneError(reason))

    def _tell_deletions(self, now: float) -> None:
        store = self._store
        held = [each for space in store.namespaces.values() for each in space.objects.values()]
        last = max([store.journal.resource_version, *(each.resource_version for each in held)])
        store.namespaces, store.count = {}, 0
        store.ordered, store.ordered_namespaces = None, None
        store.version += 1
        self._write_all([Change(ChangeType.DELETED, last, each, each, now) for each in held])

    def _end(self, reason: StreamEndedError) -> None:
        """End the readers and hold nothing any more; a later list starts a new journal."""
        store = self._store
        store.journal.finish(reason)
        store.namespaces = {}
        store.ordered = None
        store.ordered_namespaces = None
        store.count = 0
        store.version += 1
        store.synced_once = False
        self._buffer = None
