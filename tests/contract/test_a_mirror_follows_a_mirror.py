"""A mirror of a mirror, on sockets, with each server as the root: it shows what the server holds.

What befalls the chain over hours, and at random, is on virtual time in tests/chain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from kubemirror.state.catalog import Entry
from kubemirror.state.events import Phase
from kubemirror.state.journal import ChangeType
from kubemirror.views.columns import Printer
from tests.contract.line import Line, line_to
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import COLOR, V1, bar, config_map, definition, deployment
from tests.contract.servers import DEFINITIONS, STRATEGIC_PATCH, Server
from tests.serve.live import Live, running

DEPLOYMENTS, CONFIG_MAPS = "deployments.apps", "configmaps"
MIRRORED = (CONFIG_MAPS,)


@asynccontextmanager
async def served(server: Server, url: str = "") -> AsyncIterator[tuple[Mirrored, Live]]:
    async with mirror_of(server, url=url, mirror=MIRRORED) as mirrored, running(mirrored) as live:
        yield mirrored, live


class Chain:
    """server, then ``upper``, first, then ``lower``, second: two lines that can be cut."""

    def __init__(self, server: Server, namespace: str, upper: Line, lower: Line) -> None:
        self.server = server
        self.namespace = namespace
        self.upper = upper
        self.lower = lower
        self.path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.first: Mirrored
        self.second: Mirrored
        self._serving = AsyncExitStack()

    async def start_first(self) -> None:
        """With nothing; whoever asks the lower line is led to it."""
        self.first, live = await self._serving.enter_async_context(served(self.server, self.upper.url))
        self.lower.lead_to(live.url)

    async def stop_first(self) -> None:
        await self.lower.down()
        await self._serving.aclose()

    async def create(self, *names: str) -> None:
        for name in names:
            await self.server.done("POST", self.path, deployment(name))

    async def roll(self, name: str, image: str) -> dict[str, Any]:
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
        written: dict[str, Any] = await self.server.patch(f"{self.path}/{name}", patch, STRATEGIC_PATCH)
        return written

    async def delete(self, *names: str) -> None:
        for name in names:
            await self.server.done("DELETE", f"{self.path}/{name}")

    async def settled(self) -> None:
        """Until both hold the server's own state, each object with the same bytes and cells."""
        listed = await self.server.done("GET", "/apis/apps/v1/deployments")
        await self.first.equals(DEPLOYMENTS, listed)
        await self.second.equals(DEPLOYMENTS, listed)
        assert same(self.first, self.second, DEPLOYMENTS)


def same(one: Mirrored, other: Mirrored, name: str) -> bool:
    now = time.time()
    return shown(one, name, now) == shown(other, name, now)


def shown(mirrored: Mirrored, name: str, now: float) -> dict[tuple[str, str], tuple[str, int, bytes, object]]:
    """By key: uid, resourceVersion, raw bytes, and cells as they are printed at one moment."""
    entry: Entry | None = mirrored.catalog.get(name)
    assert entry is not None
    reader = mirrored.held(name)
    printer = Printer(entry.resource, entry.resource.version, reader.columns)
    return {
        (held.namespace, held.name): (held.uid, held.resource_version, held.raw, printer.cells(held, now))
        for held in reader.snapshot().objects
    }


@pytest.fixture
async def chain(server: Server, namespace: str) -> AsyncIterator[Chain]:
    """Of which both mirrors have seen three Deployments: a, b and c."""
    async with line_to(server.url) as upper, line_to(server.url) as lower:
        made = Chain(server, namespace, upper, lower)
        await made.create("a", "b", "c")
        await made.start_first()
        try:
            async with mirror_of(server, url=lower.url, mirror=MIRRORED) as second:
                made.second = second
                await made.settled()
                yield made
        finally:
            await made.stop_first()
            await lower.up()  # it is taken down once more by whoever made it


