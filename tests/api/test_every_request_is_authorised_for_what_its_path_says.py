"""What is asked of the Authorizer, how a refusal reads, and that path tricks never get that far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from kubemirror.access.authorizer import Allow, Caller, Decision, Deny, PathAttributes, ResourceAttributes
from kubemirror.state.catalog import Entry
from kubemirror.state.events import Phase
from tests.api.cluster import DEPLOYMENTS, NAMESPACES, PODS, Cluster, Store

SHOP = "/apis/apps/v1/namespaces/shop/deployments"


@dataclass
class Recorder:
    decision: Decision = field(default_factory=Allow)
    asked: list[ResourceAttributes | PathAttributes] = field(default_factory=list)

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: object = None,
        held: object = None,
    ) -> Decision:
        assert not partial
        self.asked.append(attributes)
        return self.decision


@pytest.fixture
def authorizer() -> Recorder:
    return Recorder()


@pytest.fixture
def cluster(authorizer: Recorder) -> Cluster:
    return Cluster(authorizer=authorizer)


@pytest.fixture
def stores(cluster: Cluster) -> list[Store]:
    stores = [cluster.add(resource) for resource in (DEPLOYMENTS, PODS, NAMESPACES)]
    for store in stores:
        store.sync(9, store.object("web", 5), store.object("shop", 6))
    return stores


def attributes(verb: str, **more: str) -> ResourceAttributes:
    return ResourceAttributes(verb, "apps", "v1", "deployments", **more)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (SHOP, attributes("list", namespace="shop")),
        ("/apis/apps/v1/deployments", attributes("list")),
        ("/apis/apps/v1/namespaces//deployments", attributes("list")),
        (f"{SHOP}/web", attributes("get", namespace="shop", name="web")),
        (f"{SHOP}/web?watch=1", attributes("get", namespace="shop", name="web")),
        (f"{SHOP}/web/status", attributes("get", namespace="shop", name="web", subresource="status")),
        (f"{SHOP}?watch=0", attributes("list", namespace="shop")),
        (f"{SHOP}?watch=FALSE", attributes("list", namespace="shop")),
        (f"{SHOP}?watch=0&watch=1", attributes("list", namespace="shop")),
        (
            f"{SHOP}?fieldSelector=metadata.name%3Dweb",
            attributes("list", namespace="shop", name="web", field_selector="metadata.name=web"),
        ),
        (
            f"{SHOP}?fieldSelector=metadata.name!%3Dweb&labelSelector=a",
            attributes("list", namespace="shop", field_selector="metadata.name!=web", label_selector="a"),
        ),
        ("/api/v1/namespaces/shop", ResourceAttributes("get", "", "v1", "namespaces", namespace="shop", name="shop")),
        ("/api/v1/namespaces", ResourceAttributes("list", "", "v1", "namespaces")),
        ("/apis/apps/v1/unheard", ResourceAttributes("list", "apps", "v1", "unheard")),
        ("/apis", PathAttributes("get", "/apis")),
        ("/apis/apps/v1", PathAttributes("get", "/apis/apps/v1")),
    ],
)
async def test_attributes_are_what_the_request_names(
    cluster: Cluster, stores: list[Store], authorizer: Recorder, path: str, expected: object
) -> None:
    await cluster.get(path)
    assert authorizer.asked == [expected]


@pytest.mark.parametrize(
    "path", [f"{SHOP}?watch", f"{SHOP}?watch=", f"{SHOP}?watch=yes", "/apis/apps/v1/watch/namespaces/shop/deployments"]
)
async def test_anything_but_0_and_false_watches(
    cluster: Cluster, stores: list[Store], authorizer: Recorder, path: str
) -> None:
    async with cluster.watch(path) as stream:
        await stream.started()
    assert authorizer.asked == [attributes("watch", namespace="shop")]


@pytest.mark.parametrize(
    ("path", "subject", "action"),
    [
        (SHOP, "deployments.apps", 'list resource "deployments" in API group "apps" in the namespace "shop"'),
        (
            "/apis/apps/v1/deployments",
            "deployments.apps",
            'list resource "deployments" in API group "apps" at the cluster scope',
        ),
        (
            f"{SHOP}/web/status",
            'deployments.apps "web"',
            'get resource "deployments/status" in API group "apps" in the namespace "shop"',
        ),
        (
            f"{SHOP}?watch=1",
            "deployments.apps",
            'watch resource "deployments" in API group "apps" in the namespace "shop"',
        ),
        ("/api/v1/pods", "pods", 'list resource "pods" in API group "" at the cluster scope'),
        ("/apis", "", 'get path "/apis"'),
    ],
)
async def test_a_refusal_reads_as_upstreams(
    cluster: Cluster, stores: list[Store], authorizer: Recorder, path: str, subject: str, action: str
) -> None:
    authorizer.decision = Deny("nope")
    answer = await cluster.get(path)
    assert answer.status_code == 403
    start = f"{subject} is forbidden" if subject else "forbidden"
    assert answer.json()["message"] == f'{start}: User "system:anonymous" cannot {action}: nope'
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        f"{SHOP}/%2e%2e",
        f"{SHOP}/a%252Fb",
        "/apis/apps/v1/namespaces/%2e%2e/deployments",
        f"{SHOP}/a%2Fb",
        f"{SHOP}/a%00b",
        f"{SHOP}/%ff",
    ],
)
async def test_tricks_are_refused_before_anyone_is_asked(
    cluster: Cluster, stores: list[Store], authorizer: Recorder, path: str
) -> None:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "", "raw_path": path.encode(), "query_string": b"", "headers": []}
    await cluster.app(scope, None, send)
    assert sent[0]["status"] == 400
    assert authorizer.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/shop/namespaces/shop",
        "/apis/apps/v1/deployments/web",
        "/apis/apps/v1/namespaces/shop",
        "/apis/apps/v2/namespaces/shop/deployments",
        f"{SHOP}/web/unheard",
        f"{SHOP}/web/status/more",
        "/apis/apps/v1/namespaces/shop/unheard",
    ],
)
async def test_scope_and_names_that_do_not_fit_are_404(cluster: Cluster, stores: list[Store], path: str) -> None:
    answer = await cluster.get(path)
    assert answer.status_code == 404
    assert answer.json()["message"] == "the server could not find the requested resource"


async def test_unknown_groups_are_plain_404(cluster: Cluster, stores: list[Store]) -> None:
    for path in ("/apis/unheard", "/apis/unheard/v1", "/apis/unheard/v1/things", "/elsewhere"):
        answer = await cluster.get(path)
        assert (answer.status_code, answer.text) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", SHOP, 'create is not supported on resources of kind "deployments.apps"'),
        ("PUT", f"{SHOP}/web", 'update is not supported on resources of kind "deployments.apps"'),
        ("PATCH", f"{SHOP}/web/status", 'patch is not supported on resources of kind "deployments.apps"'),
        ("DELETE", f"{SHOP}/web", 'delete is not supported on resources of kind "deployments.apps"'),
        ("DELETE", SHOP, 'deletecollection is not supported on resources of kind "deployments.apps"'),
        ("POST", "/api/v1/namespaces/shop/pods/web/exec", 'create is not supported on resources of kind "pods/exec"'),
        ("GET", "/api/v1/namespaces/shop/pods/web/log", 'get is not supported on resources of kind "pods/log"'),
        ("HEAD", SHOP, None),
        ("POST", "/api", None),
        ("POST", "/apis/apps/v1", None),
        ("POST", "/apis/apps/v1/deployments", None),
        ("DELETE", f"{SHOP}/web/status", None),
        ("DELETE", "/api/v1/namespaces", None),
    ],
)
async def test_nothing_can_be_written(
    cluster: Cluster, stores: list[Store], method: str, path: str, message: str | None
) -> None:
    answer = await cluster.get(path, method=method)
    assert answer.status_code == 405
    if message is not None:
        assert answer.json()["message"] == f"{message}: this is a read-only mirror"
        assert answer.json()["reason"] == "MethodNotAllowed"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", SHOP, attributes("create", namespace="shop")),
        ("POST", f"{SHOP}?watch=1&labelSelector=a", attributes("create", namespace="shop")),
        ("PUT", f"{SHOP}/web", attributes("update", namespace="shop", name="web")),
        ("PATCH", f"{SHOP}/web/status", attributes("patch", namespace="shop", name="web", subresource="status")),
        ("DELETE", f"{SHOP}/web", attributes("delete", namespace="shop", name="web")),
        (
            "DELETE",
            f"{SHOP}?labelSelector=a&fieldSelector=metadata.name%3Dweb",
            attributes("deletecollection", namespace="shop", label_selector="a", field_selector="metadata.name=web"),
        ),
        ("POST", "/apis/apps/v1/watch/namespaces/shop/deployments", attributes("watch", namespace="shop")),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            ResourceAttributes("create", "authorization.k8s.io", "v1", "subjectaccessreviews"),
        ),
        (
            "GET",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ResourceAttributes("list", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
        ),
        (
            "GET",
            "/apis/apps/v1/namespaces/shop",
            ResourceAttributes("get", "apps", "v1", "namespaces", namespace="shop", name="shop"),
        ),
        ("GET", "/apis/", PathAttributes("get", "/apis/")),
        ("GET", "/api/v1/", PathAttributes("get", "/api/v1/")),
        ("GET", "/apis/apps/v1//", PathAttributes("get", "/apis/apps/v1//")),
    ],
)
async def test_who_may_not_is_told_so_before_anything_else(
    cluster: Cluster,
    stores: list[Store],
    authorizer: Recorder,
    method: str,
    path: str,
    expected: ResourceAttributes | PathAttributes,
) -> None:
    """Whether a write would be taken is for those who may write; a path is reviewed as it is spelled."""
    authorizer.decision = Deny("")
    answer = await cluster.get(path, method=method)

    assert answer.status_code == 403
    assert authorizer.asked == [expected]
    assert f"cannot {expected.verb} " in answer.json()["message"]


async def test_impersonation_is_refused_and_not_ignored(cluster: Cluster, stores: list[Store]) -> None:
    answer = await cluster.get(SHOP, headers={"impersonate-user": "somebody"})
    assert answer.status_code == 403


@pytest.mark.looptime
async def test_a_stream_asks_again_when_its_decision_ends(
    cluster: Cluster, stores: list[Store], authorizer: Recorder
) -> None:
    loop = asyncio.get_running_loop()
    authorizer.decision = Allow(loop.time() + 10)
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=9") as stream:
        await stream.started()
        authorizer.decision = Allow(loop.time() + 25)
        await asyncio.sleep(11)
        assert len(authorizer.asked) == 2
        authorizer.decision = Deny("no more")
        event = await stream.next()
        assert event is not None
        assert (event["type"], event["object"]["code"]) == ("ERROR", 403)
        assert loop.time() == pytest.approx(25, abs=0.1)
        assert await stream.next() is None


async def test_access_reviews_are_answered_here(cluster: Cluster, stores: list[Store], authorizer: Recorder) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    async def status(**spec: object) -> dict[str, object]:
        answer = await cluster.get(path, method="POST", json={"spec": spec})
        assert answer.status_code == 201
        body = answer.json()
        assert (body["kind"], body["spec"]) == ("SelfSubjectAccessReview", spec)
        result: dict[str, object] = body["status"]
        return result

    assert await status(resourceAttributes={"verb": "list", "resource": "pods"}) == {"allowed": True}
    assert authorizer.asked[-1] == ResourceAttributes("list", "", "", "pods")
    assert (await status(resourceAttributes={"verb": "delete", "resource": "pods"}))["reason"] == "read-only mirror"
    authorizer.decision = Deny("not you")
    assert await status(nonResourceAttributes={"verb": "get", "path": "/x"}) == {"allowed": False, "reason": "not you"}
    assert (await cluster.get(path, method="POST", json={"spec": {}})).status_code == 422
    assert (await cluster.get(path, method="POST", content=b"{")).status_code == 400
    assert (await cluster.get(path)).status_code == 403
    authorizer.decision = Allow()
    assert (await cluster.get(path)).status_code == 405
    assert cluster.upstream.asked == []


async def test_access_reviews_are_read_from_protobuf(
    cluster: Cluster, stores: list[Store], authorizer: Recorder
) -> None:
    attributes_ = b"\x12\x04list\x1a\x04apps\x2a\x0bdeployments"
    spec = b"\x0a" + bytes([len(attributes_)]) + attributes_
    review = b"\x12" + bytes([len(spec)]) + spec
    body = b"k8s\x00" + b"\x12" + bytes([len(review)]) + review
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    headers = {"content-type": "application/vnd.kubernetes.protobuf"}
    answer = await cluster.get(path, method="POST", content=body, headers=headers)
    assert answer.json()["status"] == {"allowed": True}
    assert authorizer.asked == [ResourceAttributes("list", "apps", "", "deployments")]
    assert (await cluster.get(path, method="POST", content=body[:-3], headers=headers)).status_code == 400


async def test_a_mirror_of_some_namespaces_answers_for_these_alone(cluster: Cluster) -> None:
    store = cluster.add(DEPLOYMENTS, "shop", "tool")
    store.sync(9, store.object("web", 5))
    assert (await cluster.get(SHOP)).status_code == 200
    for path in ("/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/other/deployments"):
        answer = await cluster.get(path)
        assert answer.status_code == 403
        assert "these namespaces only: shop, tool" in answer.json()["message"]


async def test_a_store_that_is_not_complete_says_when_to_come_back(cluster: Cluster) -> None:
    store = cluster.add(DEPLOYMENTS)
    for path in (SHOP, f"{SHOP}/web", f"{SHOP}?watch=1"):
        answer = await cluster.get(path)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["details"]["retryAfterSeconds"] == 1
    cluster.now += 40
    assert (await cluster.get(SHOP)).headers["retry-after"] == "11"
    store.sync(9)
    assert (await cluster.get(SHOP)).status_code == 200


async def test_a_stale_store_serves_and_says_so(cluster: Cluster, stores: list[Store]) -> None:
    cluster.now += 30
    stores[0].phase(Phase.STALE, "connection refused")
    answer = await cluster.get(SHOP)
    assert answer.status_code == 200
    assert answer.headers["cache-status"] == "kubemirror; hit; detail=STALE"
    assert answer.headers["age"] == "30"


async def test_ordinary_reads_ask_nothing_of_upstream(cluster: Cluster, stores: list[Store]) -> None:
    for path in (SHOP, f"{SHOP}/web", "/apis", "/api/v1", "/api/v1/namespaces"):
        await cluster.get(path)
    assert cluster.upstream.asked == []
    assert isinstance(cluster.catalog.get("pods"), Entry)
