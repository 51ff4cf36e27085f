"""Digest audits: a lost event is found and mended, time that went back is believed only when asked twice."""

from __future__ import annotations

from typing import Any

from kubemirror.errors import ExpiredError
from kubemirror.state.events import InitDone, Phase
from tests.reflect.scene import (
    FOREVER,
    Answer,
    Pause,
    Scene,
    added,
    bookmark,
    deleted,
    error,
    initial,
    modified,
    on_virtual_time,
    page,
    refusal,
    stream,
    thing,
)

AUDIT = 450.0
LONG = 1e6  # so that a silent script is not taken for a dead connection


def bookmarks(rv: int, minutes: int) -> list[Any]:
    return [part for _ in range(minutes) for part in (Pause(60), bookmark(rv))]


@on_virtual_time
async def test_f22_an_equal_digest_changes_nothing() -> None:
    same = page(thing("a", 5), rv=5)
    async with Scene(initial("a", rv=5), audits=[same] * 3, audit_seconds=AUDIT, idle_seconds=LONG) as scene:
        await scene.play(1500)

        at = [request.at for request in scene.server.audited]
        assert 300 <= at[0] <= 600
        assert scene.statistics.audits == len(at) >= 2
        assert scene.statistics.audit_mismatches == 0
        assert len(scene.server.requests) == 1
        assert scene.server.audited[0].query == {"limit": "500"}


@on_virtual_time
async def test_f22_a_silent_loss_is_found_and_mended_by_a_consistent_list() -> None:
    truth = [thing("a", 5), thing("lost", 6)]
    script = [initial("a", rv=5, then=[bookmark(9), *bookmarks(9, 60)]), page(*truth, rv=9)]
    async with Scene(*script, audits=[page(*truth, rv=9)] * 5, audit_seconds=AUDIT) as scene:
        await scene.play(700)

        assert scene.held == {"a": 5, "lost": 6}
        assert scene.server.asked == [("watchlist", ""), ("list", ""), ("watch", "9")]
        assert scene.statistics.relists == {"start": 1, "audit": 1}
        assert scene.statistics.audit_mismatches == 1
        assert scene.journal == [("ADDED", "lost", 9)]


@on_virtual_time
async def test_f22_events_in_flight_are_waited_for_and_are_no_loss() -> None:
    ahead = page(thing("a", 5), thing("b", 8), rv=8)
    events = [Pause(520), added("b", 8), FOREVER]
    async with Scene(
        initial("a", rv=5, then=events), audits=[ahead] * 2, audit_seconds=AUDIT, idle_seconds=LONG, seed=3
    ) as scene:
        await scene.play(600)

        assert 450 <= scene.server.audited[0].at <= 520  # the event is less than 75 s away
        assert scene.statistics.audits == 1
        assert scene.statistics.audit_mismatches == 0
        assert scene.server.count("list") == 0


@on_virtual_time
async def test_f22_events_told_since_the_list_was_made_are_taken_back() -> None:
    """The list is made at 6 and slow to arrive; a change, a deletion and an addition come meanwhile."""
    (body,) = page(thing("a", 4), thing("b", 5), thing("c", 6), rv=6).parts
    slow = Answer([Pause(30), body])
    events = [*bookmarks(5, 5), added("c", 6), Pause(1)]
    live = [modified("a", 7), deleted("b", 8), added("d", 9), modified("d", 10), FOREVER]
    async with Scene(
        initial("a", "b", rv=5, then=[*events, Pause(190), *live]),
        audits=[slow],
        audit_seconds=AUDIT,
        idle_seconds=LONG,
        seed=3,
    ) as scene:
        await scene.play(620)

        assert scene.held == {"a": 7, "c": 6, "d": 10}
        assert scene.server.audited[0].at < 491 < scene.server.audited[0].at + 30
        assert (scene.statistics.audits, scene.statistics.audit_mismatches) == (1, 0)


@on_virtual_time
async def test_f22_what_a_list_cannot_mend_is_not_listed_for_at_every_audit() -> None:
    truth = [thing("a", 5), thing("unheld", 6)]
    script = [
        initial("a", rv=5, then=[bookmark(6), *bookmarks(6, 60)]),
        page(thing("a", 5), rv=6),
        stream(*bookmarks(6, 500)),
    ]
    async with Scene(*script, audits=[page(*truth, rv=6)] * 9, audit_seconds=AUDIT) as scene:
        await scene.play(3500)

        assert scene.statistics.audit_mismatches >= 3
        assert scene.server.count("list") == 1  # which tried to mend it


@on_virtual_time
async def test_f21_time_that_went_back_is_asked_about_twice_and_starts_every_reader_over() -> None:
    past = page(thing("a", 5), rv=7)
    script = [initial("a", rv=5, then=[added("b", 20), *bookmarks(20, 60)]), past, stream(*bookmarks(7, 60))]
    async with Scene(*script, audits=[past, past], audit_seconds=AUDIT) as scene:
        await scene.play(1)
        position = scene.reader.subscribe(20, lambda: None)
        await scene.play(700)

        assert [request.query.get("limit") for request in scene.server.audited] == ["500", "1"]
        assert scene.server.asked == [("watchlist", ""), ("list", ""), ("watch", "7")]
        assert scene.held == {"a": 5}
        assert InitDone(7, rollback=True) in scene.events
        assert scene.reader.epoch == 1
        assert scene.reader.resource_version == 7
        assert scene.statistics.relists["rollback"] == 1
        try:
            position.read()
        except ExpiredError:
            pass
        else:
            raise AssertionError("the reader was not told to start over")


