"""A mirror with something to steal, served to everyone who reaches it on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from kubemirror.settings import Settings
from tests.serve.live import Live, running
from tests.serve.world import NODES, World


def a_world(**settings: object) -> World:
    """Deployments in two namespaces, and a node."""
    world = World(settings=Settings(**settings))  # type: ignore[arg-type]
    deployments = world.mirror()
    deployments.sync(deployments.object(7, "web", "shop", labels={"app": "web"}), deployments.object(8, "api", "ops"))
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(9, "node-1"))
    return world


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def live() -> AsyncIterator[Live]:
    async with running(a_world()) as live:
        yield live
