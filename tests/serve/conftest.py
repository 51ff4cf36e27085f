"""The application over hand-written stores, asked through ASGI, and over a socket through both lanes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from kubemirror.serve.application import application
from tests.serve.lanes import BothLanes
from tests.serve.world import World

Asking = Callable[[World], httpx.AsyncClient]


@asynccontextmanager
async def clients(transport_of: Callable[[World], httpx.AsyncBaseTransport]) -> AsyncIterator[Asking]:
    async with AsyncExitStack() as stack:

        def client(world: World) -> httpx.AsyncClient:
            made = httpx.AsyncClient(transport=transport_of(world), base_url="http://localhost:8080")
            stack.push_async_callback(made.aclose)
            return made

        yield client


def through_asgi(world: World) -> httpx.AsyncBaseTransport:
    return httpx.ASGITransport(application(world.context))


def through_both_lanes(world: World) -> httpx.AsyncBaseTransport:
    return BothLanes(world.context)


@pytest.fixture(params=[through_asgi, through_both_lanes])
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    """Makes a client of a world's application; what asks so runs through ASGI and through both lanes."""
    async with clients(request.param) as client:
        yield client


@pytest.fixture
async def directly() -> AsyncIterator[Asking]:
    """Makes a client that asks through ASGI, once: for what counts requests."""
    async with clients(through_asgi) as client:
        yield client


@pytest.fixture
def client(world: World, asking: Asking) -> httpx.AsyncClient:
    return asking(world)
