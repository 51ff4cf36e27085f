"""A loopback bind answers to its own names only, and no foreign page opens a socket."""

from __future__ import annotations

import httpx
import pytest

from kubemirror.access.origins import foreign
from kubemirror.serve.asked import asked_of
from kubemirror.settings import Access, Settings
from tests.serve.conftest import Asking
from tests.serve.world import World


@pytest.fixture(autouse=True)
def synced(world: World) -> None:
    world.mirror().sync()


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:80"])
async def test_a_loopback_bind_answers_to_its_own_names(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/versions", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"]
)
async def test_a_name_that_was_made_to_point_here_is_refused(client: httpx.AsyncClient, host: str) -> None:
    for path in ("/versions", "/", "/apis", "/metrics"):
        answer = await client.get(path, headers={"host": host})

        assert answer.status_code == 403, path
        assert f"--allow-host {host}" in answer.json()["message"]


async def test_a_name_that_is_allowed_is_answered(asking: Asking) -> None:
    world = World(settings=Settings(allow_host=("mirror.internal",)))
    world.mirror().sync()

    assert (await asking(world).get("/versions", headers={"host": "mirror.internal:8080"})).status_code == 200


async def test_an_open_bind_answers_to_any_name(asking: Asking) -> None:
    world = World(settings=Settings(host="0.0.0.0", access=Access.OPEN))
    world.mirror().sync()

    assert (await asking(world).get("/versions", headers={"host": "mirror.example"})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed", "refused"),
    [
        ({}, (), False),
        ({"origin": "http://localhost:8080"}, (), False),
        ({"origin": "https://localhost:8080"}, (), True),
        ({"origin": "http://localhost:3000"}, (), True),
        ({"origin": "null"}, (), True),
        ({"origin": "https://portal.example"}, ("https://portal.example",), False),
    ],
)
def test_a_page_of_another_origin_opens_no_socket(
    headers: dict[str, str], allowed: tuple[str, ...], refused: bool
) -> None:
    given = {"host": "localhost:8080", **headers}
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/watch",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
    }

    asked = asked_of(scope, Settings())

    assert foreign(asked.headers.get("origin"), asked.site, asked.origin, allowed) is refused


async def test_links_honour_the_prefix_that_a_trusted_proxy_tells(client: httpx.AsyncClient) -> None:
    headers = {"accept": "text/html", "x-forwarded-prefix": "/mirror"}

    page = (await client.get("/", headers=headers)).text

    assert 'href="/mirror/resources/deployments.apps"' in page
    assert 'href="/resources' not in page


@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", "javascript:x", '/"onmouseover="x', "/a/../b?x"])
async def test_a_prefix_that_is_no_path_is_not_believed(client: httpx.AsyncClient, prefix: str) -> None:
    page = (await client.get("/", headers={"accept": "text/html", "x-forwarded-prefix": prefix})).text

    assert 'href="/resources/deployments.apps"' in page


async def test_a_stranger_cannot_tell_a_prefix(world: World) -> None:
    from kubemirror.serve.application import application

    transport = httpx.ASGITransport(application(world.context), client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
        page = (await stranger.get("/", headers={"accept": "text/html", "x-forwarded-prefix": "/x"})).text

    assert 'href="/resources/deployments.apps"' in page


async def test_a_root_path_is_taken_off_whether_the_proxy_did_or_not(asking: Asking) -> None:
    world = World(settings=Settings(root_path="/mirror/"))
    world.mirror().sync()
    client = asking(world)

    for path in ("/mirror/versions", "/versions", "/mirror/apis/apps/v1/deployments"):
        assert (await client.get(path)).status_code == 200, path
    assert (
        'href="/mirror/resources/deployments.apps"'
        in (await client.get("/mirror/", headers={"accept": "text/html"})).text
    )
