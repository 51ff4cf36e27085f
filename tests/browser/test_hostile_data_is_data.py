"""Objects whose every field is an attack, on every page in a real Chromium: nothing runs, and pages stay pages."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Page

from tests.browser.chromium import LIVE, until
from tests.browser.hostile import PAGES, fields, fill
from tests.browser.judges import invalid
from tests.serve.live import Live
from tests.serve.world import Store, World

HACKED = "typeof hacked"
SETTLED = f"!document.querySelector('[data-watch], [data-live]') || {LIVE}"
# Where links lead: their schemes, but for those that lead to this mirror.
SCHEMES = """
  [...new Set([...document.querySelectorAll("[href], [src], [action]")]
    .map((each) => new URL(each.href ?? each.src ?? each.action, location.href))
    .filter((url) => url.origin != location.origin)
    .map((url) => url.protocol))]
"""


@pytest.fixture
def store(world: World) -> Store:
    return fill(world)


async def test_nothing_runs_on_any_page(page: Page, live: Live, store: Store, complaints: list[str]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    for path in PAGES:
        await page.goto(live.url + path)
        await until(page, SETTLED)

        assert await page.evaluate(HACKED) == "undefined", path
        assert set(await page.evaluate(SCHEMES)) <= {"https:"}, path
        assert await page.evaluate("document.querySelectorAll('main :is(script, style, img)').length") == 0, path
    assert {urlsplit(url).netloc for url in asked} == {live.address}
    assert [each for each in complaints if "404" not in each] == []


async def test_nothing_runs_where_push_draws(page: Page, live: Live, store: Store, complaints: list[str]) -> None:
    await page.goto(f"{live.url}/resources/deployments")
    await until(page, LIVE)
    store.apply(101, "new", "blue", **fields())
    store.apply(102, "other", "blue", **fields())
    await until(page, "document.querySelector('#count').innerText == '4'")
    await page.evaluate(
        """async () => {
          await import("/-/static/any/kube-mirror.js");
          const element = document.createElement("kube-mirror");
          element.setAttribute("resource", "deployments");
          document.querySelector("main").append(element);
        }"""
    )
    rows = "document.querySelector('kube-mirror').shadowRoot.querySelectorAll('tbody tr').length"
    await until(page, f"{rows} == 4")

    assert await page.evaluate(HACKED) == "undefined"
    assert set(await page.evaluate(SCHEMES)) <= {"https:"}
    assert complaints == []


async def test_every_page_is_still_html(live: Live, store: Store, tmp_path: Path) -> None:
    async with httpx.AsyncClient(base_url=live.url, headers={"accept": "text/html"}, timeout=30) as client:
        pages = {f"page-{number}": (await client.get(path)).text for number, path in enumerate(PAGES)}

    assert await invalid(pages, tmp_path) == []
