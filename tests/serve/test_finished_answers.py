"""A finished answer is bytes: served again until its stores move, named by an ETag that is equal on all replicas."""

from __future__ import annotations

import httpx
import pytest

from kubemirror.serve.answers import Answer, Answers, Validity, etag_of, matches
from kubemirror.serve.application import Application
from kubemirror.serve.serving import Serving
from kubemirror.state.events import Phase
from tests.serve.conftest import Asking
from tests.serve.world import Store, World


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    return store


class Counting:
    """The application, and how often an answer had to be made."""

    def __init__(self, world: World) -> None:
        self.serving = Serving(world.context)
        transport = httpx.ASGITransport(Application(self.serving))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    @property
    def made(self) -> int:
        return self.serving.answers.misses


async def test_an_unchanged_store_answers_from_bytes(world: World, store: Store) -> None:
    counting = Counting(world)
    async with counting.client as client:
        first = await client.get("/versions")
        made = counting.made
        store.bookmark(500)  # moves the resourceVersion, changes no content
        again = await client.get("/versions")
        head = await client.head("/versions")

        assert counting.made == made
        assert again.content == first.content
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["kubemirror-resource-version"] == "500"
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(first.content)))


async def test_a_change_makes_a_new_answer_with_a_new_name(client: httpx.AsyncClient, store: Store) -> None:
    first = await client.get("/versions")
    store.apply(101, "web", "blue", image="web:2")
    second = await client.get("/versions")

    assert first.json()[0]["version"] == "1.0"
    assert second.json()[0]["version"] == "2"
    assert first.headers["etag"] != second.headers["etag"]


async def test_a_change_that_this_result_does_not_show_keeps_its_name(client: httpx.AsyncClient, store: Store) -> None:
    first = await client.get("/versions?namespace=blue")
    store.apply(101, "web", "green", image="web:2")
    store.apply(102, "web", "blue", labels={"changed": "true"})
    second = await client.get("/versions?namespace=blue")

    assert first.headers["etag"] == second.headers["etag"]


async def test_replicas_name_equal_content_equally(asking: Asking) -> None:
    names = []
    for history in (1, 5):
        world = World()
        store = world.mirror()
        store.sync(store.object(7, "web", "blue"))
        for step in range(history):
            store.apply(100 + step, "other", "blue")
        store.delete(200, "other", "blue")
        client = asking(world)
        paths = ("/versions", "/resources/deployments?output=json", "/resources/deployments?output=table")
        names.append([(await client.get(path)).headers["etag"] for path in paths])

    assert names[0] == names[1]


async def test_who_holds_it_is_told_so(client: httpx.AsyncClient, store: Store) -> None:
    etag = (await client.get("/versions")).headers["etag"]

    held = await client.get("/versions", headers={"if-none-match": f'"other", {etag}'})
    strong = await client.get("/versions", headers={"if-none-match": etag.removeprefix("W/")})
    store.apply(101, "web", "blue", image="web:2")
    changed = await client.get("/versions", headers={"if-none-match": etag})

    assert (held.status_code, held.content, held.headers["etag"]) == (304, b"", etag)
    assert strong.status_code == 304
    assert changed.status_code == 200


async def test_a_form_is_part_of_the_question(client: httpx.AsyncClient, store: Store) -> None:
    path = "/resources/deployments"
    page = await client.get(path, headers={"accept": "text/html"})
    table = await client.get(path, headers={"user-agent": "curl/8", "accept": "*/*"})
    json = await client.get(path, headers={"accept": "application/json"})

    types = [each.headers["content-type"].partition(";")[0] for each in (page, table, json)]
    assert types == ["text/html", "text/plain", "application/json"]
    assert len({each.headers["etag"] for each in (page, table, json)}) == 3
    assert "accept" in page.headers["vary"]


async def test_a_store_that_lost_upstream_says_so_in_the_headers(asking: Asking) -> None:
    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    world = World(clock=clock)
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    client = asking(world)
    fresh = await client.get("/versions")
    clock.now += 5
    store.phase(Phase.STALE, "connection refused")
    clock.now += 60
    stale = await client.get("/versions")

    assert fresh.headers["cache-status"] == "kubemirror; hit"
    assert "age" not in fresh.headers
    assert stale.status_code == 200
    assert stale.headers["cache-status"] == "kubemirror; hit; detail=STALE"
    assert stale.headers["age"] == "65"
    assert stale.headers["etag"] == fresh.headers["etag"]


async def test_namespaces_that_are_refused_to_the_mirror_are_named(asking: Asking) -> None:
    world = World()
    stores = world.mirror_namespaces("blue", "green")
    stores["blue"].sync(stores["blue"].object(7, "web", "blue"))
    stores["green"].phase(Phase.FORBIDDEN, 'cannot "list" here')
    answer = await asking(world).get("/versions")

    assert [item["namespace"] for item in answer.json()] == ["blue"]
    assert answer.headers["warning"] == (
        "299 - \"deployments.apps in namespace green is left out: cannot 'list' here\""
    )


def answer(size: int, *, current: bool = True) -> Answer:
    return Answer(200, (), b"x" * size, b'W/"x"', "/", Validity(lambda: current, list))


def test_the_whole_is_bounded_by_bytes_and_the_least_recently_used_goes_first() -> None:
    answers = Answers(budget=20_000)
    for number in range(4):
        answers.put(number, answer(3_000))
    answers.get(0, 0.0)
    answers.put(4, answer(3_000))
    answers.put(5, answer(3_000))

    assert [number for number in range(6) if answers.get(number, 0.0)] == [0, 3, 4, 5]
    assert answers.size <= 20_000


def test_an_answer_too_large_is_not_kept() -> None:
    answers = Answers(budget=20_000)
    answers.put("large", answer(10_000))

    assert (len(answers), answers.size) == (0, 0)


def test_an_answer_whose_store_moved_is_dropped_when_it_is_asked_for() -> None:
    answers = Answers()
    answers.put("old", answer(10, current=False))

    assert answers.get("old", 0.0) is None
    assert answers.size == 0


@pytest.mark.parametrize(
    ("header", "matching"),
    [(b"*", True), (b'W/"a"', True), (b'"a"', True), (b'"b", W/"a"', True), (b'"b"', False), (b"", False)],
)
def test_if_none_match_compares_weakly(header: bytes, matching: bool) -> None:
    assert matches(header, b'W/"a"') is matching


def test_parts_of_a_name_do_not_run_into_each_other() -> None:
    assert etag_of("ab", "c") != etag_of("a", "bc")
