"""POST /-/refresh lists again now: one at a time, not too often, and never a name that is not mirrored."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.serve.conftest import Asking
from tests.serve.world import NODES, World


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    world = World(clock=clock)
    world.mirror().sync()
    world.mirror(NODES).sync()
    return world


async def test_one_resource_by_any_of_its_names(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post("/-/refresh/deploy")

    assert (answer.status_code, answer.json()) == (202, {"resources": ["deployments.apps"]})
    assert world.upstream.refreshed == ["deployments.apps"]


async def test_everything(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post("/-/refresh")

    assert answer.json() == {"resources": ["deployments.apps", "nodes"]}
    assert world.upstream.refreshed == [None]


async def test_not_more_often_than_every_ten_seconds(world: World, clock: Clock, client: httpx.AsyncClient) -> None:
    await client.post("/-/refresh/deploy")
    clock.now += 4
    soon = await client.post("/-/refresh/deployments.apps")
    other = await client.post("/-/refresh/nodes")
    clock.now += 6
    later = await client.post("/-/refresh/deploy")

    assert (soon.status_code, soon.headers["retry-after"]) == (429, "6")
    assert soon.json()["details"] == {"retryAfterSeconds": 6}
    assert (other.status_code, later.status_code) == (202, 202)
    assert world.upstream.refreshed == ["deployments.apps", "nodes", "deployments.apps"]


async def test_refreshing_all_counts_for_each(client: httpx.AsyncClient) -> None:
    await client.post("/-/refresh")

    assert (await client.post("/-/refresh/nodes")).status_code == 429


async def test_askers_at_the_same_time_share_one_list(asking: Asking, world: World) -> None:
    begun = asyncio.Event()
    go_on = asyncio.Event()
    lists = 0

    async def slow(name: str | None) -> list[str]:
        nonlocal lists
        lists += 1
        begun.set()
        await go_on.wait()
        return ["deployments.apps"]

    world.upstream.refresh = slow  # type: ignore[method-assign]
    client = asking(world)
    asked = [asyncio.create_task(client.post("/-/refresh/deploy")) for _ in range(3)]
    await begun.wait()
    for _ in range(50):  # until all three have come to the list that is under way
        await asyncio.sleep(0)
    go_on.set()
    answers = await asyncio.gather(*asked)

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert lists == 1


async def test_an_unknown_name_suggests(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post("/-/refresh/deploymets")

    assert answer.status_code == 404
    assert 'did you mean "deployments"?' in answer.json()["message"]
    assert world.upstream.refreshed == []


async def test_it_is_not_a_get(client: httpx.AsyncClient) -> None:
    refused = await client.get("/-/refresh")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert refused.json()["message"] == "GET is not allowed on /-/refresh: use POST"
