"""No path answers anything before the Authorizer said yes: found by walking every route there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from kubemirror.access.authorizer import (
    Allow,
    AllowNamespaces,
    Caller,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.presented import Presented
from kubemirror.serve.application import site
from kubemirror.serve.serving import Serving
from tests.serve.conftest import Asking
from tests.serve.world import NODES, World


class Denying:
    """Says no to everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ResourceAttributes | PathAttributes] = []

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: object = None,
        held: object = None,
    ) -> Decision:
        self.asked.append(attributes)
        return Deny("the test says so")


class OnlyNamespaces:
    """Allows paths, and of resources some namespaces."""

    def __init__(self, *namespaces: str) -> None:
        self.namespaces = frozenset(namespaces)

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: object = None,
        held: object = None,
    ) -> Decision:
        if isinstance(attributes, PathAttributes) or attributes.namespace in self.namespaces:
            return Allow()
        if partial and not attributes.namespace:
            return AllowNamespaces(self.namespaces)
        return Deny("not in this namespace")


def routes_of(app: Any) -> Iterator[APIRoute]:
    """Every route of an application, those of included routers too."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            included = getattr(route, "original_router", None)
            if included is not None:
                yield from routes_of(included)


def every_request() -> list[tuple[str, str]]:
    filled = {"resource": "deployments", "namespace": "default", "name": "web", "digest": "x"}
    found = [
        (method, route.path.format(**filled))
        for route in routes_of(site(Serving(World().context)))
        for method in sorted(route.methods)
    ]
    kubernetes = [
        "/api",
        "/apis",
        "/apis/apps",
        "/apis/apps/v1",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/deployments?watch=true",
        "/apis/apps/v1/namespaces/default/deployments/web",
        "/api/v1/nodes/a",
        "/version",
        "/openapi/v3",
    ]
    return found + [("GET", path) for path in kubernetes]


def test_the_walk_finds_the_routes() -> None:
    paths = {path for _, path in every_request()}

    assert {"/versions", "/versions/default/web", "/watch", "/", "/metrics", "/readyz", "/-/status"} <= paths
    assert {"/-/refresh", "/-/refresh/deployments", "/-/openapi.json", "/-/docs", "/-/static/x/web"} <= paths
    assert {"/resources/deployments", "/resources/deployments/default/web"} <= paths


@pytest.mark.parametrize(("method", "path"), every_request(), ids=str)
async def test_a_denied_caller_is_told_nothing(asking: Asking, method: str, path: str) -> None:
    authorizer = Denying()
    world = World(authorizer=authorizer)
    store = world.mirror()
    store.sync(store.object(7, "web"))
    world.mirror(NODES).sync()
    if path == "/watch":
        path = "/watch?resource=deployments"

    answer = await asking(world).request(method, path)

    assert answer.status_code == 403
    assert authorizer.asked != []
    if method != "HEAD":
        assert "the test says so" in answer.json()["message"]
        assert "registry.example" not in answer.text


async def test_the_overview_shows_of_a_resource_that_may_not_be_listed_only_that(asking: Asking) -> None:
    class PathsOnly(Denying):
        async def authorize(
            self,
            caller: Caller,
            attributes: ResourceAttributes | PathAttributes,
            *,
            partial: object = None,
            held: object = None,
        ) -> Decision:
            return Allow() if isinstance(attributes, PathAttributes) else Deny("no")

    world = World(authorizer=PathsOnly())
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))

    page = await asking(world).get("/", headers={"accept": "text/html"})
    told = (await asking(world).get("/", headers={"accept": "application/json"})).json()

    assert page.status_code == 200
    assert "Not shown:" in page.text
    assert "blue" not in page.text
    assert [each["resource"] for each in told["notShown"]] == ["deployments.apps"]
    assert told["mirrored"] == told["health"] == told["unhealthy"] == told["drift"] == []


async def test_a_caller_who_may_see_some_namespaces_sees_those(asking: Asking) -> None:
    world = World(authorizer=OnlyNamespaces("blue"))
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"), store.object(8, "web", "green"))
    client = asking(world)

    everything = (await client.get("/versions")).json()
    listed = (await client.get("/resources/deployments?output=name&namespace=blue")).text
    refused = await client.get("/versions?namespace=green")

    assert [item["namespace"] for item in everything] == ["blue"]
    assert listed == "deployment.apps/web\n"
    assert refused.status_code == 403
    assert "green" not in (await client.get("/resources/deployments", headers={"accept": "text/html"})).text


async def test_finished_answers_are_not_shared_between_callers(asking: Asking) -> None:
    class ByHeader:
        async def authenticate(self, presented: Presented) -> Caller:
            return Caller(presented.get(b"x-remote-user").decode() or "nobody")

    class OnlyAlice:
        async def authorize(
            self,
            caller: Caller,
            attributes: ResourceAttributes | PathAttributes,
            *,
            partial: object = None,
            held: object = None,
        ) -> Decision:
            return Allow() if caller.user == "alice" else Deny("not alice")

    world = World(authorizer=OnlyAlice(), authenticator=ByHeader())
    world.mirror().sync()
    client = asking(world)

    codes = [
        (await client.get("/versions", headers={"x-remote-user": user})).status_code
        for user in ("alice", "bob", "alice", "bob")
    ]

    assert codes == [200, 403, 200, 403]


async def test_a_finished_answer_expires_with_its_decision(directly: Asking) -> None:
    answers: list[Decision] = [Allow(until=0.0), Deny("withdrawn")]

    class Once:
        async def authorize(
            self,
            caller: Caller,
            attributes: ResourceAttributes | PathAttributes,
            *,
            partial: object = None,
            held: object = None,
        ) -> Decision:
            return answers.pop(0)

    world = World(authorizer=Once())
    world.mirror().sync()
    client = directly(world)

    codes = [(await client.get("/versions")).status_code for _ in range(2)]

    assert codes == [200, 403]
