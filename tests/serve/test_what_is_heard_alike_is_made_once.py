"""Fan-out of /watch: a change that many hear alike is encoded once, whatever their framing.

A reader that has heard all there is is at rest: its task had nothing left to do before the last bytes reached it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from tests.serve.live import Live, frame_of
from tests.serve.world import Store, World

READERS = 20
QUERY = "resource=deploy&snapshot=false"
WISHES = (
    "as=object",
    "as=key",
    "labelSelector=app%3Dweb",
    "labelSelector=app%3Dother",
    "batch=true",
    "namespace=blue",
)


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue", labels={"app": "web"}))
    return store


async def test_sockets_of_one_wish_share_each_message(live: Live, store: Store) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(live.socket("resource=deploy")) for _ in range(READERS)]
        for socket in sockets:
            await frame_of(socket)
            await frame_of(socket)
        sharing = live.app.serving.sharing
        before = sharing.made
        heard = []
        for version in range(101, 106):
            store.apply(version, "web", "blue", image=f"web:{version}")
            heard.append([await frame_of(socket) for socket in sockets])

    assert sharing.made == before + 5
    for version, frames in enumerate(heard, start=101):
        assert {frame["resourceVersion"] for frame in frames} == {str(version)}
        assert all(frame == frames[0] for frame in frames)


async def test_each_framing_selection_and_form_hears_its_own(live: Live, store: Store) -> None:
    async with AsyncExitStack() as stack:
        wishes = [
            "",
            "&as=key",
            "&labelSelector=app%3Dweb",
            "&labelSelector=app%3Dother",
            "&batch=true",
            "&namespace=blue",
        ]
        lines = [
            await stack.enter_async_context(live.ndjson(f"resource=deploy&snapshot=false{wish}")) for wish in wishes
        ]
        for each in lines:
            await each.frame()
        events = await stack.enter_async_context(live.ndjson(f"{QUERY}&output=sse"))
        opened = [await events.line() for _ in range(5)]
        store.apply(101, "web", "blue", labels={"app": "other"})
        told: list[Any] = [await each.frame() for each in lines]
        event = [await events.line() for _ in range(3)]

    assert opened[2] == "id: 100"
    assert [frame.get("type") for frame in told] == ["MODIFIED", "MODIFIED", "DELETED", "ADDED", None, "MODIFIED"]
    assert "spec" in told[0]["object"]
    assert "spec" not in told[1]["object"]
    assert [each["type"] for each in told[4]["events"]] == ["MODIFIED"]
    assert event[0] == "id: 101"
    assert orjson.loads(event[1].removeprefix("data: ")) == told[0]


async def test_subscriptions_of_one_socket_that_differ_in_their_id_only_are_each_told(live: Live, store: Store) -> None:
    async with live.socket("") as socket:
        for id_ in ("a", "b"):
            await socket.send(f'{{"action":"subscribe","id":"{id_}","resource":"deploy","snapshot":false}}')
            await frame_of(socket)
            await frame_of(socket)
        store.apply(101, "web", "blue", image="web:2")
        told = [await frame_of(socket) for _ in range(2)]

    assert sorted((frame["id"], frame["type"]) for frame in told) == [("a", "MODIFIED"), ("b", "MODIFIED")]


async def test_a_large_message_and_what_comes_after_it_arrive_whole(live: Live, store: Store) -> None:
    async with live.socket(QUERY) as socket:
        await frame_of(socket)
        sizes = (10, 60_000, 70_000, 300_000, 10)
        for version, size in enumerate(sizes, start=101):
            store.apply(version, "web", "blue", annotations={"filler": "x" * size})
        frames: list[Any] = [await frame_of(socket) for _ in sizes]

    assert [len(frame["object"]["metadata"]["annotations"]["filler"]) for frame in frames] == list(sizes)
    assert [frame["resourceVersion"] for frame in frames] == ["101", "102", "103", "104", "105"]


async def test_events_told_at_rest_are_counted(live: Live, store: Store) -> None:
    async with live.socket(QUERY) as socket:
        await frame_of(socket)
        store.apply(101, "web", "blue", image="web:2")
        await frame_of(socket)
        told = live.app.serving.traffic.stream_events["MODIFIED"]

    assert told == 1
