"""One Chromium for all tests that need one, and a tab of its own for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.browser.chromium import Page, chromium, tab
from tests.conftest import tool
from tests.serve.world import Store, World


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tool("chromium-headless-shell"), tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def page(browser: str) -> AsyncIterator[Page]:
    async with tab(browser) as page:
        yield page


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", cells=["web", "1/1", "3d", "team/web:1.0"]),
        store.object(8, "api", "blue", cells=["api", "1/1", "3d", "team/api:1.0"]),
    )
    return store


async def until_nobody_reads(store: Store) -> None:
    """Wait until no journal position of the store is held."""
    for _ in range(1000):
        if not store.reader.journal.positions:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("somebody still reads")
