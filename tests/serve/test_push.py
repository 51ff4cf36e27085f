"""/watch: the same events over NDJSON, server-sent events and WebSocket, on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import InvalidStatus

from kubemirror.settings import Settings
from kubemirror.state.events import Phase
from tests.serve.live import Frame, Live, frame_of, running
from tests.serve.world import NODES, Store, World


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}), store.object(9, "api", "green", labels={"app": "api"})
    )
    return store


def told(frame: Frame) -> tuple[Any, ...]:
    """(type, name, cursor) of a frame."""
    metadata: Any = frame["object"]
    return frame["type"], metadata.get("metadata", {}).get("name"), frame.get("resourceVersion")


async def test_a_snapshot_its_end_and_then_what_changes(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy") as stream:
        snapshot = await stream.frames(3)
        store.apply(101, "web", "blue", image="web:2")
        store.delete(102, "api", "green")
        store.apply(103, "new", "green")
        changes = await stream.frames(3)

    assert [told(frame) for frame in snapshot] == [
        ("ADDED", "web", None),
        ("ADDED", "api", None),
        ("BOOKMARK", None, "100"),
    ]
    end: Any = snapshot[-1]["object"]
    assert end == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {
            "resourceVersion": "100",
            "creationTimestamp": None,
            "annotations": {"k8s.io/initial-events-end": "true"},
        },
    }
    assert [told(frame) for frame in changes] == [
        ("MODIFIED", "web", "101"),
        ("DELETED", "api", "102"),
        ("ADDED", "new", "103"),
    ]
    assert all(frame["id"] == "0" for frame in snapshot + changes)


async def test_a_reader_resumes_where_it_was(live: Live, store: Store) -> None:
    store.apply(101, "web", "blue", image="web:2")
    store.apply(102, "web", "blue", image="web:3")

    async with live.ndjson("resource=deploy&resourceVersion=101") as stream:
        frames = await stream.frames(2)

    assert [told(frame) for frame in frames] == [("BOOKMARK", None, "101"), ("MODIFIED", "web", "102")]


async def test_leaving_the_selection_is_a_deletion_and_entering_it_an_addition(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy&labelSelector=app%3Dweb") as stream:
        await stream.frames(2)
        store.apply(101, "api", "green", labels={"app": "web"})
        store.apply(102, "web", "blue", labels={"app": "other"})
        store.apply(103, "web", "blue", labels={"app": "another"})
        store.apply(104, "api", "green", labels={"app": "web"}, image="api:2")
        frames = await stream.frames(3)

    assert [told(frame) for frame in frames] == [
        ("ADDED", "api", "101"),
        ("DELETED", "web", "102"),
        ("MODIFIED", "api", "104"),
    ]
    left: Any = frames[1]["object"]
    assert left["metadata"]["resourceVersion"] == "102"
    assert left["metadata"]["labels"] == {"app": "web"}


@pytest.mark.parametrize("selected", ["namespace=blue", "name=web", "fieldSelector=metadata.name%3Dweb"])
async def test_only_what_is_selected_is_told(live: Live, store: Store, selected: str) -> None:
    async with live.ndjson(f"resource=deploy&{selected}") as stream:
        snapshot = await stream.frames(2)
        store.apply(101, "api", "green", image="api:2")
        store.apply(102, "web", "blue", image="web:2")
        change = await stream.frame()

    assert [told(frame) for frame in snapshot] == [("ADDED", "web", None), ("BOOKMARK", None, "100")]
    assert told(change) == ("MODIFIED", "web", "102")


async def test_several_resources_have_one_cursor(world: World, live: Live, store: Store) -> None:
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""), resource_version=50)
    async with live.ndjson("resource=deploy&resource=nodes") as stream:
        snapshot = await stream.frames(5)
        nodes.apply(51, "node-1", "")
        change = await stream.frame()
    async with live.ndjson(
        "resource=deploy&resource=nodes&resourceVersion=deployments.apps%3D100;nodes%3D50"
    ) as stream:
        resumed = await stream.frames(3)

    assert [frame.get("resourceVersion") for frame in snapshot] == [None] * 4 + ["deployments.apps=100;nodes=50"]
    assert told(change) == ("MODIFIED", "node-1", "deployments.apps=100;nodes=51")
    assert told(resumed[-1]) == told(change)


async def test_stores_of_single_namespaces_are_merged(world: World, live: Live) -> None:
    stores = world.mirror_namespaces("blue", "green")
    stores["blue"].sync(stores["blue"].object(7, "web", "blue"), resource_version=70)
    stores["green"].sync(stores["green"].object(9, "web", "green"), resource_version=90)
    async with live.ndjson("resource=deploy") as stream:
        snapshot = await stream.frames(4)

    assert [told(frame) for frame in snapshot][:2] == [("ADDED", "web", None), ("ADDED", "web", None)]
    assert snapshot[-1]["resourceVersion"] == "deployments.apps/blue=70;deployments.apps/green=90"


@pytest.mark.parametrize(
    ("form", "object_"),
    [
        (
            "key",
            {
                "kind": "Deployment",
                "apiVersion": "apps/v1",
                "metadata": {"namespace": "blue", "name": "web", "uid": "uid-blue-web", "resourceVersion": "7"},
            },
        ),
        (
            "metadata",
            {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {
                    "name": "web",
                    "uid": "uid-blue-web",
                    "resourceVersion": "7",
                    "creationTimestamp": "2026-01-02T03:04:05Z",
                    "namespace": "blue",
                    "labels": {"app": "web"},
                },
            },
        ),
    ],
)
async def test_an_event_carries_what_is_asked_for(live: Live, form: str, object_: dict[str, Any]) -> None:
    async with live.ndjson(f"resource=deploy&name=web&as={form}") as stream:
        frame = await stream.frame()

    assert frame["object"] == object_


async def test_without_a_snapshot_only_what_comes_is_told(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy&snapshot=false") as stream:
        first = await stream.frame()
        store.apply(101, "web", "blue", image="web:2")
        second = await stream.frame()

    assert [told(first), told(second)] == [("BOOKMARK", None, "100"), ("MODIFIED", "web", "101")]


async def test_a_cursor_that_is_not_kept_is_told_as_410_and_the_end(live: Live, store: Store) -> None:
    store.apply(101, "web", "blue")
    store.writer.compact(101)

    async with live.ndjson("resource=deploy&resourceVersion=100") as stream:
        lines = await stream.rest()

    assert len(lines) == 1
    frame = orjson.loads(lines[0])
    assert (frame["type"], frame["object"]["code"], frame["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert "resourceVersion" not in frame


async def test_a_cursor_ahead_of_this_replica_waits_and_hears_nothing_again(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy&resourceVersion=102") as stream:
        opened = await stream.frame()
        store.apply(101, "web", "blue", image="web:2")
        store.apply(102, "web", "blue", image="web:3")
        store.apply(103, "web", "blue", image="web:4")
        heard = await stream.frame()

    assert told(opened) == ("BOOKMARK", None, "102")
    assert told(heard) == ("MODIFIED", "web", "103")


async def test_a_relist_reaches_readers_as_its_difference(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy") as stream:
        await stream.frames(3)
        store.relist(
            store.object(150, "web", "blue", image="web:9", labels={"app": "web"}),
            store.object(140, "new", "blue"),
            resource_version=200,
        )
        frames = await stream.frames(4)

    assert [told(frame) for frame in frames] == [
        ("DELETED", "api", "100~200"),
        ("ADDED", "new", "100~200"),
        ("MODIFIED", "web", "100~200"),
        ("BOOKMARK", None, "200"),
    ]


async def test_a_rollback_ends_every_stream_with_410(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy") as stream:
        await stream.frames(3)
        store.relist(store.object(5, "web", "blue"), resource_version=60, rollback=True)
        lines = await stream.rest()

    assert orjson.loads(lines[-1])["object"]["code"] == 410


@pytest.mark.parametrize(
    ("phase", "code", "told_before"), [(Phase.FORBIDDEN, 403, []), (Phase.GONE, 404, ["DELETED", "DELETED"])]
)
async def test_a_store_that_may_not_be_served_any_more_ends_its_streams(
    live: Live, store: Store, phase: Phase, code: int, told_before: list[str]
) -> None:
    async with live.ndjson("resource=deploy") as stream:
        await stream.frames(3)
        store.phase(phase, "the remedy")
        *before, last = [orjson.loads(line) for line in await stream.rest()]

    assert [frame["type"] for frame in before] == told_before
    assert (last["type"], last["object"]["code"]) == ("ERROR", code)


async def test_server_sent_events_have_no_id_before_the_snapshot_is_complete(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy", accept="text/event-stream") as stream:
        opened = [await stream.line() for _ in range(9)]
        store.apply(101, "web", "blue", image="web:2")
        change = [await stream.line() for _ in range(3)]
        headers = stream.answer.headers

    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    assert "no-transform" in headers["cache-control"]
    assert opened[0].startswith("retry: ")
    assert [line[:12] for line in opened[1:]] == [
        "",
        'data: {"type',
        "",
        'data: {"type',
        "",
        "id: 100",
        'data: {"type',
        "",
    ]
    assert change[0] == "id: 101"
    assert orjson.loads(change[1].removeprefix("data: "))["type"] == "MODIFIED"


async def test_last_event_id_beats_the_query(live: Live, store: Store) -> None:
    store.apply(101, "web", "blue", image="web:2")
    store.apply(102, "web", "blue", image="web:3")

    headers = {"accept": "text/event-stream", "last-event-id": "101"}
    async with live.ndjson("resource=deploy&resourceVersion=100", **headers) as stream:
        lines = [await stream.line() for _ in range(8)]

    assert [line for line in lines if line.startswith("id:")] == ["id: 101", "id: 102"]


async def test_an_expired_event_source_forgets_its_id(live: Live, store: Store) -> None:
    store.apply(101, "web", "blue")
    store.writer.compact(101)

    async with live.ndjson("resource=deploy", accept="text/event-stream", **{"last-event-id": "100"}) as stream:
        lines = await stream.rest()

    assert lines[0].startswith("retry: ")
    assert lines[1] == "id:"
    assert orjson.loads(lines[2].removeprefix("data: "))["object"]["code"] == 410


async def test_a_websocket_tells_the_same_frames(live: Live, store: Store) -> None:
    async with live.socket("resource=deploy") as socket:
        snapshot = [await frame_of(socket) for _ in range(3)]
        store.apply(101, "web", "blue", image="web:2")
        change = await frame_of(socket)
    async with live.ndjson("resource=deploy") as stream:
        again = await stream.frames(2)

    assert [told(frame) for frame in snapshot] == [
        ("ADDED", "web", None),
        ("ADDED", "api", None),
        ("BOOKMARK", None, "100"),
    ]
    assert told(change) == ("MODIFIED", "web", "101")
    assert again[1] == snapshot[1]


async def test_a_message_beyond_64_kib_closes_the_socket(live: Live) -> None:
    async with live.socket("resource=deploy&snapshot=false") as socket:
        await frame_of(socket)
        await socket.send("x" * 70_000)
        await asyncio.wait_for(socket.wait_closed(), 5)

    assert socket.close_code == 1009


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("resource=deploymnts", 404),
        ("resource=deploy&nmespace=x", 400),
        ("as=key", 400),
        ("resource=deploy&output=sse", 400),
    ],
)
async def test_an_upgrade_that_cannot_be_is_refused_with_a_status(live: Live, query: str, code: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await live.socket(query)

    assert refused.value.response.status_code == code
    assert orjson.loads(refused.value.response.body or b"")["code"] == code


async def test_a_foreign_page_opens_no_socket(live: Live) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await live.socket("resource=deploy", origin="https://evil.example")

    assert refused.value.response.status_code == 403


async def test_a_reader_that_leaves_costs_nothing_any_more(world: World, live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy") as stream:
        await stream.frames(3)
        during = store.reader.journal.positions
    async with live.socket("resource=deploy") as socket:
        await frame_of(socket)
    for _ in range(100):
        if not store.reader.journal.positions:
            break
        await asyncio.sleep(0.01)

    assert (during, store.reader.journal.positions) == (1, 0)


async def test_more_streams_than_allowed_are_told_when_to_come_back() -> None:
    world = World(settings=Settings(max_streams=1))
    store = world.mirror()
    store.sync()
    async with running(world) as live, live.ndjson("resource=deploy") as stream, httpx.AsyncClient() as client:
        await stream.frame()
        ours = await client.get(f"{live.url}/watch?resource=deploy")
        upstream = await client.get(f"{live.url}/apis/apps/v1/deployments?watch=true")
        other = await client.get(f"{live.url}/versions")

    assert (ours.status_code, ours.headers["retry-after"]) == (429, "5")
    assert (upstream.status_code, other.status_code) == (429, 200)


async def test_a_slow_reader_is_told_everything_or_410_and_delays_nobody(
    world: World, live: Live, store: Store
) -> None:
    reader, writer = await asyncio.open_connection(*live.address.split(":"), limit=1024)
    writer.write(b"GET /watch?resource=deploy HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await writer.drain()
    async with live.ndjson("resource=deploy") as stream:
        await stream.frames(3)
        for number in range(300):
            store.apply(200 + number, "web", "blue", annotations={"filler": "x" * 20_000})
            await asyncio.sleep(0)
        frames = await stream.frames(300)
    rest = await asyncio.wait_for(_all_versions(reader, 499), 10)
    writer.close()

    assert [frame["resourceVersion"] for frame in frames] == [str(200 + number) for number in range(300)]
    assert rest == [str(200 + number) for number in range(300)]


async def _all_versions(reader: asyncio.StreamReader, last: int) -> list[str]:
    """The cursors of a raw chunked stream, up to ``last``."""
    held = b""
    end = b'"resourceVersion":"%d"}\n' % last
    while (await reader.readline()).strip():
        pass  # the head
    while not held.endswith(end):
        size = int(await reader.readline(), 16)
        held += (await reader.readexactly(size + 2))[:size]
    return [line.rsplit(b'"', 2)[1].decode() for line in held.split(b"\n") if line.startswith(b'{"type":"MODIFIED"')]
