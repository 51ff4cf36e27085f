"""A mirror of a mirror shows what the API server holds, whatever befalls the mirror between."""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest

from kubemirror.demo.replica import standing_still
from kubemirror.errors import ExpiredError
from kubemirror.state.events import Phase
from kubemirror.state.journal import ChangeType
from tests.chain.world import DEFINITIONS, DEPLOYMENTS, World, chain, listed, told
from tests.reflect.scene import on_virtual_time

PATH = "/apis/apps/v1/deployments"
ONE = "/apis/apps/v1/namespaces/default/deployments/a"
BARS = {
    "metadata": {"name": "bars.clux.dev"},
    "spec": {
        "group": "clux.dev",
        "scope": "Namespaced",
        "names": {"plural": "bars", "singular": "bar", "kind": "Bar", "listKind": "BarList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
SEEDS = int(os.environ.get("KUBEMIRROR_SEEDS", "40")) // 10


@on_virtual_time
async def test_objects_cells_and_versions_are_the_same_two_hops_away() -> None:
    async with chain() as world:
        assert world.differences() == []

        world.roll("a", "nginx:2")
        world.delete("b")
        world.deploy("d")
        await world.play(0.1)

        assert world.differences() == []
        assert world.second.reader().resource_version == world.first.reader().resource_version


@on_virtual_time
async def test_every_answer_of_a_mirror_says_that_it_is_one_and_the_api_servers_do_not() -> None:
    async with chain() as world:
        watch = {"watch": "1", "timeoutSeconds": "1"}
        for wire in (world.first.wire, world.second.wire):
            for path, query in ((ONE, {}), (PATH, {}), (PATH, watch)):
                response = await wire.request("GET", path, query=list(query.items()), seconds=5)
                assert response.headers["cache-status"] == "kubemirror; hit"
                assert "age" not in response.headers
                await response.body.close()
        assert not any("cache-status" in headers for *_, headers in world.root.answers)

        async with world.root_is_lost():
            await world.play(20)
            assert world.first.reader().phase is Phase.STALE
            _, headers, _ = await listed(world.first.wire, PATH)
            assert headers["cache-status"] == "kubemirror; hit; detail=STALE"
            assert 19 <= int(headers["age"]) <= 80
            response = await world.first.wire.request("GET", PATH, query=list(watch.items()), seconds=5)
            assert response.headers["cache-status"] == "kubemirror; hit; detail=STALE"
            await response.body.close()


@on_virtual_time
async def test_a_relist_of_the_first_is_one_step_and_a_gap_in_the_second() -> None:
    async with chain() as world:
        before = world.second.reader().resource_version
        position = world.second.reader().subscribe(before, lambda: None)
        seen: list[frozenset[str]] = []
        loop = asyncio.get_running_loop()

        def look() -> None:
            seen.append(frozenset(world.second.names()))

        look()
        world.second.reader().on_progress(lambda: loop.call_soon(look) and None)
        async with world.root_is_lost():
            world.delete("a")
            world.delete("b")
            world.roll("c", "nginx:2")
            between = world.cluster.resource_version
            world.deploy("d")
            await world.play(3)
        await world.play(60)

        assert world.differences() == []
        assert set(seen) == {frozenset("abc"), frozenset("cd")}, "one complete state, then the other"
        journal = world.second.reader().journal
        assert not journal.gap_is_open
        assert journal.inside_gap(between)
        first = world.first.reader().journal
        assert [(gap.low, gap.high) for gap in journal.gaps] == [(gap.low, gap.high) for gap in first.gaps]
        changes = position.read()
        assert [(change.type, change.object.name) for change in changes] == [
            (ChangeType.DELETED, "a"),
            (ChangeType.DELETED, "b"),
            (ChangeType.MODIFIED, "c"),
            (ChangeType.ADDED, "d"),
        ]
        low = journal.gaps[0].low
        assert [change.resource_version for change in changes[:2]] == [low, low]
        assert all(change.object.resource_version == low for change in changes[:2])
        assert world.second.reader().statistics.out_of_order == 0
        assert sum(world.second.reader().statistics.relists.values()) == 1  # the first list of all


@on_virtual_time
async def test_no_list_is_ever_answered_from_inside_a_gap() -> None:
    """Whoever lists at any moment of a relist that is told on can watch from there."""
    async with chain() as world:
        for number in range(30):
            world.deploy(f"old-{number}")
        await world.play(1)
        versions: set[int] = set()

        def note() -> None:
            journal = world.second.reader().journal
            versions.add(journal.resource_version)

        async with world.root_is_lost():
            for number in range(30):
                world.delete(f"old-{number}")
                world.deploy(f"new-{number}")
            await world.play(3)
        lists = asyncio.create_task(_list_and_watch(world), name="lists")
        world.second.reader().on_progress(note)
        await world.play(20)
        lists.cancel()
        await asyncio.wait([lists])
        assert lists.cancelled(), lists.result()

        assert world.differences() == []
        assert len(versions) >= 2


async def _list_and_watch(world: World) -> None:
    while True:
        status, _, found = await listed(world.second.wire, PATH)
        assert status == 200
        version = found["metadata"]["resourceVersion"]
        response = await world.second.wire.request(
            "GET", PATH, query=[("watch", "1"), ("resourceVersion", version), ("timeoutSeconds", "60")], seconds=5
        )
        try:
            async with asyncio.timeout(0.0005):
                assert b'"ERROR"' not in await response.body.read()
        except TimeoutError:
            pass
        await response.body.close()


@on_virtual_time
async def test_a_gap_is_framed_by_bookmarks_at_once_for_whoever_wants_bookmarks() -> None:
    async with chain() as world:
        version = str(world.first.reader().resource_version)
        asked = {"resourceVersion": version, "timeoutSeconds": "40"}
        with_bookmarks = asyncio.create_task(told(world.first.wire, PATH, allowWatchBookmarks="true", **asked))
        without = asyncio.create_task(told(world.first.wire, PATH, **asked))
        await world.play(1)
        async with world.root_is_lost():
            world.delete("a")
            world.deploy("d")
        await world.play(45)

        gap = world.first.reader().journal.gaps[0]
        events = await with_bookmarks
        short = [(event["type"], int(event["object"]["metadata"]["resourceVersion"])) for event in events]
        assert short[0] == ("BOOKMARK", gap.low)
        assert events[0]["object"]["metadata"]["annotations"] == {"kubemirror/gap": "true"}
        assert [kind for kind, _ in short[1:3]] == ["DELETED", "ADDED"]
        assert short[3] == ("BOOKMARK", gap.high)
        assert "annotations" not in events[3]["object"]["metadata"]
        assert [event["type"] for event in await without] == ["DELETED", "ADDED"]


@on_virtual_time
async def test_a_connection_that_is_cut_inside_a_gap_hears_all_of_it_again() -> None:
    async with chain() as world:
        for number in range(2000):
            world.deploy(f"old-{number}")
        await world.play(10)
        position = world.second.reader().subscribe(world.second.reader().resource_version, lambda: None)
        async with world.root_is_lost():
            for number in range(2000):
                world.delete(f"old-{number}")
            world.deploy("d")

        def gap_is_told() -> bool:
            return bool(world.first.reader().journal.gaps)

        while not gap_is_told():
            await world.play(0.0001)
        await asyncio.sleep(0)
        world.first.wire.cut()
        await world.play(60)

        assert world.differences() == []
        changes = position.read(10_000)
        assert [change.type for change in changes] == [ChangeType.DELETED] * 2000 + [ChangeType.ADDED]


@on_virtual_time
async def test_the_first_restarts_and_the_second_keeps_what_it_holds_meanwhile() -> None:
    async with chain() as world:
        world.cluster.create(DEFINITIONS, BARS)
        world.cluster.create("bars.clux.dev", {"metadata": {"name": "x"}})
        await world.play(10)
        readers = {name: world.second.reader(name) for name in (DEPLOYMENTS, "bars.clux.dev", "configmaps")}
        positions = [reader.subscribe(reader.resource_version, lambda: None) for reader in readers.values()]
        # The new process is slow: for some seconds it does not even know what there is.
        await world.first.stop()
        world.delete("a")
        app, world.root.app = world.root.app, None
        await world.first.start()
        await world.play(20)
        for name, reader in readers.items():
            assert world.second.reader(name) is reader
            assert reader.phase is Phase.STALE
        world.root.app = app
        await world.play(90)

        assert world.differences() == []
        for name, reader in readers.items():
            assert world.second.reader(name) is reader
            assert reader.phase is Phase.SYNCED
            assert reader.epoch == 0
        told_of = [[(change.type, change.object.name) for change in position.read()] for position in positions]
        assert told_of == [[(ChangeType.DELETED, "a")], [], []]


@on_virtual_time
async def test_a_first_that_is_behind_takes_nobody_back_in_time() -> None:
    async with chain() as world:
        earlier = standing_still(world.cluster)
        world.roll("a", "nginx:2")
        await world.play(1)
        ahead = world.second.reader().resource_version
        # A replica takes the first's place whose API server has fallen behind.
        await world.first.stop()
        world.faults.past = earlier
        await world.first.start()
        await world.play(100)
        assert world.first.reader().resource_version < ahead
        assert world.second.reader().resource_version == ahead
        assert world.second.reader().epoch == 0
        world.faults.catch_up()
        world.root.cut()
        world.roll("b", "nginx:2")
        await world.play(60)

        assert world.differences() == []
        assert world.second.reader().epoch == 0


@on_virtual_time
async def test_a_rollback_of_the_root_ends_the_seconds_streams_too() -> None:
    async with chain() as world:
        snapshot = world.cluster.snapshot()
        world.deploy("lost")
        for number in range(20):
            world.roll("a", f"nginx:{number + 2}")
        await world.play(60)
        assert "lost" in world.second.names()
        position = world.second.reader().follow(lambda: None)
        world.cluster.restore(snapshot)
        world.root.cut()
        await world.play(2400)

        assert world.differences() == []
        assert world.first.reader().epoch == 1
        assert world.second.reader().epoch == 1
        assert position.pending
        with pytest.raises(ExpiredError):
            position.read()


@on_virtual_time
async def test_a_definition_comes_and_goes() -> None:
    async with chain() as world:
        world.cluster.create(DEFINITIONS, BARS)
        world.cluster.create("bars.clux.dev", {"metadata": {"name": "x"}})
        await world.play(5)
        assert world.differences() == []
        assert world.second.names("bars.clux.dev") == {"x"}
        position = world.second.reader("bars.clux.dev").follow(lambda: None)

        world.cluster.delete(DEFINITIONS, "bars.clux.dev")
        await world.play(5)
        assert world.differences() == []
        assert "bars.clux.dev" not in world.second.catalog
        assert [change.type for change in position.read()] == [ChangeType.DELETED]

        world.cluster.create(DEFINITIONS, BARS)
        world.cluster.create("bars.clux.dev", {"metadata": {"name": "y"}})
        await world.play(30)
        assert world.differences() == []
        assert world.second.names("bars.clux.dev") == {"y"}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_life_of_the_chain_ends_in_the_same_state(seed: int) -> None:
    @on_virtual_time
    async def live() -> None:
        await _live(seed)

    live()


async def _live(seed: int) -> None:
    random = Random(seed)
    names = [f"n{number}" for number in range(8)]
    async with chain(seed) as world:
        second = world.second.reader()
        shown = {held.key: held.resource_version for held in second.snapshot().objects}
        position = second.follow(lambda: None)
        last = 0

        def read() -> None:
            """As a client keeps its own state by a watch that never ends."""
            nonlocal last
            while position.pending:
                for change in position.read():
                    assert change.resource_version >= last
                    last = change.resource_version
                    if change.new is None:
                        del shown[change.object.key]
                    else:
                        assert (change.object.key in shown) == (change.type is ChangeType.MODIFIED)
                        shown[change.object.key] = change.object.resource_version

        for _ in range(60):
            read()
            await world.play(random.choice([0.0, 0.01, 0.5, 5.0]))
            for _ in range(random.choice([1, 1, 5])):
                _write(world, random, random.choice(names))
            match random.randrange(12):
                case 0:
                    world.root.cut()
                case 1:
                    world.first.wire.cut()
                case 2:
                    world.cluster.compact()
                    world.root.cut()
                case 3:
                    async with world.root_is_lost():
                        for _ in range(random.choice([1, 10, 40])):
                            _write(world, random, random.choice(names))
                        await world.play(random.choice([0.0, 1.0, 20.0]))
                case 4:
                    await world.first.stop()
                    await world.play(random.choice([0.0, 5.0]))
                    await world.first.start()
                case _:
                    pass
        await world.play(200)

        assert world.differences() == []
        assert world.second.reader() is second, "no life of the first is the end of the second's stores"
        assert second.epoch == 0
        read()
        assert shown == {held.key: held.resource_version for held in second.snapshot().objects}
        assert not second.journal.gap_is_open


def _write(world: World, random: Random, name: str) -> None:
    if world.cluster.find(DEPLOYMENTS, name, "default") is None:
        world.deploy(name)
    elif random.random() < 0.4:
        world.delete(name)
    else:
        world.roll(name, f"nginx:{random.randrange(1000)}")
