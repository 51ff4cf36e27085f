"""What a caller may not see changes no answer to them: no text, no code, and not how often the Authorizer is asked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from kubemirror.settings import Access
from tests.access.api_server import Reviews
from tests.access.site import site
from tests.access.test_nobody_hears_by_anothers_right import Guarded
from tests.serve.live import running
from tests.serve.world import DEPLOYMENTS, NODES, WIDGETS, Store, World

CONFIGMAPS = replace(
    DEPLOYMENTS, group="", plural="configmaps", singular="configmap", kind="ConfigMap", short_names=("cm",)
)
PROJECTS = replace(WIDGETS, group="hidden.example.com", plural="zeusprojects", singular="zeusproject", kind="Zeus")
SPACES = replace(PROJECTS, plural="zeusspaces", singular="zeusspace", kind="ZeusSpace", namespaced=False)


@pytest.fixture
def world() -> World:
    world = World()
    world.mirror().sync()
    world.mirror(NODES).sync()
    for each in (PROJECTS, SPACES):
        world.mirror(each).sync()
    return world


@pytest.fixture
def store(world: World) -> Store:
    return world.mirror(CONFIGMAPS)


@pytest.fixture
async def client(world: World, reviews: Reviews) -> AsyncIterator[httpx.AsyncClient]:
    async with site(reviews, world=world, access=Access.DELEGATED) as (client, _):
        yield client


class Visitors:
    """Each a new one, about whom nothing is kept. Rights are given to them all."""

    def __init__(self, client: httpx.AsyncClient, reviews: Reviews) -> None:
        self._client = client
        self._reviews = reviews
        self._count = 0
        self.paths: tuple[str, ...] = ()
        self.rights: tuple[tuple[str, ...], ...] = ()

    async def get(self, path: str, **headers: str) -> tuple[int, str, int]:
        """Code, what is said, and how many reviews it took."""
        self._count += 1
        name = f"u{self._count:04}"
        self._reviews.user(f"{name}-token", name)
        self._reviews.paths |= {(name, each) for each in self.paths}
        for each in self.rights:
            self._reviews.allow(name, *each)
        before = self._reviews.count("SubjectAccessReview")
        answer = await self._client.get(path, headers={"authorization": f"Bearer {name}-token", **headers})
        taken = self._reviews.count("SubjectAccessReview") - before
        return answer.status_code, answer.text.replace(name, "USER"), taken


@pytest.fixture
def visitors(client: httpx.AsyncClient, reviews: Reviews) -> Visitors:
    return Visitors(client, reviews)


def fill(store: Store, count: int) -> None:
    store.sync(*(store.object(7, "filler", f"n{number:03}", labels={"app": "filler"}) for number in range(count)))


SELECTIONS = (
    "",
    "?labelSelector=app%3Dnone",
    "?labelSelector=app%20in%20(filler,zeus)",
    "?labelSelector=app%20in%20(own,zeus)",
    "?labelSelector=app%3Down",
    "?labelSelector=app%3Dzeus&fieldSelector=metadata.namespace!%3Dn000,metadata.namespace!%3Dn001",
    "?fieldSelector=metadata.name%3Dzeus",
    "?namespace=!n000,!n001",
    "?q=zeus",
)


@pytest.mark.parametrize("right", [(), (("configmaps", "n003"),)], ids=["nobody", "one namespace"])
async def test_what_is_selected_decides_nothing_about_what_is_asked(
    visitors: Visitors, store: Store, right: tuple[tuple[str, ...], ...]
) -> None:
    fill(store, 60)
    store.apply(101, "own", "n003", labels={"app": "own"})
    store.apply(102, "zeus", "n059", labels={"app": "zeus"})
    visitors.rights = right
    told = [await visitors.get(f"/resources/configmaps{each}") for each in SELECTIONS]

    assert {taken for _, _, taken in told} == {61}
    assert {code for code, _, _ in told} == {200 if right else 403}
    if not right:
        texts = {text.replace('configmaps \\"zeus\\" is', "configmaps is") for _, text, _ in told}
        assert len({re.sub('"details":.*', "", text) for text in texts}) == 1


@pytest.mark.parametrize("resource", ["configmaps", "zeusprojects"])
async def test_one_hidden_object_more_changes_nothing(
    world: World, visitors: Visitors, store: Store, resource: str
) -> None:
    fill(store, 60)
    projects = world.mirror(PROJECTS)
    projects.sync()
    visitors.paths = ("/apis",)
    before = await visitors.get(f"/resources/{resource}?labelSelector=app%3Dzeus")
    (store if resource == "configmaps" else projects).apply(101, "zeus", "n059", labels={"app": "zeus"})
    after = await visitors.get(f"/resources/{resource}?labelSelector=app%3Dzeus")

    assert before == after
    assert before[0] == 403


async def test_two_hundred_and_more_are_told_alike(visitors: Visitors, store: Store) -> None:
    fill(store, 200)
    at = await visitors.get("/resources/configmaps?labelSelector=app%20in%20(filler,zeus)")
    store.apply(101, "zeus", "n200", labels={"app": "zeus"})
    beyond = await visitors.get("/resources/configmaps?labelSelector=app%20in%20(filler,zeus)")

    assert at[:2] == beyond[:2]
    assert "namespace=" in at[1]


async def test_a_namespace_that_the_caller_names_is_asked_about_whatever_is_in_it(
    visitors: Visitors, store: Store
) -> None:
    fill(store, 300)
    visitors.rights = (("configmaps", "n003"),)
    told = [
        await visitors.get(f"/resources/configmaps?output=name&fieldSelector=metadata.namespace%3D{each}")
        for each in ("n003", "n004", "nowhere")
    ]

    assert [(code, taken) for code, _, taken in told] == [(200, 2), (403, 2), (403, 2)]
    assert told[1][1] == told[2][1]


PATHS = (
    "/resources/NAME",
    "/resources/NAME/n000",
    "/resources/NAME/n000/web",
    "/resources/NAME/n000?namespace=n001",
    "/resources/NAME?namespace=n000",
    "/resources/NAME?namespace=n000,n001",
    "/resources/NAME?namespace=!n000",
    "/resources/NAME?labelSelector=a%3Db&fieldSelector=metadata.name%3Dweb",
    "/versions?resource=NAME",
    "/versions?resource=NAME&namespace=n000",
    "/versions/n000/web?resource=NAME",
    "/watch?resource=NAME",
    "/watch?resource=NAME&namespace=n000",
    "/watch?resource=deployments&resource=NAME",
    "/embed/resources/NAME",
)
# Another resource, one without namespaces, one that is none, and one that is nearly one.
NAMES = ("zeusprojects", "zeusspaces", "zeusnothings", "zeusprojetcs")


@pytest.mark.parametrize("path", PATHS)
async def test_who_may_not_read_discovery_learns_no_name(visitors: Visitors, store: Store, path: str) -> None:
    fill(store, 3)
    told = [await visitors.get(path.replace("NAME", name)) for name in NAMES]
    alike = {(code, text.replace(name, "NAME"), taken) for name, (code, text, taken) in zip(NAMES, told, strict=True)}

    assert len(alike) == 1
    assert told[0][0] == 403
    assert "hidden.example.com" not in told[0][1]


async def test_their_own_words_are_repeated(visitors: Visitors) -> None:
    told = [await visitors.get(f"/resources/{each}.hidden.example.com/n000/web") for each in NAMES]

    assert {(code, text.replace(name, "NAME")) for name, (code, text, _) in zip(NAMES, told, strict=True)} == {
        (403, told[0][1].replace("zeusprojects", "NAME"))
    }
    assert 'cannot get resource \\"zeusprojects\\" in API group \\"hidden.example.com\\"' in told[0][1]


async def test_kubernetes_own_kinds_are_refused_by_name(visitors: Visitors) -> None:
    code, text, _ = await visitors.get("/resources/deploy/n000")

    assert code == 403
    assert 'deployments.apps is forbidden: User \\"USER\\" cannot list resource \\"deployments\\"' in text


async def test_who_may_read_discovery_is_helped(visitors: Visitors) -> None:
    visitors.paths = ("/apis",)
    near = await visitors.get("/resources/zeusprojetcs")
    refused = await visitors.get("/resources/zeusprojects?namespace=n000")
    astray = await visitors.get("/resources/zeusspaces?namespace=n000")

    assert near[0] == 404
    assert "did you mean" in near[1]
    assert refused[0] == 403
    assert "zeusprojects.hidden.example.com is forbidden" in refused[1]
    assert astray[0] == 404
    assert "is not namespaced" in astray[1]


async def test_a_right_to_it_is_enough_without_discovery(world: World, visitors: Visitors) -> None:
    projects = world.mirror(PROJECTS)
    projects.sync(projects.object(7, "web", "blue"))
    visitors.rights = (("zeusprojects", "blue"),)
    inside = await visitors.get("/resources/zeusprojects/blue?output=name")
    missing = await visitors.get("/resources/zeusprojects/blue/none")
    elsewhere = await visitors.get("/resources/zeusprojects/green")

    assert inside[0] == 200
    assert missing[0] == 404
    assert elsewhere[0] == 403


async def test_a_socket_tells_no_name_either(world: World, reviews: Reviews) -> None:
    reviews.user("t", "jane")
    guarded = Guarded(world, reviews)
    async with running(guarded) as live, live.socket("", authorization="Bearer t") as socket:
        told = []
        for name in NAMES:
            await socket.send(f'{{"action":"subscribe","id":"x","resource":"{name}"}}')
            told.append(str(await socket.recv()).replace(name, "NAME"))
    await guarded.mode.close()

    assert len(set(told)) == 1
    assert '"code":403' in told[0]


@pytest.mark.parametrize("path", ["/readyz", "/livez", "/healthz", "/health"])
async def test_health_names_nothing_to_just_anyone(
    world: World, client: httpx.AsyncClient, reviews: Reviews, path: str
) -> None:
    reviews.user("monitor-token", "monitor")
    reviews.user("jane-token", "jane")
    reviews.paths.add(("monitor", "/-/status"))
    told = [
        (await client.get(f"{path}?verbose", headers={"authorization": f"Bearer {token}"} if token else {})).text
        for token in ("", "nobodys-token", "jane-token", "monitor-token")
    ]

    assert told[0] == told[1] == told[2]
    assert "zeus" not in told[0]
    if path == "/readyz":
        assert "[+]stores ok (4 SYNCED)" in told[0]
        assert "[+]store/zeusprojects.hidden.example.com ok (SYNCED)" in told[3]


async def test_health_that_fails_names_nothing_either_and_asks_nobody(
    world: World, client: httpx.AsyncClient, reviews: Reviews
) -> None:
    world.mirror(replace(PROJECTS, plural="zeuslate"))
    reviews.down = True
    answer = await client.get("/readyz")
    verbose = await client.get("/readyz?verbose", headers={"authorization": "Bearer t"})

    assert answer.status_code == verbose.status_code == 503
    assert "[-]stores failed: 1 INIT of 5" in answer.text
    assert "zeus" not in answer.text + verbose.text
    assert reviews.count("SubjectAccessReview") == 0


async def test_the_overview_names_only_what_may_be_known(visitors: Visitors, world: World) -> None:
    world.mirror(replace(PROJECTS, plural="zeuslate"))
    told = [await visitors.get("/", accept=each) for each in ("application/json", "text/html")]
    visitors.paths = ("/apis",)
    named = await visitors.get("/", accept="application/json")

    assert [code for code, _, _ in (*told, named)] == [200] * 3
    assert all("zeus" not in text for _, text, _ in told)
    assert '"withheld":true' in told[0][1]
    assert "stores (1 INIT of 5)" in told[0][1]
    assert "zeusprojects.hidden.example.com" in named[1]
