"""The next page is asked for while the objects of the one before are taken, and left where nobody wants it any more."""

from __future__ import annotations

import asyncio

from kubemirror.kube.reflector import OBJECT_COST, SLICE, ReflectorOptions
from kubemirror.kube.transport import Response
from kubemirror.settings import Settings
from tests.reflect.scene import (
    COLUMNS,
    FOREVER,
    JSON,
    RESET,
    Answer,
    Body,
    Scene,
    initial,
    on_virtual_time,
    table_page,
    thing,
)
from tests.reflect.scene import page as page_of

# More objects than are taken between two breaths of the event loop.
MANY = SLICE // OBJECT_COST + 1
NO_WATCH_LIST = {"watch_list": False}


def many(rv: int, continue_: str = "", at: int = 0) -> Answer:
    return page_of(*(thing(f"t{n:05}", n + 1) for n in range(at, at + MANY)), rv=rv, continue_=continue_)


@on_virtual_time
async def test_it_is_asked_for_before_the_first_objects_are_taken() -> None:
    taken: list[int] = []
    scene = Scene(many(9000, "c"), **NO_WATCH_LIST)

    async def second() -> Response:
        taken.append(scene.statistics.list_items)
        return Response(200, dict(JSON), body)

    body = Body(scene.server, many(9000, at=MANY).parts)
    scene.server.script.append(second)
    async with scene:
        await scene.play(1)

        assert 0 < taken[0] < MANY  # in the first breath between the objects
        assert len(scene.reader) == 2 * MANY
        assert scene.server.asked == [("list", ""), ("list", "c"), ("watch", "9000")]
        assert body.closed


@on_virtual_time
async def test_one_that_fails_is_asked_for_again() -> None:
    async with Scene(many(9000, "c"), RESET, many(9000, at=MANY), **NO_WATCH_LIST) as scene:
        await scene.play(30)

        assert len(scene.reader) == 2 * MANY
        assert scene.server.asked == [("list", ""), ("list", "c"), ("list", "c"), ("watch", "9000")]


@on_virtual_time
async def test_one_behind_columns_that_changed_is_left_and_closed() -> None:
    first, *others = COLUMNS
    changed = [{**first, "name": "Other"}, *others]
    script = [
        table_page([(thing("a", 1), ["a", 0])], rv=5, columns=COLUMNS, continue_="c"),
        table_page([(thing("b", 2), ["b", 0])], rv=5, columns=changed, continue_="d"),
        table_page([(thing("a", 1), ["a", 0]), (thing("b", 2), ["b", 0])], rv=5, columns=changed),
    ]
    async with Scene(*script, **NO_WATCH_LIST) as scene:
        await scene.play(30)

        assert scene.held == {"a": 1, "b": 2}
        assert scene.server.asked == [("list", ""), ("list", "c"), ("list", ""), ("watch", "5")]


@on_virtual_time
async def test_nothing_stays_open_when_the_reflector_is_ended_with_one_on_its_way() -> None:
    asked = asyncio.Event()
    cancelled = asyncio.Event()

    async def never() -> Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with Scene(many(9000, "c"), never, **NO_WATCH_LIST) as scene:
        await scene.play(1)
        assert asked.is_set()
    assert cancelled.is_set()


@on_virtual_time
async def test_a_mirror_fetches_its_first_list_in_pages_and_later_ones_as_watch_lists() -> None:
    assert ReflectorOptions.of(Settings()).paged_start
    async with Scene(page_of(thing("a", 1), rv=5), Answer([FOREVER]), initial("a", rv=9), paged_start=True) as scene:
        await scene.play(1)
        scene.reflector.refresh()
        await scene.play(1)

        assert scene.server.asked[:3] == [("list", ""), ("watch", "5"), ("watchlist", "5")]
