"""Restarts, refusals and silence: the mirror waits, keeps serving, and resumes where it was."""

from __future__ import annotations

import asyncio
import itertools

from kubemirror.kube.transport import Response
from kubemirror.state.events import Apply, Phase
from tests.reflect.scene import (
    FOREVER,
    REFUSED,
    RESET,
    Pause,
    Scene,
    added,
    bookmark,
    initial,
    on_virtual_time,
    page,
    stream,
    text,
    thing,
)


@on_virtual_time
async def test_f01_after_a_restart_it_resumes_at_the_last_version_without_a_list_and_within_five_seconds() -> None:
    script = [initial("a", rv=5, then=[added("b", 6), Pause(600), RESET]), REFUSED, stream(added("c", 7), FOREVER)]
    async with Scene(*script, idle_seconds=1e6) as scene:
        await scene.play(606)

        assert scene.server.asked == [("watchlist", ""), ("watch", "6"), ("watch", "6")]
        assert scene.held == {"a": 5, "b": 6, "c": 7}
        assert scene.statistics.relists == {"start": 1}
        assert [event.object.name for event in scene.events if isinstance(event, Apply)] == ["b", "c"]
        assert scene.phase is Phase.SYNCED


@on_virtual_time
async def test_f02_through_ten_minutes_of_refused_connections_it_serves_stale_and_never_lists() -> None:
    script = [initial("a", rv=5, then=[RESET]), *[REFUSED] * 22, stream(added("b", 6), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(1)
        for _ in range(9):
            await scene.play(60)
            assert scene.phase is Phase.STALE
            assert "refused" in scene.reader.reason
            assert scene.held == {"a": 5}

        await scene.play(600)
        assert scene.phase is Phase.SYNCED
        assert scene.held == {"a": 5, "b": 6}
        assert scene.server.count("watchlist") == 1
        assert scene.statistics.errors["refused"] == 22


@on_virtual_time
async def test_an_ordinary_end_is_followed_at_once_and_makes_nothing_stale() -> None:
    ends = [stream(Pause(400), bookmark(6 + n)) for n in range(5)]
    async with Scene(initial("a", rv=5, then=[Pause(300)]), *ends, idle_seconds=500) as scene:
        await scene.play(2301)

        at = [request.at for request in scene.server.requests]
        assert at == [0, 300, 700, 1100, 1500, 1900, 2300]
        assert [query for _, query in scene.server.asked] == ["", "5", "6", "7", "8", "9", "10"]
        assert [phase for _, phase, _ in scene.phases] == [Phase.SYNCED]


@on_virtual_time
async def test_f15_silence_for_85_seconds_is_a_dead_connection_and_is_resumed_at_the_same_version() -> None:
    script = [initial("a", rv=5, then=[Pause(100), bookmark(6), FOREVER]), stream(added("b", 7), FOREVER)]
    async with Scene(*script, idle_seconds=120) as patient:
        await patient.play(119)
        assert patient.server.count("watch") == 0

    script = [initial("a", rv=5, then=[Pause(60), bookmark(6), FOREVER]), stream(added("b", 7), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(200)

        assert scene.server.asked == [("watchlist", ""), ("watch", "6")]
        assert 60 + 84 <= scene.server.requests[1].at - scene.server.requests[0].at <= 60 + 86
        assert scene.statistics.relists == {"start": 1}
        assert scene.statistics.errors["idle"] >= 1


@on_virtual_time
async def test_f15_silence_of_an_upstream_that_answers_is_no_trouble() -> None:
    """kube-apiserver sends no bookmark before it has seen an event of the resource."""
    async with Scene(initial("a", rv=5), *[stream(FOREVER)] * 9) as scene:
        await scene.play(600)

        assert scene.server.count("watch") == 7
        assert [phase for _, phase, _ in scene.phases] == [Phase.SYNCED]
        assert scene.statistics.errors == {"idle": 7}


@on_virtual_time
async def test_f15_an_upstream_that_does_not_answer_either_is_known_to_be_lost_within_90_seconds() -> None:
    async def never() -> Response:
        await asyncio.sleep(1e6)
        raise AssertionError

    async with Scene(initial("a", rv=5), never, never, stream(added("b", 6), FOREVER)) as scene:
        await scene.play(85 + 1)
        assert scene.phase is Phase.SYNCED
        await scene.play(9)  # the transport here keeps no time: five seconds more than one that does
        assert scene.phase is Phase.STALE
        assert scene.held == {"a": 5}

        await scene.play(80)
        assert scene.held == {"a": 5, "b": 6}
        assert scene.server.count("watchlist") == 1


@on_virtual_time
async def test_f16_bytes_that_never_make_a_line_do_not_count_as_being_heard() -> None:
    drip = [part for byte in added("slow", 6)[:-1] * 20 for part in (Pause(1), bytes([byte]))]
    async with Scene(initial("a", rv=5, then=drip), stream(added("b", 6), FOREVER)) as scene:
        await scene.play(90)

        assert scene.server.asked == [("watchlist", ""), ("watch", "5")]
        assert scene.held == {"a": 5, "b": 6}


@on_virtual_time
async def test_f16_initial_events_that_drip_are_given_up_for_a_list() -> None:
    drip = [part for n in range(500) for part in (added(f"t{n}", n + 1), Pause(10))]
    async with Scene(stream(*drip), stream(*drip), page(thing("a", 1), rv=9)) as scene:
        await scene.play(300)

        assert [kind for kind, _ in scene.server.asked] == ["watchlist", "watchlist", "list", "watch"]
        assert scene.held == {"a": 1}


@on_virtual_time
async def test_f17_a_line_cut_off_is_never_an_event_and_is_told_again() -> None:
    whole = added("b", 6)
    for end in ([RESET], []):
        script = [initial("a", rv=5, then=[Pause(5), whole[:-1], *end]), stream(whole, FOREVER)]
        async with Scene(*script) as scene:
            await scene.play(5.5)
            assert scene.held == {"a": 5}

            await scene.play(10)
            assert scene.held == {"a": 5, "b": 6}
            assert scene.statistics.errors == {"reset" if end else "truncated": 1}


@on_virtual_time
async def test_f08_watches_that_end_at_once_are_an_error_and_asked_at_the_backoffs_pace() -> None:
    async with Scene(initial("a", rv=5, then=[Pause(5)]), *[stream()] * 60) as scene:
        await scene.play(300)

        at = [request.at for request in scene.server.requests[2:]]
        assert len(at) <= 14
        assert all(later - earlier >= 0.8 for earlier, later in itertools.pairwise(at))
        assert scene.statistics.short_watches == len(at) + 1
        assert scene.phase is Phase.STALE
        assert scene.server.count("watchlist") == 1


@on_virtual_time
async def test_f08_a_bookmark_that_repeats_where_we_stand_does_not_make_a_short_watch_a_good_one() -> None:
    async with Scene(initial("a", rv=5, then=[Pause(5)]), *[stream(bookmark(5))] * 60) as scene:
        await scene.play(120)

        assert len(scene.server.requests) <= 12


@on_virtual_time
async def test_the_backoff_grows_though_each_attempt_begins_with_an_answer() -> None:
    """kube-rs#1895's pattern: Init, failure, Init, failure: the series must not start over."""
    async with Scene(*[stream(added("a", 1), RESET), text(500, b"")] * 30) as scene:
        await scene.play(600)

        assert len(scene.server.requests) <= 24


@on_virtual_time
async def test_the_backoff_starts_over_after_two_healthy_minutes() -> None:
    storm = [REFUSED] * 8
    script = [initial("a", rv=5, then=[RESET]), *storm, stream(added("b", 6), Pause(130), RESET), *storm]
    async with Scene(*script, idle_seconds=1e6) as scene:
        await scene.play(900)

        at = [request.at for request in scene.server.requests]
        resumed = at[9]
        assert at[10] - (resumed + 130) <= 1.6


@on_virtual_time
async def test_a_refresh_lists_now_and_breaks_a_backoff() -> None:
    script = [initial("a", rv=5), initial("b", rv=9, then=[RESET]), *[REFUSED] * 10, initial("c", rv=12)]
    async with Scene(*script) as scene:
        await scene.play(1)
        scene.reflector.refresh()
        await scene.play(0.1)
        assert scene.server.asked == [("watchlist", ""), ("watchlist", "5")]
        assert scene.statistics.relists == {"start": 1, "refresh": 1}

        await scene.play(200)
        requests = len(scene.server.requests)
        scene.reflector.refresh()
        await scene.play(0.1)
        assert len(scene.server.requests) == requests + 1
        assert scene.server.asked[-1] == ("watchlist", "9")


@on_virtual_time
async def test_a_relist_tells_its_outcome_as_a_diff() -> None:
    script = [
        initial("kept", "changed", "deleted", rv=12, then=[RESET]),
        text(410, b"gone"),
        stream(added("kept", 10), added("new", 15), added("changed", 14), bookmark(20, end=True), FOREVER),
    ]
    async with Scene(*script) as scene:
        await scene.play(30)

        assert scene.journal == [("DELETED", "deleted", 12), ("MODIFIED", "changed", 14), ("ADDED", "new", 15)]
        assert scene.reader.resource_version == 20
