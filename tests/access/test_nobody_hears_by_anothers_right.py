"""Streams that hear alike are told together; what one of them gains the others are not told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from kubemirror.access import reviewer
from kubemirror.access.modes import mode_of
from kubemirror.settings import Access, Settings
from tests.access.api_server import Reviews
from tests.serve.live import Lines, Live, running
from tests.serve.world import Store, World

# As short as what is kept in this test.
SOON_SECONDS = 0.2


class Guarded:
    def __init__(self, world: World, reviews: Reviews) -> None:
        settings = Settings(access=Access.DELEGATED, recheck_seconds=SOON_SECONDS)
        self.mode = mode_of(settings, reviews, world.catalog, wall=time.time)
        self.context = replace(
            world.context,
            authorizer=self.mode.authorizer,
            authenticator=self.mode.authenticator,
            settings=settings,
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(*(store.object(7, "web", each) for each in ("blue", "green")))
    return store


@pytest.fixture
async def live(world: World, store: Store, reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    monkeypatch.setattr(reviewer, "REFUSED_SECONDS", SOON_SECONDS)
    monkeypatch.setattr(reviewer, "ALLOWED_SECONDS", SOON_SECONDS)
    for name in ("jane", "joe"):
        reviews.user(f"{name}-token", name)
        reviews.allow(name, "deployments", "blue")
    guarded = Guarded(world, reviews)
    async with running(guarded) as live:
        yield live
    await guarded.mode.close()


async def change(lines: Lines) -> tuple[str, str]:
    """The next event that is no bookmark: type and namespace."""
    while True:
        event: dict[str, Any] = await lines.frame()
        if event["type"] != "BOOKMARK":
            return event["type"], event["object"]["metadata"]["namespace"]


async def test_a_namespace_that_one_gains_is_told_to_that_one_alone(live: Live, store: Store, reviews: Reviews) -> None:
    query = "resource=deploy&snapshot=false&as=key"
    async with AsyncExitStack() as stack:
        jane, joe = [
            await stack.enter_async_context(live.ndjson(query, authorization=f"Bearer {name}-token"))
            for name in ("jane", "joe")
        ]
        omitted = [each.answer.headers["kubemirror-omitted"] for each in (jane, joe)]
        store.apply(101, "web", "blue", image="web:2")
        together = [await change(each) for each in (jane, joe)]
        sharing = live.app.serving.sharing
        store.apply(102, "web", "blue", image="web:3")
        together += [await change(each) for each in (jane, joe)]
        reviews.allow("jane", "deployments", "green")
        gained = await change(jane)
        store.apply(103, "web", "green", image="web:4")
        only = await change(jane)
        store.apply(104, "web", "blue", image="web:5")
        after = [await change(each) for each in (jane, joe)]

    assert omitted == ["namespaces", "namespaces"]
    assert sharing.made > 0
    assert together == [("MODIFIED", "blue")] * 4
    assert gained == ("ADDED", "green")
    assert only == ("MODIFIED", "green")
    assert after == [("MODIFIED", "blue")] * 2  # joe has heard nothing in between
