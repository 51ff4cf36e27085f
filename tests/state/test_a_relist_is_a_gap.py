"""What was not watched is told as a diff, and may be resumed only where that is the truth."""

from __future__ import annotations

import pytest

from kubemirror.errors import ExpiredError
from kubemirror.state.events import Apply, Bookmark, Delete, Init, InitApply, InitDelete, InitDone
from tests.state.building import Clock, applied, deleted, listed, made, nothing, told, writer


def test_the_diff_is_deletions_then_changes_by_their_own_resource_version() -> None:
    store = writer()
    listed(store, 10, made("kept", 1), made("changed", 2), made("gone", 3), made("gone-too", 4, namespace="other"))
    position = store.reader.subscribe(10, nothing)

    listed(store, 50, made("newest", 40), made("changed", 30), made("kept", 1), made("new", 20))

    changes = position.read()
    assert sorted(told(changes)[:2]) == [("DELETED", "gone", 10), ("DELETED", "gone-too", 10)]
    assert told(changes)[2:] == [("ADDED", "new", 20), ("MODIFIED", "changed", 30), ("ADDED", "newest", 40)]
    assert [change.object.resource_version for change in changes] == [10, 10, 20, 30, 40]
    assert position.resource_version == 50


def test_resuming_at_the_edge_replays_the_whole_diff_and_inside_is_refused() -> None:
    store = writer()
    listed(store, 10, made("gone", 3))
    listed(store, 50, made("new", 20), made("newest", 40))

    whole = [("DELETED", "gone", 10), ("ADDED", "new", 20), ("ADDED", "newest", 40)]
    assert told(store.reader.subscribe(10, nothing).read()) == whole
    for inside in (11, 20, 21, 40, 49):
        with pytest.raises(ExpiredError):
            store.reader.subscribe(inside, nothing)
    assert store.reader.subscribe(50, nothing).read() == []


def test_a_gap_in_which_nothing_is_known_to_have_changed_is_still_one() -> None:
    store = writer()
    listed(store, 10, made("a", 5))
    listed(store, 50, made("a", 5))

    with pytest.raises(ExpiredError):
        store.reader.subscribe(30, nothing)  # something may have come and gone
    assert store.reader.subscribe(10, nothing).read() == []


def test_a_relist_that_finds_nothing_at_the_same_resource_version_leaves_no_trace() -> None:
    store = writer()
    listed(store, 10, made("a", 5))
    listed(store, 10, made("a", 5))

    assert store.reader.journal.gaps == []


def test_events_after_a_gap_are_resumed_as_ever() -> None:
    store = writer()
    listed(store, 10, made("gone", 3))
    listed(store, 50, made("new", 20))
    applied(store, made("new", 51), made("other", 52))

    assert told(store.reader.subscribe(51, nothing).read()) == [("ADDED", "other", 52)]


def test_a_deletion_at_or_below_the_resource_version_reached_opens_a_gap_until_a_bookmark() -> None:
    """An upstream that is itself a mirror tells its own relist so."""
    store = writer()
    listed(store, 10, made("a", 3), made("b", 4))
    store.handle(Delete(made("a", 10)))
    store.handle(Apply(made("c", 30)))

    with pytest.raises(ExpiredError):
        store.reader.subscribe(30, nothing)
    follower = store.reader.follow(nothing)
    store.handle(Bookmark(40))
    applied(store, made("d", 41))

    assert told(store.reader.subscribe(10, nothing).read())[0] == ("DELETED", "a", 10)
    assert told(store.reader.subscribe(40, nothing).read()) == [("ADDED", "d", 41)]
    assert told(follower.read()) == [("ADDED", "d", 41)]
    with pytest.raises(ExpiredError):
        store.reader.subscribe(30, nothing)


def test_a_gap_is_forgotten_with_its_records_and_stays_unresumable() -> None:
    clock = Clock()
    store = writer(clock, journal_window=60.0)
    listed(store, 10, made("gone", 3))
    listed(store, 50, made("new", 20))
    clock.now += 61
    applied(store, made("later", 60))

    assert store.reader.journal.gaps == []
    assert store.reader.journal.oldest == 50
    for resource_version in (10, 20, 49):
        with pytest.raises(ExpiredError):
            store.reader.subscribe(resource_version, nothing)
    assert told(store.reader.subscribe(50, nothing).read()) == [("ADDED", "later", 60)]


def test_an_object_recreated_while_nobody_looked_is_deleted_and_added() -> None:
    store = writer()
    listed(store, 10, made("a", 3, uid="old"))
    position = store.reader.subscribe(10, nothing)

    listed(store, 50, made("a", 30, uid="new"))

    assert told(position.read()) == [("DELETED", "a", 10), ("ADDED", "a", 30)]


