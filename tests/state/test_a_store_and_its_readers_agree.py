"""Whatever is written, in whatever order: the store equals a plain dict, and so does every reader's replay."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kubemirror.errors import ExpiredError
from kubemirror.state.events import Bookmark
from kubemirror.state.journal import Change, Interest, Position
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import Reader, identity_digest
from tests.state.building import Clock, applied, deleted, listed, made, nothing, writer

NAMESPACES = st.sampled_from(["a", "a-b", "b"])
NAMES = st.sampled_from(["x", "y", "z"])
LABELS = st.sampled_from([None, {"app": "web"}, {"app": "db", "tier": "back"}])


@dataclass
class Replay:
    """A client: a copy built from a snapshot and what its position tells afterwards."""

    interest: Interest
    position: Position
    objects: dict[Key, Object]
    cursor: int
    told: list[Change] = field(default_factory=list)

    def matches(self, held: Object) -> bool:
        namespace, name, label = self.interest
        return (
            (namespace is None or held.namespace == namespace)
            and (name is None or held.name == name)
            and (label is None or held.labels.get(label[0]) == label[1])
        )

    def catch_up(self, limit: int) -> None:
        while changes := self.position.read(limit):
            for change in changes:
                assert change.resource_version >= self.cursor, "a step back"
                self.cursor = change.resource_version
                self._apply(change)

    def _apply(self, change: Change) -> None:
        key = change.object.key
        before = change.old is not None and self.matches(change.old)
        after = change.new is not None and self.matches(change.new)
        if before:
            assert key in self.objects, "told of a change of something never told"
            assert change.old is not None
            assert self.objects[key].resource_version == change.old.resource_version, "something was missed"
        if after:
            self.objects[key] = change.object
        elif before:
            del self.objects[key]


class StoreMachine(RuleBasedStateMachine):
    """The writer does what reflectors do; readers come, read at their own pace, leave and resume."""

    readers = Bundle("readers")

    @initialize(budget=st.sampled_from([2_000, 1_000_000]))
    def begin(self, budget: int) -> None:
        self.clock = Clock()
        self.store = writer(self.clock, journal_least_bytes=budget)
        self.model: dict[Key, Object] = {}
        self.resource_version = 10
        listed(self.store, self.resource_version)

    @property
    def reader(self) -> Reader:
        return self.store.reader

    def _next(self) -> int:
        self.resource_version += 1
        return self.resource_version

    @rule(namespace=NAMESPACES, name=NAMES, labels=LABELS)
    def apply(self, namespace: str, name: str, labels: dict[str, str] | None) -> None:
        key = Key(namespace, name)
        uid = self.model[key].uid if key in self.model else f"uid-{self.resource_version}"
        new = made(name, self._next(), namespace=namespace, uid=uid, labels=labels)
        self.model[key] = new
        applied(self.store, new)

    @rule(namespace=NAMESPACES, name=NAMES)
    def delete(self, namespace: str, name: str) -> None:
        held = self.model.pop(Key(namespace, name), None)
        resource_version = self._next()
        if held is not None:
            deleted(self.store, made(name, resource_version, namespace=namespace, uid=held.uid))

    @rule()
    def repeat_an_old_event(self) -> None:
        for held in list(self.model.values())[:1]:
            applied(self.store, held)

    @rule(seconds=st.sampled_from([1, 200]))
    def bookmark(self, seconds: int) -> None:
        self.clock.now += seconds
        self.store.handle(Bookmark(self._next()))

    @rule(
        changes=st.lists(st.tuples(NAMESPACES, NAMES, st.sampled_from(["apply", "delete", "recreate"])), max_size=6),
        lost=st.booleans(),
    )
    def relist(self, changes: list[tuple[str, str, str]], lost: bool) -> None:
        """Things happen while nobody watches; then there is a list."""
        for namespace, name, what in changes:
            key = Key(namespace, name)
            held = self.model.pop(key, None)
            resource_version = self._next()
            if what == "apply" or (what == "recreate" and held is not None):
                uid = held.uid if held is not None and what == "apply" else f"uid-{resource_version}"
                self.model[key] = made(name, resource_version, namespace=namespace, uid=uid)
        listed(self.store, self._next() if lost or changes else self.resource_version, *self.model.values())

    @rule(
        target=readers,
        interest=st.sampled_from(
            [Interest(), Interest("a"), Interest("b", "x"), Interest(None, "y"), Interest(label=("app", "web"))]
        ),
    )
    def arrive(self, interest: Interest) -> Replay:
        position = self.reader.follow(nothing, interest)
        replay = Replay(interest, position, {}, self.reader.resource_version)
        replay.objects = {each.key: each for each in self.reader.snapshot().objects if replay.matches(each)}
        return replay

    @rule(target=readers, replay=consumes(readers), limit=st.integers(1, 5))
    def read(self, replay: Replay, limit: int) -> Replay:
        try:
            replay.catch_up(limit)
        except ExpiredError:
            replay.position.close()
            return self.arrive(replay.interest)
        expected = {key: each for key, each in self.model.items() if replay.matches(each)}
        assert {key: each.resource_version for key, each in replay.objects.items()} == {
            key: each.resource_version for key, each in expected.items()
        }
        assert replay.position.resource_version == self.reader.resource_version
        return replay

    @rule(target=readers, replay=consumes(readers))
    def reconnect(self, replay: Replay) -> Replay:
        """Leave, and resume at what was promised: nothing between may be lost."""
        resource_version = replay.position.resource_version
        replay.position.close()
        try:
            position = self.reader.subscribe(resource_version, nothing, replay.interest)
        except ExpiredError:
            return self.arrive(replay.interest)
        again = Replay(replay.interest, position, replay.objects, resource_version)
        # Deletions of a relist may be told again (and then there is nothing to delete): the one double allowed.
        for gap in self.reader.journal.gaps:
            if gap.low == resource_version:
                return self.arrive(replay.interest)
        return again

    @invariant()
    def the_store_is_the_model(self) -> None:
        held = {each.key: each.resource_version for each in self.reader.snapshot().objects}
        assert held == {key: each.resource_version for key, each in self.model.items()}
        expected = sum(identity_digest(each.uid, each.resource_version) for each in self.model.values()) % (1 << 128)
        assert self.reader.digest() == expected
        assert len(self.reader) == len(self.model)
        assert self.reader.size == sum(self.reader.get(*reversed(key)).size for key in self.model)  # type: ignore[union-attr]

    @invariant()
    def cursors_never_decrease(self) -> None:
        cursors = [change.resource_version for change in self.reader.journal]
        assert cursors == sorted(cursors)
        assert self.reader.journal.size >= 0

    @invariant()
    def namespaces_are_those_that_hold_something(self) -> None:
        assert set(self.reader.namespaces) == {key.namespace for key in self.model}


StoreMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("KUBEMIRROR_SEEDS", "100")), stateful_step_count=50
)
TestStore = StoreMachine.TestCase
