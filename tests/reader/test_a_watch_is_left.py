"""Mirror.watch is left as loops are: by break, by an error, by the end of its Mirror. Nothing is said or stays open."""

from __future__ import annotations

import asyncio
import sys
from textwrap import dedent

import pytest

from kubemirror.client import Added, Bookmark, Mirror, Modified
from kubemirror.client.connection import Transport
from tests.reader.wire import Wire
from tests.serve.live import Live
from tests.serve.world import Store, World

TRANSPORTS = pytest.mark.parametrize("transport", list(Transport))


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"), store.object(8, "api", "blue"))
    return store


@TRANSPORTS
@pytest.mark.parametrize("then", ["break", "raise SystemExit('an error of its own')"])
async def test_a_program_that_leaves_the_loop_prints_nothing_else(
    live: Live, store: Store, transport: Transport, then: str
) -> None:
    program = f"""
        import asyncio
        from kubemirror.client import Mirror

        async def main():
            async with Mirror({live.url!r}, transport={transport.value!r}) as mirror:
                async for event in mirror.watch("deployments"):
                    print(event.name)
                    {then}

        asyncio.run(main(), debug=False)
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "default", "-c", dedent(program), stdout=-1, stderr=-1
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)

    assert out == b"api\n"
    assert err == (b"" if then == "break" else b"an error of its own\n")


@TRANSPORTS
async def test_who_leaves_the_loop_leaves_no_connection(
    world: World, wire: Wire, live: Live, store: Store, transport: Transport
) -> None:
    async with Mirror(wire.url, transport=transport) as mirror:
        async for _ in mirror.watch("deployments"):
            break
        await wire.quiet()

    assert len(wire.asked) == 1


@TRANSPORTS
async def test_a_mirror_that_is_closed_ends_its_watches(live: Live, store: Store, transport: Transport) -> None:
    async with Mirror(live.url, transport=transport) as mirror:
        watch = mirror.watch("deployments")
        first = [await anext(watch) for _ in range(3)]
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.sleep(0)
    after = await asyncio.wait_for(waiting, 5)

    assert [event.type for event in first] == ["ADDED", "ADDED", "BOOKMARK"]
    assert after is None
    assert [event async for event in watch] == []


@TRANSPORTS
async def test_a_watch_is_of_a_mirror_that_is_open(live: Live, store: Store, transport: Transport) -> None:
    mirror = Mirror(live.url, transport=transport)
    with pytest.raises(RuntimeError, match="use `async with"):
        await anext(mirror.watch("deployments"))
    async with mirror:
        early = mirror.watch("deployments")
    with pytest.raises(RuntimeError, match="use `async with"):
        await anext(early)


@TRANSPORTS
async def test_who_gives_up_waiting_may_go_on(live: Live, store: Store, transport: Transport) -> None:
    async with Mirror(live.url, transport=transport) as mirror, mirror.watch("deployments") as watch:
        async for event in watch:
            if isinstance(event, Bookmark):
                break
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.01)
        store.apply(101, "web", "blue", image="web:2")
        event = await asyncio.wait_for(anext(watch), 5)

    assert isinstance(event, Modified)
    assert event.resource_version == "101"


async def test_a_watch_that_was_closed_tells_nothing(live: Live, store: Store) -> None:
    async with Mirror(live.url) as mirror:
        never = mirror.watch("deployments")
        await never.aclose()
        begun = mirror.watch("deployments")
        first = await anext(begun)
        await begun.aclose()

        assert isinstance(first, Added)
        assert [event async for event in never] + [event async for event in begun] == []


async def test_one_kind_of_change_is_one(wire: Wire, store: Store) -> None:
    async with Mirror(wire.url) as mirror:
        await anext(mirror.watch("deployments", changes="image"))
        await anext(mirror.watch("deployments", changes=["image", "scale"]))

    assert ["changes=image&" in wire.asked[0], "changes=image%2Cscale&" in wire.asked[1]] == [True, True]