def test_an_object_recreated_under_an_untold_deletion_is_deleted_and_added() -> None:
    store = writer()
    listed(store, 10, made("a", 3, uid="old"))
    position = store.reader.subscribe(10, nothing)

    applied(store, made("a", 30, uid="new"))

    assert [kind for kind, _, _ in told(position.read())] == ["DELETED", "ADDED"]
    assert store.reader.get("a", "ns").uid == "new"  # type: ignore[union-attr]


def test_a_loss_that_a_list_finds_late_is_told_under_the_resource_version_reached() -> None:
    store = writer()
    listed(store, 10)
    applied(store, made("a", 20))
    position = store.reader.subscribe(20, nothing)

    listed(store, 25, made("a", 20), made("missed", 15))

    (change,) = position.read()
    assert (change.resource_version, change.object.resource_version) == (20, 15)


def test_a_rollback_ends_every_stream_with_410_and_begins_anew() -> None:
    store = writer()
    listed(store, 100, made("a", 90), made("b", 95))
    position = store.reader.subscribe(100, nothing)
    version = store.reader.version()

    listed(store, 40, made("a", 30), rollback=True)

    with pytest.raises(ExpiredError):
        position.read()
    with pytest.raises(ExpiredError):
        store.reader.subscribe(39, nothing)
    assert store.reader.epoch == 1
    assert store.reader.resource_version == 40
    assert [each.name for each in store.reader.snapshot().objects] == ["a"]
    assert store.reader.version() > version


def test_the_previous_state_is_served_until_the_list_is_complete() -> None:
    store = writer()
    listed(store, 10, made("a", 5))
    store.handle(Init())
    store.handle(InitApply(made("b", 20)))

    assert [each.name for each in store.reader.snapshot().objects] == ["a"]

    store.handle(Init())  # the list failed half-way and begins again: nothing of the first try may stay
    store.handle(InitApply(made("c", 21)))
    store.handle(InitDone(30))
    assert [each.name for each in store.reader.snapshot().objects] == ["c"]


def test_a_streamed_list_may_tell_changes_and_deletions_while_it_arrives() -> None:
    store = writer()
    store.handle(Init())
    store.handle(InitApply(made("a", 12)))
    store.handle(InitApply(made("a", 5)))  # told late
    store.handle(InitApply(made("b", 6)))
    store.handle(InitDelete(made("b", 13)))
    store.handle(InitDelete(made("never", 14)))
    store.handle(InitDone(14))

    assert [(each.name, each.resource_version) for each in store.reader.snapshot().objects] == [("a", 12)]


def test_a_list_event_outside_a_list_is_a_broken_reflector() -> None:
    for event in (InitApply(made("a", 1)), InitDelete(made("a", 1)), InitDone(1)):
        with pytest.raises(RuntimeError):
            writer().handle(event)


def test_unchanged_objects_are_held_once() -> None:
    store = writer()
    listed(store, 10, made("a", 5))
    held = store.reader.get("a", "ns")
    version = store.reader.version()

    listed(store, 20, made("a", 5))

    assert store.reader.get("a", "ns") is held
    assert store.reader.version() == version


def test_deleting_what_is_not_held_is_nothing() -> None:
    store = writer()
    listed(store, 10, made("a", 5, uid="one"))
    deleted(store, made("other", 11), made("a", 12, uid="another"))

    assert list(store.reader.journal) == []
    assert len(store.reader) == 1


def test_a_loss_found_late_is_kept_for_as_long_as_its_resource_version_is_the_newest() -> None:
    clock = Clock()
    store = writer(clock, journal_window=60.0)
    listed(store, 10, made("a", 5), made("gone", 3))
    listed(store, 10, made("a", 5))
    clock.now += 3600
    store.handle(Bookmark(10))

    assert told(store.reader.subscribe(10, nothing).read()) == [("DELETED", "gone", 10)]

    store.handle(Bookmark(11))
    with pytest.raises(ExpiredError):
        store.reader.subscribe(10, nothing)
    assert store.reader.subscribe(11, nothing).read() == []


def test_a_gap_that_upstream_announces_is_open_until_the_next_bookmark() -> None:
    store = writer()
    listed(store, 10, made("gone", 3))
    store.handle(Bookmark(12, gap=True))
    deleted(store, made("gone", 12))
    applied(store, made("new", 15))
    store.handle(Bookmark(20))

    assert told(store.reader.subscribe(12, nothing).read()) == [("DELETED", "gone", 12), ("ADDED", "new", 15)]
    assert told(store.reader.subscribe(10, nothing).read()) == [("DELETED", "gone", 12), ("ADDED", "new", 15)]
    for inside in (13, 15, 19):
        with pytest.raises(ExpiredError):
            store.reader.subscribe(inside, nothing)
