"""/ for whoever may see a namespace among hundreds: what tells most is there, and what is not there is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kubemirror.settings import Access
from tests.access.api_server import Reviews
from tests.access.site import site
from tests.serve.test_the_overview_tells_what_is_wrong import EVENTS, PODS, resource
from tests.serve.world import NODES, World

JANE = {"authorization": "Bearer t"}
CONFIGMAPS = resource("configmaps", "ConfigMap")
KINDS = ("configmaps", "deployments.apps", "events", "pods")


def world_of(namespaces: int, *, deployments: int) -> World:
    """Discovery's order: what there is most of comes first."""
    world = World()
    for kind, count in ((CONFIGMAPS, namespaces), (EVENTS, namespaces), (PODS, deployments), (None, deployments)):
        store = world.mirror(kind) if kind is not None else world.mirror()
        names = [f"n{number:03}" for number in range(count)]
        store.sync(*(store.object(7, "web", each) for each in names))
    world.mirror(NODES).sync()
    return world


@pytest.fixture
def reviews() -> Reviews:
    reviews = Reviews()
    reviews.user("t", "jane")
    reviews.paths.add(("jane", "/apis"))
    for each in KINDS:
        reviews.allow("jane", each.partition(".")[0], "n007")
    return reviews


@pytest.fixture(params=[146, 260], ids=["146 namespaces", "260 namespaces"])
async def client(reviews: Reviews, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    async with site(reviews, world=world_of(request.param, deployments=65), access=Access.DELEGATED) as (client, _):
        yield client


async def overview(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    answer = await client.get("/", headers=JANE | headers)
    assert answer.status_code == 200
    return answer


async def test_no_resource_is_lost_among_many_namespaces(client: httpx.AsyncClient, reviews: Reviews) -> None:
    told: dict[str, Any] = (await overview(client, accept="application/json")).json()

    assert [each["resource"] for each in told["mirrored"]] == ["configmaps", "events", "pods", "deployments.apps"]
    assert [each["namespace"] for each in told["namespaces"]] == ["n007"]
    assert [each["resource"] for each in told["notShown"]] == ["nodes"]
    assert told["omitted"] is True
    assert reviews.count("SubjectAccessReview") < 200 + 10


async def test_every_form_says_what_is_left_out(client: httpx.AsyncClient) -> None:
    page = await overview(client, accept="text/html")
    text = await overview(client, **{"user-agent": "curl/8.5.0", "accept": "*/*"})
    told = await overview(client, accept="application/json")

    assert {each.headers["kubemirror-omitted"] for each in (page, text, told)} == {"namespaces, resources"}
    assert "Not shown: " in page.text
    assert ">nodes</span>: you may not list them everywhere" in page.text
    assert "You may not see all namespaces: what is in the others is left out." in page.text
    left_out = text.text.partition("LEFT OUT\n")[2].splitlines()
    assert left_out[0].startswith("You may not see all namespaces")
    assert left_out[1].startswith('nodes: nodes is forbidden: User "jane" cannot list resource "nodes"')


async def test_who_sees_all_is_told_of_nothing_left_out(reviews: Reviews) -> None:
    for each in (*KINDS, "nodes"):
        reviews.allow("jane", each.partition(".")[0])
    async with site(reviews, world=world_of(3, deployments=2), access=Access.DELEGATED) as (client, _):
        text = await overview(client, **{"user-agent": "curl/8.5.0", "accept": "*/*"})

    assert "kubemirror-omitted" not in text.headers
    assert "LEFT OUT" not in text.text


async def test_links_lead_only_where_the_reader_may_go(client: httpx.AsyncClient, reviews: Reviews) -> None:
    reviews.user("m", "monitor")
    reviews.allow("monitor", "deployments")
    reviews.paths |= {("monitor", "/-/docs"), ("monitor", "/-/status")}
    html = {"accept": "text/html"}
    pages = [
        (await client.get(path, headers={"authorization": f"Bearer {token}", **html})).text
        for path in ("/", "/resources/deployments", "/versions", "/nowhere")
        for token in ("m", "t", "m", "t")
    ]
    curl = [
        (await client.get("/", headers={"authorization": f"Bearer {token}", "user-agent": "curl/8"})).text
        for token in ("m", "t")
    ]

    assert ["/-/docs" in page for page in pages] == [True, False] * 8
    assert ["/-/status" in page for page in pages] == [True, False] * 8
    assert ["/-/docs" in text for text in curl] == [True, False]


async def test_a_page_with_other_links_is_another_page(client: httpx.AsyncClient, reviews: Reviews) -> None:
    reviews.user("m", "monitor")
    reviews.allow("monitor", "deployments", "n007")
    reviews.paths.add(("monitor", "/-/status"))
    tags = [
        (
            await client.get(
                "/resources/deployments", headers={"authorization": f"Bearer {each}", "accept": "text/html"}
            )
        ).headers["etag"]
        for each in ("t", "m", "t")
    ]

    assert tags[0] == tags[2]
    assert tags[0] != tags[1]
