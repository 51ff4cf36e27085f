"""A response is given again while everything it was made from stands still: stores, catalog, decision, time."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import kubemirror.access
import kubemirror.serve
from kubemirror.access.authorizer import ANONYMOUS, Allow, Caller, Decision
from kubemirror.access.presented import Presented
from kubemirror.serve.answers import Validity
from kubemirror.serve.fastlane import Lane, Variant
from kubemirror.serve.traffic import Traffic
from kubemirror.serve.variant import FAMILIES, READ, variant_of, visible
from kubemirror.settings import Settings
from kubemirror.state.events import Columns, Phase
from tests.serve.lanes import BothLanes
from tests.serve.live import Live, running
from tests.serve.world import NODES, Store, World

ONE, ALL = "/versions/blue/web", "/versions"
OBJECT = "/apis/apps/v1/namespaces/blue/deployments/web"
LIST = "/apis/apps/v1/namespaces/blue/deployments"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"), store.object(8, "api", "green"))
    return store


class Client:
    """Asks a running server, and tells which lane answered."""

    def __init__(self, live: Live, client: httpx.AsyncClient) -> None:
        self.live, self._client = live, client

    async def get(self, path: str, **headers: str) -> tuple[bool, httpx.Response]:
        """Whether the fast lane answered, and what."""
        before = self.live.app.serving.traffic.fast
        answer = await self._client.get(path, headers=headers)
        return self.live.app.serving.traffic.fast > before, answer

    async def lanes(self, path: str, *moves: Callable[[], object], **headers: str) -> list[bool]:
        """After the first answers, whether each move left the fast lane its answer."""
        await self.get(path, **headers)
        assert (await self.get(path, **headers))[0], "it is kept at all"
        told = []
        for move in moves:
            move()
            told.append((await self.get(path, **headers))[0])
            await self.get(path, **headers)
        return told


@asynccontextmanager
async def client_of(world: World) -> AsyncIterator[Client]:
    async with running(world) as live, httpx.AsyncClient(base_url=live.url) as client:
        yield Client(live, client)


@pytest.fixture
async def client(world: World, store: Store) -> AsyncIterator[Client]:
    async with client_of(world) as client:
        yield client


async def test_a_change_of_what_it_shows_is_shown_at_once(client: Client, store: Store) -> None:
    for path in (ONE, ALL, OBJECT, LIST, "/resources/deployments?output=json"):
        await client.get(path)
        _, before = await client.get(path)
        store.apply(store.reader.resource_version + 1, "web", "blue", image=f"web:{path.count('/')}-{len(path)}")
        fast, after = await client.get(path)

        assert not fast
        assert before.content != after.content


async def test_a_change_of_something_else_leaves_it(client: Client, store: Store) -> None:
    in_green = [lambda: store.apply(store.reader.resource_version + 1, "new", "green")]
    beside = [lambda: store.apply(store.reader.resource_version + 1, "beside", "blue")]

    assert await client.lanes(ONE, *in_green) == [True]
    assert await client.lanes(OBJECT, *in_green, *beside) == [True, True]
    assert await client.lanes(ALL, *in_green) == [False]
    assert await client.lanes(LIST, *in_green) == [False]  # it tells the store's resourceVersion


async def test_a_bookmark_moves_the_header_only(client: Client, store: Store) -> None:
    await client.get(ONE)
    store.bookmark(900)
    fast, answer = await client.get(ONE)

    assert fast
    assert answer.headers["kubemirror-resource-version"] == "900"


async def test_phases_columns_and_the_catalog_end_it(client: Client, store: Store, world: World) -> None:
    moves: list[Callable[[], object]] = [
        lambda: store.phase(Phase.STALE, "refused"),
        lambda: store.phase(Phase.SYNCED),
        lambda: world.mirror(NODES),
        lambda: store.relist(store.object(7, "web", "blue"), resource_version=50, rollback=True),
    ]
    assert await client.lanes(ONE, *moves) == [False] * 4
    assert await client.lanes(OBJECT, *moves) == [False] * 4
    assert await client.lanes(LIST, lambda: store.writer.handle(Columns(b"[]"))) == [False]


async def test_a_namespace_that_empties_and_fills_again_is_told(client: Client, store: Store) -> None:
    await client.lanes(OBJECT)
    store.delete(101, "web", "blue")
    gone = (await client.get(OBJECT))[1].status_code
    store.apply(102, "web", "blue")

    assert gone == 404
    assert (await client.get(OBJECT))[1].json()["metadata"]["resourceVersion"] == "102"


async def test_how_long_upstream_is_lost_is_told_by_the_second() -> None:
    now = [100.0]
    world = World(clock=lambda: now[0])
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    now[0] = 105.0
    store.phase(Phase.STALE, "refused")
    async with client_of(world) as client:
        for path in (ONE, OBJECT):
            await client.lanes(path)
            now[0] += 60
            # What the server does once a second.
            client.live.server.server_state.default_headers = [(b"date", b"Sun, 01 Jan 2040 00:00:00 GMT")]
            fast, answer = await client.get(path)

            assert fast
            assert answer.headers["age"] == str(int(now[0] - 100))
            assert answer.headers["cache-status"] == "kubemirror; hit; detail=STALE"


async def test_ages_are_a_second_old_at_most(client: Client) -> None:
    loop = asyncio.get_running_loop()
    for path, headers in (("/resources/deployments?output=table", {}), (LIST, TABLE), (OBJECT, TABLE)):
        await client.get(path, **headers)
        kept = [entry for entry in client.live.app.serving.lane._entries if path.encode() in entry.line]

        assert min(entry.until for entry in kept) - loop.time() <= 1.0


async def test_what_has_passed_its_time_is_made_anew(client: Client) -> None:
    for _ in range(2):
        await client.get(LIST, **TABLE)
    made = len(client.live.app.serving.lane)
    (protocol,) = client.live.server.server_state.connections
    loop: Any = asyncio.get_running_loop()
    later = SimpleNamespace(time=lambda: loop.time() + 1.1, call_later=loop.call_later, create_task=loop.create_task)
    protocol.loop = later  # type: ignore[union-attr,assignment]
    entry = next(iter(client.live.app.serving.lane._entries))

    assert made == 1
    assert (await client.get(LIST, **TABLE))[0] is False
    assert next(iter(client.live.app.serving.lane._entries)) is not entry


async def test_a_decision_and_the_credentials_end_it(store: Store) -> None:
    class Deciding:
        asked = 0
        until = 0.0

        async def authorize(self, *_: object, **__: object) -> Decision:
            self.asked += 1
            return Allow(until=self.until)

    class Knowing:
        until = 0.0

        async def authenticate(self, *_: object) -> Caller:
            return Caller("alice", until=self.until)

    deciding, knowing = Deciding(), Knowing()
    world = World(authorizer=deciding, authenticator=knowing)
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    async with client_of(world) as client:
        later = asyncio.get_running_loop().time() + 1000
        for decision, credentials, kept in ((0.0, later, False), (later, 0.0, False), (later, later, True)):
            deciding.until, knowing.until = decision, credentials
            for path in (ONE, OBJECT):
                client.live.app.serving.lane.clear()
                client.live.app.serving.answers._answers.clear()
                await client.get(path)
                assert (await client.get(path))[0] is kept


async def test_each_caller_has_answers_of_their_own(client: Client) -> None:
    await client.lanes(ONE, authorization="Bearer one")

    assert (await client.get(ONE, authorization="Bearer two"))[0] is False
    assert (await client.get(ONE, authorization="Bearer one"))[0] is True


async def test_who_holds_it_is_told_so_fast(client: Client) -> None:
    etag = (await client.get(ONE))[1].headers["etag"]
    answers = [await client.get(ONE, **{"if-none-match": etag}) for _ in range(2)]

    assert [fast for fast, _ in answers] == [False, True]
    assert {(answer.status_code, answer.content, answer.headers["etag"]) for _, answer in answers} == {(304, b"", etag)}


async def test_pages_of_a_list_and_waits_for_a_version_are_not_kept(client: Client) -> None:
    everywhere = "/apis/apps/v1/deployments"
    for path in (f"{LIST}?limit=1&resourceVersion=100", f"{LIST}?resourceVersion=100", f"{everywhere}?limit=1"):
        await client.get(path)
        assert (await client.get(path))[0] is False


async def test_what_is_read_consistently_is_asked_for_each_time() -> None:
    world = World(settings=Settings(consistent=("deployments.apps",)))
    asked = []

    async def current(resource: object, namespace: str) -> int:
        asked.append(resource)
        return 100

    world.upstream.current = current  # type: ignore[method-assign]
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    async with client_of(world) as client:
        for _ in range(3):
            await client.get(OBJECT)

    assert len(asked) == 3


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps", "/apis/apps/v1"])
async def test_discovery_is_kept_until_the_catalog_changes(world: World, client: Client, path: str) -> None:
    assert await client.lanes(path, lambda: None, lambda: world.mirror(NODES)) == [True, False]


async def test_health_status_and_metrics_are_never_kept(client: Client) -> None:
    for path in ("/livez", "/readyz", "/-/status", "/metrics", "/", "/version"):
        await client.get(path)
        assert (await client.get(path))[0] is False, path


async def test_both_lanes_are_counted_alike(client: Client) -> None:
    for path in (ONE, ONE, ONE, OBJECT, OBJECT):
        await client.get(path)
    traffic = client.live.app.serving.traffic
    route = "/apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}"

    assert traffic.requests["/versions/{namespace}/{name}", "GET", 200] == 3
    assert traffic.requests[route, "GET", 200] == 2
    assert sum(traffic.buckets["/versions/{namespace}/{name}"]) == 3
    assert traffic.seconds["/versions/{namespace}/{name}"] > 0
    assert traffic.fast == 3


async def test_the_whole_suite_asks_through_both_lanes(world: World, store: Store) -> None:
    lanes = BothLanes(world.context)
    async with httpx.AsyncClient(transport=lanes, base_url="http://localhost") as client:
        for path in (ONE, ALL, OBJECT, LIST):
            await client.get(path)
        assert lanes.twice == 4


@pytest.mark.parametrize(("gone", "said"), [("keep", "is not kept"), ("renew", "is not given again")])
@pytest.mark.parametrize("path", [ONE, ALL, OBJECT, LIST, "/resources/deployments?output=json"])
@pytest.mark.parametrize("headers", [{}, TABLE])
async def test_and_fails_where_a_route_leaves_the_fast_lane(
    path: str,
    headers: dict[str, str],
    gone: str,
    said: str,
    world: World,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lane, gone, lambda *_, **__: None)
    async with httpx.AsyncClient(transport=BothLanes(world.context), base_url="http://localhost") as client:
        with pytest.raises(AssertionError, match=said):
            await client.get(path, headers=headers)


async def test_large_answers_are_sent_in_pieces_and_never_held_whole() -> None:
    world = World()
    store = world.mirror()
    store.sync(*(store.object(number, f"web-{number}", "blue", image="x" * 2000) for number in range(1, 1500)))
    async with client_of(world) as client:
        for path in (ALL, "/resources/deployments?output=json", "/resources/deployments?output=ndjson", LIST):
            answers = [await client.get(path) for _ in range(2)]
            (first, again) = (answer for _, answer in answers)

            assert [fast for fast, _ in answers] == [False, False]
            assert len(first.content) > 2 * 1024 * 1024
            assert first.content == again.content
            assert first.headers.get("etag") == again.headers.get("etag")
        assert not any(isinstance(kept.body, bytes) for kept in client.live.app.serving.answers._answers.values())


# -- what decides an answer --------------------------------------------------------------------------------


def fields_read() -> Iterator[tuple[str, str]]:
    """(file, name) of each header field that code in serve/ or access/ asks for by a literal name."""
    for package in (kubemirror.serve, kubemirror.access):
        for file in Path(package.__path__[0]).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(value=of, attr="get"), args=[ast.Constant(value=name), *_]):
                        pass
                    case ast.Subscript(value=of, slice=ast.Constant(value=name), ctx=ast.Load()):
                        pass
                    case _:
                        continue
                if ast.unparse(of).endswith(("headers", "cookies")):
                    yield file.name, name.decode() if isinstance(name, bytes) else str(name)


def test_each_field_that_is_read_by_name_decides_the_variant() -> None:
    elsewhere = {("app.py", "content-type")}  # of a POST, which is never kept
    read = set(fields_read())

    assert len(read) > 8
    assert {(file, name) for file, name in read - elsewhere if name.encode() not in READ} == set()


async def test_no_field_but_these_reaches_the_application() -> None:
    seen: list[set[bytes]] = []

    class Curious:
        async def authenticate(self, presented: Presented) -> Caller:
            seen.append({name for name, _ in presented.headers})
            return ANONYMOUS

    world = World(authenticator=Curious())
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    fields = {name.decode(): "curl/8" if name == b"user-agent" else "localhost" for name in READ} | {
        "x-secret-switch": "1",
        "forwarded": "for=1.2.3.4",
        "x-remote-user": "alice",
        "impersonate-extra-scope": "x",
    }
    async with running(world) as live, httpx.AsyncClient(base_url=live.url) as client:
        await client.get(ONE, headers=fields)
        await client.get(OBJECT, headers=fields)

    assert len(seen) >= 2
    assert set().union(*seen) == READ | {b"x-remote-user", b"impersonate-extra-scope"}


def test_each_of_these_fields_separates_variants_and_no_other_does() -> None:
    base = [(b"host", b"localhost")]
    families = [family + b"x" for family in FAMILIES]
    for name in [*(READ - {b"host", b"user-agent"}), *families]:
        values = {variant_of("http", [*base, (name, value)]) for value in (b"one", b"two")}
        assert len({*values, variant_of("http", base)}) == 3, name

    assert variant_of("http", base) != variant_of("https", base)
    assert variant_of("http", [*base, (b"traceparent", b"1")]) == variant_of("http", base)


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        (b"curl/8.5.0", b"curl/"),
        (b"curl", b"curl"),
        (b"Wget/1.2", b"Wget/"),
        (b"HTTPie/3", b"HTTPie/"),
        (b"Mozilla/5.0 (X11)", b"Mozilla/5.0"),
        (b"kubectl/v1.36", None),
    ],
)
def test_a_user_agent_is_known_by_its_class_only(agent: bytes, told: bytes | None) -> None:
    assert visible([(b"user-agent", agent)]) == ([(b"user-agent", told)] if told is not None else [])


# -- bounds ------------------------------------------------------------------------------------------------


def kept(lane: Lane, line: bytes, size: int, *, variant: Variant | None = None) -> None:
    validity = Validity(lambda: True, list)
    variant = variant or Variant()
    lane.keep(line, variant, validity, status=200, headers=[], body=b"x" * size, route="/")


def test_the_whole_is_bounded_by_bytes_and_what_is_used_stays(world: World) -> None:
    lane = Lane(world.context, Traffic(), budget=100_000)
    variant = Variant()
    for number in range(4):
        kept(lane, b"GET /%d" % number, 20_000, variant=variant)
    variant.entries[b"GET /0"].used = True
    for number in range(4, 6):
        kept(lane, b"GET /%d" % number, 20_000, variant=variant)

    assert lane.size <= 100_000
    assert sorted(variant.entries) == [b"GET /0", b"GET /3", b"GET /4", b"GET /5"]


def test_keeping_again_replaces(world: World) -> None:
    lane, variant = Lane(world.context, Traffic()), Variant()
    for _ in range(3):
        kept(lane, b"GET /", 100, variant=variant)
    size = lane.size
    lane.clear()

    assert (len(variant.entries), len(lane), lane.size) == (0, 0, 0)
    assert size < 5_000


def test_known_heads_are_bounded(world: World) -> None:
    lane, variant = Lane(world.context, Traffic()), Variant()
    heads = lane.heads("http")
    for number in range(3000):
        lane.learn(heads, b" HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number, 2, variant)
    lane.learn(heads, b" HTTP/1.1\r\nHost: %s\r\n\r\n" % (b"a" * 5000), 1, variant)

    assert len(heads) == 1024
    assert max(map(len, heads)) < 100


@pytest.mark.parametrize(
    "head",
    [
        b" HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        b" HTTP/1.1\nHost: a\r\nX: b\r\n\r\n",
        b" HTTP/1.0\r\nHost: a\r\nX: b\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\n\nGET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n",
    ],
)
def test_a_head_whose_lines_are_not_its_fields_is_not_learned(world: World, head: bytes) -> None:
    heads: dict[bytes, Variant] = {}
    Lane(world.context, Traffic()).learn(heads, head, 2, Variant())

    assert heads == {}


def test_nothing_is_kept_where_memory_is_nearly_used_up(world: World) -> None:
    lane = Lane(world.context, Traffic())
    world.context.lifecycle.pressed = True
    kept(lane, b"GET /", 100)

    assert len(lane) == 0
