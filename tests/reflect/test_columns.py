"""Printer cells: asked for with the whole object, and fetched again when their columns change."""

from __future__ import annotations

import dataclasses
import json

from kubemirror.state.events import Columns, InitDone
from tests.reflect.scene import (
    COLUMNS,
    FOREVER,
    THINGS,
    Pause,
    Scene,
    added,
    bookmark,
    initial,
    on_virtual_time,
    row,
    stream,
    table_page,
    thing,
)

MORE = [*COLUMNS, {"name": "Size", "type": "string", "format": "", "description": "", "priority": 0}]


def tables(*rows: bytes, rv: int) -> list[bytes]:
    mark = {"metadata": {"resourceVersion": str(rv), "annotations": {"k8s.io/initial-events-end": "true"}}}
    return [*rows, row("BOOKMARK", mark, [""])]


@on_virtual_time
async def test_the_columns_become_visible_with_the_list_they_belong_to() -> None:
    first = stream(*tables(row("ADDED", thing("a", 5), ["a"], COLUMNS), rv=5), FOREVER)
    async with Scene(first) as scene:
        await scene.play(1)

        kinds = [type(event) for event in scene.events if isinstance(event, Columns | InitDone)]
        assert kinds == [Columns, InitDone]
        assert json.loads(scene.reader.columns) == COLUMNS
        held = scene.reader.get("a", "default")
        assert held is not None
        assert held.cells == b'["a"]'


@on_virtual_time
async def test_a_resource_that_is_still_empty_has_its_columns_from_the_bookmark() -> None:
    mark = {"metadata": {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}}}
    later = row("ADDED", thing("a", 6), ["a"])
    async with Scene(stream(row("BOOKMARK", mark, [""], COLUMNS), later, FOREVER)) as scene:
        await scene.play(1)

        assert json.loads(scene.reader.columns) == COLUMNS
        assert [found.cells for found in scene.reader.snapshot().objects] == [b'["a"]']
        assert scene.statistics.relists == {"start": 1}


@on_virtual_time
async def test_columns_that_changed_have_every_cell_fetched_again_without_a_change_being_told() -> None:
    script = [
        stream(
            *tables(row("ADDED", thing("a", 4), ["a"], COLUMNS), row("ADDED", thing("b", 5), ["b"]), rv=5), Pause(5)
        ),
        stream(row("MODIFIED", thing("b", 6), ["b", "L"], MORE)),
        stream(
            *tables(row("ADDED", thing("a", 4), ["a", "S"], MORE), row("ADDED", thing("b", 6), ["b", "L"]), rv=6),
            FOREVER,
        ),
    ]
    async with Scene(*script) as scene:
        await scene.play(30)

        assert scene.server.asked == [("watchlist", ""), ("watch", "5"), ("watchlist", "5")]
        assert [found.cells for found in scene.reader.snapshot().objects] == [b'["a","S"]', b'["b","L"]']
        assert json.loads(scene.reader.columns) == MORE
        assert scene.journal == [("MODIFIED", "b", 6)]
        assert scene.statistics.relists == {"start": 1, "columns": 1}


@on_virtual_time
async def test_columns_that_are_the_same_but_for_white_space_are_the_same() -> None:
    again = (
        row("MODIFIED", thing("a", 6), ["a"], COLUMNS).replace(b'{"name":', b'{ "name" : ').replace(b"\n", b"") + b"\n"
    )
    script = [
        stream(*tables(row("ADDED", thing("a", 5), ["a"], COLUMNS), rv=5), Pause(5)),
        stream(again.replace(b'{ "name" : "a"', b'{"name":"a"'), FOREVER),
    ]
    async with Scene(*script) as scene:
        await scene.play(20)

        assert scene.server.count("watchlist") == 1
        assert scene.held == {"a": 6}


@on_virtual_time
async def test_columns_that_change_between_two_pages_have_the_list_begun_anew() -> None:
    script = [
        table_page([(thing("a", 4), ["a"])], rv=5, columns=COLUMNS, continue_="c"),
        table_page([(thing("b", 5), ["b", "L"])], rv=5, columns=MORE),
        table_page([(thing("a", 4), ["a", "S"]), (thing("b", 5), ["b", "L"])], rv=5, columns=MORE),
    ]
    async with Scene(*script, watch_list=False) as scene:
        await scene.play(10)

        assert [found.cells for found in scene.reader.snapshot().objects] == [b'["a","S"]', b'["b","L"]']
        assert scene.server.count("list") == 3


@on_virtual_time
async def test_the_first_object_of_an_empty_store_brings_the_columns_without_a_list() -> None:
    script = [stream(*tables(rv=5), row("ADDED", thing("a", 6), ["a"], COLUMNS), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(1)

        assert len(scene.server.requests) == 1
        assert json.loads(scene.reader.columns) == COLUMNS
        assert scene.held == {"a": 6}


@on_virtual_time
async def test_a_server_whose_list_and_watch_disagree_is_not_listed_for_ever() -> None:
    listed = table_page([(thing("a", 5), ["a"])], rv=5, columns=COLUMNS)
    watches = [stream(added(f"t{n}", n), Pause(5)) for n in range(6, 30)]
    script = [listed, watches[0], listed, *watches[1:]]
    async with Scene(*script, watch_list=False) as scene:
        await scene.play(100)

        assert scene.server.count("list") == 2
        assert len(scene.held) > 10


@on_virtual_time
async def test_without_tables_objects_are_held_without_cells() -> None:
    async with Scene(initial("a", rv=5), tables=False) as scene:
        await scene.play(1)

        assert scene.reader.columns == b""
        assert "includeObject" not in scene.server.requests[0].query


@on_virtual_time
async def test_of_a_metadata_only_resource_no_more_than_metadata_is_asked_for_and_taken() -> None:
    secrets = dataclasses.replace(THINGS, metadata_only=True)
    whole = stream(row("ADDED", thing("a", 5, data={"k": "c2VjcmV0"}), ["a"], COLUMNS), bookmark(5, end=True), FOREVER)
    partial = {**thing("a", 5), "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    good = stream(*tables(row("ADDED", partial, ["a"], COLUMNS), rv=5), FOREVER)
    async with Scene(whole, good, resource=secrets) as scene:
        await scene.play(20)

        assert scene.server.requests[0].query["includeObject"] == "Metadata"
        assert scene.statistics.errors == {"mixed_form": 1}
        held = scene.reader.get("a", "default")
        assert held is not None
        assert json.loads(held.raw)["kind"] == "Thing"
        assert b"c2VjcmV0" not in held.raw
