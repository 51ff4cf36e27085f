"""The sample portal in a real Chromium: an element and a frame of another origin, where the mirror allows it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Frame, Page

from kubemirror.serve.snippet import component
from kubemirror.settings import Settings
from tests.browser.chromium import until
from tests.browser.judges import violations
from tests.browser.portal import Portal, serving
from tests.reader.wire import Wire
from tests.serve.live import Live, running
from tests.serve.world import Store, World

ROWS = "[...document.querySelector('kube-mirror').shadowRoot.querySelectorAll('tbody tr')]"
NAMES = f"{ROWS}.map((row) => row.querySelector('th').innerText)"
# What each row says first.
SAYS = f"{ROWS}.map((row) => [...row.cells].slice(1, 4).map((cell) => cell.innerText.trim()).join()).join(' ')"
NOTE = "document.querySelector('kube-mirror').shadowRoot.querySelector('[role=status]').innerText"


@pytest_asyncio.fixture(loop_scope="session")
async def portal() -> AsyncIterator[Portal]:
    async with serving() as portal:
        yield portal


@pytest.fixture
def world(portal: Portal) -> World:
    return World(settings=Settings(allow_origin=(portal.origin,), frame_ancestors=("self", portal.origin)))


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}, cells=["web", "1/1", "3d", "team/web:1.0"]),
        store.object(8, "web", "green", labels={"app": "web"}, cells=["web", "2/2", "3d", "team/web:1.0"]),
        store.object(9, "api", "blue", labels={"app": "api"}, cells=["api", "1/1", "3d", "team/api:1.0"]),
    )
    return store


@pytest_asyncio.fixture(loop_scope="session")
async def shown(portal: Portal, live: Live, wire: Wire) -> Portal:
    """The portal, with the lines that the command prints."""
    portal.mirror = wire.url
    portal.script = component(wire.url, "deployments", {"selector": "app=web"}).splitlines()[0]
    http, ws = portal.mirror, portal.mirror.replace("http", "ws")
    portal.policy = (
        "default-src 'none'; style-src 'self'; "
        f"script-src 'self' {http}; connect-src {http} {ws}; frame-src {http}"  # as docs/embed.md says
    )
    return portal


async def framed(page: Page) -> Frame:
    element = await page.wait_for_selector("iframe")
    frame = await element.content_frame()
    assert frame is not None
    return frame


async def test_an_element_is_live(page: Page, shown: Portal, store: Store, complaints: list[str]) -> None:
    await page.goto(shown.origin)
    await until(page, f"{ROWS}.length == 2")
    await page.evaluate(f"{ROWS}.forEach((row) => {{ row.marked = true }})")
    store.apply(101, "web", "green", labels={"app": "web"}, cells=["web", "1/2", "3d", "team/web:1.1"])
    store.apply(102, "web", "amber", labels={"app": "web"}, cells=["web", "0/1", "3d", "team/web:1.1"])
    store.delete(103, "web", "blue", labels={"app": "web"})
    await until(page, f"{SAYS} == 'amber,web,0/1 green,web,1/2'")

    assert await page.evaluate(f"{ROWS}.map((row) => row.marked ?? false)") == [False, True]
    assert await page.evaluate(f"{ROWS}[0].querySelector('[data-tone=bad]').innerText.trim()") == "0/1"
    link = "document.querySelector('kube-mirror').shadowRoot.querySelector('tbody a')"
    assert await page.evaluate(f"[{link}.href, {link}.target, {link}.rel]") == [
        f"{shown.mirror}/resources/deployments/amber/web",
        "_blank",
        "noopener",
    ]
    assert complaints == []


async def test_an_element_says_what_is_wrong_and_goes_on(page: Page, shown: Portal, store: Store, wire: Wire) -> None:
    await page.goto(shown.origin)
    await until(page, f"{ROWS}.length == 2")
    wire.closed = True
    wire.cut()
    await until(page, f"{NOTE}.startsWith('Connection lost since')")
    store.delete(101, "web", "blue", labels={"app": "web"})
    wire.closed = False
    await until(page, f"{NOTE} == '' && {ROWS}.length == 1")


async def test_a_row_that_is_followed_is_the_portals_business_first(page: Page, shown: Portal) -> None:
    await page.goto(shown.origin)
    await until(page, f"{ROWS}.length == 2")
    await page.evaluate(
        "document.addEventListener('kube-mirror:select', (event) => {"
        " event.preventDefault(); window.selected = event.detail; })"
    )
    await page.click("kube-mirror tbody a")

    assert await page.evaluate("selected") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": "blue",
        "name": "web",
    }
    assert len(page.context.pages) == 1


async def test_a_file_that_is_not_the_one_of_the_hash_does_not_run(page: Page, shown: Portal) -> None:
    shown.script = re.sub(r"sha384-.{8}", "sha384-AAAAAAAA", shown.script)
    await page.goto(shown.origin)

    assert await page.evaluate("customElements.get('kube-mirror') === undefined")


async def test_an_element_of_an_origin_that_is_not_listed_shows_nothing(
    page: Page, portal: Portal, wire: Wire, browser: object
) -> None:
    other = World()
    store = other.mirror()
    store.sync(store.object(7, "web", "blue", labels={"app": "web"}))
    async with running(other) as live:
        portal.mirror = live.url
        await page.goto(portal.origin)
        await until(page, f"{NOTE}.startsWith('Not shown: ')")

        assert f"{portal.origin} has to be in its --allow-origin" in await page.evaluate(NOTE)
        assert await page.evaluate(f"{ROWS}.length") == 0


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"resource": "deploymints"}, "deployments"),
        ({"columns": "Nmae"}, 'there is no column "Nmae": did you mean "Name"?'),
        ({"filter": "Age<60q"}, "filter: "),
        ({"limit": "abc"}, 'limit="abc" is no number of rows'),
        ({"limit": "0"}, 'limit="0" is no number of rows'),
    ],
)
async def test_an_element_says_what_is_a_mistake_and_recovers_from_it(
    page: Page, shown: Portal, attributes: dict[str, str], said: str
) -> None:
    await page.goto(shown.origin)
    await until(page, f"{ROWS}.length == 2")
    (name, value), *_ = attributes.items()
    before = await page.evaluate(f"document.querySelector('kube-mirror').getAttribute('{name}')")
    await page.evaluate(f"document.querySelector('kube-mirror').setAttribute('{name}', '{value}')")
    await until(page, f"{NOTE} != ''")
    note = await page.evaluate(NOTE)
    await page.evaluate(
        "([name, before]) => { const shown = document.querySelector('kube-mirror');"
        " if (before) shown.setAttribute(name, before); else shown.removeAttribute(name); }",
        [name, before],
    )
    await until(page, f"{NOTE} == '' && {ROWS}.length == 2")

    assert said in note


async def test_an_element_says_that_there_is_nothing(page: Page, shown: Portal, store: Store) -> None:
    await page.goto(shown.origin)
    await page.evaluate("document.querySelector('kube-mirror').setAttribute('selector', 'app=none')")
    await until(page, f"{ROWS}.map((row) => row.innerText.trim()).join() == 'None'")
    store.apply(101, "first", "blue", labels={"app": "none"})
    await until(page, f"{ROWS}.map((row) => row.querySelector('th')?.innerText).join() == 'first'")


async def test_a_forced_theme_has_its_own_ground_and_any_accent_can_be_read(page: Page, shown: Portal) -> None:
    await page.goto(shown.origin)
    await until(page, f"{ROWS}.length == 2")
    await page.evaluate(
        "document.querySelector('iframe')?.remove(); const shown = document.querySelector('kube-mirror');"
        "document.body.style.background = '#fff'; shown.setAttribute('accent', '#101010')"
    )
    found = {}
    for theme in ("dark", "light"):
        await page.evaluate(f"document.querySelector('kube-mirror').setAttribute('theme', '{theme}')")
        found[theme] = await violations(page, "color-contrast")

    assert found == {"dark": [], "light": []}


async def test_a_frame_is_live_and_as_high_as_its_page(page: Page, shown: Portal, store: Store) -> None:
    await page.goto(shown.origin)
    frame = await framed(page)
    await frame.wait_for_selector("#objects tbody tr:nth-child(2)")
    fits = "document.documentElement.scrollHeight <= innerHeight && innerHeight < 1000"
    await until(frame, fits)
    before = await frame.evaluate("innerHeight")
    for number in range(8):
        store.apply(101 + number, f"web-{number}", "blue", labels={"app": "web"})
    await frame.wait_for_selector("#objects tbody tr:nth-child(10)")
    await until(frame, f"innerHeight > {before} + 150 && {fits}")


async def test_links_of_a_frame_stay_in_it(page: Page, shown: Portal) -> None:
    await page.goto(shown.origin)
    frame = await framed(page)
    await frame.click("#objects tbody th a")
    await frame.wait_for_url("**/embed/resources/deployments.apps/blue/web?**")

    assert await frame.evaluate("document.querySelector('header') === null")
    assert await frame.evaluate("document.documentElement.dataset.parent") == shown.origin
    assert page.url == f"{shown.origin}/"


async def test_a_frame_of_an_origin_that_is_not_listed_is_refused(page: Page, portal: Portal) -> None:
    other = World()
    other.mirror().sync()
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text))
    async with running(other) as live:
        await page.set_content("<p>")
        await page.goto(portal.origin)
        await page.evaluate(
            f"document.body.innerHTML = '<iframe src=\"{live.url}/embed/resources/deployments\"></iframe>'"
        )
        frame = await framed(page)
        await frame.wait_for_url("chrome-error://**")

    assert any("frame-ancestors" in each for each in refusals)
