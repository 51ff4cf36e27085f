"""nginx in front of a mirror: what docs/push.md says about it is what it takes, no more and no less."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from kubemirror.client import Added, Bookmark, Mirror
from tests.serve.live import Lines, Live, frame_of
from tests.serve.world import Store, World
from tests.ship.nginx import documented, nginx


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"), resource_version=100)
    return store


@pytest.mark.parametrize(("accept", "start"), [("text/event-stream", "data: "), ("*/*", "")])
async def test_events_and_lines_pass_at_once_with_its_defaults(
    live: Live, store: Store, tmp_path: Path, free_port: int, accept: str, start: str
) -> None:
    async with (
        nginx(live, tmp_path, free_port) as address,
        httpx.AsyncClient(timeout=5) as client,
        client.stream("GET", f"http://{address}/watch?resource=deploy", headers={"accept": accept}) as answer,
    ):
        lines = Lines(answer)
        heard: list[str] = []
        while not any("BOOKMARK" in line for line in heard):
            heard.append(await lines.line())
        store.apply(101, "web", "blue", image="web:2")  # alone: nothing comes after it that would push it on
        while "MODIFIED" not in heard[-1]:
            heard.append(await lines.line())

    assert heard[-1].startswith(start)
    assert orjson.loads(heard[-1].removeprefix("data: "))["resourceVersion"] == "101"


async def test_websockets_pass_with_the_lines_that_are_documented(
    live: Live, store: Store, tmp_path: Path, free_port: int
) -> None:
    async with (
        nginx(live, tmp_path, free_port, documented()) as address,
        # A page behind it has the proxy's origin.
        connect(f"ws://{address}/watch?resource=deploy", origin=f"http://{address}") as socket,  # type: ignore[arg-type]
        httpx.AsyncClient(timeout=5) as client,
    ):
        snapshot = [await frame_of(socket) for _ in range(2)]
        store.apply(101, "web", "blue", image="web:2")
        change = await frame_of(socket)
        plain = await client.get(f"http://{address}/resources/deploy?output=name")

    assert [frame["type"] for frame in snapshot] == ["ADDED", "BOOKMARK"]
    assert (change["type"], change["resourceVersion"]) == ("MODIFIED", "101")
    assert plain.status_code == 200


async def test_without_them_a_reader_gets_through_all_the_same(
    live: Live, store: Store, tmp_path: Path, free_port: int
) -> None:
    async with nginx(live, tmp_path, free_port) as address:
        with pytest.raises((InvalidHandshake, TimeoutError)):
            await connect(f"ws://{address}/watch?resource=deploy", open_timeout=2)
        async with Mirror(f"http://{address}") as mirror, aclosing(mirror.watch("deploy")) as events:
            first, end = [await asyncio.wait_for(anext(events), 30) for _ in range(2)]

    assert isinstance(first, Added)
    assert isinstance(end, Bookmark)
