"""A path that one part reads as harmless and another as something else (CVE-2022-3162, CVE-2019-11247, and others)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kubemirror.access.authorizer import Allow, Caller, Decision, Deny, PathAttributes, ResourceAttributes
from tests.attacks.conftest import a_world
from tests.attacks.wire import asked, upgraded
from tests.serve.live import Live, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUR_TRICKS = [
    "/versions/../metrics", "/resources/deployments/./shop", "/resources/deployments/%2e%2e/nodes",
    "/resources/deployments%2fops", "/resources/deployments/shop%2Fweb", "/resources/deployments/shop%5cweb",
    "/resources/deployments/%252e%252e/x", "/resources/deployments/shop%252fweb", "//versions", "/resources//nodes",
    "/livez/../versions", "/livez%2f..%2fversions", "/livez/%2e%2e/versions", "/-/static/x/..%2f..%2fsettings.py",
    "/-/static/%2e%2e/x", "/versions/%00", "/versions/shop/web%0a", "/versions/shop/%ff", "/versions/shop/%zz",
]  # fmt: skip
KUBERNETES_TRICKS = [
    "/apis/apps/v1/namespaces/shop/deployments/..%2f..%2fops%2fdeployments%2fapi",
    "/apis/apps/v1/namespaces/..%2fops/deployments/api",
    "/apis/apps/v1/namespaces/shop/deployments/../../ops/deployments/api",
    "/apis/apps/v1/namespaces/../deployments",
    "/apis/apps/v1/namespaces/shop/deployments/%2e%2e",
    "/apis/apps/v1/namespaces/shop/deployments/%252e%252e",
    "/apis/apps/v1/namespaces/shop%00/deployments",
    "/apis/apps/v1/namespaces/shop/deployments/web%2fstatus",
]


class OnlyShop:
    """May look at Deployments of the namespace shop, and at health; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ResourceAttributes | PathAttributes] = []

    async def authorize(
        self, caller: Caller, attributes: ResourceAttributes | PathAttributes, **options: object
    ) -> Decision:
        self.asked.append(attributes)
        if isinstance(attributes, ResourceAttributes) and attributes.namespace == "shop":
            return Allow()
        return Deny("not that")


@pytest.fixture(scope="module")
def judge() -> OnlyShop:
    return OnlyShop()


@pytest.fixture
def only_shop(judge: OnlyShop) -> OnlyShop:
    judge.asked.clear()
    return judge


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def live(judge: OnlyShop) -> AsyncIterator[Live]:
    world = a_world()
    world.authorizer = judge
    async with running(world) as live:
        yield live


@pytest.mark.parametrize("target", OUR_TRICKS)
async def test_our_paths_are_refused_before_anybody_is_asked(live: Live, only_shop: OnlyShop, target: str) -> None:
    answer = await asked(live, target)

    refused = 404 if "//" in target else 400
    assert answer.code == refused
    assert only_shop.asked == []
    assert (await upgraded(live, target)).code == refused


@pytest.mark.parametrize("target", KUBERNETES_TRICKS)
async def test_kubernetes_paths_show_nothing_of_another_namespace(live: Live, only_shop: OnlyShop, target: str) -> None:
    """CVE-2022-3162: dots in a name read another custom resource."""
    answer = await asked(live, target)

    assert answer.code in (400, 403, 404)
    assert b"uid-" not in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/shop/nodes",
        "/api/v1/namespaces/shop/nodes/node-1",
        "/resources/nodes/shop/node-1",
        "/resources/nodes?namespace=shop",
        "/watch?resource=nodes&namespace=shop",
        "/api/v1/watch/namespaces/shop/nodes",
    ],
)
async def test_a_right_in_a_namespace_shows_nothing_of_the_cluster(live: Live, target: str) -> None:
    """CVE-2019-11247: what is cluster-scoped was read through a namespaced path by a right in that namespace."""
    answer = await asked(live, target)

    assert answer.code in (400, 403, 404)
    assert b"uid-" not in answer.body


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/versions?/livez", {}),
        ("/versions?x=/livez", {}),
        ("/versions%3f/livez", {}),
        ("/versions%23/livez", {}),
        ("/versions", {"User_Agent": "kube-probe/1.36"}),
        ("/versions", {"User_Agent": "GoogleHC/1.0"}),
        ("/versions", {"X_Forwarded_Uri": "/livez", "X_Original_URL": "/livez", "X_Rewrite_URL": "/livez"}),
        ("/versions", {"X_Forwarded_Prefix": "/versions", "X_Forwarded_User": "admin"}),
        ("/livez/versions", {}),
    ],
)
async def test_nothing_but_a_health_path_passes_for_one(live: Live, target: str, headers: dict[str, str]) -> None:
    """oauth2-proxy CVE-2025-54576, CVE-2026-40575, CVE-2026-34457, CVE-2026-41059."""
    answer = await asked(live, target, **headers)

    assert answer.code in (400, 403, 404)
    assert b'"web"' not in answer.body


@pytest.mark.parametrize("host", ["localhost/livez?", "localhost/livez#", "localhost:80/livez?x=", "localhost\\livez"])
async def test_a_host_is_no_path(live: Live, host: str) -> None:
    """CVE-2026-48710: a Host header became part of the path that was authorised."""
    answer = await asked(live, "/versions", host=host)

    assert answer.code in (400, 403)


async def test_a_watch_of_one_name_is_decided_about_that_name(live: Live, only_shop: OnlyShop) -> None:
    """GHSA-j5hq-5jcr-xwx7: the watch of one id gave every object of the kind."""
    for target in (
        "/apis/apps/v1/namespaces/ops/deployments?watch=true&fieldSelector=metadata.name%3Dapi",
        "/apis/apps/v1/watch/namespaces/ops/deployments/api",
        "/watch?resource=deployments&namespace=ops&name=api",
        "/watch?resource=deployments&name=api",
    ):
        only_shop.asked.clear()
        assert (await asked(live, target)).code == 403, target
        assert (await upgraded(live, target)).code == 403, target
        assert all(isinstance(each, ResourceAttributes) and each.name == "api" for each in only_shop.asked), target
