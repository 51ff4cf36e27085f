"""With --access-log, each answered request is one line, whichever lane answered it; without, none is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog
import websockets

from kubemirror.settings import Settings
from tests.serve.live import running
from tests.serve.world import World

ONE = "/versions/blue/web?wide=true"


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def requests(lines: list[Any]) -> list[tuple[str, str, int, str]]:
    told = [line for line in lines if line["event"] == "request"]
    assert all(line["peer"] == "127.0.0.1" and 0 <= line["seconds"] < 60 for line in told)
    return [(line["method"], line["target"], line["status"], line["lane"]) for line in told]


def world_of(settings: Settings) -> World:
    world = World(settings=settings)
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    return world


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with running(world_of(Settings(access_log=True))) as live:
        yield live.url


async def test_a_request_is_a_line_in_either_lane(url: str, lines: list[Any]) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for path in (ONE, ONE, "/nowhere"):
            await client.get(path)

    assert requests(lines) == [
        ("GET", ONE, 200, "application"),
        ("GET", ONE, 200, "fast"),
        ("GET", "/nowhere", 404, "application"),
    ]


async def test_a_socket_is_a_line_at_its_end(url: str, lines: list[Any]) -> None:
    target = "/watch?resource=deployments"
    async with websockets.connect(url.replace("http", "ws", 1).rstrip("/") + target) as socket:
        await socket.recv()
        assert requests(lines) == []
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(url.replace("http", "ws", 1).rstrip("/") + "/nowhere")

    async with asyncio.timeout(5):  # the server's side ends in its own time
        while len(requests(lines)) < 2:  # noqa: ASYNC110 - a log tells nobody that it has grown
            await asyncio.sleep(0)
    assert requests(lines) == [("GET", target, 101, "websocket"), ("GET", "/nowhere", 404, "websocket")]


async def test_nobody_who_has_not_asked_gets_lines(lines: list[Any]) -> None:
    async with running(world_of(Settings())) as live, httpx.AsyncClient(base_url=live.url) as client:
        await client.get(ONE)
        await client.get(ONE)

    assert requests(lines) == []
