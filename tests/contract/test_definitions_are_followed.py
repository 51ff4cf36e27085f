"""Custom resources come, change and go while a mirror runs: all of a definition's life, on either server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from kubemirror.errors import DeniedError, ExpiredError, GoneError
from kubemirror.state.events import Phase
from kubemirror.state.journal import ChangeType
from tests.contract.bars import Bars
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import COLOR, V1, V2, bar, definition
from tests.contract.servers import DEFINITIONS, TABLE, Server

# The promise, of a definition that is Established; the rest of what is waited for is not timed so closely.
PROMISED_SECONDS = 2.0


@pytest.fixture
async def bars(mirrored: Mirrored, namespace: str) -> AsyncIterator[Bars]:
    bars = Bars(mirrored, mirrored.server.group(), namespace)
    yield bars
    answer = await bars.server("DELETE", f"{DEFINITIONS}/{bars.name}")
    assert answer.status_code in (200, 404), answer.text


async def test_a_new_definition_and_its_instances_are_there_within_two_seconds(bars: Bars) -> None:
    await bars.define({**V1, "additionalPrinterColumns": [COLOR]})
    await bars.synced(0, seconds=PROMISED_SECONDS)
    await bars.create("a")

    reader = await bars.synced(1)

    (held,) = reader.snapshot().objects
    assert orjson.loads(held.cells)[:2] == ["a", "red"]
    assert bars.mirrored.catalog.find(f"bar.{bars.group}") is bars.mirrored.catalog.get(bars.name)


async def test_tables_of_instances_are_the_servers(bars: Bars) -> None:
    await bars.define({**V1, "additionalPrinterColumns": [COLOR]})
    await bars.synced(0)
    await bars.create("a", "b")
    await bars.synced(2)

    ours = (await bars.mirrored.get(bars.path(), accept=TABLE)).json()
    theirs = (await bars.server("GET", bars.path(), accept=TABLE)).json()

    assert ours["columnDefinitions"] == theirs["columnDefinitions"]
    assert (
        [row["cells"] for row in ours["rows"]]
        == [row["cells"] for row in theirs["rows"]]
        == [["a", "red"], ["b", "red"]]
    )


async def test_changed_columns_are_printed_anew_and_no_stream_notices(bars: Bars) -> None:
    await bars.define()
    await bars.synced(0)
    await bars.create("a")
    reader = await bars.synced(1)
    position = reader.subscribe(reader.resource_version, lambda: None)

    await bars.redefine({**V1, "additionalPrinterColumns": [COLOR]})
    await bars.mirrored.until(lambda: b"red" in reader.snapshot().objects[0].cells)

    assert b"Color" in reader.columns
    assert position.read() == []


async def test_a_version_that_goes_ends_the_streams_with_410(bars: Bars) -> None:
    await bars.define(V1, V2)
    await bars.synced(0)
    await bars.create("a")
    before = await bars.synced(1)
    position = before.subscribe(before.resource_version, lambda: None)
    assert orjson.loads(before.snapshot().objects[0].raw)["apiVersion"] == f"{bars.group}/v2"

    await bars.redefine(V1, {**V2, "served": False})
    mirrored = bars.mirrored
    await mirrored.until(lambda: mirrored.reader(bars.name) is not before and mirrored.synced(bars.name))

    with pytest.raises(ExpiredError):
        position.read()
    (held,) = (await bars.synced(1)).snapshot().objects
    assert orjson.loads(held.raw)["apiVersion"] == f"{bars.group}/v1"


async def test_a_deleted_definition_takes_its_instances_along_and_may_come_back(bars: Bars) -> None:
    await bars.define()
    await bars.synced(0)
    await bars.create("a", "b")
    reader = await bars.synced(2)
    position = reader.subscribe(reader.resource_version, lambda: None)

    await bars.undefine()
    await bars.mirrored.until(lambda: bars.name not in bars.mirrored.catalog)

    deleted: list[str] = []

    async def hear_all() -> None:
        while True:
            deleted.extend(change.object.name for change in position.read() if change.type is ChangeType.DELETED)
            await asyncio.sleep(0.01)

    with pytest.raises(GoneError):  # not before the last of them was heard, which may take as long
        await asyncio.wait_for(hear_all(), 2 * PROMISED_SECONDS)
    assert deleted == ["a", "b"]

    await bars.define()
    await bars.synced(0)
    await bars.create("c")
    await bars.synced(1)


async def test_one_forbidden_resource_ends_its_streams_and_no_other(bars: Bars, server: Server) -> None:
    await bars.define()
    await bars.synced(0)
    await bars.create("a")
    held, deployments = await bars.synced(1), bars.mirrored.held("deployments.apps")
    position = held.subscribe(held.resource_version, lambda: None)
    count = len(deployments)

    await server.forbid(bars.name)
    try:
        await refused(server, bars.path())
        await bars.mirrored.mirror.refresh(bars.name)
        await bars.mirrored.until(lambda: held.phase is Phase.FORBIDDEN)

        with pytest.raises(DeniedError, match="forbidden"):
            position.read()
        assert len(held) == 0
        assert (deployments.phase, len(deployments)) == (Phase.SYNCED, count)
    finally:
        await server.permit(bars.name)
    await permitted(server, bars.path())
    await bars.mirrored.mirror.refresh(bars.name)
    await bars.mirrored.until(lambda: held.phase is Phase.SYNCED)
    assert len(held) == 1


async def refused(server: Server, path: str) -> None:
    """Until RBAC's own caches know."""
    while (await server("GET", path, token="mirror-token")).status_code != 403:
        pass


async def permitted(server: Server, path: str) -> None:
    while not (await server("GET", path, token="mirror-token")).is_success:
        pass


async def test_many_definitions_at_once(mirrored: Mirrored, server: Server) -> None:
    group = server.group()
    kinds = [f"Kind{at}" for at in range(20)]
    names = {f"{kind.lower()}s.{group}" for kind in kinds}
    try:
        for kind in kinds:
            await server.done("POST", DEFINITIONS, definition(group, kind=kind))
        await mirrored.until(lambda: all(mirrored.synced(name) for name in names))
    finally:
        for name in names:
            await server("DELETE", f"{DEFINITIONS}/{name}")
    await mirrored.until(lambda: not any(name in mirrored.catalog for name in names))


async def test_all_that_is_there_at_the_start_is_mirrored_as_it_is_there(server: Server, namespace: str) -> None:
    group = server.group()
    kinds = [f"Kind{at}" for at in range(20)]
    names = [f"{kind.lower()}s.{group}" for kind in kinds]
    try:
        for kind in kinds:
            await server.done("POST", DEFINITIONS, definition(group, kind=kind))
        last = f"/apis/{group}/v1/namespaces/{namespace}/{names[-1].partition('.')[0]}"
        await server.until(last, lambda answer: answer.is_success)
        await server.done("POST", last, {**bar(group, "a"), "kind": kinds[-1]})
        async with mirror_of(server, mirror=("namespaces",)) as mirrored:
            for name in names:
                assert mirrored.synced(name)
                assert mirrored.held(name).statistics.relists == {"start": 1}
            for entry in mirrored.catalog:
                await mirrored.equals(
                    entry.resource.name,
                    await server.done("GET", f"{entry.resource.path}/{entry.resource.plural}"),
                )
            assert len(mirrored.held(names[-1])) == 1
    finally:
        for name in names:
            await server("DELETE", f"{DEFINITIONS}/{name}")
