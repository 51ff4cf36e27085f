"""/versions in a browser: a matrix of image and namespace, drift first; JSON for everybody else, as it always was."""

from __future__ import annotations

import httpx
import pytest

from kubemirror.state.events import Phase
from tests.serve.conftest import Asking
from tests.serve.test_pages import BROWSER, page_at, table_of
from tests.serve.world import Store, World


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", image="team/web:1"),
        store.object(8, "web", "green", image="team/web:2"),
        store.object(9, "shop", "green", image="team/web:2", labels={"app": "shop"}),
        store.object(10, "api", "blue", image="registry:5000/api@sha256:" + "ab" * 32),
    )
    return store


async def test_a_browser_sees_images_by_namespace_those_in_several_versions_first(
    store: Store, client: httpx.AsyncClient
) -> None:
    page = await page_at(client, "/versions")
    drifting, even = page.select("table")

    assert [each.text for each in drifting.select("thead th")] == ["Image", "blue", "green"]
    assert [[" ".join(cell.split()) for cell in row] for row in table_of(page)] == [
        ["team/web 2 versions", "1", "2 \N{MULTIPLICATION SIGN}2"],
        ["registry:5000/api", "@abababab", ""],
    ]
    assert [str(each["href"]) for each in even.select("td a")] == ["/resources/deployments.apps/blue/api"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "application/json, text/html"])
async def test_everybody_else_gets_the_same_json(store: Store, client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/versions", headers={"accept": accept})

    assert answer.headers["content-type"] == "application/json"
    assert [(each["namespace"], each["name"]) for each in answer.json()] == [
        ("blue", "api"),
        ("blue", "web"),
        ("green", "shop"),
        ("green", "web"),
    ]


async def test_the_page_and_the_json_at_one_address_are_kept_apart(store: Store, client: httpx.AsyncClient) -> None:
    answers = [await client.get("/versions", headers=each) for each in (BROWSER, {"accept": "*/*"}) * 2]

    assert [each.headers["content-type"].partition(";")[0] for each in answers] == ["text/html", "application/json"] * 2
    assert all("accept" in each.headers["vary"].split(", ") for each in answers)


async def test_a_page_shows_what_moved(store: Store, client: httpx.AsyncClient) -> None:
    before = await page_at(client, "/versions")
    store.apply(101, "web", "blue", image="team/web:2")
    after = await page_at(client, "/versions")

    assert len(before.select("table")) == 2
    assert "None: each image runs in one version." in after.text


async def test_narrowed_by_namespace_and_image(store: Store, client: httpx.AsyncClient) -> None:
    green = await page_at(client, "/versions?namespace=green")
    web = await page_at(client, "/versions?image=web:1")

    assert [row[0] for row in table_of(green)] == ["team/web"]
    assert [row[1:] for row in table_of(web)] == [["1"]]
    assert web.select_one("form input[name=image]")["value"] == "web:1"  # type: ignore[index]


async def test_narrowed_by_labels_the_form_keeps_them_and_the_page_speaks_of_what_is_shown(
    world: World, store: Store, client: httpx.AsyncClient
) -> None:
    page = await page_at(client, "/versions?labelSelector=app%3Dshop")

    assert "None: each image that is shown runs in one version." in page.text
    assert page.select_one("form input[name=labelSelector]")["value"] == "app=shop"  # type: ignore[index]
    assert page.select_one("a.clear") is not None
    assert "labelSelector=app%3Dshop" in str(page.select_one("#matrix")["data-watch"])  # type: ignore[index]


async def test_where_nothing_is_shown_nothing_is_said_of_it(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/versions?image=nosuch")

    assert "None: no image is shown, as nothing here matches." in page.text
    assert page.select("table") == []


async def test_what_is_stale_is_marked(store: Store, client: httpx.AsyncClient) -> None:
    store.phase(Phase.STALE, "connection refused")

    assert (await page_at(client, "/versions")).select_one("#matrix.stale") is not None


async def test_many_namespaces_are_named_by_version(directly: Asking) -> None:
    world = World()
    store = world.mirror()
    store.sync(*(store.object(7 + n, "web", f"team-{n:02}", image=f"team/web:{n % 2}") for n in range(30)))
    page = await page_at(directly(world), "/versions")
    text = " ".join(page.select_one("#matrix").text.split())  # type: ignore[union-attr]

    assert [each.text for each in page.select("thead th")] == ["Image", "Versions, and where they run"]
    assert "team-14 and 7 more" in text
