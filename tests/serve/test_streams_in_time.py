"""What a quiet stream says as time passes, on virtual time: heartbeats, staleness, access asked again, the end."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from kubemirror.access.authorizer import ANONYMOUS, Allow, AllowNamespaces, Caller, Decision, Deny
from kubemirror.errors import ForeignError, TooLargeResourceVersionError
from kubemirror.serve.asked import Asked
from kubemirror.serve.forms import As
from kubemirror.serve.life import Life
from kubemirror.serve.serving import Serving
from kubemirror.serve.subscription import Subscription
from kubemirror.serve.watch_query import OnExpired, WatchQuery, subscribe
from kubemirror.state.events import Phase
from tests.serve.world import NODES, Store, World

pytestmark = pytest.mark.looptime

ASKED = Asked("GET", "/watch", "", "", "http", "localhost", {}, None, ANONYMOUS)


class Answering:
    """An Authorizer with a list of answers, the last of which stays."""

    def __init__(self, *answers: Decision) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def authorize(self, caller: Caller, attributes: Any, **asked: object) -> Decision:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def a_world(*answers: Decision) -> tuple[World, Store]:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time(), authorizer=Answering(*answers or (Allow(),)))
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    return world, store


async def opened(world: World, **parameters: Any) -> Subscription:
    query = WatchQuery(resource=["deploy"], **parameters)
    subscription = await subscribe(Serving(world.context), ASKED, query, Life(world.context))
    await subscription.next()  # the snapshot
    return subscription


async def events(subscription: Subscription) -> list[dict[str, Any]]:
    return [orjson.loads(frame.data) for frame in await subscription.next()]


async def test_a_heartbeat_comes_at_least_every_fifteen_seconds_and_carries_the_cursor() -> None:
    world, store = a_world()
    loop = asyncio.get_running_loop()
    subscription = await opened(world)
    store.bookmark(300)
    beats = []
    for _ in range(4):
        before = loop.time()
        (beat,) = await events(subscription)
        beats.append((beat["type"], beat["resourceVersion"], 12 <= loop.time() - before <= 15))
    subscription.close()

    assert beats == [("BOOKMARK", "300", True)] * 4


async def test_a_heartbeat_shows_a_frozen_upstream() -> None:
    world, store = a_world()
    subscription = await opened(world)
    (fresh,) = await events(subscription)
    store.phase(Phase.STALE, "connection refused")
    (stale,) = await events(subscription)
    subscription.close()

    assert fresh["state"] == "SYNCED"
    assert "staleSince" not in fresh
    assert 12 <= fresh["upstreamAgeSeconds"] <= 15
    assert stale["state"] == "STALE"
    assert stale["staleSince"].endswith("Z")
    assert stale["upstreamAgeSeconds"] > fresh["upstreamAgeSeconds"]


async def test_a_change_is_told_without_waiting_for_a_heartbeat() -> None:
    world, store = a_world()
    loop = asyncio.get_running_loop()
    subscription = await opened(world)
    loop.call_later(3, lambda: store.apply(101, "web", "blue", image="web:2"))
    before = loop.time()
    (change,) = await events(subscription)
    took = loop.time() - before
    subscription.close()

    assert (change["type"], took) == ("MODIFIED", pytest.approx(3))


async def coming(world: World, cursor: str, **parameters: Any) -> Subscription:
    """A reader with a cursor."""
    query = WatchQuery(resource=["deploy"], resource_version=cursor, **parameters)
    return await subscribe(Serving(world.context), ASKED, query, Life(world.context))


async def ahead(world: World, cursor: str, **parameters: Any) -> Subscription:
    """One that has heard that there is nothing to tell it."""
    subscription = await coming(world, cursor, **parameters)
    assert [each["resourceVersion"] for each in await events(subscription)] == [cursor]
    return subscription


async def test_a_cursor_beyond_all_that_upstream_has_is_of_another_history() -> None:
    world, _ = a_world()
    world.upstream.newest = 130
    subscription = await ahead(world, "500")
    before = asyncio.get_running_loop().time()
    (last,) = await events(subscription)
    took = asyncio.get_running_loop().time() - before
    subscription.close()

    assert (last["type"], last["object"]["code"]) == ("ERROR", 410)
    assert last["object"]["message"] == "resource version 500 is of another history: the API server is at 130"
    assert "resourceVersion" not in last
    assert took == pytest.approx(3, abs=0.1)


async def test_of_another_history_a_new_snapshot_is_told_where_it_is_wanted() -> None:
    world, _ = a_world()
    world.upstream.newest = 130
    subscription = await ahead(world, "500", on_expired=OnExpired.SNAPSHOT)
    heard = await events(subscription)
    subscription.close()

    assert [each["type"] for each in heard] == ["RESET", "ADDED", "BOOKMARK"]
    assert heard[-1]["resourceVersion"] == "100"


async def test_a_mirror_that_is_merely_behind_keeps_its_readers_waiting() -> None:
    world, store = a_world()
    loop = asyncio.get_running_loop()
    world.upstream.newest = 500
    subscription = await ahead(world, "500")
    loop.call_later(100, lambda: store.apply(501, "web", "blue"))
    heard = []
    while "MODIFIED" not in dict(heard):
        heard += [(each["type"], each["resourceVersion"]) for each in await events(subscription)]
    subscription.close()

    assert set(heard[:-2]) == {("BOOKMARK", "500")}
    assert heard[-2:] == [("MODIFIED", "501"), ("BOOKMARK", "501")]
    assert world.upstream.looked == 1


async def test_an_upstream_that_cannot_tell_is_asked_again_and_again() -> None:
    world, _ = a_world()
    subscription = await ahead(world, "500")
    beats = [each["type"] for _ in range(2) for each in await events(subscription)]
    world.upstream.newest = 130
    (last,) = await events(subscription)
    subscription.close()

    assert beats == ["BOOKMARK"] * 2
    assert 8 <= world.upstream.looked <= 11
    assert last["object"]["code"] == 410


async def test_a_snapshot_for_a_reader_of_another_history_is_what_there_is_now() -> None:
    world, _ = a_world()
    world.upstream.newest = 130
    subscription = await coming(world, "500", snapshot=True, on_expired=OnExpired.SNAPSHOT)
    heard = await events(subscription)
    with pytest.raises(ForeignError):
        await coming(world, "500", snapshot=True)
    world.upstream.newest = 500
    with pytest.raises(TooLargeResourceVersionError):
        await coming(world, "500", snapshot=True, on_expired=OnExpired.SNAPSHOT)
    subscription.close()

    assert [each["type"] for each in heard] == ["RESET", "ADDED", "BOOKMARK"]


async def test_a_snapshot_that_begins_again_leaves_out_nothing_of_other_resources() -> None:
    world, store = a_world()
    objects = [store.object(7 + n, f"web-{n}", "blue") for n in range(2500)]
    store.relist(*objects, resource_version=3000)
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""), resource_version=50)
    query = WatchQuery(resource=["deploy", "nodes"], on_expired=OnExpired.SNAPSHOT, as_=As.KEY)
    subscription = await subscribe(Serving(world.context), ASKED, query, Life(world.context))
    heard = await events(subscription)
    store.apply(3001, "web-0", "blue", image="web:2")
    store.writer.compact(3001)
    while heard[-1]["type"] != "BOOKMARK" or not heard[-1].get("resourceVersion"):
        heard += await events(subscription)
    subscription.close()
    reset = [each["type"] for each in heard].index("RESET")
    told = [each["object"]["metadata"]["name"] for each in heard[reset:] if each["type"] == "ADDED"]

    assert reset > 0
    assert sorted(told) == sorted([*(f"web-{n}" for n in range(2500)), "node-1"])
    assert heard[-1]["resourceVersion"] == "deployments.apps=3001;nodes=50"


async def test_access_is_asked_again_when_its_decision_runs_out() -> None:
    now = asyncio.get_running_loop().time()
    world, _ = a_world(Allow(until=now + 5), Deny("withdrawn"))
    subscription = await opened(world)
    (last,) = await events(subscription)
    took = asyncio.get_running_loop().time() - now
    after = await subscription.next()
    subscription.close()

    assert (last["type"], last["object"]["code"]) == ("ERROR", 403)
    assert "withdrawn" in last["object"]["message"]
    assert took == pytest.approx(5)
    assert after == []


async def test_less_than_before_ends_with_403() -> None:
    now = asyncio.get_running_loop().time()
    world, _ = a_world(AllowNamespaces(frozenset({"blue"}), until=now + 5), AllowNamespaces(frozenset({"green"})))
    subscription = await opened(world)
    (last,) = await events(subscription)
    after = await subscription.next()
    subscription.close()

    assert (last["type"], last["object"]["code"]) == ("ERROR", 403)
    assert last["object"]["message"] == "forbidden: access to deployments.apps was withdrawn in blue"
    assert after == []


async def test_a_namespace_that_is_gained_appears_and_is_told_of_from_then_on() -> None:
    now = asyncio.get_running_loop().time()
    both = AllowNamespaces(frozenset({"blue", "green"}))
    world, store = a_world(AllowNamespaces(frozenset({"blue"}), until=now + 5), both)
    store.apply(101, "old", "green")
    subscription = await opened(world)
    store.apply(102, "old", "green", image="web:2")
    store.apply(103, "web", "blue", image="web:2")
    seen = await events(subscription)  # nothing of green
    store.apply(104, "other", "red")
    gained = await events(subscription)
    store.apply(105, "new", "green")
    store.delete(106, "old", "green", image="web:2")
    after = [*await events(subscription)]
    subscription.close()

    def named(told: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(each["type"], each["object"]["metadata"].get("name", "")) for each in told]

    assert named(seen) == [("MODIFIED", "web")]
    assert named(gained) == [("ADDED", "old"), ("BOOKMARK", "")]
    assert "web:2" in str(gained[0])
    assert gained[1]["resourceVersion"] == "104"
    assert named(after) == [("ADDED", "new"), ("DELETED", "old")]


async def test_all_namespaces_that_are_gained_appear() -> None:
    now = asyncio.get_running_loop().time()
    world, store = a_world(AllowNamespaces(frozenset({"blue"}), until=now + 5), Allow())
    store.apply(101, "old", "green")
    subscription = await opened(world)
    gained = await events(subscription)
    confined = subscription.confined
    subscription.close()

    assert (gained[0]["type"], gained[0]["object"]["metadata"]["name"]) == ("ADDED", "old")
    assert len(gained) == 2
    assert not confined


async def test_busy_readers_are_asked_about_too() -> None:
    now = asyncio.get_running_loop().time()
    world, store = a_world(Allow(until=now + 5), Deny("withdrawn"))
    subscription = await opened(world)
    told = 0
    while (last := (await events(subscription))[-1])["type"] != "ERROR":
        told += 1
        store.apply(100 + told, "web", "blue", image=f"web:{told}")
        await asyncio.sleep(1)
    subscription.close()

    assert last["object"]["code"] == 403
    assert asyncio.get_running_loop().time() - now < 17


async def test_at_the_end_readers_are_sent_away_at_different_times_with_their_cursor() -> None:
    world, store = a_world()
    loop = asyncio.get_running_loop()
    subscriptions = [await opened(world) for _ in range(20)]
    store.bookmark(300)
    before = loop.time()
    world.context.lifecycle.close(spread_seconds=6.0)

    async def end(subscription: Subscription) -> tuple[float, Any]:
        while (frames := await events(subscription))[-1]["type"] != "ERROR":
            pass
        return loop.time() - before, frames[-1]

    ends = await asyncio.gather(*map(end, subscriptions))
    for each in subscriptions:
        each.close()

    times = sorted(time for time, _ in ends)
    assert times[-1] <= 6
    assert times[-1] - times[0] > 1
    assert {last["resourceVersion"] for _, last in ends} == {"300"}
    assert {last["object"]["code"] for _, last in ends} == {503}
    assert store.reader.journal.positions == 0


async def test_a_reader_that_left_hears_nothing_more() -> None:
    world, store = a_world()
    subscription = await opened(world)
    subscription.stop("left")
    store.apply(101, "web", "blue", image="web:2")

    assert await subscription.next() == []
    subscription.close()


async def test_a_large_snapshot_comes_in_pieces() -> None:
    world, store = a_world()
    objects = [store.object(7 + n, f"web-{n}", "blue", annotations={"filler": "x" * 10_000}) for n in range(100)]
    store.relist(*objects, resource_version=400)
    query = WatchQuery(resource=["deploy"])
    subscription = await subscribe(Serving(world.context), ASKED, query, Life(world.context))
    batches = []
    while not batches or batches[-1][-1].type != "BOOKMARK":
        batches.append(await subscription.next())
    subscription.close()

    assert sum(map(len, batches)) == 101
    assert len(batches) > 3
    assert max(sum(len(frame.data) for frame in batch) for batch in batches) < 300_000
