"""A reflector's store is the server's state again, whatever becomes of the line; and it asks for no more than it must.

What only a script can say (answers out of order, lost and doubled events, refusals) is in tests/reflect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Apply, Delete, Phase
from tests.contract.both import comparable
from tests.contract.line import Line, line_to
from tests.contract.mirrored import digest_of
from tests.contract.objects import bar, config_map, definition
from tests.contract.reflected import reflected
from tests.contract.servers import DEFINITIONS, Server

CONFIG_MAPS = Resource(
    group="",
    version="v1",
    plural="configmaps",
    singular="configmap",
    kind="ConfigMap",
    namespaced=True,
    versions=(ServedVersion("v1"),),
)


@pytest.fixture
async def line(server: Server) -> AsyncIterator[Line]:
    async with line_to(server.url) as line:
        yield line


@pytest.fixture
async def path(server: Server, namespace: str) -> str:
    """Of three config maps."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("a", "b", "c"):
        await server.done("POST", path, config_map(name))
    return path


async def change(server: Server, path: str) -> None:
    """One of each kind: b deleted, c changed, d added."""
    await server.done("DELETE", f"{path}/b")
    await server.patch(f"{path}/c", {"data": {"a": "changed"}})
    await server.done("POST", path, config_map("d"))


async def test_after_a_cut_it_resumes_without_a_list_and_tells_each_change_once(
    server: Server, line: Line, path: str, namespace: str
) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace, url=line.url) as reflecting:
        reader = await reflecting.synced()
        for _ in range(3):
            line.cut()
            await server.patch(f"{path}/a", {"data": {"a": "meanwhile"}})
            await reflecting.until(lambda: reader.phase is Phase.SYNCED)
        await change(server, path)
        wanted = digest_of(await server.done("GET", path))
        await reflecting.until(lambda: reader.digest() == wanted)

        told = [type(event) for event in reflecting.events if isinstance(event, Apply | Delete)]
        assert sorted(told, key=str) == [Apply] * 3 + [Delete]
        assert sum(reader.statistics.errors.values()) >= 1
        assert reader.statistics.lists == 1
        assert reader.statistics.out_of_order == 0
        assert reader.epoch == 0


async def test_while_nobody_answers_it_serves_what_it_holds_and_says_that_it_is_stale(
    server: Server, line: Line, path: str, namespace: str
) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace, url=line.url) as reflecting:
        reader = await reflecting.synced()
        await line.down()
        await reflecting.until(lambda: "refused" in reader.reason)
        assert (reader.phase, len(reader)) == (Phase.STALE, 3)
        await change(server, path)
        await line.up()
        wanted = digest_of(await server.done("GET", path))
        await reflecting.until(lambda: reader.digest() == wanted)

        assert reader.phase is Phase.SYNCED
        assert reader.statistics.lists == 1


async def test_silence_is_noticed_and_resumed(server: Server, line: Line, path: str, namespace: str) -> None:
    options = {"idle_seconds": 1.0, "headers_seconds": 5.0}
    async with reflected(server, CONFIG_MAPS, namespace=namespace, url=line.url, **options) as reflecting:
        reader = await reflecting.synced()
        line.hold()
        await change(server, path)
        await reflecting.until(lambda: reader.statistics.errors.get("idle", 0) >= 1)
        line.release()
        wanted = digest_of(await server.done("GET", path))
        await reflecting.until(lambda: reader.digest() == wanted)

        assert reader.statistics.lists == 1


@pytest.mark.parametrize("watch_list", [True, False], ids=["WatchList", "list"])
async def test_cut_off_before_it_was_complete_it_begins_anew_and_keeps_no_phantom(
    server: Server, line: Line, path: str, namespace: str, watch_list: bool
) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace, url=line.url, watch_list=watch_list) as reflecting:
        line.hold()
        await line.taken.wait()
        await server.done("DELETE", f"{path}/a")
        line.cut()
        line.release()
        reader = await reflecting.synced()

        assert reader.digest() == digest_of(await server.done("GET", path))
        assert reader.get("a", namespace) is None


async def test_audits_find_the_servers_own_digest(server: Server, path: str, namespace: str) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace, audit_seconds=0.2) as reflecting:
        reader = await reflecting.synced()
        for at in range(10):
            await server.patch(f"{path}/a", {"data": {"at": str(at)}})
        async with asyncio.timeout(20):
            while reader.statistics.audits < 3:
                await server.patch(f"{path}/b", {"data": {"audits": str(reader.statistics.audits)}})

        assert reader.statistics.audit_mismatches == 0
        assert reader.statistics.lists == 1
        assert reader.epoch == 0


