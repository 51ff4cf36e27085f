"""Lines that cannot be read, events that come twice, late or too big: none of them wedges or bends the store."""

from __future__ import annotations

import pytest

from kubemirror.state.events import Phase
from tests.reflect.scene import (
    FOREVER,
    RESET,
    Pause,
    Scene,
    added,
    bookmark,
    deleted,
    error,
    initial,
    line,
    modified,
    on_virtual_time,
    row,
    stream,
    thing,
)


@on_virtual_time
async def test_f18_at_a_bad_line_the_connection_is_dropped_and_resumed_before_it() -> None:
    script = [initial("a", rv=5, then=[added("b", 6), b"{broken\n", added("never", 9)]), stream(added("c", 7), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", ""), ("watch", "6")]
        assert scene.held == {"a": 5, "b": 6, "c": 7}


@on_virtual_time
async def test_f18_the_third_time_at_the_same_spot_it_lists() -> None:
    bad = stream(b"{broken\n")
    script = [initial("a", rv=5, then=[added("b", 6), b"{broken\n"]), bad, bad, initial("b", "c", rv=9)]
    async with Scene(*script) as scene:
        await scene.play(20)

        assert scene.server.asked == [("watchlist", ""), ("watch", "6"), ("watch", "6"), ("watchlist", "6")]
        assert set(scene.held) == {"b", "c"}
        assert scene.statistics.relists == {"start": 1, "bad_line": 1}


@on_virtual_time
async def test_f18_bad_lines_at_different_spots_are_resumed_for_ever() -> None:
    script = [initial("a", rv=5, then=[b"{\n"]), *(stream(added(f"t{n}", n), b"{\n") for n in range(6, 12))]
    async with Scene(*script) as scene:
        await scene.play(300)

        assert scene.server.count("watchlist") == 1
        assert len(scene.held) == 7


@on_virtual_time
async def test_f18_an_unknown_type_is_counted_and_passed_over() -> None:
    async with Scene(initial("a", rv=5, then=[line("FROBNICATED", thing("x", 9)), added("b", 6), FOREVER])) as scene:
        await scene.play(1)

        assert scene.held == {"a": 5, "b": 6}
        assert scene.statistics.events["unknown"] == 1
        assert len(scene.server.requests) == 1


@on_virtual_time
async def test_f18_an_error_of_another_kind_lists_again() -> None:
    async with Scene(initial("a", rv=5, then=[error(418, "Teapot")]), initial("b", rv=9)) as scene:
        await scene.play(10)

        assert scene.server.asked == [("watchlist", ""), ("watchlist", "5")]
        assert scene.held == {"b": 9}


@on_virtual_time
async def test_f19_an_event_told_twice_is_told_on_once() -> None:
    twice = [event for event in (added("b", 6), modified("b", 7), deleted("a", 8)) for _ in range(2)]
    async with Scene(initial("a", rv=5, then=[*twice, FOREVER])) as scene:
        await scene.play(1)

        assert scene.journal == [("ADDED", "b", 6), ("MODIFIED", "b", 7), ("DELETED", "a", 8)]
        assert scene.statistics.out_of_order == 3
        assert len(scene.server.requests) == 1


@on_virtual_time
async def test_f20_events_at_or_below_what_was_told_are_ignored_and_a_streak_of_them_lists() -> None:
    late = [modified("a", 3), added("b", 10), *[modified("a", 2)] * 7, added("c", 11), *[modified("a", 3)] * 8]
    async with Scene(initial("a", rv=5, then=late), initial("a", "b", "c", rv=20)) as scene:
        await scene.play(0.5)
        assert scene.held == {"a": 5, "b": 10, "c": 11}
        assert scene.statistics.out_of_order == 16

        await scene.play(10)
        assert scene.server.asked == [("watchlist", ""), ("watchlist", "11")]
        assert scene.statistics.relists["out_of_order"] == 1


@on_virtual_time
async def test_f20_a_deletion_told_late_is_still_a_deletion_and_can_be_resumed_across() -> None:
    async with Scene(
        initial("a", "b", rv=5, then=[added("c", 9), deleted("a", 7), deleted("gone", 8), FOREVER])
    ) as scene:
        await scene.play(1)

        assert scene.held == {"b": 5, "c": 9}
        assert scene.journal == [("ADDED", "c", 9), ("DELETED", "a", 9)]
        position = scene.reader.subscribe(9, lambda: None)
        assert [change.object.name for change in position.read()] == ["a"]
        assert not scene.reader.journal.gap_is_open


@on_virtual_time
async def test_a_mirrors_own_gap_is_told_on_as_a_gap() -> None:
    gap = [deleted("a", 9), deleted("b", 9), added("d", 15), modified("c", 18), bookmark(20), FOREVER]
    mirror = {"cache-status": "kubemirror; hit"}
    async with Scene(initial("a", "b", "c", rv=9, then=gap), headers=mirror) as scene:
        await scene.play(1)

        assert scene.held == {"c": 18, "d": 15}
        assert [entry[2] for entry in scene.journal] == [9, 9, 15, 18]
        assert scene.reader.journal.inside_gap(15)
        assert not scene.reader.journal.inside_gap(20)


def gap_begins(rv: int) -> bytes:
    metadata = {"resourceVersion": str(rv), "annotations": {"kubemirror/gap": "true"}}
    return line("BOOKMARK", {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": metadata})


@on_virtual_time
async def test_an_announced_gap_is_published_in_one_step_even_where_it_deletes_nothing() -> None:
    gap = [gap_begins(12), added("d", 15), Pause(5), modified("c", 18), Pause(5), bookmark(20), FOREVER]
    async with Scene(initial("a", "b", "c", rv=9, then=gap)) as scene:
        await scene.play(8)
        assert scene.held == {"a": 7, "b": 8, "c": 9}
        assert not scene.reader.journal.gap_is_open
        assert scene.reader.resource_version == 12

        await scene.play(5)
        assert scene.held == {"a": 7, "b": 8, "c": 18, "d": 15}
        assert not scene.reader.journal.inside_gap(12)
        assert scene.reader.journal.inside_gap(16)
        assert not scene.reader.journal.inside_gap(20)


@on_virtual_time
async def test_what_a_mirror_had_lost_and_found_is_held_under_its_own_old_version() -> None:
    found = [gap_begins(12), added("lost", 6), modified("a", 11), bookmark(20), FOREVER]
    async with Scene(initial("a", "b", "c", rv=9, then=found)) as scene:
        await scene.play(1)

        assert scene.held == {"a": 11, "b": 8, "c": 9, "lost": 6}
        assert scene.statistics.out_of_order == 0


@on_virtual_time
async def test_a_gap_that_is_cut_off_is_told_again_from_where_it_began() -> None:
    gap = [gap_begins(9), deleted("a", 9), deleted("b", 9), added("d", 15), RESET]
    again = stream(gap_begins(9), deleted("a", 9), deleted("b", 9), added("d", 15), bookmark(20), FOREVER)
    async with Scene(initial("a", "b", "c", rv=9, then=gap), again) as scene:
        await scene.play(60)

        assert scene.server.asked == [("watchlist", ""), ("watch", "9")]
        assert scene.held == {"c": 9, "d": 15}
        assert scene.journal == [("DELETED", "a", 9), ("DELETED", "b", 9), ("ADDED", "d", 15)]
        assert scene.statistics.out_of_order == 0


@on_virtual_time
async def test_deletions_of_a_gap_that_are_told_twice_are_no_disorder() -> None:
    told = [deleted(f"n{number}", 29) for number in range(20)]
    mirror = {"cache-status": '"kubemirror"; hit, proxy; fwd=miss'}
    names = [f"n{number}" for number in range(20)]
    script = [initial(*names, rv=29, then=[*told, RESET]), stream(*told, added("x", 31), bookmark(32), FOREVER)]
    async with Scene(*script, headers=mirror) as scene:
        await scene.play(60)

        assert scene.held == {"x": 31}
        assert scene.statistics.out_of_order == 0
        assert len(scene.server.asked) == 2


@pytest.mark.parametrize("size", [1_500_000, 4_200_000])
@on_virtual_time
async def test_f23_a_big_object_passes_unchanged(size: int) -> None:
    text = "x" * size
    async with Scene(initial("a", rv=5, then=[added("big", 6, spec=text), added("b", 7), FOREVER])) as scene:
        await scene.play(1)

        held = scene.reader.get("big", "default")
        assert held is not None
        assert held.raw.endswith(b'"spec":"' + text.encode() + b'"}')
        assert not held.error


@pytest.mark.parametrize("size", [20_000, 200_000])
@on_virtual_time
async def test_f23_beyond_the_cap_a_stub_is_held_and_the_resource_goes_on(size: int) -> None:
    huge = added("big", 6, spec="x" * size)
    pieces = [huge[at : at + 7777] for at in range(0, len(huge), 7777)]
    script = [initial("a", rv=5, then=[*pieces, added("b", 7), deleted("big", 8), added("c", 9), FOREVER])]
    async with Scene(*script, max_object_bytes=10_000) as scene:
        stubs = []
        scene.reader.on_change(lambda change: stubs.append((change.type.value, change.object.error)))
        await scene.play(1)

        assert scene.held == {"a": 5, "b": 7, "c": 9}
        assert "beyond the cap" in stubs[0][1]
        assert len(scene.server.requests) == 1


@on_virtual_time
async def test_f28_one_bad_object_harms_no_other() -> None:
    bad = thing("odd", 6)
    bad["metadata"]["labels"] = 7
    nameless = line("ADDED", {"kind": "Thing", "metadata": {"resourceVersion": "7"}})
    async with Scene(initial("a", rv=5, then=[line("ADDED", bad), nameless, added("b", 8), FOREVER])) as scene:
        await scene.play(1)

        assert scene.held == {"a": 5, "odd": 6, "b": 8}
        odd = scene.reader.get("odd", "default")
        assert odd is not None
        assert odd.error
        assert scene.statistics.errors == {"bad_object": 1}
        assert scene.phase is Phase.SYNCED


@on_virtual_time
async def test_f30_a_stream_of_mixed_forms_is_dropped_and_told_again() -> None:
    script = [
        initial("a", rv=5, then=[added("b", 6), row("ADDED", thing("c", 7), ["c"], [])]),
        stream(added("c", 7), Pause(1), FOREVER),
    ]
    async with Scene(*script) as scene:
        await scene.play(5)

        assert scene.held == {"a": 5, "b": 6, "c": 7}
        assert scene.statistics.errors == {"mixed_form": 1}
