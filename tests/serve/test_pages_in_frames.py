"""/embed + any page's path: the page without chrome, in the portal's colours, framed by whom the setting names."""

from __future__ import annotations

import httpx
import pytest
from bs4 import BeautifulSoup

from kubemirror.serve.accent import CONTRAST, DARK_GROUND, LIGHT_GROUND, contrast, stylesheet
from kubemirror.settings import Settings
from tests.serve.conftest import Asking
from tests.serve.world import Store, World

BROWSER = {"accept": "text/html,*/*;q=0.8"}
PORTAL = "https://portal.example.com"


@pytest.fixture
def world() -> World:
    return World(settings=Settings(frame_ancestors=("self", PORTAL)))


@pytest.fixture(autouse=True)
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}, cells=["web", "1/2", "3d", "web:1"]),
        store.object(8, "api", "blue", labels={"app": "api"}, cells=["api", "1/1", "3d", "api:1"]),
    )
    return store


async def page_at(client: httpx.AsyncClient, path: str) -> BeautifulSoup:
    answer = await client.get(path, headers=BROWSER)
    assert answer.status_code == 200, answer.text
    return BeautifulSoup(answer.text, "html.parser")


async def test_it_is_the_page_without_what_is_around_it(client: httpx.AsyncClient) -> None:
    whole = await page_at(client, "/resources/deploy?namespace=blue")
    framed = await page_at(client, "/embed/resources/deploy?namespace=blue")

    assert framed.select("header, nav[aria-label=Main], footer") == []
    assert [row["data-uid"] for row in framed.select("tbody tr")] == [
        row["data-uid"] for row in whole.select("tbody tr")
    ]
    out = framed.select_one(".whole a")
    assert out is not None
    assert (out["href"], out["target"], out["rel"]) == ("/resources/deploy?namespace=blue", "_blank", ["noopener"])


@pytest.mark.parametrize("path", ["/embed", "/embed/", "/embed/resources/deploy/blue/web", "/embed/resources/deploy"])
async def test_every_page_has_one(client: httpx.AsyncClient, path: str) -> None:
    framed = await page_at(client, path)

    assert framed.select_one("html[data-embedded=auto] main h1") is not None
    assert framed.select_one("header") is None


