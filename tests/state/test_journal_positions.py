"""A reader is a position: it hears every change after it once, and falls off the end instead of missing one."""

from __future__ import annotations

import pytest

from kubemirror.errors import DeniedError, ExpiredError, GoneError
from kubemirror.state.events import Bookmark, Phase, PhaseChange
from kubemirror.state.journal import Interest, Position
from tests.state.building import Clock, applied, deleted, listed, made, nothing, told, writer


def test_a_reader_hears_what_came_after_its_resource_version() -> None:
    store = writer()
    listed(store, 10, made("a", 5))
    applied(store, made("a", 11), made("b", 12))

    late = store.reader.subscribe(11, nothing)
    early = store.reader.subscribe(10, nothing)

    assert told(late.read()) == [("ADDED", "b", 12)]
    assert told(early.read()) == [("MODIFIED", "a", 11), ("ADDED", "b", 12)]
    assert late.read() == []


def test_a_reader_is_woken_once_until_it_reads() -> None:
    store = writer()
    listed(store, 10)
    woken: list[str] = []
    position = store.reader.subscribe(10, lambda: woken.append("woken"))

    applied(store, made("a", 11), made("b", 12))
    assert woken == ["woken"]

    position.read()
    applied(store, made("c", 13))
    assert woken == ["woken", "woken"]


def test_reading_in_pieces_loses_nothing() -> None:
    store = writer()
    listed(store, 10)
    position = store.reader.subscribe(10, nothing)
    applied(store, *(made(f"o{number}", 11 + number) for number in range(7)))

    pieces = [position.read(3), position.read(3), position.read(3), position.read(3)]

    assert [len(piece) for piece in pieces] == [3, 3, 1, 0]
    assert [change.resource_version for piece in pieces for change in piece] == list(range(11, 18))


@pytest.mark.parametrize(
    ("interest", "heard"),
    [
        (Interest(), ["a", "b", "c"]),
        (Interest(namespace="one"), ["a"]),
        (Interest(namespace="two", name="b"), ["b"]),
        (Interest(name="b"), ["b"]),
        (Interest(label=("app", "web")), ["a", "c"]),
        (Interest(namespace="two", label=("app", "web")), ["c"]),
        (Interest(label=("app", "db")), []),
        (Interest(namespace="three"), []),
    ],
)
def test_a_change_wakes_only_those_it_concerns(interest: Interest, heard: list[str]) -> None:
    store = writer()
    listed(store, 10)
    names: list[str] = []

    def wake() -> None:
        names.extend(change.object.name for change in position.read()[:1])

    position = store.reader.subscribe(10, wake, interest)
    applied(
        store,
        made("a", 11, namespace="one", labels={"app": "web"}),
        made("b", 12, namespace="two", labels={"app": "api"}),
        made("c", 13, namespace="two", labels={"app": "web", "tier": "x"}),
    )

    assert names == heard


def test_an_object_that_loses_its_label_wakes_who_selected_it() -> None:
    store = writer()
    listed(store, 10, made("a", 5, labels={"app": "web"}))
    woken: list[str] = []
    store.reader.subscribe(10, lambda: woken.append("woken"), Interest(label=("app", "web")))

    applied(store, made("a", 11, labels={"app": "other"}))

    assert woken == ["woken"]


def test_a_position_moves_for_free_past_what_does_not_concern_it() -> None:
    clock = Clock()
    store = writer(clock, journal_window=60.0)
    listed(store, 10)
    position = store.reader.subscribe(10, nothing, Interest(namespace="mine"))

    for number in range(100):
        clock.now += 10
        applied(store, made("other", 11 + number, namespace="theirs"))

    assert position.resource_version == 110
    applied(store, made("a", 111, namespace="mine"))
    assert told(position.read()) == [("ADDED", "a", 111)]


def test_a_reader_that_is_too_slow_is_told_so_and_misses_nothing_silently() -> None:
    clock = Clock()
    store = writer(clock, journal_window=60.0)
    listed(store, 10)
    position = store.reader.subscribe(10, nothing)
    applied(store, made("a", 11))
    clock.now += 61
    applied(store, made("b", 12))

    with pytest.raises(ExpiredError):
        position.read()


def test_the_byte_budget_wins_over_the_window() -> None:
    store = writer(journal_least_bytes=5_000)
    listed(store, 10, made("a", 5))

    applied(store, *(made("a", 11 + number) for number in range(50)))

    journal = store.reader.journal
    assert journal.size <= 5_000
    assert journal.end == 50
    assert journal.oldest > 11
    with pytest.raises(ExpiredError):
        store.reader.subscribe(11, nothing)
    assert told(store.reader.subscribe(59, nothing).read()) == [("MODIFIED", "a", 60)]


