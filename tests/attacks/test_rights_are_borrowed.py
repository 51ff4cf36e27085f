"""Someone is shown what only another, or the mirror itself, may see."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson
import pytest
import pytest_asyncio
from websockets.exceptions import InvalidStatus

from kubemirror.access.audit import Audit, Audited
from kubemirror.access.authorizer import (
    ANONYMOUS,
    Allow,
    Caller,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.grants import Granted, Grants, issued
from kubemirror.access.presented import Presented
from kubemirror.app import check
from kubemirror.errors import ConfigError, UnauthenticatedError
from kubemirror.settings import Settings
from tests.attacks.conftest import a_world
from tests.attacks.wire import asked, upgraded
from tests.serve.live import Live, running
from tests.serve.test_every_route_asks_the_authorizer import every_request
from tests.serve.world import NODES, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY, OTHER_KEY = b"k" * 44, b"o" * 44
NOW = 1_800_000_000.0


class Tokens:
    """A bearer token is its user's name."""

    async def authenticate(self, presented: Presented) -> Caller:
        given = presented.get(b"authorization").decode()
        if not given:
            return ANONYMOUS
        if given == "Bearer wrong":
            raise UnauthenticatedError("invalid bearer token")
        return Caller(given.removeprefix("Bearer "), groups=("system:authenticated",))


class PerUser:
    """jane sees Deployments of the namespace shop, root everything, others nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[Caller, ResourceAttributes | PathAttributes]] = []

    async def authorize(
        self, caller: Caller, attributes: ResourceAttributes | PathAttributes, **options: object
    ) -> Decision:
        self.asked.append((caller, attributes))
        if caller.user == "root":
            return Allow()
        resource = isinstance(attributes, ResourceAttributes)
        if (
            caller.user == "jane"
            and resource
            and attributes.namespace == "shop"
            and attributes.resource == "deployments"
        ):
            return Allow()
        return Deny("RBAC: not allowed")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def world(lines: list[str]) -> World:
    world = a_world()
    namespaces = world.mirror(replace(NODES, plural="namespaces", singular="namespace", kind="Namespace"))
    namespaces.sync(namespaces.object(10, "shop"), namespaces.object(11, "ops"))
    audit = Audit(lines.append, wall=lambda: NOW)
    world.authenticator, world.authorizer, world.audit = Tokens(), Audited(Granted(PerUser()), audit), audit
    world.grants = Grants(lambda: (KEY,), wall=lambda: NOW)
    return world


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def live(world: World) -> AsyncIterator[Live]:
    async with running(world) as live:
        yield live


def token(**fields: Any) -> str:
    given = {"resource": "deployments.apps", "namespace": "shop", "user": "jane", "seconds": 3600, "now": NOW, **fields}
    return issued(given.pop("key", KEY), **given)


# -- the mirror's own ---------------------------------------------------------------------------------


async def test_who_has_no_rights_is_not_lent_the_mirrors(live: Live) -> None:
    """Kubernetes Dashboard CVE-2018-18264: "skip" looked with the dashboard's own account."""
    for method, target in every_request():
        if target.split("?")[0] in ("/health", "/healthz", "/livez", "/readyz"):
            continue
        answer = await asked(live, target, method=method)
        assert answer.code in (400, 401, 403, 404, 405), target
        assert b"uid-" not in answer.body, target


async def test_nobody_serves_everything_to_everyone_by_mistake() -> None:
    """Tesla, 2018: a dashboard that anyone could open."""
    with pytest.raises(ConfigError, match="--access open"):
        check(Settings(host="0.0.0.0"))


async def test_what_was_cached_for_one_caller_reaches_no_other(live: Live) -> None:
    """Headlamp CVE-2025-14269: answers were kept without whose they were."""
    for target in (
        "/versions", "/resources/deployments?output=json", "/apis/apps/v1/deployments", "/apis", "/-/status",
        "/metrics", "/apis/apps/v1/namespaces/shop/deployments/web", "/resources/deployments/shop/web?output=yaml",
    ):  # fmt: skip
        for _ in range(3):  # the application, its finished answers, the fast lane
            assert (await asked(live, target, Authorization="Bearer root")).code == 200, target
        for headers in ({}, {"Authorization": "Bearer mallory"}, {"Cookie": "session=root"}, {"X_Remote_User": "root"}):
            answer = await asked(live, target, **headers)
            assert answer.code == 403, (target, headers)
            assert b"uid-" not in answer.body


@pytest.mark.parametrize("header", ["X_Remote_User", "X_Forwarded_User", "X_Auth_Request_User", "Remote_User"])
async def test_a_header_makes_nobody_somebody(live: Live, header: str) -> None:
    assert (await asked(live, "/versions", **{header: "root", "X_Remote_Group": "system:masters"})).code == 403


