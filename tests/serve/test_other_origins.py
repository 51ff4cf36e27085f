"""Pages of origins that --allow-origin names may read our JSON and push; no others, and nothing but that."""

from __future__ import annotations

import httpx
import pytest

from kubemirror.settings import Settings
from tests.serve.conftest import Asking
from tests.serve.world import Store, World

PORTAL = {"origin": "https://portal.example.com"}
STRANGER = {"origin": "https://stranger.example.com"}
PREFLIGHT = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}


@pytest.fixture
def world() -> World:
    return World(settings=Settings(allow_origin=(PORTAL["origin"],)))


@pytest.fixture(autouse=True)
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    return store


@pytest.mark.parametrize("path", ["/versions", "/resources/deploy?output=json", "/-/status", "/versions/blue/none"])
async def test_a_listed_origin_may_read(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=PORTAL)

    assert answer.headers["access-control-allow-origin"] == PORTAL["origin"]
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "origin" in answer.headers["vary"]
    assert "kubemirror-resource-version" in answer.headers["access-control-expose-headers"]
    seen = set(answer.headers["access-control-expose-headers"].split(", "))
    own = {each for each in answer.headers if each.startswith("kubemirror-")}
    assert own | {"age", "kubemirror-omitted", "warning"} <= seen


@pytest.mark.parametrize("headers", [STRANGER, {"origin": "null"}, {}])
async def test_nobody_else_may(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.get("/versions", headers=headers)

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert "origin" in answer.headers["vary"]


async def test_without_a_list_nothing_is_said_of_origins(asking: Asking) -> None:
    world = World()
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    answer = await asking(world).get("/versions", headers=PORTAL)

    assert "access-control-allow-origin" not in answer.headers
    assert "origin" not in answer.headers["vary"]


async def test_a_browser_may_ask_beforehand(client: httpx.AsyncClient) -> None:
    allowed = await client.request("OPTIONS", "/resources/deploy", headers=PORTAL | PREFLIGHT)
    refused = await client.request("OPTIONS", "/resources/deploy", headers=STRANGER | PREFLIGHT)

    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert refused.status_code == 405
    assert "access-control-allow-origin" not in refused.headers


async def test_the_kubernetes_api_is_for_its_own_clients(client: httpx.AsyncClient) -> None:
    answer = await client.get("/apis/apps/v1/deployments", headers=PORTAL)

    assert "access-control-allow-origin" not in answer.headers


async def test_files_tell_nothing_and_are_for_everybody(client: httpx.AsyncClient) -> None:
    answer = await client.get("/-/static/any/kube-mirror.js", headers=STRANGER)

    assert answer.headers["access-control-allow-origin"] == "*"
