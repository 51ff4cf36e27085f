"""The application over hand-written stores, asked through ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from kubemirror.serve.application import application
from tests.serve.world import World

Asking = Callable[[World], httpx.AsyncClient]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    """Makes a client of a world's application."""
    async with AsyncExitStack() as stack:

        def client(world: World) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(application(world.context))
            made = httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")
            stack.push_async_callback(made.aclose)
            return made

        yield client


@pytest.fixture
def client(world: World, asking: Asking) -> httpx.AsyncClient:
    return asking(world)
