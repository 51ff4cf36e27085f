"""Snapshots, versions, digests and order: what answers and caches are made from."""

from __future__ import annotations

import pytest

from kubemirror.errors import ForbiddenError, GoneError, NotSyncedError
from kubemirror.state.events import Columns, Init, InitApply, Phase, PhaseChange
from kubemirror.state.objects import Key
from kubemirror.state.store import Writer
from tests.state.building import Clock, applied, deleted, listed, made, nothing, writer


def names(store: Writer, namespace: str | None = None) -> list[str]:
    return [f"{each.namespace}/{each.name}" for each in store.reader.snapshot(namespace).objects]


def test_objects_are_in_the_order_of_their_storage_keys() -> None:
    store = writer()
    listed(
        store,
        10,
        made("b", 1, namespace="a"),
        made("a.b", 2, namespace="a"),
        made("a", 3, namespace="a"),
        made("x", 4, namespace="a-b"),
        made("x", 5, namespace="a.b"),
        made("x", 6, namespace="b"),
    )

    expected = ["a-b/x", "a.b/x", "a/a", "a/a.b", "a/b", "b/x"]
    assert names(store) == expected == sorted(expected)


def test_a_snapshot_is_shared_until_something_changes_and_never_changes_itself() -> None:
    store = writer()
    listed(store, 10, made("a", 1), made("b", 2, namespace="other"))
    before, mine = store.reader.snapshot(), store.reader.snapshot("ns")

    assert store.reader.snapshot().objects is before.objects
    applied(store, made("c", 11, namespace="other"))

    assert [each.name for each in before.objects] == ["a", "b"]
    assert len(store.reader.snapshot().objects) == 3
    assert store.reader.snapshot("ns").objects is mine.objects
    assert store.reader.snapshot("nowhere").objects == ()


def test_versions_move_with_the_content_and_only_with_it() -> None:
    store = writer()
    listed(store, 10, made("a", 1), made("b", 2, namespace="other"))
    whole, mine, other = (store.reader.version(each) for each in (None, "ns", "other"))

    applied(store, made("a", 1))  # a duplicate
    applied(store, made("a", 0))  # older
    assert store.reader.version() == whole

    applied(store, made("a", 11))
    assert store.reader.version() > whole
    assert store.reader.version("ns") > mine
    assert store.reader.version("other") == other


def test_a_namespace_that_empties_and_fills_again_never_repeats_a_version() -> None:
    store = writer()
    listed(store, 10, made("a", 1))
    seen = {store.reader.version("ns")}
    for resource_version in range(11, 30, 2):
        deleted(store, made("a", resource_version))
        assert store.reader.version("ns") == 0
        assert store.reader.namespaces == ()
        applied(store, made("a", resource_version + 1))
        assert store.reader.version("ns") not in seen
        seen.add(store.reader.version("ns"))


def test_the_digest_is_a_function_of_what_is_held_however_it_came() -> None:
    one, two = writer(), writer()
    listed(one, 10, made("a", 5), made("b", 7, namespace="other"))
    listed(two, 3)
    applied(two, made("b", 4, namespace="other"), made("c", 5), made("a", 5), made("b", 7, namespace="other"))
    assert one.reader.digest() != two.reader.digest()
    deleted(two, made("c", 9))

    assert one.reader.digest() == two.reader.digest()
    assert one.reader.digest("ns") == two.reader.digest("ns") != one.reader.digest("other")
    assert (one.reader.digest("ns") + one.reader.digest("other")) % (1 << 128) == one.reader.digest()
    applied(one, made("a", 20))
    assert one.reader.digest() != two.reader.digest()
    assert writer().reader.digest() == 0


def test_counts_and_bytes_follow_every_change() -> None:
    store = writer()
    first, second = made("a", 1), made("b", 2)
    listed(store, 10, first, second)
    assert (len(store.reader), store.reader.count("ns"), store.reader.size) == (2, 2, first.size + second.size)

    changed = made("a", 11, labels={"app": "a-longer-object"})
    applied(store, changed)
    deleted(store, made("b", 12))

    assert (len(store.reader), store.reader.count("ns"), store.reader.size) == (1, 1, changed.size)
    listed(store, 20)
    assert (len(store.reader), store.reader.size, store.reader.count("ns")) == (0, 0, 0)


def test_a_store_answers_only_when_it_was_complete_once() -> None:
    store = writer()
    with pytest.raises(NotSyncedError):
        store.reader.require_served()
    store.handle(Init())
    store.handle(InitApply(made("a", 1)))
    assert len(store.reader) == 0
    listed(store, 10, made("a", 1))
    store.reader.require_served()

    store.handle(PhaseChange(Phase.STALE, "connection refused"))

    store.reader.require_served()  # a lost upstream is told, not hidden; the state stays
    assert (store.reader.phase, store.reader.reason) == (Phase.STALE, "connection refused")
    assert len(store.reader) == 1


@pytest.mark.parametrize(("phase", "error"), [(Phase.FORBIDDEN, ForbiddenError), (Phase.GONE, GoneError)])
def test_what_is_forbidden_or_gone_is_held_no_longer(phase: Phase, error: type[Exception]) -> None:
    store = writer()
    listed(store, 10, made("a", 1))
    store.handle(PhaseChange(phase, "the reason"))

    with pytest.raises(error, match="the reason"):
        store.reader.require_served()
    with pytest.raises(error):
        store.reader.subscribe(10, nothing)
    assert len(store.reader) == 0
    assert store.reader.get("a", "ns") is None
    assert not store.reader.synced

    listed(store, 30, made("a", 25))
    store.reader.require_served()
    assert store.reader.subscribe(30, nothing).read() == []


def test_a_phase_has_a_beginning_and_its_reason_may_change_meanwhile() -> None:
    clock = Clock()
    store = writer(clock)
    listed(store, 10)
    clock.now += 5
    store.handle(PhaseChange(Phase.STALE, "refused"))
    clock.now += 5
    store.handle(PhaseChange(Phase.STALE, "timeout"))

    assert store.reader.phase_since == 1005.0
    assert store.reader.reason == "timeout"
    assert store.reader.heard == 1000.0


def test_new_columns_are_a_new_version_of_everything() -> None:
    store = writer()
    listed(store, 10, made("a", 1))
    version, mine = store.reader.version(), store.reader.version("ns")

    store.handle(Columns(b'[{"name":"Name"}]'))
    assert store.reader.columns == b'[{"name":"Name"}]'
    assert store.reader.version() > version
    assert store.reader.version("ns") > mine
    columns_version = store.reader.columns_version

    store.handle(Columns(b'[{"name":"Name"}]'))
    assert store.reader.columns_version == columns_version


def test_progress_is_told_to_whoever_waits_until_they_leave() -> None:
    store = writer()
    reached: list[int] = []
    leave = store.reader.on_progress(lambda: reached.append(store.reader.resource_version))
    listed(store, 10)
    applied(store, made("a", 11))
    leave()
    applied(store, made("a", 12))

    assert reached[-1] == 11


def test_changes_are_told_to_whoever_derives_from_them() -> None:
    store = writer()
    listed(store, 10)
    seen: list[Key] = []
    leave = store.reader.on_change(lambda change: seen.append(change.object.key))
    applied(store, made("a", 11))
    leave()
    applied(store, made("b", 12))

    assert seen == [Key("ns", "a")]
