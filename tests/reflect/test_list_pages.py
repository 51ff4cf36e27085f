"""Pages of a LIST: read in either form, installed together or not at all."""

from __future__ import annotations

import asyncio
import json

import pytest

from kubemirror.kube.wire import WireError, identities, page
from kubemirror.state.events import InitDone, Phase
from tests.reflect.scene import (
    COLUMNS,
    RESET,
    Answer,
    Pause,
    Scene,
    on_virtual_time,
    refusal,
    table_page,
    thing,
)
from tests.reflect.scene import page as page_of

NO_WATCH_LIST = {"watch_list": False}


def test_a_table_page_gives_objects_with_cells_and_the_columns() -> None:
    (body,) = table_page([(thing("a", 1), ["a", 0])], rv=5, columns=COLUMNS).parts
    assert isinstance(body, bytes)

    read = page(body)

    assert (read.resource_version, read.continue_) == (5, "")
    assert json.loads(read.columns) == COLUMNS
    assert len(read.rows) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "bad_page"),
        (b"<html>", "bad_page"),
        (b"{}", "bad_page"),
        (b'{"kind":"Status","code":500}', "bad_page"),
        (b'{"kind":"ThingList","metadata":{},"items":[]}', "no_resource_version"),
        (b'{"kind":"ThingList","metadata":{"resourceVersion":"abc"},"items":[]}', "no_resource_version"),
        (b'{"kind":"ThingList","metadata":{"resourceVersion":"1"},"items":[{]}', "bad_page"),
        (
            b'{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"rows":[{"cells":[]}]}',
            "mixed_form",
        ),
    ],
)
def test_what_is_no_list_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(WireError) as refused:
        page(body)

    assert refused.value.kind == kind


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_an_empty_list_may_say_null(items: bytes) -> None:
    body = b'{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"3"},"items":' + items + b"}"

    assert list(page(body).rows) == []
    assert identities(body).items == []


@pytest.mark.parametrize("size", [1, 3, 4, 5])
@on_virtual_time
async def test_l10_pages_of_any_size_make_the_same_store(size: int) -> None:
    names = [thing(f"t{n}", n + 1) for n in range(4)]
    chunks = [names[at : at + size] for at in range(0, 4, size)]
    pages = [
        page_of(*chunk, rv=9, continue_=f"c{at}" if chunk is not chunks[-1] else "") for at, chunk in enumerate(chunks)
    ]
    async with Scene(*pages, page_size=size, **NO_WATCH_LIST) as scene:
        await scene.play(1)

        assert scene.held == {f"t{n}": n + 1 for n in range(4)}
        assert scene.server.asked == [
            ("list", ""),
            *[("list", f"c{at}") for at in range(len(chunks) - 1)],
            ("watch", "9"),
        ]
        assert scene.server.requests[0].query["limit"] == str(size)


@on_virtual_time
async def test_f05_410_on_a_later_page_restarts_as_one_whole_list_and_nothing_partial_is_installed() -> None:
    script = [
        page_of(thing("a", 1), rv=5, continue_="c"),
        refusal(410, "Expired", "The provided continue parameter is too old"),
        page_of(thing("b", 6), rv=7),
    ]
    async with Scene(*script, **NO_WATCH_LIST) as scene:
        await scene.play(10)

        assert scene.held == {"b": 6}
        assert scene.server.asked == [("list", ""), ("list", "c"), ("list", ""), ("watch", "7")]
        assert "limit" not in scene.server.requests[2].query
        assert [event for event in scene.events if isinstance(event, InitDone)] == [InitDone(7)]


@on_virtual_time
async def test_f05_while_pages_fail_the_old_state_is_served() -> None:
    script = [
        page_of(thing("a", 1), rv=5),
        refusal(410, "Expired"),
        page_of(thing("b", 6), rv=7, continue_="c"),
        Answer([b'{"kind":"ThingList","metad', RESET]),
        Answer([b'{"kind":"ThingList","metad']),
        page_of(thing("c", 6), rv=7),
    ]
    async with Scene(*script, **NO_WATCH_LIST) as scene:
        await scene.play(2)
        seen = [scene.held]
        for _ in range(200):
            await scene.play(0.1)
            if scene.held != seen[-1]:
                seen.append(scene.held)

        assert seen == [{"a": 1}, {"b": 6, "c": 6}]
        assert scene.server.asked[2:] == [("list", "5"), ("list", "c"), ("list", "c"), ("list", "c"), ("watch", "7")]


@on_virtual_time
async def test_f16_a_page_that_drips_is_given_up() -> None:
    drip = Answer([part for byte in b'{"kind":"ThingList"' * 20 for part in (bytes([byte]), Pause(1))])
    async with Scene(drip, page_of(thing("a", 1), rv=5), list_grace_seconds=30, **NO_WATCH_LIST) as scene:
        await scene.play(40)

        assert scene.held == {"a": 1}
        assert 30 <= scene.server.requests[1].at <= 33
        assert scene.statistics.errors == {"timeout": 1}


@on_virtual_time
async def test_f16_a_big_page_that_keeps_its_rate_is_waited_for() -> None:
    (body,) = page_of(thing("a", 1, spec="x" * 400_000), rv=5).parts
    assert isinstance(body, bytes)
    slowly = [part for at in range(0, len(body), 5000) for part in (body[at : at + 5000], Pause(1))]
    async with Scene(Answer(slowly), list_grace_seconds=30, list_least_rate=4000, **NO_WATCH_LIST) as scene:
        await scene.play(90)

        assert scene.held == {"a": 1}


@on_virtual_time
async def test_a_long_page_gives_the_loop_back_all_the_time() -> None:
    things = [thing(f"t{n}", n + 1, spec="x" * 1000) for n in range(3000)]
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async with Scene(page_of(*things, rv=9000), **NO_WATCH_LIST) as scene:
        counting = asyncio.create_task(count())
        while not scene.reader.synced:
            await scene.play(0.0)
        counting.cancel()

    assert rounds >= 20  # 3.4 MB and 3,000 objects in slices of 400 kB


@on_virtual_time
async def test_a_list_without_resource_version_is_an_error_that_is_told() -> None:
    bad = Answer([b'{"kind":"ThingList","metadata":{},"items":[]}'])
    async with Scene(bad, bad, bad, **NO_WATCH_LIST) as scene:
        await scene.play(2)

        assert scene.phase is Phase.INIT
        assert "without resourceVersion" in scene.reader.reason
        assert not scene.reader.synced