async def test_objects_cells_and_versions_are_the_same_two_hops_away(chain: Chain) -> None:
    group = chain.server.group()
    bars = f"/apis/{group}/v1/namespaces/{chain.namespace}/bars"
    await chain.roll("a", "nginx:2")
    await chain.delete("b")
    await chain.create("d")
    await chain.server.done("POST", f"/api/v1/namespaces/{chain.namespace}/configmaps", config_map("x"))
    await chain.server.done("POST", DEFINITIONS, definition(group, {**V1, "additionalPrinterColumns": [COLOR]}))
    try:
        await chain.second.until(lambda: chain.second.synced(f"bars.{group}"))
        await chain.server.done("POST", bars, bar(group, "one"))
        await chain.settled()
        for name, path in ((f"bars.{group}", bars.replace(f"/namespaces/{chain.namespace}", "")),
                           (CONFIG_MAPS, "/api/v1/configmaps")):  # fmt: skip
            await chain.second.equals(name, await chain.server.done("GET", path))
            assert same(chain.first, chain.second, name)
        (held,) = chain.second.held(f"bars.{group}").snapshot().objects
        position = chain.second.held(f"bars.{group}").follow(lambda: None)
        assert b"red" in held.cells
    finally:
        await chain.server("DELETE", f"{DEFINITIONS}/bars.{group}")
    await chain.second.until(lambda: f"bars.{group}" not in chain.second.catalog)
    assert [change.type for change in position.read()] == [ChangeType.DELETED]


async def test_a_mirrors_answers_say_that_they_are_and_the_servers_do_not(chain: Chain) -> None:
    told = []
    for url in (chain.upper.url, chain.lower.url):
        headers = {"authorization": "Bearer reader-token"}
        async with httpx.AsyncClient(base_url=url, verify=chain.server.tls or False, trust_env=False) as client:
            for path in (chain.path, f"{chain.path}/a", f"{chain.path}?watch=1&timeoutSeconds=1"):
                async with client.stream("GET", path, headers=headers) as answer:
                    assert answer.status_code == 200
                    told.append(answer.headers.get("cache-status"))

    assert told == [None] * 3 + ["kubemirror; hit"] * 3


async def test_a_relist_of_the_first_is_one_step_and_a_gap_in_the_second(chain: Chain) -> None:
    second = chain.second.held(DEPLOYMENTS)
    position = second.follow(lambda: None)
    names = frozenset(held.name for held in second.snapshot(chain.namespace).objects)
    seen = [names]
    loop = asyncio.get_running_loop()
    stop = second.on_progress(
        lambda: (
            loop.call_soon(
                lambda: seen.append(frozenset(held.name for held in second.snapshot(chain.namespace).objects))
            )
            and None
        )
    )
    await chain.upper.down()
    await chain.delete("a", "b")
    between = int((await chain.roll("c", "nginx:2"))["metadata"]["resourceVersion"])
    await chain.create("d")
    await chain.first.mirror.refresh(DEPLOYMENTS)
    await chain.upper.up()
    await chain.settled()
    await chain.second.until(lambda: not second.journal.gap_is_open)
    stop()

    assert set(seen) == {frozenset("abc"), frozenset("cd")}, "one complete state, then the other"
    assert second.journal.inside_gap(between)
    first = chain.first.held(DEPLOYMENTS).journal
    assert [(gap.low, gap.high) for gap in second.journal.gaps] == [(gap.low, gap.high) for gap in first.gaps]
    changes = position.read()
    assert [(change.type, change.object.name) for change in changes] == [
        (ChangeType.DELETED, "a"),
        (ChangeType.DELETED, "b"),
        (ChangeType.MODIFIED, "c"),
        (ChangeType.ADDED, "d"),
    ]
    assert second.statistics.out_of_order == 0
    assert second.statistics.lists == 1


async def test_the_first_is_replaced_and_the_second_keeps_what_it_holds_meanwhile(chain: Chain) -> None:
    second = chain.second.held(DEPLOYMENTS)
    position = second.follow(lambda: None)
    await chain.stop_first()
    await chain.second.until(lambda: second.phase is Phase.STALE)
    assert second.count(chain.namespace) == 3
    await chain.delete("a")
    await chain.start_first()
    await chain.lower.up()
    await chain.settled()
    await chain.second.until(lambda: second.phase is Phase.SYNCED)

    assert chain.second.held(DEPLOYMENTS) is second
    assert second.epoch == 0
    assert [(change.type, change.object.name) for change in position.read()] == [(ChangeType.DELETED, "a")]


async def test_a_cut_between_the_mirrors_loses_and_doubles_nothing(chain: Chain) -> None:
    second = chain.second.held(DEPLOYMENTS)
    position = second.follow(lambda: None)
    for at in range(4):
        chain.lower.cut()
        await chain.roll("a", f"nginx:cut-{at}")
    await chain.delete("b")
    await chain.settled()

    told = [(change.type, change.object.name) for change in position.read()]
    assert told == [(ChangeType.MODIFIED, "a")] * 4 + [(ChangeType.DELETED, "b")]
    assert second.statistics.lists == 1
