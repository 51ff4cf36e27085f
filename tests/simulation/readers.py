"""Readers of the journal that write down everything they are told, and what must hold of it.

The rules are those of etcd's robustness tests (Ordered, Unique, Reliable, Resumable, Bookmarkable, Filter),
for readers with and without a selector. Where the store lists again, single steps are not known: there the
rules hold per object, and the outcome must be the store's.
"""

from __future__ import annotations

import asyncio
from random import Random

from kubemirror.errors import ExpiredError, StoreError, StreamEndedError
from kubemirror.state.journal import Change, ChangeType, Interest, Position
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import Reader


class RecordingReader:
    """Follows a store as a client would: a snapshot, then changes; resumes, and starts over when told to."""

    def __init__(
        self, reader: Reader, random: Random, *, color: str | None = None, namespace: str | None = None
    ) -> None:
        self.reader = reader
        self.random = random
        self.color = color
        self.namespace = namespace
        self.view: dict[Key, Object] = {}
        self.problems: list[str] = []
        # A restored server whose RV has overtaken ours looks like any other to a mirror that was away meanwhile:
        # what was deleted may be back, unchanged, and nothing tells it from a deletion told wrongly.
        self.time_went_back = False
        self.changes = 0
        self.restarts = 0
        self.resumes = 0
        self._position: Position | None = None
        self._cursor = 0
        self._resumed = -1
        self._epoch = 0
        self._told: dict[str, int] = {}  # uid -> RV told last
        self._gone: set[str] = set()
        self._woken = asyncio.Event()

    def matches(self, found: Object | None) -> bool:
        return (
            found is not None
            and (self.namespace is None or found.namespace == self.namespace)
            and (self.color is None or found.labels.get("color") == self.color)
        )

    @property
    def expected(self) -> dict[Key, tuple[str, int]]:
        return {
            found.key: (found.uid, found.resource_version)
            for found in self.reader.snapshot().objects
            if self.matches(found)
        }

    async def run(self) -> None:
        while True:
            if self._position is None:
                try:
                    self._start()
                except StoreError:
                    await asyncio.sleep(1.0)
                    continue
            await self._woken.wait()
            if self.random.random() < 0.2:
                await asyncio.sleep(self.random.choice([0.1, 5.0, 100.0]))
            self._woken.clear()
            if self.random.random() < 0.05:
                self._resume()
            self.drain()

    def drain(self) -> None:
        """Read everything there is."""
        try:
            while self._position is not None and self._position.pending:
                for change in self._position.read(self.random.randint(1, 20)):
                    self._take(change)
        except StreamEndedError:
            self._leave()
        if self._position is not None:
            if self._position.resource_version < self._cursor:
                self.problems.append(f"the bookmark steps back: {self._cursor} -> {self._position.resource_version}")
            self._cursor = max(self._cursor, self._position.resource_version)

    def _start(self) -> None:
        self.reader.require_served()
        snapshot = self.reader.snapshot()
        self.view = {found.key: found for found in snapshot.objects if self.matches(found)}
        self._told = {found.uid: found.resource_version for found in self.view.values()}
        self._gone = set()
        self._cursor = snapshot.resource_version
        self._resumed = -1
        self._position = self.reader.follow(self._woken.set, self._interest)
        self._epoch = self.reader.epoch
        self.restarts += 1

    def _resume(self) -> None:
        """The connection breaks, and the client comes back with the RV it heard last."""
        if self._position is None:
            return
        if self.reader.epoch != self._epoch:
            return  # time went back: the stream says so, and a client must not ask for the old RV any more
        cursor = self._position.resource_version
        self._leave()
        try:
            self._position = self.reader.subscribe(cursor, self._woken.set, self._interest)
        except ExpiredError:
            return
        except StoreError:
            return
        self._cursor = cursor
        self._resumed = cursor
        self.resumes += 1
        if self._position.pending:
            self._woken.set()

    @property
    def _interest(self) -> Interest:
        return Interest(self.namespace, None, None if self.color is None else ("color", self.color))

    def _leave(self) -> None:
        if self._position is not None:
            self._position.close()
        self._position = None

    def _take(self, change: Change) -> None:
        if change.resource_version < self._cursor:
            self.problems.append(f"a step back: {change.resource_version} after {self._cursor}")
        self._cursor = max(self._cursor, change.resource_version)
        was, is_ = self.matches(change.old), self.matches(change.new)
        if not (was or is_):
            return
        self.changes += 1
        changed = change.object
        uid, key = changed.uid, changed.key
        # Resuming at the RV before a gap replays the gap: the one double that is allowed.
        again = change.resource_version == self._resumed
        if is_:
            if again:
                self.view[key] = changed
                self._told[uid] = changed.resource_version
                return
            if self.time_went_back and uid in self._gone:
                self._told.pop(uid, None)
                self._gone.discard(uid)
            if uid in self._gone and uid in self._told and change.resource_version <= self._told[uid]:
                self.problems.append(f"{key} comes back: {change.type}")
            held = self.view.get(key)
            if was and (held is None or held.uid != uid):
                self.problems.append(f"{key} changes at {change.resource_version}, and was not there (a gap)")
            if not was and held is not None:
                self.problems.append(f"{key} is added at {change.resource_version}, and was there (a gap)")
            if changed.resource_version <= self._told.get(uid, 0):
                self.problems.append(f"{key} told twice: {changed.resource_version} after {self._told[uid]}")
            self._told[uid] = changed.resource_version
            self._gone.discard(uid)
            self.view[key] = changed
            return
        held = self.view.pop(key, None)
        if held is None and not again:
            self.problems.append(
                f"{key} is deleted at {change.resource_version}, and was not there (a gap or a double)"
            )
        if change.type is ChangeType.DELETED:
            self._gone.add(uid)