@on_virtual_time
async def test_f21_an_old_list_that_is_not_confirmed_is_no_rollback() -> None:
    past, present = page(thing("a", 5), rv=7), page(thing("a", 5), thing("b", 20), rv=20)
    script = [initial("a", rv=5, then=[added("b", 20), *bookmarks(20, 60)])]
    async with Scene(*script, audits=[past, present, present], audit_seconds=AUDIT) as scene:
        await scene.play(1500)

        assert len(scene.server.requests) == 1
        assert scene.reader.epoch == 0


@on_virtual_time
async def test_f21_a_bookmark_that_lags_is_no_rollback() -> None:
    async with Scene(initial("a", rv=50, then=[bookmark(9), added("b", 51), FOREVER])) as scene:
        await scene.play(1)

        assert scene.reader.resource_version == 51
        assert scene.reader.epoch == 0
        assert len(scene.server.requests) == 1


@on_virtual_time
async def test_f21_a_relist_that_went_back_is_believed_only_when_consistent_and_confirmed() -> None:
    past = page(thing("a", 5), rv=7)
    too_large = refusal(
        504, "Timeout", "Timeout: Too large resource version: 50, current: 7", causes=["ResourceVersionTooLarge"]
    )
    script = [initial("a", rv=50, then=[error(410, "Expired")]), too_large, past, past, stream(FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(60)

        assert scene.server.asked == [
            ("watchlist", ""),
            ("watchlist", "50"),
            ("list", ""),
            ("list", ""),
            ("watch", "7"),
        ]
        assert [event for event in scene.events if isinstance(event, InitDone)] == [
            InitDone(50),
            InitDone(7, rollback=True),
        ]


@on_virtual_time
async def test_f21_an_object_that_grew_younger_gives_a_restored_cluster_away() -> None:
    overtaken = [page(thing("a", 30), rv=90)] * 2
    script = [
        initial("a", rv=50, then=[error(410, "Expired")]),
        stream(added("a", 30), bookmark(90, end=True)),
        *overtaken,
        stream(FOREVER),
    ]
    async with Scene(*script) as scene:
        await scene.play(60)

        assert InitDone(90, rollback=True) in scene.events
        assert any("holds older objects than what was told before" in reason for _, _, reason in scene.phases)
        assert scene.held == {"a": 30}


@on_virtual_time
async def test_f21_a_mirror_upstream_must_refuse_our_version_for_a_whole_audit_period() -> None:
    mirror = {"cache-status": "kubemirror; hit"}
    behind = refusal(
        504, "Timeout", "Timeout: Too large resource version: 50, current: 7", causes=["ResourceVersionTooLarge"]
    )
    script = [initial("a", rv=50, then=bookmarks(50, 60)), page(thing("a", 5), rv=7), stream(*bookmarks(7, 600))]
    async with Scene(*script, audits=[behind] * 9, headers=mirror, audit_seconds=AUDIT) as scene:
        await scene.play(610)
        assert (
            scene.server.audited[0].query.items()
            >= {"resourceVersion": "50", "resourceVersionMatch": "NotOlderThan"}.items()
        )
        assert len(scene.server.requests) == 1

        await scene.play(1300)
        assert scene.reader.epoch == 1
        assert scene.held == {"a": 5}


@on_virtual_time
async def test_an_audit_that_cannot_be_read_says_nothing() -> None:
    odd = [refusal(503, "ServiceUnavailable"), Answer([b"<html>"], 200, {"content-type": "text/html"}), Answer([b"{"])]
    async with Scene(initial("a", rv=5), audits=odd, audit_seconds=AUDIT, idle_seconds=LONG) as scene:
        await scene.play(2000)

        assert len(scene.server.audited) >= 3
        assert scene.statistics.audits == 0
        assert len(scene.server.requests) == 1


@on_virtual_time
async def test_f12_rights_that_were_taken_are_noticed_by_the_audit_though_the_watch_goes_on() -> None:
    denied = refusal(403, "Forbidden")
    script = [initial("a", rv=5, then=[FOREVER]), *[denied] * 9]
    async with Scene(*script, audits=[denied] * 9, audit_seconds=AUDIT, idle_seconds=LONG) as scene:
        await scene.play(620)

        assert scene.reader.phase is Phase.FORBIDDEN
        assert scene.held == {}
        assert scene.server.asked[:2] == [("watchlist", ""), ("watch", "5")]


@on_virtual_time
async def test_an_audit_that_is_refused_costs_a_watch_and_no_list_where_watching_is_allowed() -> None:
    script = [initial("a", rv=5, then=[FOREVER]), stream(added("b", 6), FOREVER)]
    audits = [refusal(403, "Forbidden"), page(thing("a", 5), thing("b", 6), rv=6)]
    async with Scene(*script, audits=audits, audit_seconds=AUDIT, idle_seconds=LONG) as scene:
        await scene.play(620)

        assert scene.held == {"a": 5, "b": 6}
        assert scene.server.asked == [("watchlist", ""), ("watch", "5")]
        assert scene.reader.phase is Phase.SYNCED
