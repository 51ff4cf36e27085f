"""Two mirrors of one server behind one address: a reader that is led to the other misses nothing, and never goes back.

The second mirror's line to the server is held still, so that it is behind for as long as a test wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import httpx
import pytest

from tests.contract.line import Line, line_to
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import deployment
from tests.contract.push import FRAMINGS, Copy, Ndjson, Push, reading
from tests.contract.servers import Server
from tests.contract.test_push_follows_the_server import listed, path_of, query_of, write
from tests.serve.live import Live, running

DEPLOYMENTS = "deployments.apps"
# How long a snapshot waits here; by default 3 s.
FRESHNESS_SECONDS = 0.5


class Pair:
    """A mirror, and another one whose line to the server is in the test's hands."""

    def __init__(self, line: Line, first: Live, second: Live, behind: Mirrored) -> None:
        self.line = line
        self.first = first
        self.second = second
        self.behind = behind


@pytest.fixture
async def pair(server: Server, mirrored: Mirrored, live: Live) -> AsyncIterator[Pair]:
    async with line_to(server.url) as line, _second(server, line) as (behind, second):
        yield Pair(line, live, second, behind)


@asynccontextmanager
async def _second(server: Server, line: Line) -> AsyncIterator[tuple[Mirrored, Live]]:
    async with mirror_of(server, url=line.url, freshness_seconds=FRESHNESS_SECONDS) as behind, running(behind) as live:
        yield behind, live


async def cursor_of(push: Push, copy: Copy, wanted: dict[str, Any]) -> str:
    await copy.until(push, wanted)
    while not copy.cursor:
        copy.take(await asyncio.wait_for(push.frame(), 5))
    return copy.cursor


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_who_comes_from_one_that_is_ahead_waits_and_hears_only_what_is_new(
    server: Server, pair: Pair, namespace: str, framing: type[Push]
) -> None:
    path, query, copy = path_of(namespace), query_of(namespace), Copy()
    await server.done("POST", path, deployment("old"))
    await pair.behind.equals(DEPLOYMENTS, await server.done("GET", path), namespace)
    pair.line.hold()
    async with reading(framing, pair.first, query) as push:
        await server.done("POST", path, deployment("new"))
        await server.patch(f"{path}/old", {"spec": {"replicas": 7}})
        cursor = await cursor_of(push, copy, await listed(server, path))
    before = list(copy.told)
    async with reading(framing, pair.second, query, cursor) as push:
        opened = await asyncio.wait_for(push.frame(), 5)
        copy.take(opened)
        pair.line.release()
        written = await server.patch(f"{path}/new", {"spec": {"replicas": 3}})
        await copy.until(push, await listed(server, path))

    assert (opened["type"], opened["resourceVersion"]) == ("BOOKMARK", cursor)
    assert copy.told[len(before) :] == [("MODIFIED", "new", written["metadata"]["resourceVersion"])]


async def test_a_snapshot_from_one_that_is_behind_is_refused_until_it_is_not(
    server: Server, pair: Pair, namespace: str
) -> None:
    path, query, copy = path_of(namespace), query_of(namespace), Copy()
    await server.done("POST", path, deployment("old"))
    await pair.behind.equals(DEPLOYMENTS, await server.done("GET", path), namespace)
    pair.line.hold()
    async with reading(Ndjson, pair.first, query) as push, httpx.AsyncClient(timeout=10) as client:
        await server.patch(f"{path}/old", {"spec": {"replicas": 7}})
        cursor = await cursor_of(push, copy, await listed(server, path))
        asked = {**query, "resourceVersion": cursor, "snapshot": "true"}
        refused = await client.get(f"{pair.second.url}/watch", params=asked)
        pair.line.release()
        await pair.behind.reaches(DEPLOYMENTS, cursor)
        anew = Copy()
        async with reading(Ndjson, pair.second, {**query, "snapshot": "true"}, cursor) as second:
            await anew.until(second, await listed(server, path))

    assert (refused.status_code, refused.headers["retry-after"]) == (504, "1")
    assert refused.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_whoever_is_led_to_and_fro_ends_with_what_there_is(server: Server, pair: Pair, namespace: str) -> None:
    path, random = path_of(namespace), Random(3)
    query = query_of(namespace, labelSelector="tier=front")
    for _ in range(6):
        await write(server, path, random)
    copies = [Copy() for _ in FRAMINGS]
    uncut = Copy()
    async with reading(Ndjson, pair.first, query) as faithful:
        for turn in range(6):
            if turn % 2:
                pair.line.hold()
            async with AsyncExitStack() as stack:
                lives = [random.choice((pair.first, pair.second)) if copy.cursor else pair.first for copy in copies]
                readers = [
                    (copy, await stack.enter_async_context(reading(framing, live, query, copy.cursor)))
                    for framing, copy, live in zip(FRAMINGS, copies, lives, strict=True)
                ]
                for _ in range(6):
                    await write(server, path, random)
                for copy, push in readers:
                    while not copy.cursor:
                        copy.take(await asyncio.wait_for(push.frame(), 5))
                    for _ in range(random.randrange(3)):
                        try:
                            copy.take(await asyncio.wait_for(push.frame(), 0.3))
                        except TimeoutError:  # behind, and silent
                            break
            pair.line.release()
        wanted = await listed(server, path, labelSelector="tier=front")
        await uncut.until(faithful, wanted)
    await pair.behind.equals(DEPLOYMENTS, await server.done("GET", path), namespace)
    for framing, copy in zip(FRAMINGS, copies, strict=True):
        async with reading(framing, pair.second, query, copy.cursor) as push:
            await copy.until(push, wanted)

    every = {(name, version) for _, name, version in uncut.told}
    for copy in copies:
        heard = [(name, version) for _, name, version in copy.told]
        assert len(heard) == len(set(heard))
        assert set(heard) <= every
        assert copy.objects == wanted
