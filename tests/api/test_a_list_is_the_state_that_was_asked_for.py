"""resourceVersion by resourceVersionMatch by limit by continue, as KEP-2340 and a 1.36 server have it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

import pytest

from kubemirror.state.events import Bookmark
from kubemirror.state.store import DIGEST_MODULUS, identity_digest
from tests.api.cluster import DEPLOYMENTS, Cluster, Store, names

SHOP = "/apis/apps/v1/namespaces/shop/deployments"
ALL = "/apis/apps/v1/deployments"


async def test_lists_come_in_storage_order_with_the_lists_version(cluster: Cluster, deployments: Store) -> None:
    answer = await cluster.get(ALL)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["kind", "apiVersion", "metadata", "items"]
    assert (body["kind"], body["apiVersion"]) == ("DeploymentList", "apps/v1")
    assert body["metadata"] == {"resourceVersion": "100"}
    assert [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in body["items"]] == [
        ("shop", "api"),
        ("shop", "db"),
        ("shop", "web"),
        ("tool", "web"),
    ]


async def test_items_of_builtin_lists_leave_out_their_type_and_those_of_custom_ones_carry_it(
    cluster: Cluster, deployments: Store, widgets: Store
) -> None:
    builtin = (await cluster.get(SHOP)).json()["items"][0]
    assert list(builtin) == ["metadata", "spec"]
    answer = await cluster.get("/apis/example.com/v1/widgets")
    body = answer.json()
    assert list(body) == ["apiVersion", "items", "kind", "metadata"]
    assert body["metadata"] == {"continue": "", "resourceVersion": "50"}
    assert body["items"][0]["kind"] == "Widget"
    assert body["items"][0]["apiVersion"] == "example.com/v1"


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersionMatch=NotOlderThan", 422, "Invalid"),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersion=5&resourceVersionMatch=Newest", 422, "Invalid"),
        ("sendInitialEvents=true", 422, "Invalid"),
        ("resourceVersion=abc", 400, "BadRequest"),
        ("resourceVersion=-1", 400, "BadRequest"),
        ("resourceVersion=18446744073709551616", 400, "BadRequest"),
        ("limit=x", 400, "BadRequest"),
        ("limit=", 400, "BadRequest"),
        ("continue=abc", 400, "BadRequest"),
        ("labelSelector=a,,b", 400, "BadRequest"),
        ("fieldSelector=spec.x%3D1", 400, "BadRequest"),
        ("timeout=junk", 400, "BadRequest"),
        ("resourceVersion=99", 200, None),
        ("resourceVersion=0&limit=1", 200, None),
        ("resourceVersion=100&resourceVersionMatch=Exact", 200, None),
        ("resourceVersion=007", 200, None),
        ("limit=-1", 200, None),
        ("unknown=parameter", 200, None),
    ],
)
async def test_combinations_are_answered_with_upstreams_codes(
    cluster: Cluster, deployments: Store, query: str, code: int, reason: str | None
) -> None:
    answer = await cluster.get(f"{SHOP}?{query}")
    assert answer.status_code == code
    assert answer.json().get("reason") == reason


async def test_limit_is_ignored_at_version_0_because_reflectors_take_a_page_for_a_cacheless_server(
    cluster: Cluster, deployments: Store
) -> None:
    body = (await cluster.get(f"{ALL}?resourceVersion=0&limit=1")).json()
    assert len(body["items"]) == 4
    assert "continue" not in body["metadata"]


async def test_pages_keep_one_version_while_the_store_moves_on(cluster: Cluster, deployments: Store) -> None:
    first = (await cluster.get(f"{ALL}?limit=2")).json()
    assert first["metadata"]["remainingItemCount"] == 2
    token = first["metadata"]["continue"]
    deployments.delete("web", 101, labels={"app": "web"})
    deployments.apply("zoo", 102, namespace="tool")
    deployments.apply("web", 103, namespace="tool", spec={"replicas": 9})
    second = (await cluster.get(f"{ALL}?limit=2&continue={token}")).json()
    assert second["metadata"] == {"resourceVersion": "100"}
    assert [item["metadata"]["resourceVersion"] for item in second["items"]] == ["12", "13"]


async def test_a_replica_that_made_no_page_rolls_back_to_go_on(deployments: Store, cluster: Cluster) -> None:
    token = (await cluster.get(f"{ALL}?limit=2")).json()["metadata"]["continue"]
    other = Cluster()
    other.catalog.put(cluster.catalog.get("deployments.apps"))  # type: ignore[arg-type]
    deployments.delete("web", 101, labels={"app": "web"})
    deployments.apply("zoo", 102, namespace="shop")
    deployments.delete("zoo", 103, namespace="shop")
    answer = (await other.get(f"{ALL}?continue={token}")).json()
    assert answer["metadata"] == {"resourceVersion": "100"}
    assert [item["metadata"]["resourceVersion"] for item in answer["items"]] == ["12", "13"]


async def test_tokens_are_upstreams_so_that_it_can_go_on_with_them(cluster: Cluster, deployments: Store) -> None:
    token = (await cluster.get(f"{ALL}?limit=2")).json()["metadata"]["continue"]
    assert json.loads(base64.urlsafe_b64decode(token + "==")) == {
        "v": "meta.k8s.io/v1",
        "rv": 100,
        "start": "/shop/db\0",
    }
    token = (await cluster.get(f"{SHOP}?limit=2")).json()["metadata"]["continue"]
    assert json.loads(base64.urlsafe_b64decode(token + "=="))["start"] == "/db\0"


async def test_an_expired_token_is_410_with_one_that_goes_on_inconsistently(
    cluster: Cluster, deployments: Store
) -> None:
    token = (await cluster.get(f"{ALL}?limit=2")).json()["metadata"]["continue"]
    deployments.apply("web", 101, namespace="tool")
    deployments.delete("web", 102)
    deployments.writer.compact(102)
    answer = await cluster.get(f"{ALL}?continue={token}")
    assert answer.status_code == 410
    status = answer.json()
    assert status["reason"] == "Expired"
    rest = (await cluster.get(f"{ALL}?continue={status['metadata']['continue']}")).json()
    assert [item["metadata"]["resourceVersion"] for item in rest["items"]] == ["101"]
    assert rest["metadata"]["resourceVersion"] == "102"


async def test_a_token_and_a_version_exclude_each_other(cluster: Cluster, deployments: Store) -> None:
    token = (await cluster.get(f"{ALL}?limit=2")).json()["metadata"]["continue"]
    answer = await cluster.get(f"{ALL}?continue={token}&resourceVersion=100")
    assert answer.status_code == 400
    assert answer.json()["message"] == "specifying resource version is not allowed when using continue"
    assert (await cluster.get(f"{ALL}?continue={token}&resourceVersion=0")).status_code == 200


async def test_exact_is_the_state_at_that_version(cluster: Cluster, deployments: Store) -> None:
    deployments.delete("db", 101)
    deployments.apply("new", 102)
    exact = f"{SHOP}?resourceVersionMatch=Exact&resourceVersion="
    assert names(await cluster.get(f"{exact}100")) == ["api", "db", "web"]
    assert names(await cluster.get(f"{exact}101")) == ["api", "web"]
    assert names(await cluster.get(f"{exact}102")) == ["api", "new", "web"]
    gone = await cluster.get(f"{exact}99")
    assert gone.status_code == 410
    assert gone.json()["message"] == "The resourceVersion for the provided list is too old."


async def test_a_limit_at_a_version_pages_exactly_that_version(cluster: Cluster, deployments: Store) -> None:
    deployments.apply("aaa", 101)
    body = (await cluster.get(f"{SHOP}?resourceVersion=100&limit=1")).json()
    assert body["items"][0]["metadata"]["name"] == "api"
    assert body["metadata"]["resourceVersion"] == "100"
    body = (await cluster.get(f"{SHOP}?resourceVersion=100&limit=1&resourceVersionMatch=NotOlderThan")).json()
    assert body["items"][0]["metadata"]["name"] == "aaa"
    assert body["metadata"]["resourceVersion"] == "101"


async def test_selected_pages_count_matches_and_never_tell_what_remains(cluster: Cluster, deployments: Store) -> None:
    body = (await cluster.get(f"{ALL}?labelSelector=app%3Dweb&limit=1")).json()
    assert [item["metadata"]["namespace"] for item in body["items"]] == ["shop"]
    assert "remainingItemCount" not in body["metadata"]
    rest = (await cluster.get(f"{ALL}?labelSelector=app%3Dweb&limit=1&continue={body['metadata']['continue']}")).json()
    assert [item["metadata"]["namespace"] for item in rest["items"]] == ["tool"]


@pytest.mark.looptime
async def test_a_version_ahead_is_waited_for_and_then_refused(cluster: Cluster, deployments: Store) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    answer = await cluster.get(f"{SHOP}?resourceVersion=200")
    assert 3.0 <= loop.time() - before < 4.0
    assert answer.status_code == 504
    assert answer.headers["retry-after"] == "1"
    body = answer.json()
    assert body["message"] == "Timeout: Too large resource version: 200, current: 100"
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert (await cluster.get(f"{SHOP}/web?resourceVersion=200")).status_code == 504


@pytest.mark.looptime
async def test_a_version_that_arrives_in_time_is_answered(cluster: Cluster, deployments: Store) -> None:
    asyncio.get_running_loop().call_later(2, deployments.bookmark, 200)
    answer = await cluster.get(f"{SHOP}?resourceVersion=200")
    assert answer.status_code == 200
    assert answer.json()["metadata"]["resourceVersion"] == "200"


@pytest.mark.looptime
async def test_a_resource_set_to_be_consistent_waits_for_upstreams_version() -> None:
    cluster = Cluster(consistent=("deploy",))
    store = cluster.add(DEPLOYMENTS)
    store.sync(100, store.object("web", 10))
    cluster.upstream.version = 150
    asyncio.get_running_loop().call_later(0.1, lambda: store.apply("late", 150))
    assert names(await cluster.get(SHOP)) == ["late", "web"]
    assert cluster.upstream.asked == ["deployments.apps"]
    await cluster.get(f"{SHOP}?resourceVersion=0")
    assert cluster.upstream.asked == ["deployments.apps"]


async def listed(cluster: Cluster) -> list[str]:
    return names(await cluster.get(SHOP))


async def watched(cluster: Cluster) -> list[str]:
    """As client-go lists since 1.35: initial events, up to their end."""
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    told = []
    async with cluster.watch(f"{SHOP}?{query}") as stream:
        while (event := await stream.next()) and event["type"] == "ADDED":
            told.append(event["object"]["metadata"]["name"])
    return told


@pytest.mark.looptime
@pytest.mark.parametrize("asked", [listed, watched])
async def test_a_quiet_resource_is_consistent_by_its_digest(asked: Callable[[Cluster], Awaitable[list[str]]]) -> None:
    """It hears of the cluster's newest version in a bookmark only, up to a minute later."""
    cluster = Cluster(consistent=("deploy",))
    store = cluster.add(DEPLOYMENTS)
    store.sync(100, store.object("web", 10))
    cluster.upstream.version = 150
    cluster.upstream.sum = store.reader.digest()
    assert await asked(cluster) == ["web"]
    assert cluster.upstream.asked == ["deployments.apps", "digest of deployments.apps"]

    cluster.upstream.sum = (cluster.upstream.sum + identity_digest("uid-shop-late", 120)) % DIGEST_MODULUS
    asyncio.get_running_loop().call_later(1, lambda: store.apply("late", 120))
    assert await asked(cluster) == ["late", "web"]


