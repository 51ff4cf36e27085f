"""The application over hand-written stores, in one of the modes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from kubemirror.access.modes import Mode, mode_of
from kubemirror.serve.application import application
from kubemirror.settings import Settings
from tests.access.api_server import Reviews
from tests.serve.world import DEPLOYMENTS, NODES, World

SITE = "https://mirror.example"


@asynccontextmanager
async def site(
    reviews: Reviews, *, base: str = SITE, world: World | None = None, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Mode]]:
    """A client of it. settings: those of access; it does not listen on loopback."""
    chosen = Settings(**{"host": "0.0.0.0", **settings})
    world = world or a_world()
    mode = mode_of(chosen, reviews, world.catalog, wall=time.time)
    context = replace(
        world.context,
        authorizer=mode.authorizer,
        authenticator=mode.authenticator,
        sign_in=mode.sign_in,
        rules=mode.rules,
        settings=chosen,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application(context)), base_url=base) as client:
        yield client, mode
    await mode.close()


def a_world() -> World:
    world = World()
    deployments = world.mirror(DEPLOYMENTS)
    deployments.sync(*(deployments.object(7, "web", each) for each in ("blue", "green")))
    world.mirror(NODES).sync()
    return world
