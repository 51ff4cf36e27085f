"""One WebSocket, many subscriptions: what the reader may say, what it is answered, and that none disturbs another."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from kubemirror.access.authorizer import Allow, Caller, Decision, Deny, ResourceAttributes
from kubemirror.settings import Settings
from kubemirror.state.events import Phase
from tests.serve.live import Live, frame_of, running
from tests.serve.world import NODES, Store, World


@pytest.fixture
def store(world: World, nodes: Store) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"), store.object(9, "api", "green"))
    return store


@pytest.fixture
def nodes(world: World) -> Store:
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""), resource_version=50)
    return nodes


async def say(socket: ClientConnection, action: str, **more: Any) -> None:
    await socket.send(orjson.dumps({"action": action, **more}).decode())


async def frames(socket: ClientConnection, count: int) -> list[Any]:
    return [await frame_of(socket) for _ in range(count)]


def told(frame: Any) -> tuple[Any, ...]:
    """(id, type, name)."""
    name = frame.get("object", {}).get("metadata", {}).get("name")
    return (frame.get("id"), frame["type"], name) if name else (frame.get("id"), frame["type"])


async def subscribed(socket: ClientConnection, id_: str, count: int = 2, **parameters: Any) -> list[Any]:
    """Subscribe, and hear SUBSCRIBED and the next ``count`` frames."""
    await say(socket, "subscribe", id=id_, **parameters)
    return await frames(socket, 1 + count)


async def test_subscriptions_come_and_go_on_one_socket(live: Live, store: Store, nodes: Store) -> None:
    async with live.socket("") as socket:
        first = await subscribed(socket, "a", resource="deploy", namespace="blue")
        second = await subscribed(socket, "b", resource=["nodes"])
        store.apply(101, "web", "blue", image="web:2")
        both = await frames(socket, 1)
        nodes.apply(51, "node-1", "")
        both += await frames(socket, 1)
        await say(socket, "unsubscribe", id="a")
        gone = await frames(socket, 1)
        store.apply(102, "web", "blue", image="web:3")
        nodes.apply(52, "node-1", "")
        rest = await frames(socket, 1)

    assert first[0] == {"type": "SUBSCRIBED", "id": "a", "resource": ["deployments.apps"]}
    assert [told(frame) for frame in first[1:]] == [("a", "ADDED", "web"), ("a", "BOOKMARK")]
    assert [told(frame) for frame in second] == [("b", "SUBSCRIBED"), ("b", "ADDED", "node-1"), ("b", "BOOKMARK")]
    assert [told(frame) for frame in both] == [("a", "MODIFIED", "web"), ("b", "MODIFIED", "node-1")]
    assert gone == [{"type": "UNSUBSCRIBED", "id": "a"}]
    assert [told(frame) for frame in rest] == [("b", "MODIFIED", "node-1")]


async def test_what_is_in_the_query_is_the_first_of_many(live: Live, store: Store) -> None:
    async with live.socket("resource=deploy&namespace=blue") as socket:
        first = await frames(socket, 2)
        await subscribed(socket, "a", resource="nodes")
        await say(socket, "unsubscribe", id="0")
        gone = await frame_of(socket)

    assert [told(frame) for frame in first] == [("0", "ADDED", "web"), ("0", "BOOKMARK")]
    assert gone == {"type": "UNSUBSCRIBED", "id": "0"}


async def test_a_subscription_resumes_by_its_own_cursor(live: Live, store: Store) -> None:
    store.apply(101, "web", "blue", image="web:2")
    store.apply(102, "web", "blue", image="web:3")
    async with live.socket("") as socket:
        heard = await subscribed(socket, "a", resource="deploy", resourceVersion="101", **{"as": "key"})

    assert [told(frame) for frame in heard] == [("a", "SUBSCRIBED"), ("a", "BOOKMARK"), ("a", "MODIFIED", "web")]
    assert heard[-1]["resourceVersion"] == "102"


@pytest.mark.parametrize(
    ("message", "id_", "code", "said"),
    [
        ("nonsense", None, 400, '{"action":'),
        ("[]", None, 400, '{"action":'),
        ('{"action":"listen","id":"x"}', None, 400, "subscribe, unsubscribe, ping"),
        ('{"action":"subscribe","resource":"deploy"}', None, 400, '"id" must be a string'),
        ('{"action":"subscribe","id":7,"resource":"deploy"}', None, 400, '"id" must be a string'),
        ('{"action":"subscribe","id":"x"}', "x", 400, 'parameter "resource" is missing'),
        ('{"action":"subscribe","id":"x","resource":"deploymnts"}', "x", 404, 'did you mean "deployments'),
        ('{"action":"subscribe","id":"x","resource":"deploy","nmespace":"y"}', "x", 400, 'did you mean "namespace"'),
        ('{"action":"subscribe","id":"x","resource":"deploy","output":"sse"}', "x", 400, "not for a WebSocket"),
        ('{"action":"subscribe","id":"x","resource":"deploy","labelSelector":"a=("}', "x", 400, "unable to parse"),
        ('{"action":"subscribe","id":"x","resource":"deploy","resourceVersion":"1"}', "x", 410, "too old"),
        ('{"action":"subscribe","id":"a","resource":"deploy"}', "a", 409, "goes on"),
        ('{"action":"unsubscribe","id":"x"}', "x", 404, 'no subscription "x"'),
    ],
)
async def test_what_cannot_be_is_said_with_its_id_and_ends_nothing(
    live: Live, store: Store, message: str, id_: str | None, code: int, said: str
) -> None:
    store.writer.compact(100)
    store.apply(100, "web", "blue", image="web:1")
    store.apply(101, "web", "blue", image="web:2")
    store.writer.compact(101)
    async with live.socket("") as socket:
        await subscribed(socket, "a", resource="deploy", namespace="blue")
        await socket.send(message)
        error: Any = await frame_of(socket)
        store.apply(102, "web", "blue", image="web:3")
        after = await frame_of(socket)

    assert (error["type"], error.get("id"), error["object"]["code"]) == ("ERROR", id_, code)
    assert said in error["object"]["message"]
    assert told(after) == ("a", "MODIFIED", "web")


async def test_a_ping_is_answered_with_the_name_it_was_given(live: Live) -> None:
    async with live.socket("") as socket:
        await say(socket, "ping")
        await say(socket, "ping", id="mine")
        pongs = await frames(socket, 2)

    assert pongs == [{"type": "PONG"}, {"type": "PONG", "id": "mine"}]


async def test_the_end_of_one_is_not_the_end_of_others(live: Live, store: Store, nodes: Store) -> None:
    async with live.socket("") as socket:
        await subscribed(socket, "a", resource="deploy", namespace="blue")
        await subscribed(socket, "b", resource="nodes")
        store.phase(Phase.FORBIDDEN, "the remedy")
        ended: Any = await frame_of(socket)
        nodes.apply(51, "node-1", "")
        after = await frame_of(socket)
        store.sync(store.object(7, "web", "blue"))
        again = await subscribed(socket, "a", resource="deploy")

    assert (told(ended), ended["object"]["code"]) == (("a", "ERROR"), 403)
    assert told(after) == ("b", "MODIFIED", "node-1")
    assert [told(frame) for frame in again] == [("a", "SUBSCRIBED"), ("a", "ADDED", "web"), ("a", "BOOKMARK")]


async def test_a_socket_that_asked_for_nothing_else_ends_with_its_query(live: Live, store: Store) -> None:
    async with live.socket("resource=deploy&namespace=blue") as socket:
        await frames(socket, 2)
        store.phase(Phase.FORBIDDEN, "the remedy")
        ended: Any = await frame_of(socket)
        with pytest.raises(ConnectionClosed):
            await frame_of(socket)

    assert ended["object"]["code"] == 403
    assert (socket.close_code, socket.close_reason) == (1008, "forbidden")


async def test_no_more_subscriptions_than_allowed(world: World, store: Store) -> None:
    world.settings = Settings(max_subscriptions=2)
    async with running(world) as live, live.socket("resource=deploy&namespace=blue") as socket:
        await frames(socket, 2)
        await subscribed(socket, "a", resource="deploy", namespace="blue")
        await say(socket, "subscribe", id="b", resource="deploy")
        refused: Any = await frame_of(socket)
        await say(socket, "unsubscribe", id="a")
        await frame_of(socket)
        room = await subscribed(socket, "b", resource="deploy", namespace="blue")

    assert (refused["id"], refused["object"]["code"]) == ("b", 429)
    assert refused["object"]["details"] == {"retryAfterSeconds": 5}
    assert told(room[0]) == ("b", "SUBSCRIBED")


class OnlyNodes:
    """Allows nodes, and remembers whom it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def authorize(self, caller: Caller, attributes: Any, **asked: object) -> Decision:
        assert isinstance(attributes, ResourceAttributes)
        self.asked.append(attributes.resource)
        return Allow() if attributes.resource == "nodes" else Deny("not for you")