def test_a_bookmark_moves_idle_readers_and_the_window() -> None:
    clock = Clock()
    store = writer(clock, journal_window=60.0)
    listed(store, 10)
    applied(store, made("a", 11))
    position = store.reader.subscribe(11, nothing)
    clock.now += 61

    store.handle(Bookmark(40))

    assert position.resource_version == 40
    assert list(store.reader.journal) == []
    assert store.reader.subscribe(11, nothing).read() == []
    with pytest.raises(ExpiredError):
        store.reader.subscribe(10, nothing)


def test_a_bookmark_promises_no_more_than_was_read() -> None:
    store = writer()
    listed(store, 10)
    position = store.reader.subscribe(10, nothing)
    applied(store, made("a", 11), made("b", 12), made("c", 13))
    store.handle(Bookmark(99))

    assert position.resource_version == 10
    position.read(2)
    assert position.resource_version == 12
    position.read(2)
    assert position.resource_version == 99


def test_a_reader_ahead_of_the_mirror_never_steps_back() -> None:
    store = writer()
    listed(store, 10)
    position = store.reader.subscribe(50, nothing)
    applied(store, made("a", 11))

    assert told(position.read()) == [("ADDED", "a", 11)]  # it is the reader that drops what is not newer
    assert position.resource_version == 50


def test_compaction_forgets_history_but_no_state() -> None:
    store = writer()
    listed(store, 10)
    applied(store, made("a", 11), made("b", 12), made("c", 13))
    store.compact(12)

    with pytest.raises(ExpiredError, match=r"too old resource version: 11 \(12\)"):
        store.reader.subscribe(11, nothing)
    assert told(store.reader.subscribe(12, nothing).read()) == [("ADDED", "c", 13)]
    assert len(store.reader) == 3


@pytest.mark.parametrize(
    ("phase", "error", "heard"),
    [(Phase.FORBIDDEN, DeniedError, ["b"]), (Phase.GONE, GoneError, ["b", "a", "b"])],
)
def test_the_end_is_heard_after_everything_before_it(phase: Phase, error: type[Exception], heard: list[str]) -> None:
    store = writer()
    listed(store, 10, made("a", 5))
    woken: list[str] = []
    position = store.reader.subscribe(10, lambda: woken.append("woken"))
    applied(store, made("b", 11))

    store.handle(PhaseChange(phase, "why"))

    assert [change.object.name for change in position.read()] == heard
    with pytest.raises(error, match="why"):
        position.read()


def test_an_idle_reader_is_woken_by_the_end() -> None:
    store = writer()
    listed(store, 10)
    woken: list[str] = []
    position = store.reader.follow(lambda: woken.append("woken"))

    store.handle(PhaseChange(Phase.FORBIDDEN, "rights were taken"))

    assert woken == ["woken"]
    assert position.pending
    with pytest.raises(DeniedError):
        position.read()


def test_a_closed_position_leaves_nothing_behind() -> None:
    store = writer()
    listed(store, 10)
    position = store.reader.subscribe(10, nothing, Interest("ns", "a", ("app", "web")))
    assert store.reader.journal.positions == 1

    position.close()
    position.close()

    assert store.reader.journal.positions == 0
    applied(store, made("a", 11, labels={"app": "web"}))


def test_a_reader_may_leave_bring_another_or_close_its_neighbour_while_being_woken() -> None:
    store = writer()
    listed(store, 10)
    woken: list[str] = []
    positions: dict[str, Position] = {}

    def first() -> None:
        woken.append("first")
        positions["first"].close()
        positions["second"].close()
        positions["third"] = store.reader.follow(lambda: woken.append("third"))

    positions["first"] = store.reader.subscribe(10, first)
    positions["second"] = store.reader.subscribe(10, lambda: woken.append("second"))
    applied(store, made("a", 11))
    assert woken == ["first"]

    applied(store, made("a", 12))
    assert woken == ["first", "third"]
    assert told(positions["third"].read()) == [("MODIFIED", "a", 12)]


def test_deletions_are_told_with_their_last_state_and_the_deletions_resource_version() -> None:
    store = writer()
    before = made("a", 5)
    listed(store, 10, before)
    position = store.reader.subscribe(10, nothing)

    deleted(store, made("a", 11))

    (change,) = position.read()
    assert change.new is None
    assert change.old is before
    assert change.object.resource_version == 11
