"""Following: literal frames in, events out. What a reader has been told is never told again, nor taken back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubemirror.client.errors import NotFoundError, RefusedError, UnreachableError
from kubemirror.client.events import Bookmark, Deleted, Event, Modified, ObjectEvent, Reset
from kubemirror.client.following import Expired, Following

Told = tuple[str, str, str]


def frame(kind: str, name: str, version: int, cursor: str = "", *, uid: str = "", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "blue", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    cursors = {"resourceVersion": cursor} if cursor else {}
    return {"type": kind, "object": {"kind": "Deployment", "metadata": metadata}, "id": "0", **cursors, **fields}


def added(name: str, version: int, cursor: str = "", *, uid: str = "") -> dict[str, Any]:
    return frame("ADDED", name, version, cursor, uid=uid)


def modified(name: str, version: int, **fields: Any) -> dict[str, Any]:
    return frame("MODIFIED", name, version, str(version), **fields)


def deleted(name: str, version: int, *, uid: str = "") -> dict[str, Any]:
    return frame("DELETED", name, version, str(version), uid=uid)


def bookmark(cursor: str, *, end: bool = False, **fields: Any) -> dict[str, Any]:
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if end else {}
    shown = {"kind": "Deployment", "metadata": {"resourceVersion": cursor, "creationTimestamp": None, **annotations}}
    return {"type": "BOOKMARK", "object": shown, "id": "0", "resourceVersion": cursor, "state": "SYNCED", **fields}


def error(code: int, message: str = "said", cursor: str = "") -> dict[str, Any]:
    cursors = {"resourceVersion": cursor} if cursor else {}
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": message}, "id": "0", **cursors}


def reset(**fields: str) -> dict[str, Any]:
    return {**error(410, "too old"), "type": "RESET", "resource": "deployments.apps", **fields}


def told(following: Following, *frames: dict[str, Any]) -> list[Event]:
    return [event for each in frames for event in following.told(json.dumps(each))]


def short(events: list[Event]) -> list[Told]:
    return [(each.type, getattr(each, "name", ""), getattr(each, "resource_version", "")) for each in events]


SNAPSHOT = [added("web", 7), added("api", 8), bookmark("100", end=True)]


def begun(**options: Any) -> Following:
    following = Following(**options)
    following.opened()
    told(following, *SNAPSHOT)
    return following


def test_a_snapshot_has_no_cursor_before_its_end() -> None:
    following = Following()
    following.opened()

    assert short(told(following, *SNAPSHOT, modified("web", 101))) == [
        ("ADDED", "web", ""),
        ("ADDED", "api", ""),
        ("BOOKMARK", "", "100"),
        ("MODIFIED", "web", "101"),
    ]


def test_a_connection_that_goes_on_tells_only_what_is_new() -> None:
    following = begun()
    told(following, modified("web", 101))
    following.opened()

    again = told(following, bookmark("101", end=True), modified("web", 101), deleted("api", 102))

    assert following.cursor == "102"
    assert short(again) == [("BOOKMARK", "", "101"), ("DELETED", "api", "102")]
    assert not again[0].initial_events_end  # type: ignore[union-attr]


def test_a_snapshot_after_one_that_was_cut_off_must_be_as_new_as_all_that_was_told() -> None:
    following = Following()
    following.opened()
    none_told = following.least
    told(following, added("web", 107), added("api", 8))
    following.opened()
    within = following.least
    told(following, *SNAPSHOT[:1], bookmark("120", end=True))

    assert (none_told, within, following.least) == ("", "107", "120")


def test_nor_older_than_a_cursor_that_is_of_no_use_any_more() -> None:
    following = begun()
    told(following, reset(), added("web", 7))
    one_store = following.least
    of_namespaces = Following(resource_version="deployments.apps/blue=100;deployments.apps/green=90")
    told(of_namespaces, reset(), added("web", 120))

    assert one_store == "100"
    assert following.wants_snapshot
    assert of_namespaces.least == "deployments.apps/blue=100;deployments.apps/green=90"


def test_an_id_that_is_in_use_ends_nothing() -> None:
    following = begun()

    assert short(told(following, error(409), modified("web", 101))) == [("MODIFIED", "web", "101")]


def test_deletions_of_a_relist_are_told_once() -> None:
    following = begun()
    told(following, deleted("api", 100))
    following.opened()

    assert told(following, deleted("api", 100)) == []


def test_an_expired_cursor_ends_in_the_difference() -> None:
    following = begun()
    told(following, added("old", 101, "101"))
    with pytest.raises(Expired):
        told(following, error(410))
    assert following.wants_snapshot
    following.opened()

    events = told(following, added("web", 7), added("api", 150), added("new", 160), bookmark("200", end=True))

    assert short(events) == [
        ("MODIFIED", "api", ""),
        ("ADDED", "new", ""),
        ("DELETED", "old", "200"),
        ("BOOKMARK", "", "200"),
    ]
    gone, end = events[-2:]
    assert isinstance(gone, Deleted)
    assert gone.deduced
    assert gone.object["metadata"]["resourceVersion"] == "101"
    assert isinstance(end, Bookmark)
    assert end.initial_events_end


def test_an_expired_cursor_is_said_once_until_the_snapshot_is_complete() -> None:
    following = begun()
    first, again = following.expired("too old"), following.expired("too old")

    assert [list(first), list(again)] == [[Reset("too old", complete=True)], []]


def test_a_reset_on_the_same_connection_ends_in_the_difference() -> None:
    following = begun()

    events = told(following, reset(), added("web", 9), bookmark("200", end=True), modified("web", 201))

    assert short(events) == [
        ("RESET", "", ""),
        ("MODIFIED", "web", ""),
        ("DELETED", "api", "200"),
        ("BOOKMARK", "", "200"),
        ("MODIFIED", "web", "201"),
    ]


def test_a_reset_of_one_namespace_leaves_the_others() -> None:
    following = begun()

    assert short(told(following, reset(namespace="green"), bookmark("200", end=True)))[1:] == [("BOOKMARK", "", "200")]


def test_whoever_began_at_a_cursor_is_told_a_whole_snapshot_after_a_reset() -> None:
    following = Following(resource_version="100")
    following.opened()
    told(following, bookmark("100", end=True), modified("web", 101))

    events = told(following, reset(), added("web", 101), added("api", 8), bookmark("200", end=True))

    assert events[0] == Reset("too old", complete=False)
    assert short(events)[1:] == [("ADDED", "web", ""), ("ADDED", "api", ""), ("BOOKMARK", "", "200")]


def test_a_snapshot_that_broke_off_is_told_on_without_a_word() -> None:
    following = Following()
    following.opened()
    told(following, added("web", 7), added("gone", 8))
    following.opened()

    events = told(following, added("web", 7), added("api", 8), bookmark("100", end=True))

    assert short(events) == [("ADDED", "api", ""), ("DELETED", "gone", "100"), ("BOOKMARK", "", "100")]


def test_a_replica_that_is_behind_takes_nothing_back() -> None:
    following = Following()
    following.opened()
    told(following, added("web", 90))
    following.opened()

    assert short(told(following, added("web", 80), bookmark("85", end=True))) == [("BOOKMARK", "", "85")]


def test_a_cluster_that_went_back_is_followed() -> None:
    following = begun()
    with pytest.raises(Expired):
        told(following, error(410))
    following.opened()

    assert short(told(following, added("web", 5), bookmark("60", end=True))) == [
        ("MODIFIED", "web", ""),
        ("DELETED", "api", "60"),
        ("BOOKMARK", "", "60"),
    ]


def test_another_object_of_the_same_name_is_another_object() -> None:
    following = begun()
    with pytest.raises(Expired):
        told(following, error(410))
    following.opened()

    events = told(following, added("web", 150, uid="another"), added("api", 8), bookmark("200", end=True))

    assert short(events) == [("DELETED", "web", ""), ("ADDED", "web", ""), ("BOOKMARK", "", "200")]


def test_a_batch_is_its_events() -> None:
    following = begun()
    inner = [frame("MODIFIED", "web", 101), modified("web", 102)]

    events = told(following, {"events": inner})

    assert short(events) == [("MODIFIED", "web", "100"), ("MODIFIED", "web", "102")]


def test_what_changed_is_passed_on() -> None:
    difference = {"path": ".spec.replicas", "old": 1, "new": 2}

    (event,) = told(begun(), modified("web", 101, changed=["scale", "spec"], diff=[difference]))

    assert isinstance(event, Modified)
    assert (event.changed, event.diff) == (("scale", "spec"), (difference,))
    assert (event.namespace, event.name) == ("blue", "web")


def test_a_bookmark_tells_how_fresh_its_store_is() -> None:
    stale = bookmark("100", state="STALE", staleSince="2026-01-02T03:04:05Z", upstreamAgeSeconds=7.5)

    (event,) = told(begun(), stale)

    assert isinstance(event, Bookmark)
    assert (event.state, event.upstream_age_seconds) == ("STALE", 7.5)
    assert event.stale_since is not None
    assert event.stale_since.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(("code", "kind", "passing"), [(404, NotFoundError, False), (503, RefusedError, True)])
def test_an_error_keeps_the_cursor_that_it_names(code: int, kind: type[RefusedError], passing: bool) -> None:
    following = begun()
    with pytest.raises(kind) as refused:
        told(following, error(code, cursor="103"))

    assert following.cursor == "103"
    assert refused.value.passing is passing
    assert "said" in str(refused.value)


def test_what_is_not_known_is_not_told() -> None:
    assert told(begun(), {"type": "SUBSCRIBED", "id": "0"}, {"type": "PONG"}, {"type": "LATER", "object": 7}) == []


def test_what_is_no_frame_is_no_mirror() -> None:
    with pytest.raises(UnreachableError, match="does not speak as a mirror"):
        list(begun().told(b"<html>"))


def test_rows_are_told_with_their_columns() -> None:
    following = Following()
    following.opened()
    web = {"name": "web", "namespace": "blue", "uid": "u", "resourceVersion": "7"}
    columns = {"deployments.apps": [{"name": "Name", "type": "string", "description": "", "priority": 0}]}
    events = told(
        following,
        {"type": "SUBSCRIBED", "id": "0", "resource": ["deployments.apps"], "columns": columns},
        {"type": "ADDED", "object": {"metadata": web, "cells": ["web"]}},
    )

    assert short(events) == [("ADDED", "web", "")]
    assert isinstance(events[0], ObjectEvent)
    assert events[0].object["cells"] == ["web"]
    assert [column.name for column in following.columns] == ["Name"]