async def test_each_subscription_asks_the_authorizer_anew() -> None:
    authorizer = OnlyNodes()
    world = World(authorizer=authorizer)
    world.mirror().sync()
    world.mirror(NODES).sync()
    async with running(world) as live, live.socket("") as socket:
        await subscribed(socket, "a", 1, resource="nodes")
        await subscribed(socket, "b", 1, resource="nodes")
        await say(socket, "subscribe", id="c", resource="deploy")
        refused: Any = await frame_of(socket)

    assert (refused["id"], refused["object"]["code"]) == ("c", 403)
    assert authorizer.asked == ["nodes", "nodes", "deployments"]


async def test_a_large_snapshot_does_not_keep_others_waiting(world: World, store: Store, nodes: Store) -> None:
    objects = [store.object(200 + n, f"web-{n}", "blue", annotations={"filler": "x" * 20_000}) for n in range(500)]
    store.relist(*objects, resource_version=1000)
    async with running(world) as live, live.socket("") as socket:
        await subscribed(socket, "small", resource="nodes")
        await say(socket, "subscribe", id="large", resource="deploy")
        await frames(socket, 2)
        nodes.apply(51, "node-1", "")
        heard = []
        while not heard or heard[-1][0] != "small":
            heard.append(told(await frame_of(socket)))

    assert heard[-1] == ("small", "MODIFIED", "node-1")
    assert len(heard) < 100  # what was on its way, and a batch; not ten megabytes


async def test_a_message_that_is_no_text_ends_the_socket(live: Live) -> None:
    async with live.socket("resource=nodes") as socket:
        await socket.send(b"\x00")
        await asyncio.wait_for(socket.wait_closed(), 5)

    assert socket.close_code == 1003


async def test_compression_is_never_agreed_to(live: Live) -> None:
    async with live.socket("resource=nodes") as socket:
        asked = socket.request.headers["sec-websocket-extensions"] if socket.request else ""
        answered = socket.response.headers.get("sec-websocket-extensions") if socket.response else ""

    assert "permessage-deflate" in asked
    assert answered is None


async def test_a_socket_that_leaves_gives_all_its_places_back(live: Live, store: Store, nodes: Store) -> None:
    async with live.socket("resource=deploy") as socket:
        await frames(socket, 3)
        for number in range(5):
            await subscribed(socket, str(number + 1), 1, resource="nodes", snapshot=False)
        during = store.reader.journal.positions, nodes.reader.journal.positions
    for _ in range(100):
        if not (store.reader.journal.positions or nodes.reader.journal.positions):
            break
        await asyncio.sleep(0.01)

    assert during == (1, 5)
    assert (store.reader.journal.positions, nodes.reader.journal.positions) == (0, 0)
