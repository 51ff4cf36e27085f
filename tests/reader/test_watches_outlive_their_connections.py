"""Mirror.watch over real sockets: lines that are cut, mirrors that restart or fill up, cursors that are too old."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from kubemirror.client import (
    Bookmark,
    Event,
    Lost,
    Mirror,
    Modified,
    NotFoundError,
    ObjectEvent,
    RefusedError,
    UnreachableError,
    Watch,
)
from kubemirror.client.backoff import Backoff
from kubemirror.client.connection import Transport
from kubemirror.settings import Settings
from kubemirror.state.events import Phase
from tests.reader.wire import Wire, wire_to
from tests.serve.live import running
from tests.serve.world import Store, World
from tests.ship.repository import close_codes

Told = tuple[str, str, str]


class AtOnce(Backoff):
    """Waits next to nothing, unless the mirror asked for it."""

    def next(self, asked: float | None = None) -> float:
        return 0.01 if asked is None else super().next(asked)


@pytest.fixture(params=[Transport.WEBSOCKET, Transport.HTTP])
def transport(request: pytest.FixtureRequest) -> Transport:
    kind: Transport = request.param
    return kind


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue", labels={"app": "web"}), store.object(8, "api", "blue"))
    return store


@asynccontextmanager
async def watching(wire: Wire, transport: Transport, **options: Any) -> AsyncIterator[Watch]:
    async with (
        Mirror(wire.url, transport=transport, backoff=AtOnce, silence_seconds=options.pop("silence", 10)) as mirror,
        aclosing(mirror.watch(options.pop("resource", "deployments"), **options)) as events,
    ):
        yield events


async def next_of(events: Watch, *, seconds: float = 10) -> Event:
    return await asyncio.wait_for(anext(events), seconds)


async def until(events: Watch, condition: Callable[[Event], bool]) -> list[Event]:
    """The events up to the first for which it holds; bookmarks that are only heartbeats left out."""
    heard: list[Event] = []
    while not heard or not condition(heard[-1]):
        event = await next_of(events)
        if not isinstance(event, Bookmark) or event.initial_events_end:
            heard.append(event)
    return heard


def complete(event: Event) -> bool:
    return isinstance(event, Bookmark) and event.initial_events_end


def about(name: str, cursor: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, ObjectEvent) and (event.name, event.resource_version) == (name, cursor)


def short(events: list[Event]) -> list[Told]:
    return [(each.type, getattr(each, "name", ""), getattr(each, "resource_version", "")) for each in events]


async def test_it_begins_with_what_is_there_and_goes_on(wire: Wire, store: Store, transport: Transport) -> None:
    async with watching(wire, transport, label_selector="app=web") as events:
        snapshot = await until(events, complete)
        store.apply(101, "api", "blue", image="api:2")
        store.apply(102, "web", "blue", image="web:2", labels={"app": "web"})
        store.delete(103, "web", "blue", labels={"app": "web"})
        changes = await until(events, about("web", "103"))

    assert short(snapshot) == [("ADDED", "web", ""), ("BOOKMARK", "", "100")]
    assert short(changes) == [("MODIFIED", "web", "102"), ("DELETED", "web", "103")]


async def test_what_happened_while_the_line_was_cut_is_told_once(
    wire: Wire, store: Store, transport: Transport
) -> None:
    lost: list[Lost] = []
    async with watching(wire, transport, on_lost=lost.append) as events:
        await until(events, complete)
        store.apply(101, "web", "blue", image="web:2")
        await until(events, about("web", "101"))
        wire.closed = True
        wire.cut()
        store.apply(102, "web", "blue", image="web:3")
        store.delete(103, "api", "blue")
        waiting = asyncio.ensure_future(until(events, about("api", "103")))
        await asyncio.sleep(0)
        wire.closed = False
        changes = await waiting

    assert short(changes) == [("MODIFIED", "web", "102"), ("DELETED", "api", "103")]
    assert "resourceVersion=101" in wire.asked[-1]
    assert lost
    assert wire.url in lost[0].reason


async def test_a_cursor_that_is_too_old_ends_in_the_difference(wire: Wire, store: Store, transport: Transport) -> None:
    async with watching(wire, transport) as events:
        await until(events, complete)
        wire.cut()
        store.delete(101, "api", "blue")
        store.apply(102, "new", "blue")
        store.apply(103, "web", "blue", image="web:2")
        store.writer.compact(103)
        heard = await until(events, complete)

    assert short(heard)[0] == ("RESET", "", "")
    assert sorted(short(heard)[1:-1]) == [("ADDED", "new", ""), ("DELETED", "api", "103"), ("MODIFIED", "web", "")]
    assert short(heard)[-1] == ("BOOKMARK", "", "103")
    assert len(wire.asked) == 2  # of the replica that found it too old: another one might be behind


async def test_a_first_snapshot_that_was_cut_off_is_not_gone_back_from(
    wire: Wire, store: Store, transport: Transport
) -> None:
    """The next replica is behind, and has never heard of what the first one told: that is not gone."""
    store.apply(150, "api", "blue")
    store.apply(151, "web", "blue", annotations={"filler": "x" * 100_000})
    behind = World(settings=Settings(freshness_seconds=0.1))
    behind.upstream.newest = 151
    other = behind.mirror()
    other.sync(other.object(7, "web", "blue"))
    refused = asyncio.Event()
    async with (
        running(behind) as second,
        watching(wire, transport, on_lost=lambda how: refused.set() if "504" in how.reason else None) as events,
    ):
        wire.budget = 20_000
        (first,) = await until(events, lambda event: isinstance(event, ObjectEvent))
        wire.leads_to, wire.budget = int(second.address.rpartition(":")[2]), None
        waiting = asyncio.ensure_future(until(events, complete))
        await asyncio.wait_for(refused.wait(), 10)
        other.apply(150, "api", "blue")
        other.apply(151, "web", "blue")
        heard = await waiting

    assert short([first, *heard]) == [("ADDED", "api", ""), ("ADDED", "web", ""), ("BOOKMARK", "", "151")]
    assert "resourceVersion=150" in wire.asked[1]


async def test_a_history_that_began_anew_while_the_line_was_cut_is_followed(
    wire: Wire, store: Store, transport: Transport
) -> None:
    """As a demo that is started again: nothing but its own resourceVersion tells that it is another."""
    anew = World(settings=Settings(freshness_seconds=0.1))
    anew.upstream.newest = 60
    other = anew.mirror()
    other.sync(other.object(5, "web", "blue", uid="another"), resource_version=60)
    async with running(anew) as second, watching(wire, transport) as events:
        await until(events, complete)
        wire.leads_to = int(second.address.rpartition(":")[2])
        wire.cut()
        heard = await until(events, complete)

    assert short(heard) == [
        ("RESET", "", ""),
        ("DELETED", "web", ""),
        ("ADDED", "web", ""),
        ("DELETED", "api", "60"),
        ("BOOKMARK", "", "60"),
    ]


async def test_a_cluster_that_was_restored_is_followed(wire: Wire, store: Store, transport: Transport) -> None:
    async with watching(wire, transport) as events:
        await until(events, complete)
        store.relist(store.object(5, "web", "blue"), resource_version=60, rollback=True)
        heard = await until(events, complete)

    assert short(heard) == [
        ("RESET", "", ""),
        ("MODIFIED", "web", ""),
        ("DELETED", "api", "60"),
        ("BOOKMARK", "", "60"),
    ]
    assert len(wire.asked) == 1


async def test_a_mirror_that_says_nothing_counts_as_lost(wire: Wire, store: Store, transport: Transport) -> None:
    lost: list[Lost] = []
    async with watching(wire, transport, silence=0.3, on_lost=lost.append) as events:
        await until(events, complete)
        wire.dark = True
        store.apply(101, "web", "blue", image="web:2")
        waiting = asyncio.ensure_future(until(events, about("web", "101")))
        await wire.connections(2)
        wire.dark = False
        changes = await waiting

    assert short(changes) == [("MODIFIED", "web", "101")]
    assert "nothing came" in lost[0].reason


async def test_a_mirror_that_leaves_says_when_to_come_back(world: World, store: Store, transport: Transport) -> None:
    lost: list[Lost] = []
    came_back = asyncio.Event()

    def noted(how: Lost) -> None:
        lost.append(how)
        came_back.set()

    async with (
        running(world) as first,
        wire_to(int(first.address.rpartition(":")[2])) as wire,
        watching(wire, transport, on_lost=noted) as events,
    ):
        await until(events, complete)
        waiting = asyncio.ensure_future(until(events, about("web", "101")))
        world.context.lifecycle.close()
        await asyncio.wait_for(came_back.wait(), 10)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert "503" in lost[0].reason
    assert lost[0].seconds >= 1


@asynccontextmanager
async def closing_with(codes: list[int], asked: list[str]) -> AsyncIterator[str]:
    """What looks like a mirror: each connection is told one bookmark, and closed with the next code."""

    async def connected(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        cursor = 100 + len(asked)
        metadata = '{"annotations":{"k8s.io/initial-events-end":"true"}}'
        end = f'{{"type":"BOOKMARK","object":{{"metadata":{metadata}}},"id":"0","resourceVersion":"{cursor}"}}'
        await socket.send(end)
        if not codes:
            await socket.wait_closed()
        elif (code := codes.pop(0)) == 1006:  # stands for none
            socket.transport.abort()
        else:
            await socket.close(code)

    async with serve(connected, "127.0.0.1", 0, compression=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_however_a_connection_is_closed_it_goes_on_with_the_cursor() -> None:
    codes, asked = close_codes(), list[str]()
    lost: list[Lost] = []
    async with (
        closing_with(codes.copy(), asked) as url,
        Mirror(url, transport=Transport.WEBSOCKET, backoff=AtOnce) as mirror,
        aclosing(mirror.watch("deployments", on_lost=lost.append)) as events,
    ):
        heard = [await next_of(events) for _ in range(len(codes) + 1)]

    assert {1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1012} <= set(codes)
    assert [each.resource_version for each in heard if isinstance(each, Bookmark)] == [
        str(101 + number) for number in range(len(codes) + 1)
    ]
    assert [f"resourceVersion={101 + number}&" in each for number, each in enumerate(asked[1:])] == [True] * len(codes)
    assert [str(code) in each.reason for code, each in zip(codes, lost, strict=True) if code != 1006] == [True] * 8


async def test_a_mirror_that_is_full_is_asked_again_when_it_says(transport: Transport) -> None:
    world = World(settings=Settings(max_streams=1))
    store = world.mirror()
    store.sync()
    lost: list[Lost] = []
    refused = asyncio.Event()

    def noted(how: Lost) -> None:
        lost.append(how)
        refused.set()

    async with (
        running(world) as live,
        live.ndjson("resource=deploy") as stream,
        Mirror(live.url, transport=transport) as mirror,
        aclosing(mirror.watch("deployments", on_lost=noted)) as events,
    ):
        await stream.frame()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(refused.wait(), 5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert "429" in lost[0].reason
    assert 5 <= lost[0].seconds < 8


async def test_a_mirror_that_is_not_there_to_begin_with_is_an_error(transport: Transport, free_port: int) -> None:
    async with Mirror(f"http://127.0.0.1:{free_port}", transport=transport) as mirror:
        with pytest.raises(UnreachableError, match=f"http://127.0.0.1:{free_port} does not answer: "):
            await anext(mirror.watch("deployments"))


async def test_what_the_mirror_does_not_have_is_an_error_with_the_nearest(wire: Wire, transport: Transport) -> None:
    async with watching(wire, transport, resource="deploymnts") as events:
        with pytest.raises(NotFoundError, match="did you mean"):
            await next_of(events)


async def test_a_right_that_is_lost_ends_the_watch(wire: Wire, store: Store, transport: Transport) -> None:
    async with watching(wire, transport) as events:
        await until(events, complete)
        store.phase(Phase.FORBIDDEN, "grant it")
        with pytest.raises(RefusedError) as refused:
            await next_of(events)

    assert refused.value.code == 403
    assert "grant it" in str(refused.value)


async def test_without_a_snapshot_only_what_comes_is_told(wire: Wire, store: Store, transport: Transport) -> None:
    async with watching(wire, transport, snapshot=False) as events:
        first = await next_of(events)
        wire.cut()
        store.apply(101, "web", "blue", image="web:2")
        changes = await until(events, about("web", "101"))

    assert isinstance(first, Bookmark)
    assert short(changes) == [("MODIFIED", "web", "101")]


async def test_it_goes_on_from_a_list(wire: Wire, store: Store, transport: Transport) -> None:
    async with Mirror(wire.url, transport=transport) as mirror:
        listed = await mirror.list("deploy")
        store.apply(101, "web", "blue", image="web:2")
        async with aclosing(mirror.watch("deploy", resource_version=listed.resource_version)) as events:
            changes = await until(events, about("web", "101"))

    assert (sorted(each["metadata"]["name"] for each in listed.items), listed.resource_version) == (
        ["api", "web"],
        "100",
    )
    assert short(changes)[-1] == ("MODIFIED", "web", "101")


async def test_only_changes_that_mean_something_are_told_and_what_they_were(
    wire: Wire, store: Store, transport: Transport
) -> None:
    async with watching(wire, transport, name="web", as_="diff", changes=["image"]) as events:
        await until(events, complete)
        store.apply(101, "web", "blue", annotations={"said": "nothing"})
        store.apply(102, "web", "blue", image="web:2")
        (change,) = await until(events, about("web", "102"))

    assert isinstance(change, Modified)
    assert "image" in change.changed
    assert [each["new"] for each in change.diff if each["path"].endswith(".image")] == ["web:2"]


async def test_a_reader_that_is_behind_may_skip_what_only_went_by(
    wire: Wire, store: Store, transport: Transport
) -> None:
    async with watching(wire, transport, latest=True) as events:
        await until(events, complete)
        wire.closed = True
        wire.cut()
        for number in range(10):
            store.apply(101 + number, "web", "blue", image=f"web:{number}")
        store.apply(111, "api", "blue", image="api:2")
        wire.closed = False
        changes = await until(events, about("api", "111"))

    assert [each[:2] for each in short(changes)] == [("MODIFIED", "web"), ("MODIFIED", "api")]


async def test_separators_of_unicode_end_no_line(wire: Wire, store: Store, transport: Transport) -> None:
    odd = {"said": "one\u2028two\x85three"}
    store.apply(101, "web", "blue", annotations=odd)
    async with watching(wire, transport, name="web") as events:
        first = await next_of(events)

    assert isinstance(first, ObjectEvent)
    assert first.object["metadata"]["annotations"] == odd


async def test_a_reader_that_leaves_gives_its_place_back(wire: Wire, store: Store, transport: Transport) -> None:
    async with watching(wire, transport) as events:
        await until(events, complete)
        during = store.reader.journal.positions
    for _ in range(500):
        if not store.reader.journal.positions:
            break
        await asyncio.sleep(0.01)

    assert (during, store.reader.journal.positions) == (1, 0)


async def test_one_mirror_serves_many_watches(wire: Wire, store: Store, transport: Transport) -> None:
    async with Mirror(wire.url, transport=transport) as mirror:

        async def first_change() -> Event:
            async with aclosing(mirror.watch("deployments")) as events:
                await until(events, complete)
                ready.release()
                return (await until(events, about("web", "101")))[-1]

        ready = asyncio.Semaphore(0)
        tasks = [asyncio.ensure_future(first_change()) for _ in range(150)]
        for _ in tasks:
            await asyncio.wait_for(ready.acquire(), 20)
        store.apply(101, "web", "blue", image="web:2")
        heard = await asyncio.wait_for(asyncio.gather(*tasks), 20)

    assert {each.resource_version for each in heard if isinstance(each, ObjectEvent)} == {"101"}


@pytest.mark.parametrize("seed", range(4))
async def test_any_run_of_cuts_and_compactions_ends_in_the_truth(
    wire: Wire, store: Store, transport: Transport, seed: int
) -> None:
    """No object is told twice or taken back, and what was told adds up to what there is."""
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(6)]
    there: dict[str, int] = {"web": 7, "api": 8}
    told: dict[str, int] = {}
    last = 0
    version = 100
    async with watching(wire, transport) as events:

        def hear(event: Event) -> None:
            nonlocal last
            if isinstance(event, ObjectEvent):
                held = int(event.object["metadata"]["resourceVersion"])
                match event.type:
                    case "ADDED":
                        assert event.name not in told
                    case "MODIFIED":
                        assert told[event.name] < held
                    case "DELETED":
                        assert told.pop(event.name)
                        return
                told[event.name] = held
            elif isinstance(event, Bookmark):
                assert int(event.resource_version) >= last
                last = int(event.resource_version)

        async def hear_all() -> None:
            async for event in events:
                hear(event)
                if isinstance(event, ObjectEvent) and event.name == "end":
                    end.set()
                if end.is_set() and told == there:
                    return

        await until(events, complete)
        told.update(there)
        end = asyncio.Event()
        heard_all = asyncio.create_task(hear_all(), name="reader")
        for _ in range(60):
            for _ in range(chance.randrange(4)):
                version += 1
                name = chance.choice(names)
                if name in there and chance.random() < 0.3:
                    store.delete(version, name, "blue")
                    del there[name]
                else:
                    store.apply(version, name, "blue", annotations={"filler": "x" * chance.randrange(3000)})
                    there[name] = version
            wire.budget = chance.choice([None, None, 200, 1500, 9000])
            if chance.random() < 0.3:
                wire.cut()
            if chance.random() < 0.1:
                store.writer.compact(version)
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
        wire.budget = None
        version += 1
        store.apply(version, "end", "blue")
        there["end"] = version
        await asyncio.wait_for(heard_all, 20)

    assert told == there
