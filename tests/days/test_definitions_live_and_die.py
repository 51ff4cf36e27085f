"""A CustomResourceDefinition from its birth to its second life: each step costs the LISTs that it must, of it alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kubemirror.errors import ExpiredError, GoneError
from kubemirror.state.journal import Change, ChangeType, Position
from tests.cluster.control_plane import ControlPlane
from tests.contract.bars import Bars
from tests.contract.mirrored import DEFINITIONS, mirror_of
from tests.contract.objects import COLOR, V1, V2
from tests.contract.servers import PATIENCE_SECONDS, Real
from tests.days.day import DEPLOYMENTS, Day

pytestmark = pytest.mark.timeout(120)


async def until_gone(position: Position, moved: asyncio.Event) -> list[Change]:
    """What is told up to the end that a definition's deletion brings."""
    told: list[Change] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            moved.clear()
            try:
                while changes := position.read():
                    told += changes
            except GoneError:
                return told
            await moved.wait()


async def test_created_versioned_with_new_columns_deleted_and_back(control_plane: ControlPlane, tmp_path: Path) -> None:
    real = Real(control_plane, tmp_path)
    day = Day(control_plane, real)
    namespace, group = await real.namespace(), real.group()
    async with mirror_of(real) as mirrored:
        bars = Bars(mirrored, group, namespace)
        name = bars.name

        async def the_servers() -> None:
            await day.converged(mirrored, paths={name: f"/apis/{group}/v1/bars"})

        day.begins()
        await bars.define()
        await bars.synced(0)
        await bars.create("a", "b")
        await the_servers()
        assert day.lists(name) == 1

        # Columns have no resourceVersion: the cells are listed again, also after the API server has taken them in.
        day.begins()
        reader = mirrored.held(name)
        position = reader.follow(lambda: None)
        await bars.redefine({**V1, "additionalPrinterColumns": [COLOR]})
        await mirrored.until(lambda: all(b"red" in held.cells for held in reader.snapshot().objects))
        await the_servers()
        assert position.read() == []
        assert 1 <= day.lists(name) <= 3

        # A newer version is mirrored in its place: a new store.
        day.begins()
        await bars.redefine({**V1, "additionalPrinterColumns": [COLOR]}, V2)
        await mirrored.until(lambda: mirrored.reader(name) is not reader and mirrored.synced(name))
        await the_servers()
        with pytest.raises(ExpiredError):
            position.read()
        assert b'"apiVersion":"%s/v2"' % group.encode() in mirrored.held(name).snapshot().objects[0].raw
        assert day.lists(name) == 1

        day.begins()
        reader = mirrored.held(name)
        moved = asyncio.Event()
        position = reader.follow(moved.set)
        await bars.undefine()
        await mirrored.until(lambda: name not in mirrored.catalog)
        assert [(change.type, change.object.name) for change in await until_gone(position, moved)] == [
            (ChangeType.DELETED, "a"),
            (ChangeType.DELETED, "b"),
        ]
        assert day.lists(name) == 0

        day.begins()
        await bars.define(V1, V2)
        await bars.synced(0)
        await bars.create("c")
        await the_servers()
        assert day.lists(name) == 1

        for other in (DEPLOYMENTS, DEFINITIONS):
            assert mirrored.held(other).statistics.lists == 1
        await bars.undefine()
    await real.close()