# -- embed tokens -------------------------------------------------------------------------------------


async def test_an_embed_token_opens_what_it_names_on_every_transport(live: Live) -> None:
    mine = token()
    for target in (
        f"/resources/deployments?output=json&embed={mine}",
        f"/resources/deployments/shop/web?output=json&embed={mine}",
        f"/versions?embed={mine}",
        f"/apis/apps/v1/namespaces/shop/deployments?embed={mine}",
        f"/apis/apps/v1/namespaces/shop/deployments/web?embed={mine}",
    ):
        for _ in range(3):
            answer = await asked(live, target)
            assert answer.code == 200, (target, answer.body)
            assert b"web" in answer.body
            assert b"uid-ops-api" not in answer.body
            assert answer.headers["referrer-policy"] == "no-referrer"
    assert (await upgraded(live, f"/watch?resource=deployments&embed={mine}")).code == 101
    assert (await upgraded(live, f"/apis/apps/v1/namespaces/shop/deployments?watch=1&embed={mine}")).code == 101
    async with live.ndjson(f"resource=deployments&embed={mine}") as stream:
        assert (await stream.frame())["type"] == "ADDED"


@pytest.mark.parametrize(
    "target",
    [
        "/resources/nodes", "/resources/deployments?namespace=ops", "/resources/deployments/ops/api", "/api/v1/nodes",
        "/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/ops/deployments", "/versions?namespace=ops",
        "/versions/ops/api", "/watch?resource=nodes", "/watch?resource=deployments&namespace=ops", "/metrics",
        "/-/status", "/-/openapi.json", "/apis", "/", "/watch?resource=deployments&resource=nodes",
    ],
)  # fmt: skip
@pytest.mark.parametrize("user", ["jane", "root"])
async def test_an_embed_token_opens_nothing_else(live: Live, target: str, user: str) -> None:
    mine = token(user=user)
    query = "&" if "?" in target else "?"

    answer = await asked(live, f"{target}{query}embed={mine}")
    assert answer.code in (403, 404)  # nodes are in no namespace
    assert b"uid-" not in answer.body
    assert (await upgraded(live, f"{target}{query}embed={mine}")).code in (403, 404)


async def test_on_a_socket_it_opens_no_more(live: Live) -> None:
    async with live.socket(f"resource=deployments&embed={token(user='root')}") as socket:
        await socket.send('{"action":"subscribe","id":"x","resource":"nodes"}')
        heard = [str(await socket.recv()) for _ in range(3)]

    assert any('"code":403' in each and '"id":"x"' in each for each in heard)


async def test_a_selector_in_it_is_the_only_one(live: Live) -> None:
    mine = token(selector="app=web", user="root", namespace="")

    assert b"web" in (await asked(live, f"/resources/deployments?output=json&embed={mine}")).body
    for target in ("/resources/deployments?labelSelector=app%21%3Dweb", "/watch?resource=deployments&labelSelector="):
        assert (await asked(live, f"{target}&embed={mine}")).code == 403
    assert (await asked(live, f"/resources/deployments/ops/api?embed={mine}")).code == 403
    assert (await asked(live, f"/apis/apps/v1/namespaces/ops/deployments/api?embed={mine}")).code == 403


async def test_with_a_selector_it_opens_the_list_of_a_namespace(live: Live) -> None:
    """The token alone is enough, wherever the namespace is written."""
    for mine in (token(selector="app=web"), token(selector="app=web", user="root", namespace="")):
        for target in ("/resources/deployments/shop?output=json", "/resources/deployments?namespace=shop&output=json"):
            answer = await asked(live, f"{target}&embed={mine}")
            assert (answer.code, b"uid-shop-web" in answer.body) == (200, True), target
        assert (await asked(live, f"/embed/resources/deployments/shop?embed={mine}")).code == 200
        assert (await asked(live, f"/resources/deployments/shop?labelSelector=&embed={mine}")).code == 403
    other = await asked(live, f"/resources/deployments/shop?output=json&embed={token(selector='app=api')}")
    assert (other.code, b"uid-" in other.body) == (200, False)