@pytest.mark.parametrize("path", ["/embed/watch?resource=deploy", "/embed/api", "/embed/metrics", "/embedded"])
async def test_what_is_no_page_has_none(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_links_stay_in_the_frame_and_keep_its_options(client: httpx.AsyncClient) -> None:
    options = "theme=dark&accent=%23C05000"
    framed = await page_at(client, f"/embed/resources/deploy?limit=1&{options}")

    inside = [str(link["href"]) for link in framed.select("a[href]:not([target], [href^='#'])")]
    assert any("/blue/api?" in each for each in inside)
    assert any("sort=" in each for each in inside)
    assert any("continue=" in each for each in inside)
    for each in inside:
        assert each.startswith("/embed/resources/"), each
        assert "theme=dark" in each, each
        assert "accent=%23C05000" in each, each
    others = [link for link in framed.select(".forms a") if "output=csv" in str(link["href"])]
    assert [(link["href"], link["target"], link["rel"]) for link in others] == [
        ("/resources/deploy?limit=1&output=csv", "_blank", ["noopener"])
    ]
    form = framed.select_one("form")
    assert form is not None
    assert form["action"] == "/embed/resources/deployments.apps"
    hidden = {each["name"]: each["value"] for each in form.select("input[type=hidden]")}
    assert hidden == {"theme": "dark", "accent": "#C05000", "limit": "1"}
    assert str(framed.select_one("[data-watch]")["data-watch"]).startswith("/watch?")  # type: ignore[index]


async def test_behind_a_base_path_links_have_it(asking: Asking) -> None:
    world = World(settings=Settings(root_path="/mirror"))
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    framed = await page_at(asking(world), "/mirror/embed/resources/deploy?theme=light")

    assert framed.select_one("tbody th a")["href"] == "/mirror/embed/resources/deployments.apps/blue/web?theme=light"  # type: ignore[index]
    assert str(framed.select_one("[data-watch]")["data-watch"]).startswith("/mirror/watch?")  # type: ignore[index]


async def test_the_theme_and_the_accent_are_attributes_and_files(client: httpx.AsyncClient) -> None:
    framed = await page_at(client, "/embed/resources/deploy?theme=dark&accent=c05000")

    assert framed.html["data-embedded"] == "dark"  # type: ignore[index]
    assert framed.select_one("meta[name=color-scheme]")["content"] == "dark"  # type: ignore[index]
    sheets = [str(link["href"]) for link in framed.select("link[rel=stylesheet]")]
    assert sheets[-1].endswith("/accent-c05000.css")
    sheet = await client.get(sheets[-1])
    assert sheet.headers["content-type"] == "text/css; charset=utf-8"
    assert "--link: light-dark(#" in sheet.text


@pytest.mark.parametrize("colour", ["000000", "ffffff", "ffff00", "0a58ca", "808080"])
def test_an_accent_can_be_read_whatever_it_is(colour: str) -> None:
    sheet = (stylesheet(f"accent-{colour}.css") or b"").decode()
    light, dark = (tuple(bytes.fromhex(part[1:7])) for part in sheet.partition("light-dark(")[2].split(", "))

    assert contrast(light, LIGHT_GROUND) >= CONTRAST  # type: ignore[arg-type]
    assert contrast(dark, DARK_GROUND) >= CONTRAST  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("theme=pink", 'theme: "pink" is none of auto, light, dark'),
        ("accent=red", 'accent: "red" is no colour'),
        ("accent=0a58ca;}*{x:y", "is no colour"),
        ("parent=https://evil.example", "--frame-ancestors https://evil.example"),
        ("parent=*", 'pages of "*" may not frame this one'),
    ],
)
async def test_options_that_cannot_be_are_refused(client: httpx.AsyncClient, options: str, said: str) -> None:
    answer = await client.get(f"/embed/resources/deploy?{options}")

    assert answer.status_code == 400
    assert said in answer.json()["message"]


async def test_the_height_is_told_to_a_parent_that_may_frame_it(client: httpx.AsyncClient) -> None:
    told = await page_at(client, f"/embed/resources/deploy?parent={PORTAL}")
    own = await page_at(client, "/embed/resources/deploy?parent=http://localhost:8080")
    nobody = await page_at(client, "/embed/resources/deploy")

    assert told.html["data-parent"] == PORTAL  # type: ignore[index]
    assert own.html["data-parent"] == "http://localhost:8080"  # type: ignore[index]
    assert told.select_one("script[src$='/embed.js']") is not None
    assert nobody.select_one("script[src$='/embed.js']") is None


async def test_who_may_frame_it_is_the_setting(asking: Asking) -> None:
    async def policy(path: str, *ancestors: str) -> tuple[str, str | None]:
        world = World(settings=Settings(frame_ancestors=ancestors) if ancestors else Settings())
        store = world.mirror()
        store.sync(store.object(7, "web", "blue"))
        headers = (await asking(world).get(path, headers=BROWSER)).headers
        return headers["content-security-policy"].partition("frame-ancestors ")[2], headers.get("x-frame-options")

    assert await policy("/embed/resources/deploy") == ("'self'", "SAMEORIGIN")
    assert await policy("/embed/resources/deploy", "none") == ("'none'", "DENY")
    assert await policy("/embed/resources/deploy", "self", PORTAL) == (f"'self' {PORTAL}", None)
    assert await policy("/resources/deploy", "self", PORTAL) == ("'self'", "SAMEORIGIN")
    assert await policy("/embed/resources/nothing", "self", PORTAL) == (f"'self' {PORTAL}", None)


@pytest.mark.parametrize("ancestor", ["*", "https://a.example/path", "a.example", "'self'", "https://a.example; x"])
def test_an_ancestor_that_browsers_would_not_understand_is_refused(ancestor: str) -> None:
    with pytest.raises(ValueError, match="neither self, none nor an origin"):
        Settings(frame_ancestors=(ancestor,))
