"""Both forms of discovery, their exact headers, and what is passed on from upstream."""

from __future__ import annotations

import pytest

from kubemirror.state.upstream import Document
from tests.api.cluster import Cluster, Store

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v=v2", "v=v2beta1")


async def test_legacy_documents(cluster: Cluster, deployments: Store, pods: Store, widgets: Store) -> None:
    assert (await cluster.get("/api")).json() == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }
    groups = (await cluster.get("/apis")).json()["groups"]
    assert [group["name"] for group in groups] == ["apps", "example.com"]
    assert [version["version"] for version in groups[1]["versions"]] == ["v1", "v1beta1"]
    assert groups[1]["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}
    assert (await cluster.get("/apis/apps/v1")).json() == {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "apps/v1",
        "resources": [
            {
                "name": "deployments",
                "singularName": "deployment",
                "namespaced": True,
                "kind": "Deployment",
                "verbs": ["get", "list", "watch"],
                "shortNames": ["deploy"],
                "categories": ["all"],
                "storageVersionHash": "8aSe+NMegvE=",
            },
            {
                "name": "deployments/status",
                "singularName": "",
                "namespaced": True,
                "kind": "Deployment",
                "verbs": ["get"],
            },
        ],
    }
    core = (await cluster.get("/api/v1")).json()
    assert "apiVersion" not in core
    beta = (await cluster.get("/apis/example.com/v1beta1")).json()
    assert [resource["name"] for resource in beta["resources"]] == ["widgets"]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (V2, V2),
        (V2BETA1, V2BETA1),
        (f"{V2},{V2BETA1},application/json", V2),
        (f"{V2BETA1},application/json", V2BETA1),
        ("application/json", "application/json"),
        (f"{V2.replace('v=v2', 'v=v3')},application/json", "application/json"),
    ],
)
async def test_the_content_type_is_exact_to_the_byte(
    cluster: Cluster, deployments: Store, accept: str, content_type: str
) -> None:
    for path in ("/api", "/apis"):
        assert (await cluster.get(path, accept=accept)).headers["content-type"] == content_type


async def test_aggregated_documents(cluster: Cluster, deployments: Store, pods: Store, widgets: Store) -> None:
    body = (await cluster.get("/apis", accept=V2)).json()
    assert (body["kind"], body["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    apps, custom = body["items"]
    assert apps["versions"][0]["resources"] == [
        {
            "resource": "deployments",
            "responseKind": {"group": "", "version": "", "kind": "Deployment"},
            "scope": "Namespaced",
            "singularResource": "deployment",
            "verbs": ["get", "list", "watch"],
            "shortNames": ["deploy"],
            "categories": ["all"],
            "subresources": [
                {
                    "subresource": "status",
                    "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                    "verbs": ["get"],
                }
            ],
        }
    ]
    kinds = [version["resources"][0]["responseKind"] for version in custom["versions"]]
    assert kinds == [
        {"group": "example.com", "version": "v1", "kind": "Widget"},
        {"group": "example.com", "version": "v1beta1", "kind": "Widget"},
    ]
    core = (await cluster.get("/api", accept=V2)).json()["items"]
    assert [group["metadata"] for group in core] == [{}]


async def test_an_etag_lasts_as_long_as_the_document(cluster: Cluster, deployments: Store, widgets: Store) -> None:
    first = await cluster.get("/apis", accept=V2)
    etag = first.headers["etag"]
    assert (first.headers["vary"], first.headers["cache-control"]) == ("Accept", "public")
    again = await cluster.get("/apis", accept=V2, headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    cluster.catalog.remove("widgets.example.com")
    changed = await cluster.get("/apis", accept=V2, headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_a_group_that_failed_upstream_is_stale(cluster: Cluster, deployments: Store) -> None:
    cluster.catalog.mark_stale("metrics.k8s.io", "v1beta1", "503")
    items = (await cluster.get("/apis", accept=V2)).json()["items"]
    assert items[1]["versions"] == [{"version": "v1beta1", "resources": [], "freshness": "Stale"}]
    assert items[0]["versions"][0]["freshness"] == "Current"


@pytest.mark.parametrize("path", ["/apis/metrics.k8s.io/v1beta1", "/apis/metrics.k8s.io/v1beta1/nodes"])
async def test_what_upstream_could_not_tell_of_is_unavailable_and_not_absent(
    cluster: Cluster, deployments: Store, path: str
) -> None:
    cluster.catalog.mark_stale("metrics.k8s.io", "v1beta1", "its service is down")
    answer = await cluster.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
    assert "its service is down" in answer.json()["message"]


async def test_version_and_openapi_are_passed_on_with_their_etag(cluster: Cluster) -> None:
    cluster.upstream.documents["/openapi/v3"] = Document(200, "application/json", b'{"paths":{}}', '"abc"')
    answer = await cluster.get("/openapi/v3")
    assert (answer.content, answer.headers["etag"]) == (b'{"paths":{}}', '"abc"')
    again = await cluster.get("/openapi/v3", headers={"if-none-match": '"abc"'})
    assert again.status_code == 304
    assert (await cluster.get("/openapi/../secrets")).status_code == 404
    assert set(cluster.upstream.asked) == {"/openapi/v3"}


async def test_head_is_what_upstream_makes_of_it(cluster: Cluster, deployments: Store, widgets: Store) -> None:
    async def head(path: str) -> int:
        answer = await cluster.get(path, method="HEAD")
        assert answer.content == b""
        code: int = answer.status_code
        return code

    assert await head("/apis") == 200
    assert await head("/api") == 405
    assert await head("/apis/apps/v1") == 405
    assert await head("/apis/apps/v1/deployments") == 405
    assert await head("/apis/example.com/v1/namespaces/shop/widgets/blue") == 200
    assert await head("/apis/example.com/v1/namespaces/shop/widgets/nope") == 404


async def test_a_mirror_that_does_not_know_all_resources_yet_denies_none(
    cluster: Cluster, deployments: Store, widgets: Store
) -> None:
    cluster.context.catalog.complete = False
    for path in ("/api", "/apis", "/apis/apps/v1", "/apis/new.example/v1", "/apis/new.example/v1/news", "/api/v1/pods"):
        answer = await cluster.get(path)
        assert answer.status_code == 503, path
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["reason"] == "ServiceUnavailable"
    assert (await cluster.get("/apis/apps/v1/deployments")).status_code == 200
    cluster.context.catalog.complete = True
    assert (await cluster.get("/apis")).status_code == 200
    assert (await cluster.get("/apis/new.example/v1/news")).status_code == 404
