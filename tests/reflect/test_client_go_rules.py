"""client-go's reflector tests, told of this one (tools/cache/reflector_test.go, reflector_watchlist_test.go)."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from kubemirror.state.events import Apply, Delete, InitDelete, InitDone, Phase
from tests.reflect.scene import (
    FOREVER,
    REFUSED,
    RESET,
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
    text,
    thing,
)


@pytest.mark.parametrize("watch_list", [True, False])
@on_virtual_time
async def test_l01_after_list_and_events_the_store_is_the_servers_and_requests_carry_the_right_options(
    watch_list: bool,
) -> None:
    events = (added("c", 10), modified("a", 12), deleted("b", 13), bookmark(20), FOREVER)
    script = (
        [initial("a", "b", rv=5, then=events)]
        if watch_list
        else [page(thing("a", 4), thing("b", 5), rv=5), stream(*events)]
    )
    async with Scene(*script, watch_list=watch_list) as scene:
        await scene.play(1)

        assert scene.held == {"a": 12, "c": 10}
        assert scene.reader.resource_version == 20
        first = scene.server.requests[0].query
        if watch_list:
            assert (
                first.items()
                >= {
                    "watch": "1",
                    "sendInitialEvents": "true",
                    "resourceVersionMatch": "NotOlderThan",
                    "resourceVersion": "",
                    "allowWatchBookmarks": "true",
                    "includeObject": "Object",
                }.items()
            )
            assert len(scene.server.requests) == 1
        else:
            assert first == {"limit": "500", "includeObject": "Object"}
            second = scene.server.requests[1].query
            assert second["resourceVersion"] == "5"
            assert "sendInitialEvents" not in second


@on_virtual_time
async def test_l02_whatever_fails_the_store_is_the_next_list() -> None:
    script = [
        REFUSED,
        text(500, b"oops"),
        initial("a", rv=5, then=[modified("a", 6), RESET]),
        REFUSED,
        stream(error(410, "Expired")),
        initial("b", rv=9),
    ]
    async with Scene(*script) as scene:
        await scene.play(60)

        assert scene.held == {"b": 9}
        assert scene.phase is Phase.SYNCED


@on_virtual_time
async def test_l03_events_are_applied_and_the_version_advances() -> None:
    async with Scene(initial(rv=5, then=[added("a", 6), added("b", 7), deleted("a", 8), FOREVER])) as scene:
        await scene.play(1)

        assert [type(event) for event in scene.events if isinstance(event, Apply | Delete)] == [Apply, Apply, Delete]
        assert scene.held == {"b": 7}
        assert scene.reader.resource_version == 8


@on_virtual_time
async def test_l04_cancelled_anywhere_it_ends_cleanly_and_closes_what_was_open() -> None:
    async def hang() -> object:
        return await asyncio.Event().wait()

    places: list[tuple[tuple[object, ...], float]] = [
        ((hang,), 1.0),
        ((stream(added("a", 1), FOREVER),), 1.0),
        ((initial("a", rv=5),), 1.0),
        ((REFUSED, REFUSED), 0.1),
        ((Answer([b'{"kind":"ThingList"', FOREVER]),), 1.0),
        ((text(503, b"no"),), 0.1),
    ]
    for script, seconds in places:
        for watch_list in (True, False):
            scene = Scene(*script, watch_list=watch_list)  # type: ignore[arg-type]
            await scene.play(seconds)
            assert scene.task is not None
            scene.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scene.task
            assert all(body.closed for body in scene.server.bodies)
            assert asyncio.all_tasks() == {asyncio.current_task()}


@on_virtual_time
async def test_l04_a_programming_error_ends_run_with_itself() -> None:
    async def broken() -> object:
        raise ZeroDivisionError("a bug")

    scene = Scene(broken)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await scene.play(1)


@on_virtual_time
async def test_l05_refused_connections_are_tried_at_the_backoffs_pace() -> None:
    async with Scene(*[REFUSED] * 40) as scene:
        await scene.play(600)

        at = [request.at for request in scene.server.requests]
        waits = [later - earlier for earlier, later in itertools.pairwise(at)]
        steps = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
        for wait, step in zip(waits, steps, strict=False):
            assert step <= wait <= 2 * step
        assert all(30 <= wait <= 60 for wait in waits[6:])
        assert len({round(wait, 3) for wait in waits[6:]}) > 3  # jitter is really there


@on_virtual_time
async def test_l06_429_on_connect_and_as_an_event_back_off_and_never_list_again() -> None:
    too_many = text(429, b"Too many requests, please try again later.\n", "text/plain", retry_after="1")
    script = [
        initial("a", rv=5, then=[]),
        too_many,
        stream(error(429, "TooManyRequests", after=1)),
        too_many,
        stream(added("b", 7), FOREVER),
    ]
    async with Scene(*script) as scene:
        await scene.play(60)

        assert scene.server.count("watchlist") == 1
        assert scene.server.asked[1:] == [("watch", "5")] * 4
        assert scene.held == {"a": 5, "b": 7}


@on_virtual_time
async def test_l07_no_leader_is_retried_for_a_while_at_the_same_version_and_only_then_listed() -> None:
    no_leader = stream(error(500, "InternalError", "etcdserver: no leader"))
    async with Scene(initial("a", rv=5, then=[Pause(5)]), *[no_leader] * 9, initial("b", rv=9)) as scene:
        await scene.play(25)
        assert scene.server.count("watchlist") == 1
        assert scene.server.count("watch") >= 4

        await scene.play(200)
        assert ("watchlist", "5") in scene.server.asked
        assert scene.statistics.relists["internal_error"] == 1


@on_virtual_time
async def test_l08_a_bookmark_moves_the_version_that_is_resumed_at() -> None:
    script = [initial("a", rv=5, then=[bookmark(50), Pause(5)]), stream(FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", ""), ("watch", "50")]


@on_virtual_time
async def test_l09_a_relist_asks_for_the_last_version_and_for_the_newest_when_that_has_expired_too() -> None:
    script = [
        initial("a", rv=10, then=[error(410, "Expired")]),
        refusal(410, "Expired"),
        initial("b", rv=20),
    ]
    async with Scene(*script) as scene:
        await scene.play(30)

        assert scene.server.asked == [("watchlist", ""), ("watchlist", "10"), ("watchlist", "")]
        assert scene.held == {"b": 20}


@pytest.mark.parametrize("form", ["http", "event"])
@on_virtual_time
async def test_l09_f04_too_large_a_version_is_answered_by_a_consistent_list(form: str) -> None:
    said = (504, "Timeout", "Timeout: Too large resource version: 10, current: 3")
    too_large = refusal(*said, causes=["ResourceVersionTooLarge"]) if form == "http" else stream(error(*said))
    script = [initial("a", rv=10, then=[error(410, "Gone")]), too_large, page(thing("b", 20), rv=20)]
    async with Scene(*script) as scene:
        await scene.play(30)

        assert scene.server.asked == [("watchlist", ""), ("watchlist", "10"), ("list", ""), ("watch", "20")]
        assert "resourceVersionMatch" not in scene.server.requests[2].query


@on_virtual_time
async def test_l11_any_other_error_event_lists_again_and_the_unreadable_object_leaves() -> None:
    script = [initial("a", "corrupt", rv=10, then=[error(500, "StoreReadError", "corrupt")]), initial("a", rv=9 + 10)]
    async with Scene(*script) as scene:
        await scene.play(30)

        assert scene.server.asked == [("watchlist", ""), ("watchlist", "10")]
        assert list(scene.held) == ["a"]
        assert ("DELETED", "corrupt", 10) in scene.journal


@on_virtual_time
async def test_l12_watches_ask_to_be_ended_after_five_to_ten_minutes() -> None:
    ends = [stream(added(f"t{n}", 10 + n), Pause(2)) for n in range(40)]
    async with Scene(initial("a", rv=5, then=[Pause(5)]), *ends) as scene:
        await scene.play(200)

        asked = [int(request.query["timeoutSeconds"]) for request in scene.server.requests]
        assert all(300 <= seconds <= 600 for seconds in asked)
        assert len(set(asked)) > 20


@on_virtual_time
async def test_l14_synced_only_after_the_annotated_bookmark() -> None:
    script = [stream(added("a", 1), Pause(10), bookmark(5, end=True), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(9)
        assert not scene.reader.synced
        assert scene.phase is Phase.INIT

        await scene.play(2)
        assert scene.reader.synced
        assert scene.phase is Phase.SYNCED
        assert scene.reader.resource_version == 5


@pytest.mark.parametrize("code", [400, 405, 406, 422])
@on_virtual_time
async def test_l15_a_server_without_watch_list_is_listed_and_not_asked_for_one_again(code: int) -> None:
    script = [
        refusal(code, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList gate is enabled"),
        page(thing("a", 1), rv=5),
        stream(error(410, "Expired")),
        page(thing("b", 6), rv=7),
    ]
    async with Scene(*script) as scene:
        await scene.play(30)

        assert scene.server.asked == [("watchlist", ""), ("list", ""), ("watch", "5"), ("list", "5"), ("watch", "7")]
        assert scene.held == {"b": 6}


@on_virtual_time
async def test_l15_a_server_that_ignores_the_option_is_found_out_by_its_first_bookmark() -> None:
    script = [stream(added("a", 1), Pause(60), bookmark(5), FOREVER), page(thing("a", 1), rv=5)]
    async with Scene(*script) as scene:
        await scene.play(70)

        assert scene.server.asked == [("watchlist", ""), ("list", ""), ("watch", "5")]
        assert scene.held == {"a": 1}


@on_virtual_time
async def test_l16_429_to_a_watch_list_is_retried_as_a_watch_list() -> None:
    async with Scene(text(429, b"slow down", "text/plain"), initial("a", rv=5)) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", "")] * 2
        assert scene.held == {"a": 5}


@pytest.mark.parametrize("end", [RESET, None])
@on_virtual_time
async def test_l17_broken_before_it_was_complete_a_new_watch_list_begins_and_no_phantom_stays(end: object) -> None:
    broken = stream(added("phantom", 1), *([RESET] if end is RESET else []))
    async with Scene(broken, initial("a", rv=5)) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", "")] * 2
        assert scene.held == {"a": 5}


@on_virtual_time
async def test_l18_broken_after_it_was_complete_a_plain_watch_resumes() -> None:
    script = [initial("a", rv=5, then=[added("b", 6), RESET]), stream(added("c", 7), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", ""), ("watch", "6")]
        assert scene.held == {"a": 5, "b": 6, "c": 7}


@on_virtual_time
async def test_l19_changes_and_deletions_during_the_initial_events_are_part_of_the_list() -> None:
    script = [
        stream(
            added("a", 3),
            added("b", 1),
            added("c", 2),
            modified("b", 6),
            deleted("a", 7),
            added("a", 3),  # told again late: a deleted uid never comes back
            added("b", 1),
            added("a", 8, uid="another"),
            bookmark(8, end=True),
            FOREVER,
        )
    ]
    async with Scene(*script) as scene:
        await scene.play(1)

        assert scene.held == {"a": 8, "b": 6, "c": 2}
        assert sum(isinstance(event, InitDelete) for event in scene.events) == 1
        assert [event for event in scene.events if isinstance(event, InitDone)] == [InitDone(8)]


@on_virtual_time
async def test_l20_the_version_does_not_advance_during_the_unordered_initial_events() -> None:
    script = [stream(added("z", 99), added("a", 3), RESET), initial("a", rv=5)]
    async with Scene(*script) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", ""), ("watchlist", "")]
        assert scene.reader.resource_version == 5


@on_virtual_time
async def test_l21_a_streamed_store_equals_the_list() -> None:
    listed = [thing(f"t{n}", n + 1, spec={"n": n}) for n in range(20)]
    streamed = stream(
        *(added(f"t{n}", n + 1, spec={"n": n}) for n in reversed(range(20))), bookmark(20, end=True), FOREVER
    )
    async with Scene(streamed) as one, Scene(page(*listed, rv=20), watch_list=False) as other:
        await one.play(1)
        await other.play(1)

        assert one.reader.digest() == other.reader.digest()
        assert [found.raw for found in one.reader.snapshot().objects] == [
            found.raw for found in other.reader.snapshot().objects
        ]
