"""/watch over a running mirror: WebSocket, server-sent events and NDJSON tell what the server's own LIST shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import httpx
import orjson
import pytest
from websockets import Origin
from websockets.asyncio.client import connect

from kubemirror.demo.users import ADMIN_TOKEN
from tests.contract.both import change, comparable
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import config_map, deployment
from tests.contract.push import FRAMINGS, Copy, Ndjson, Push, reading
from tests.contract.servers import DEFINITIONS, Server, named
from tests.serve.live import Live, frame_of, running

NAMES = tuple(f"d{at}" for at in range(6))


def path_of(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def query_of(namespace: str, **more: str) -> dict[str, str]:
    return {"resource": "deployments", "namespace": namespace, **more}


async def write(server: Server, path: str, random: Random) -> None:
    """One random change: what people and controllers do to an object."""
    name = random.choice(NAMES)
    where = f"{path}/{name}"
    held = await server("GET", where)
    if held.status_code == 404:
        tier = random.choice(("front", "back"))
        await server.done("POST", path, deployment(name, labels={"tier": tier}, replicas=random.randrange(5)))
        return
    match random.randrange(6):
        case 0:
            await server.done("DELETE", where)
        case 1:
            await server.patch(where, {"metadata": {"labels": {"tier": random.choice(("front", "back"))}}})
        case 2:
            await server.patch(f"{where}/status", {"status": {"replicas": random.randrange(100)}})
        case 3 if "deletionTimestamp" not in held.json()["metadata"]:
            await server.patch(where, {"metadata": {"finalizers": ["example.dev/hold"]}})
        case 4:
            await server.patch(where, {"metadata": {"finalizers": None}})
        case _:
            await server.patch(where, {"spec": {"replicas": random.randrange(100)}})


async def listed(server: Server, path: str, **query: str) -> dict[str, Any]:
    """By name, as a mirror holds them."""
    answer = await server.done("GET", path, **query)
    return {
        item["metadata"]["name"]: {"kind": "Deployment", "apiVersion": "apps/v1", **comparable(item)}
        for item in answer["items"]
    }


async def test_every_framing_replays_to_the_servers_list(server: Server, live: Live, namespace: str) -> None:
    path, random = path_of(namespace), Random(1)
    for _ in range(6):
        await write(server, path, random)
    selected = query_of(namespace, labelSelector="tier=front")
    async with AsyncExitStack() as stack:
        readers: list[tuple[Push, Copy, dict[str, str]]] = []
        for framing in FRAMINGS:
            for query, selector in ((query_of(namespace), {}), (selected, {"labelSelector": "tier=front"})):
                push = await stack.enter_async_context(reading(framing, live, query))
                readers.append((push, Copy(), selector))
        for _ in range(40):
            await write(server, path, random)
        for push, copy, selector in readers:
            await copy.until(push, await listed(server, path, **selector))

    whole = [copy.told for _, copy, selector in readers if not selector]
    part = [copy.told for _, copy, selector in readers if selector]
    assert whole[0] == whole[1] == whole[2]
    assert part[0] == part[1] == part[2]
    assert len(whole[0]) > len(part[0]) > 5


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_reader_that_is_cut_off_resumes_by_its_cursor_and_misses_nothing(
    server: Server, live: Live, namespace: str, framing: type[Push]
) -> None:
    path, random = path_of(namespace), Random(2)
    for _ in range(4):
        await write(server, path, random)
    query, copy, uncut = query_of(namespace), Copy(), Copy()
    async with reading(Ndjson, live, query) as faithful:
        for _ in range(4):
            async with reading(framing, live, query, copy.cursor) as push:
                for _ in range(5):
                    await write(server, path, random)
                for _ in range(random.randrange(8)):  # it reads some of it, and then its connection is lost
                    copy.take(await asyncio.wait_for(push.frame(), 5))
                    if not copy.cursor or len(copy.told) % 5 == 4:
                        break
                while not copy.cursor:  # the cursor comes with the end of the snapshot
                    copy.take(await asyncio.wait_for(push.frame(), 5))
        wanted = await listed(server, path)
        await uncut.until(faithful, wanted)
        async with reading(framing, live, query, copy.cursor) as push:
            while copy.told != uncut.told:
                copy.take(await asyncio.wait_for(push.frame(), 5))

    assert copy.objects == uncut.objects == wanted


async def test_a_selection_tells_what_the_servers_own_watch_tells(
    server: Server, mirrored: Mirrored, live: Live, namespace: str
) -> None:
    path = path_of(namespace)
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front")):
        written = await server.done("POST", path, deployment(name, labels={"tier": tier}))
    version = written["metadata"]["resourceVersion"]
    await mirrored.reaches("deployments.apps", version)
    selectors = ({"labelSelector": "tier=front"}, {"fieldSelector": "metadata.name!=a"}, {"labelSelector": "!gone"})
    async with AsyncExitStack() as stack:
        pairs = []
        for selector in selectors:
            theirs = await stack.enter_async_context(server.watch(path, resourceVersion=version, **selector))
            query = query_of(namespace, snapshot="false", **selector)
            ours = await stack.enter_async_context(reading(Ndjson, live, query, version))
            pairs.append((theirs, ours))
        await server.patch(f"{path}/a", {"metadata": {"labels": {"tier": "back"}}})
        await server.patch(f"{path}/b", {"metadata": {"labels": {"tier": "front"}}})
        await server.patch(f"{path}/c", {"metadata": {"labels": {"gone": ""}}})
        await server.patch(f"{path}/c", {"metadata": {"labels": {"gone": None, "tier": None}}})
        await server.done("DELETE", f"{path}/b")
        told = []
        for (theirs, ours), count in zip(pairs, (5, 4, 5), strict=True):
            for _ in range(count):
                event, frame = await change(theirs), await _changed(ours)
                assert (frame["type"], frame["object"]) == (event["type"], comparable(event["object"]))
                assert frame["resourceVersion"] == event["object"]["metadata"]["resourceVersion"]
                told.append(named(event))

    assert told[:5] == [("DELETED", "a"), ("ADDED", "b"), ("MODIFIED", "c"), ("DELETED", "c"), ("DELETED", "b")]


async def _changed(push: Push) -> dict[str, Any]:
    while (frame := await push.frame())["type"] == "BOOKMARK":
        pass
    return frame


async def test_an_event_carries_what_is_asked_for(server: Server, live: Live, namespace: str) -> None:
    path = path_of(namespace)
    created = await server.done("POST", path, deployment(labels={"a": "b"}))
    metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    partial = (await server("GET", f"{path}/web", accept=metadata)).json()
    async with AsyncExitStack() as stack:
        shown = {}
        for form in ("object", "metadata", "key"):
            push = await stack.enter_async_context(reading(Ndjson, live, query_of(namespace, **{"as": form})))
            shown[form] = await _first_added(push)

    assert shown["object"] == comparable(created)
    assert shown["metadata"] == comparable(partial)
    identity = ("name", "namespace", "uid", "resourceVersion")
    assert shown["key"] == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {name: created["metadata"][name] for name in identity},
    }


async def _first_added(push: Push) -> Any:
    """The mirror may hear of a write after we ask: then it comes behind the snapshot."""
    while (frame := await push.frame())["type"] != "ADDED":
        pass
    return frame["object"]


async def test_several_resources_have_one_cursor(server: Server, namespace: str) -> None:
    path, others = path_of(namespace), f"/api/v1/namespaces/{namespace}/configmaps"
    asked = f"resource=deployments&resource=configmaps&namespace={namespace}&as=key"
    async with mirror_of(server, mirror=("configmaps",)) as mirrored, running(mirrored) as live:
        async with live.ndjson(asked) as stream:
            cursor = (await stream.frames(2))[-1]["resourceVersion"]
            await server.done("POST", path, deployment())
            await server.done("POST", others, config_map("a"))
            changes: list[Any] = [await stream.frame() for _ in range(2)]
        await server.done("DELETE", f"{others}/a")
        last: Any = sorted(changes, key=_told)[-1]
        async with live.ndjson(f"{asked}&resourceVersion={changes[-1]['resourceVersion']}") as stream:
            frames: list[Any] = [frame for frame in await stream.frames(3) if frame["type"] != "BOOKMARK"]

    assert str(cursor).startswith("deployments.apps=")
    assert ";configmaps=" in str(cursor)
    assert {(frame["type"], frame["object"]["kind"]) for frame in changes} == {
        ("ADDED", "Deployment"),
        ("ADDED", "ConfigMap"),
    }
    assert [(frame["type"], frame["object"]["kind"]) for frame in frames] == [("DELETED", "ConfigMap")]
    assert _told(frames[0]) > _told(last)


def _told(frame: Mapping[str, Any]) -> int:
    return int(frame["object"]["metadata"]["resourceVersion"])


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_cursor_from_long_ago_is_told_as_410(server: Server, live: Live, framing: type[Push]) -> None:
    async with reading(framing, live, {"resource": "deployments"}, "1") as push:
        frame = await push.frame()

    assert (frame["type"], frame["object"]["code"], frame["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_list_again_ends_no_stream_and_tells_nothing_twice(
    server: Server, mirrored: Mirrored, live: Live, namespace: str
) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())
    copy = Copy()
    async with reading(Ndjson, live, query_of(namespace)) as push, httpx.AsyncClient(base_url=live.url) as client:
        await copy.until(push, await listed(server, path))
        before = len(copy.told)
        lists = mirrored.held("deployments.apps").statistics.lists
        answer = await client.post("/-/refresh/deployments")
        await mirrored.until(lambda: mirrored.held("deployments.apps").statistics.lists == lists + 1)
        await server.patch(f"{path}/web", {"spec": {"replicas": 5}})
        await copy.until(push, await listed(server, path))

    assert answer.json() == {"resources": ["deployments.apps"]}
    assert len(copy.told) == before + 1


async def test_a_resource_that_goes_ends_its_streams(
    server: Server, mirrored: Mirrored, live: Live, namespace: str, bars: str
) -> None:
    instance = {"apiVersion": f"{bars}/v1", "kind": "Bar", "metadata": {"name": "a"}}
    await server.done("POST", f"/apis/{bars}/v1/namespaces/{namespace}/bars", instance)
    await mirrored.until(lambda: mirrored.held(f"bars.{bars}").count(namespace) == 1)
    async with live.ndjson(f"resource=bars.{bars}&as=key") as stream, live.ndjson("resource=deployments&as=key"):
        await stream.frames(2)
        await server.done("DELETE", f"{DEFINITIONS}/bars.{bars}")
        lines = [orjson.loads(line) for line in await stream.rest()]

    assert [line["type"] for line in lines] == ["DELETED", "ERROR"]
    assert lines[-1]["object"]["code"] == 404


async def test_a_watch_by_websocket_is_the_servers_own(
    server: Server, mirrored: Mirrored, live: Live, namespace: str
) -> None:
    path = path_of(namespace)
    first = await server.done("POST", path, deployment())
    version = first["metadata"]["resourceVersion"]
    await mirrored.reaches("deployments.apps", version)
    asked = f"{path}?watch=1&resourceVersion={version}"
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    at = server.url.replace("http", "ws", 1)
    async with (  # an API server wants an Origin, whichever
        connect(f"{at}{asked}", ssl=server.tls, additional_headers=headers, origin=Origin(server.url)) as theirs,
        connect(f"ws://{live.address}{asked}", origin=Origin(live.url)) as ours,
    ):
        await server.patch(f"{path}/web", {"spec": {"replicas": 5}})
        await server.done("DELETE", f"{path}/web")
        events: list[Any] = [await frame_of(theirs) for _ in range(2)]
        frames: list[Any] = [await frame_of(ours) for _ in range(2)]

    assert frames == comparable(events)
    assert [named(event) for event in events] == [("MODIFIED", "web"), ("DELETED", "web")]
