"""One Chromium for all tests that need one, driven by Playwright, and a context of its own for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.chromium import FLAGS, PATIENCE_SECONDS
from tests.conftest import tool
from tests.reader.wire import Wire, wire_to
from tests.serve.live import Live, running
from tests.serve.process import Process, serving
from tests.serve.world import Store, World

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all of these: Playwright's objects belong to the loop that started it."""
    for item in items:
        if item.path.is_relative_to(HERE) and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=tool("chromium-headless-shell"), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield await context.new_page()
    await context.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the console told as an error, and what was thrown and caught by nobody."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """``kubemirror serve --demo``: a cluster with a life of its own, and its mirror."""
    with serving(tmp_path_factory.mktemp("demo"), "--demo") as process:
        process.until_ready()
        yield process


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", cells=["web", "1/1", "3d", "team/web:1.0"]),
        store.object(8, "api", "blue", cells=["api", "1/1", "3d", "team/api:1.0"]),
    )
    return store


@pytest_asyncio.fixture(loop_scope="session")
async def live(world: World, store: Store) -> AsyncIterator[Live]:
    async with running(world) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="session")
async def wire(live: Live) -> AsyncIterator[Wire]:
    """The network between browser and mirror."""
    async with wire_to(int(live.address.rpartition(":")[2])) as wire:
        yield wire
