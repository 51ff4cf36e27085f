"""Each kind of page, served from the demo cluster: valid, readable by whatever reads it, and silent in the console."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page

from tests.browser.chromium import LIVE, until
from tests.browser.every_page import PAGES
from tests.browser.judges import invalid, violations
from tests.serve.process import Process

SETTLED = f"!document.querySelector('[data-watch], [data-live]') || {LIVE}"
# What lies outside the screen that does not lie in a region that scrolls by itself.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def test_all_are_valid(demo: Process, tmp_path: Path) -> None:
    async with httpx.AsyncClient(base_url=demo.url, headers={"accept": "text/html"}) as client:
        pages = {name: (await client.get(path)).text for name, path in PAGES.items()}

    assert await invalid(pages, tmp_path) == []


@pytest.mark.parametrize("name", PAGES)
async def test_each_can_be_read(page: Page, demo: Process, complaints: list[str], name: str) -> None:
    await page.emulate_media(reduced_motion="reduce")  # what flashes has the colours of the moment in which it began
    await page.goto(demo.url + PAGES[name])
    await until(page, SETTLED)
    if name == "embedded":  # the ground is the portal's, as axe-core cannot know; a portal's is the browser's own here
        await page.evaluate("document.documentElement.style.background = 'Canvas'; 0")
    everything = await violations(page)
    await page.emulate_media(color_scheme="dark")
    in_the_dark = await violations(page, "color-contrast")
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": 320, "height": 640})
    beyond = await page.evaluate(OVERFLOW)
    narrow = await violations(page)

    assert everything == []
    assert in_the_dark == []
    assert narrow == []
    assert beyond == 0
    assert [each for each in complaints if name != "not-found" or "404" not in each] == []
