"""How many streams there may be and for how long, what a slow one costs, and how it is told that it is over."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kubemirror.access.authorizer import ANONYMOUS
from kubemirror.serve.asked import Asked, client_of
from kubemirror.serve.life import Life
from kubemirror.serve.serving import Serving
from kubemirror.serve.watch_query import WatchQuery, subscribe
from kubemirror.settings import Settings
from tests.serve.live import Live, frame_of, running
from tests.serve.world import Store, World

ASKED = Asked("GET", "/watch", "", "", "http", "localhost", {}, None, ANONYMOUS)
FROM = {"x-forwarded-for": "203.0.113.7"}
FROM_ELSEWHERE = {"x-forwarded-for": "203.0.113.8"}


def a_world(**settings: Any) -> tuple[World, Store]:
    world = World(settings=Settings(**settings))
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    return world, store


# -- how many -----------------------------------------------------------------------------------------


async def test_one_address_has_no_more_streams_than_its_share() -> None:
    world, _ = a_world(max_streams_per_client=2)
    async with running(world) as live, httpx.AsyncClient() as client, AsyncExitStack() as stack:
        ours = await stack.enter_async_context(live.ndjson("resource=deploy", **FROM))
        socket = await stack.enter_async_context(live.socket("resource=deploy", **FROM))
        await ours.frames(2)
        await frame_of(socket)
        url = f"{live.url}/watch?resource=deploy"
        refused = await client.get(url, headers=FROM)
        upstream = await client.get(f"{live.url}/apis/apps/v1/deployments?watch=true", headers=FROM)
        with pytest.raises(InvalidStatus) as upgrade:
            await live.socket("resource=deploy", **FROM)
        elsewhere = await stack.enter_async_context(
            live.ndjson("resource=deploy", **{"x-forwarded-for": "203.0.113.8"})
        )
        await elsewhere.frames(2)
        nobody = await stack.enter_async_context(live.ndjson("resource=deploy"))
        await nobody.frames(2)

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert "203.0.113.7" in refused.json()["message"]
    assert upstream.status_code == 429
    assert upgrade.value.response.status_code == 429
    assert upgrade.value.response.headers["retry-after"] == "5"


async def test_a_stream_that_ends_or_never_began_leaves_its_seat() -> None:
    world, store = a_world(max_streams_per_client=1)
    store.apply(101, "web", "blue")
    store.writer.compact(101)
    async with running(world) as live, httpx.AsyncClient() as client:
        for _ in range(3):
            async with live.ndjson("resource=deploy", **FROM) as stream:
                await stream.frames(2)
            assert (await client.get(f"{live.url}/watch?resource=nope", headers=FROM)).status_code == 404
            assert (await client.get(f"{live.url}/watch?resource=deploy&resourceVersion=1", headers=FROM)).is_success
            assert (await client.head(f"{live.url}/watch?resource=deploy", headers=FROM)).status_code == 200
            async with live.socket("resource=deploy", **FROM) as socket:
                await frame_of(socket)
            await _until_empty(live)
        seats = live.app.serving.seats.by_client

    assert not seats


async def _until_empty(live: Live) -> None:
    for _ in range(200):
        if not live.app.serving.traffic.open_streams.total():
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # anyone can write that
        ("127.0.0.1", "", ""),
        ("::1", "", ""),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "8.8.8.8, 198.51.100.1", "198.51.100.1"),
        ("10.1.1.1", "198.51.100.1, 10.1.1.2", "198.51.100.1"),
        ("10.1.1.1", "nonsense", "10.1.1.1"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
        (None, "", ""),
    ],
)
def test_a_client_is_the_address_that_no_client_can_choose(peer: str | None, forwarded: str, client: str) -> None:
    settings = Settings(trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"client": (peer, 1234) if peer else None, "headers": headers}

    assert client_of(scope, settings) == client


# -- how long -----------------------------------------------------------------------------------------


async def _all_of(socket: ClientConnection) -> list[Any]:
    """Its messages, until it is closed."""
    messages: list[Any] = []
    while True:
        try:
            messages.append(await frame_of(socket))
        except ConnectionClosed:
            return messages


@pytest.mark.looptime
async def test_a_stream_ends_within_its_hour_with_the_cursor_to_go_on_from() -> None:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time())
    store = world.mirror()
    store.sync()
    began = loop.time()

    async def life() -> tuple[float, list[Any]]:
        subscription = await subscribe(
            Serving(world.context), ASKED, WatchQuery(resource=["deploy"]), Life(world.context)
        )
        last: list[Any] = []
        while frames := await subscription.next():
            last = [orjson.loads(frame.data) for frame in frames]
        subscription.close()
        assert subscription.ended == "lifetime"
        return loop.time() - began, last

    lives = await asyncio.gather(*(life() for _ in range(20)))
    times = [time for time, _ in lives]

    assert 2700 <= min(times) < max(times) <= 3600
    assert max(times) - min(times) > 60
    assert all([frame["type"] for frame in last] == ["BOOKMARK"] for _, last in lives)
    assert all(last[-1]["resourceVersion"] == "100" for _, last in lives)


async def test_a_socket_that_has_lived_is_closed_when_each_subscription_has_its_cursor() -> None:
    world, _ = a_world(stream_seconds=1)
    async with running(world) as live, live.socket("") as socket:
        await socket.send('{"action":"subscribe","id":"a","resource":"deploy"}')
        await socket.send('{"action":"subscribe","id":"b","resource":"deploy"}')
        messages = await _all_of(socket)

    ends = {message["id"]: message for message in messages}
    assert (socket.close_code, socket.close_reason) == (1001, "lifetime")
    assert {id_: (end["type"], end["resourceVersion"]) for id_, end in ends.items()} == {
        "a": ("BOOKMARK", "100"),
        "b": ("BOOKMARK", "100"),
    }
    assert "k8s.io/initial-events-end" not in str(ends)


async def test_a_socket_without_subscriptions_is_closed_as_well() -> None:
    world, _ = a_world(stream_seconds=0.2)
    async with running(world) as live, live.socket("") as socket:
        await asyncio.wait_for(socket.wait_closed(), 5)

    assert socket.close_code == 1001


async def test_at_shutdown_each_subscription_is_told_where_and_when_to_resume() -> None:
    world, _ = a_world()
    async with running(world) as live, live.socket("") as socket:
        await socket.send('{"action":"subscribe","id":"a","resource":"deploy"}')
        await socket.send('{"action":"subscribe","id":"b","resource":"deploy"}')
        for _ in range(6):
            await frame_of(socket)
        world.context.lifecycle.close(spread_seconds=0.2)
        messages = await _all_of(socket)

    errors = [message for message in messages if message["type"] == "ERROR"]
    assert (socket.close_code, socket.close_reason) == (1012, "shutdown")
    assert sorted(error["id"] for error in errors) == ["a", "b"]
    assert {(error["object"]["code"], error["resourceVersion"]) for error in errors} == {(503, "100")}
    assert all(1 <= error["object"]["details"]["retryAfterSeconds"] <= 5 for error in errors)


async def test_a_browser_is_told_at_shutdown_when_to_come_back() -> None:
    world, _ = a_world()
    async with running(world) as live, live.ndjson("resource=deploy&output=sse&snapshot=false") as stream:
        opened = [await stream.line() for _ in range(5)]
        world.context.lifecycle.close(spread_seconds=0.2)
        lines = await stream.rest()

    assert 1000 <= int(opened[0].removeprefix("retry: ")) <= 5000
    retry = next(line for line in lines if line.startswith("retry: "))
    assert 1000 <= int(retry.removeprefix("retry: ")) <= 5000
    assert lines[lines.index(retry) + 1] == "id: 100"


# -- how slow -----------------------------------------------------------------------------------------


async def _stalled(live: Live, path: str, *, upgrade: bool = False) -> asyncio.StreamWriter:
    """A reader that asks, and then reads nothing."""
    writer, _ = await _slow(live, path, upgrade=upgrade)
    return writer


async def _slow(live: Live, path: str, *, upgrade: bool = False) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    """A reader that asks, and reads when the test does."""
    reader, writer = await asyncio.open_connection(*live.address.split(":"), limit=1024)
    head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n"
    if upgrade:
        key = "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        head += f"connection: upgrade\r\nupgrade: websocket\r\n{key}"
    writer.write(f"{head}\r\n".encode())
    await writer.drain()
    return writer, reader


@pytest.mark.parametrize("upgrade", [False, True])
async def test_a_reader_that_takes_nothing_is_cut_off_and_delays_nobody(*, upgrade: bool) -> None:
    world, store = a_world(stream_send_seconds=0.5)
    async with running(world) as live:
        writer = await _stalled(live, "/watch?resource=deploy", upgrade=upgrade)
        async with live.ndjson("resource=deploy") as stream:
            await stream.frames(2)
            reading = asyncio.create_task(stream.frames(1000))  # else it takes nothing meanwhile either
            for number in range(1000):
                store.apply(200 + number, "web", "blue", annotations={"filler": "x" * 20_000})
                await asyncio.sleep(0)
            frames = await reading
        ends = live.app.serving.traffic.stream_ends
        for _ in range(300):
            if ends["slow"]:
                break
            await asyncio.sleep(0.01)
        positions = store.reader.journal.positions
        writer.close()

    assert [frame["resourceVersion"] for frame in frames] == [str(200 + number) for number in range(1000)]
    assert ends["slow"] == 1
    assert positions <= 1


@pytest.mark.parametrize(
    "path",
    [
        "/watch?resource=deploy",
        "/watch?resource=deploy&output=sse",
        "/watch?resource=deploy&latest=true",
    ],
)
async def test_a_reader_that_is_cut_off_is_no_error(path: str, caplog: pytest.LogCaptureFixture) -> None:
    world, store = a_world(stream_send_seconds=0.1)
    async with running(world) as live:
        writer = await _stalled(live, path)
        for number in range(1000):
            store.apply(200 + number, f"web-{number}", "blue", annotations={"filler": "x" * 20_000})
            await asyncio.sleep(0)
        await _until_empty(live)
        left = live.app.serving.traffic.open_streams.total()
        writer.close()

    assert left == 0
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_a_reader_that_is_slow_but_takes_something_is_not_cut_off() -> None:
    world, store = a_world(stream_send_seconds=0.5)
    store.relist(
        *(store.object(200 + n, f"web-{n}", "blue", annotations={"filler": "x" * 20_000}) for n in range(100)),
        resource_version=400,
    )
    async with running(world) as live:
        writer, reader = await _slow(live, "/watch?resource=deploy")
        held = b""
        while b"initial-events-end" not in held:
            part = await reader.read(40_000)
            assert part, "it was cut off"
            held = held[-100:] + part
            await asyncio.sleep(0.02)  # 2 MB in a good second: longer than the deadline
        writer.close()


async def test_what_a_slow_reader_holds_is_its_place_and_one_batch() -> None:
    world, store = a_world()
    subscription = await subscribe(Serving(world.context), ASKED, WatchQuery(resource=["deploy"]), Life(world.context))
    await subscription.next()
    for number in range(400):
        store.apply(200 + number, "web", "blue", annotations={"filler": "x" * 100_000})
    batch = await subscription.next()  # the reader takes this, slowly; what follows is the journal's
    store.writer.compact(598)
    (rest,) = await subscription.next()
    subscription.close()

    assert sum(len(frame.data) for frame in batch) <= 1024 * 1024
    assert orjson.loads(rest.data)["object"]["code"] == 410


async def test_one_event_may_be_larger_than_a_batch() -> None:
    world, store = a_world()
    async with running(world) as live, live.ndjson("resource=deploy") as stream:
        await stream.frames(2)
        store.apply(101, "web", "blue", annotations={"filler": "x" * 3_000_000})
        frame = await stream.frame()

    assert frame["resourceVersion"] == "101"


# -- the heartbeat ------------------------------------------------------------------------------------


async def test_a_heartbeat_of_server_sent_events_is_a_comment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubemirror.serve.sharing.HEARTBEAT_SECONDS", 0.1)
    world, _ = a_world()
    async with running(world) as live, live.ndjson("resource=deploy&output=sse&snapshot=false") as stream:
        lines = [await stream.line() for _ in range(8)]

    assert lines[5:7] == [": heartbeat", "id: 100"]
    assert orjson.loads(lines[7].removeprefix("data: "))["type"] == "BOOKMARK"


@pytest.mark.looptime
async def test_a_heartbeat_comes_to_a_busy_stream_as_well() -> None:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time())
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    query = WatchQuery(resource=["deploy"])
    subscription = await subscribe(Serving(world.context), ASKED, query, Life(world.context))
    await subscription.next()
    beats = [loop.time()]
    for version in range(101, 161):
        loop.call_later(version - 100, store.apply, version, "web", "blue")
    while loop.time() < 55:
        frames = await subscription.next()
        beats += [loop.time()] * any(frame.type == "BOOKMARK" for frame in frames)
    subscription.close()

    assert len(beats) >= 4
    assert all(after - before <= 16 for before, after in pairwise(beats))