@pytest.mark.looptime
async def test_what_never_comes_is_refused_after_its_time() -> None:
    cluster = Cluster(consistent=("deploy",))
    store = cluster.add(DEPLOYMENTS)
    store.sync(100, store.object("web", 10))
    cluster.upstream.version = 150
    assert (await cluster.get(SHOP)).status_code == 504


async def test_a_store_of_one_namespace_asks_for_no_more() -> None:
    cluster = Cluster(consistent=("deploy",))
    store = cluster.add(DEPLOYMENTS, "shop")
    store.sync(100, store.object("web", 10))
    assert names(await cluster.get(SHOP)) == ["web"]
    assert cluster.upstream.asked == ["deployments.apps shop"]


@pytest.mark.looptime
async def test_a_list_inside_a_gap_that_is_still_told_waits_for_its_end(cluster: Cluster, deployments: Store) -> None:
    deployments.writer.handle(Bookmark(100, gap=True))
    deployments.apply("web", 110)
    asked = asyncio.create_task(cluster.get(ALL))
    await asyncio.sleep(1)
    assert not asked.done()
    deployments.apply("api", 120)
    deployments.bookmark(130)

    assert (await asked).json()["metadata"] == {"resourceVersion": "130"}
    async with cluster.watch(f"{ALL}?watch=1&resourceVersion=130") as stream:
        deployments.apply("db", 140)
        event = await stream.next()
        assert event is not None
        assert event["object"]["metadata"]["name"] == "db"


@pytest.mark.looptime
async def test_a_gap_that_nobody_ends_refuses_no_list(cluster: Cluster, deployments: Store) -> None:
    deployments.writer.handle(Bookmark(100, gap=True))
    deployments.apply("web", 110)

    assert (await cluster.get(ALL)).json()["metadata"] == {"resourceVersion": "110"}
