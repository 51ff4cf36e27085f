from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kubemirror.access.modes import Mode, mode_of
from kubemirror.settings import Access, Settings
from kubemirror.state.catalog import Catalog
from tests.access.api_server import Reviews

START = 1_800_000_000.0  # seconds since 1970


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def wall() -> Callable[[], float]:
    """Goes with the loop's own time, which is virtual and begins at 0."""
    return lambda: START + asyncio.get_running_loop().time()


@pytest.fixture
async def delegated(reviews: Reviews, wall: Callable[[], float]) -> AsyncIterator[Mode]:
    mode = mode_of(Settings(access=Access.DELEGATED), reviews, Catalog(), wall=wall)
    yield mode
    await mode.close()