async def test_a_refresh_lists_now_and_tells_nothing_that_has_not_changed(
    server: Server, path: str, namespace: str
) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace) as reflecting:
        reader = await reflecting.synced()
        position = reader.follow(lambda: None)
        reflecting.reflector.refresh()
        await reflecting.until(lambda: reader.statistics.lists == 2 and reader.phase is Phase.SYNCED)
        assert position.read() == []

        changed = await server.patch(f"{path}/a", {"data": {"a": "later"}})
        version = int(changed["metadata"]["resourceVersion"])
        await reflecting.until(lambda: reader.resource_version >= version)
        assert [(each.object.name, each.resource_version) for each in position.read()] == [("a", version)]


async def test_of_a_metadata_only_resource_nothing_else_is_held(server: Server, path: str, namespace: str) -> None:
    resource = replace(CONFIG_MAPS, metadata_only=True)
    async with reflected(server, resource, namespace=namespace) as reflecting:
        reader = await reflecting.synced()
        await server.patch(f"{path}/a", {"data": {"a": "secret"}, "metadata": {"labels": {"seen": ""}}})
        await reflecting.until(lambda: "seen" in reader.get("a", namespace).labels)  # type: ignore[union-attr]

        for held in reader.snapshot().objects:
            assert set(orjson.loads(held.raw)) == {"kind", "apiVersion", "metadata"}
            assert orjson.loads(held.raw)["kind"] == "ConfigMap"
            assert held.cells


async def test_a_big_object_is_held_as_it_is(server: Server, path: str, namespace: str) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace) as reflecting:
        reader = await reflecting.synced()
        big = await server.done("POST", path, {**config_map("big"), "data": {"a": "x☃" * 250_000}})
        await reflecting.until(lambda: reader.get("big", namespace) is not None)

        held = reader.get("big", namespace)
        assert held is not None
        assert orjson.loads(held.raw) == comparable(big)


async def test_beyond_the_cap_a_stub_is_held_and_everything_else_goes_on(
    server: Server, path: str, namespace: str
) -> None:
    async with reflected(server, CONFIG_MAPS, namespace=namespace, max_object_bytes=10_000) as reflecting:
        reader = await reflecting.synced()
        for name, size in (("large", 15_000), ("huge", 200_000)):
            await server.done("POST", path, {**config_map(name), "data": {"a": "x" * size}})
        await server.done("POST", path, config_map("after"))
        await reflecting.until(lambda: reader.get("after", namespace) is not None)
        stubs = {name: reader.get(name, namespace) for name in ("large", "huge")}
        await server.done("DELETE", f"{path}/huge")
        await reflecting.until(lambda: reader.get("huge", namespace) is None)

        assert all(held is not None and "beyond the cap" in held.error for held in stubs.values())
        assert reader.digest() == digest_of(await server.done("GET", path))
        assert reader.statistics.lists == 1


async def test_a_resource_that_is_not_there_is_gone_until_it_is_defined(server: Server, namespace: str) -> None:
    group = server.group()
    bars = Resource(
        group=group,
        version="v1",
        plural="bars",
        singular="bar",
        kind="Bar",
        namespaced=True,
        versions=(ServedVersion("v1"),),
        custom=True,
    )
    async with reflected(server, bars) as reflecting:
        reader = reflecting.reader
        await reflecting.until(lambda: reader.phase is Phase.GONE)
        await server.done("POST", DEFINITIONS, definition(group))
        path = f"/apis/{group}/v1/namespaces/{namespace}/bars"
        await server.until(path, lambda answer: answer.is_success)
        await server.done("POST", path, bar(group, "a"))
        await reflecting.until(lambda: reader.phase is Phase.SYNCED and len(reader) == 1)

        await server.done("DELETE", f"{DEFINITIONS}/bars.{group}")
        await reflecting.until(lambda: reader.phase is Phase.GONE)
        assert len(reader) == 0
    lasting = [phase for phase in reflecting.phases if phase is not Phase.STALE]  # between the end and the 404
    assert lasting == [Phase.GONE, Phase.SYNCED, Phase.GONE]