async def test_of_a_namespace_it_opens_that_namespace_in_a_list_too(live: Live) -> None:
    mine = token(resource="namespaces", namespace="shop", user="root")

    for target in ("/resources/namespaces?output=json", "/resources/namespaces/shop?output=json"):
        answer = await asked(live, f"{target}&embed={mine}")
        assert (answer.code, b"uid-default-ops" in answer.body) == (200, False), target
        assert b'"shop"' in answer.body
    async with live.ndjson(f"resource=namespaces&embed={mine}") as stream:
        assert (await stream.frame())["type"] == "ADDED"
        assert (await stream.frame())["type"] == "BOOKMARK"
    for target in (
        "/resources/namespaces?fieldSelector=metadata.name%3Dops",
        "/resources/namespaces?fieldSelector=metadata.name%21%3Dshop",
        "/resources/namespaces?fieldSelector=",
        "/resources/namespaces/ops?output=json",
    ):
        assert (await asked(live, f"{target}&embed={mine}")).code == 403, target


async def test_it_is_worth_no_more_than_its_user(live: Live) -> None:
    assert (await asked(live, f"/resources/deployments?embed={token(user='mallory')}")).code == 403
    assert (await asked(live, f"/resources/deployments?embed={token(user='jane', namespace='ops')}")).code == 403


def tampered() -> list[str]:
    mine = token()
    form, body, signature = mine.split(".")
    other = token(user="root").split(".")[1]
    return [
        "", "x", "..", f"{form}.{body}.", f"{form}.{other}.{signature}", f"{form}.{body}.{signature[:-2]}AA",
        f"k2.{body}.{signature}", f"{body}.{signature}", token(key=OTHER_KEY), f"{mine}x", "k1.e30.AAAA", "\xff", "%00",
        token(now=NOW - 7200),
    ]  # fmt: skip


@pytest.mark.parametrize("given", tampered())
async def test_a_token_that_was_tampered_with_or_is_over_opens_nothing(
    live: Live, lines: list[str], given: str
) -> None:
    answer = await asked(live, f"/resources/deployments?namespace=shop&embed={given}")

    assert answer.code in (400, 401, 403)
    assert (await upgraded(live, f"/watch?resource=deployments&embed={given}")).code in (400, 401, 403)
    assert len(given) < 8 or not any(given in line for line in lines)


@pytest.mark.parametrize(
    "told",
    [
        {}, [], "text", None, {"u": "root"}, {"r": "deployments.apps", "e": 2**40}, {"u": "", "r": "pods", "e": 2**40},
        {"u": 1, "r": "pods", "e": 2**40}, {"u": "root", "r": "", "e": 2**40}, {"u": "root", "r": "pods", "e": "later"},
        {"u": "root", "r": "pods", "e": True}, {"u": "root", "r": "deployments.apps", "e": 2**40, "n": 7},
        {"u": "root", "r": "deployments.apps", "e": 2**40, "g": "system:masters"},
        {"u": "root", "r": "deployments.apps", "e": 2**40, "g": [None]},
        {"u": "root", "r": "deployments.apps", "e": 2**40, "s": ["app=web"]},
    ],
    ids=str,
)  # fmt: skip
async def test_what_was_signed_but_names_nothing_is_401(live: Live, told: object) -> None:
    """Whoever has the key may have signed anything: kubemirror did, before it looked."""
    signed = b"k1." + urlsafe_b64encode(orjson.dumps(told)).rstrip(b"=")
    mine = (signed + b"." + urlsafe_b64encode(hmac.new(KEY, signed, sha256).digest()).rstrip(b"=")).decode()

    for target in (f"/resources/deployments?embed={mine}", f"/apis/apps/v1/deployments?embed={mine}"):
        assert (await asked(live, target)).code == 401
    assert (await upgraded(live, f"/watch?resource=deployments&embed={mine}")).code == 401


async def test_it_does_not_add_to_what_else_was_sent(live: Live) -> None:
    """Neither the visitor's credentials to the token, nor the token to them."""
    mine = token()
    answer = await asked(live, f"/resources/nodes?embed={mine}", Authorization="Bearer root")
    impersonating = await asked(live, f"/resources/deployments?embed={mine}", Impersonate_User="root")

    assert answer.code in (403, 404)
    assert impersonating.code == 400
    assert (await asked(live, f"/resources/deployments?embed={mine}&embed={token(user='root')}")).code == 400


async def test_without_a_key_no_token_is_taken() -> None:
    world = a_world()
    async with running(world) as live:
        assert (await asked(live, f"/resources/deployments?embed={token()}")).code == 401


async def test_a_wrong_credential_is_not_nobody(live: Live, lines: list[str]) -> None:
    answer = await asked(live, "/versions", Authorization="Bearer wrong")

    assert answer.code == 401
    assert any('"audit":"unauthenticated"' in line for line in lines)
    assert not any("wrong" in line for line in lines)
    with pytest.raises(InvalidStatus):
        await live.socket("resource=deployments", Authorization="Bearer wrong")
