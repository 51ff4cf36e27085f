"""How the real Chromium is started, and what its pages are asked in many tests."""

from __future__ import annotations

import asyncio

from playwright.async_api import Frame, Page

from tests.serve.world import Store

# Two cores are shared with whatever else runs.
PATIENCE_SECONDS = 30.0
# As root it has no sandbox; in a container /dev/shm is small.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]

TABLE = "document.querySelectorAll('#objects tbody tr:not(.none)')"
COLUMN = (
    "(name) => [...document.querySelector('#objects').tHead.rows[0].cells].findIndex((head) => head.innerText == name)"
)
# Of each row its Namespace, Name and Ready, wherever those columns stand.
ROWS = (
    f"[...{TABLE}].map((row) => ['Namespace', 'Name', 'Ready']"
    f".map((name) => row.cells[({COLUMN})(name)].innerText.trim()))"
)
LIVE = "document.querySelector('#connection').dataset.state == 'live'"
LOST = "document.querySelector('#connection').dataset.state == 'lost'"


def ready(name: str, state: str) -> str:
    """Whether the row of ``name`` says ``state``."""
    return f"{ROWS}.some((row) => row[1] == '{name}' && row[2] == '{state}')"


async def until(page: Page | Frame, condition: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until an expression is true.

    Playwright's own wait evaluates its text again and again, which the pages' policy forbids; this is a closure.
    """
    async with asyncio.timeout(seconds):
        await page.evaluate(
            f"new Promise((done) => {{  const look = () => (({condition}) ? done() : setTimeout(look, 20));  look();}})"
        )


async def hide(page: Page, hidden: bool) -> None:
    """What a page hears when its tab goes to the back, or comes to the front again."""
    value = "true" if hidden else "false"
    await page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


async def until_nobody_reads(store: Store) -> None:
    """Wait until no journal position of the store is held."""
    for _ in range(1000):
        if not store.reader.journal.positions:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("somebody still reads")
