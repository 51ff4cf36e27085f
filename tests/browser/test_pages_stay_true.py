"""A page in a real Chromium shows what is true: at once, and after its network was away."""

from __future__ import annotations

import asyncio
import os

import pytest
from playwright.async_api import Page

from tests.browser.chromium import LIVE, LOST, ROWS, hide, ready, until, until_nobody_reads
from tests.reader.wire import Wire
from tests.serve.world import Store

# How long the network is away; `make soak` takes the minute that people ask for.
DARK_SECONDS = float(os.environ.get("KUBEMIRROR_DARK_SECONDS", "1.5"))


async def opened(page: Page, wire: Wire) -> None:
    await page.goto(f"{wire.url}/resources/deploy")
    await until(page, LIVE)


async def test_a_change_is_shown_in_the_row_that_was_there(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire)
    await page.evaluate("document.querySelectorAll('#objects tbody tr').forEach((row) => { row.marked = true })")
    store.apply(101, "web", "blue", cells=["web", "2/2", "3d", "team/web:1.1"])
    await until(page, ready("web", "2/2"))
    store.delete(102, "api", "blue")
    await until(page, f"!{ROWS}.some((row) => row[1] == 'api')")

    assert await page.evaluate("document.querySelector('#objects tbody tr').marked") is True
    assert await page.evaluate(ROWS) == [["blue", "web", "2/2"]]


@pytest.mark.timeout(60 + 4 * DARK_SECONDS)
async def test_a_network_that_goes_dark_and_comes_back_leaves_nothing_behind(
    page: Page, wire: Wire, store: Store
) -> None:
    await opened(page, wire)
    wire.dark = True
    store.apply(101, "web", "blue", cells=["web", "3/3", "3d", "team/web:1.1"])
    store.delete(102, "api", "blue")
    store.apply(103, "new", "blue", cells=["new", "1/1", "3d", "team/new:1.0"])
    await asyncio.sleep(DARK_SECONDS)  # the length of the outage is what is tested
    wire.dark = False
    await until(page, f"{ready('web', '3/3')} && {ready('new', '1/1')} && {LIVE}", seconds=60)

    assert await page.evaluate(ROWS) == [["blue", "new", "1/1"], ["blue", "web", "3/3"]]


async def test_a_mirror_that_went_away_is_said_and_gone_on_with(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire)
    wire.closed = True
    wire.cut()
    await until(page, LOST)
    store.apply(101, "web", "blue", cells=["web", "3/3", "3d", "team/web:1.1"])
    wire.closed = False
    await until(page, f"{ready('web', '3/3')} && {LIVE}")

    assert "resourceVersion=100" in next(line for line in reversed(wire.asked) if line.startswith("GET /watch"))


async def test_a_cursor_that_is_too_old_is_a_new_page(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire)
    wire.closed = True
    wire.cut()
    await until(page, LOST)
    store.apply(101, "web", "blue", cells=["web", "3/3", "3d", "team/web:1.1"])
    store.writer.compact(101)
    wire.closed = False
    await until(page, f"{ready('web', '3/3')} && {LIVE}")
    store.apply(102, "web", "blue", cells=["web", "4/4", "3d", "team/web:1.1"])
    await until(page, ready("web", "4/4"))


async def test_a_hidden_tab_has_no_connection_and_is_right_when_it_is_seen(
    page: Page, wire: Wire, store: Store
) -> None:
    await opened(page, wire)
    await hide(page, True)
    await until_nobody_reads(store)
    store.apply(101, "web", "blue", cells=["web", "3/3", "3d", "team/web:1.1"])
    await hide(page, False)
    await until(page, f"{ready('web', '3/3')} && {LIVE}")
