"""/ tells what is wrong now, what changed and what runs in two versions; to each what it may see."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kubemirror.access.authorizer import (
    Allow,
    AllowNamespaces,
    Caller,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.serve.overview_model import Overview
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Apply, Phase
from tests.serve.conftest import Asking
from tests.serve.test_pages import page_at
from tests.serve.world import Store, World

JSON = {"accept": "application/json"}
TURNED = "2026-01-02T03:04:05Z"


def resource(name: str, kind: str) -> Resource:
    plural, _, group = name.partition(".")
    return Resource(group, "v1", plural, kind.lower(), kind, namespaced=True, versions=(ServedVersion("v1"),))


REPLICA_SETS, PODS, EVENTS = (
    resource("replicasets.apps", "ReplicaSet"),
    resource("pods", "Pod"),
    resource("events", "Event"),
)


def condition(type_: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": TURNED}


def deployment(
    store: Store, version: int, name: str, namespace: str, *, image: str = "team/web:1", ok: bool = True
) -> Any:
    progress = ("True", "NewReplicaSetAvailable") if ok else ("False", "ProgressDeadlineExceeded")
    status = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": int(ok)}
    return store.object(
        version,
        name,
        namespace,
        spec={"replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
        status={**status, "conditions": [condition("Progressing", *progress, "has timed out" if not ok else "")]},
    )


def owned(kind: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": uid, "controller": True}


def made(store: Store, version: int, name: str, namespace: str, owner: dict[str, Any], **fields: Any) -> Any:
    """An object with an owner."""
    body = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": TURNED,
            **fields.pop("metadata", {}),
            "ownerReferences": [owner],
        },
        **fields,
    }
    return store._ingest.object(json.dumps(body).encode(), json.dumps([name, "0/1", "3d", "x"]).encode())


def crashing(store: Store, version: int, name: str, namespace: str, owner: str) -> Any:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    return made(
        store,
        version,
        name,
        namespace,
        owned("ReplicaSet", owner),
        spec={"containers": [{"name": "web"}]},
        status={"phase": "Running", "containerStatuses": [{"name": "web", "state": waiting}]},
    )


@pytest.fixture
def client(world: World, directly: Asking) -> httpx.AsyncClient:
    return directly(world)


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        deployment(store, 7, "web", "blue", ok=False),
        deployment(store, 8, "api", "blue"),
        deployment(store, 9, "web", "green", image="team/web:2"),
    )
    return store


@pytest.fixture
def pods(world: World, store: Store) -> Store:
    sets, pods = world.mirror(REPLICA_SETS), world.mirror(PODS)
    status = {"replicas": 2, "availableReplicas": 0}
    sets.sync(made(sets, 7, "web-1", "blue", owned("Deployment", "uid-blue-web"), spec={"replicas": 2}, status=status))
    pods.sync(*(crashing(pods, 8 + each, f"web-1-{each}", "blue", "uid-blue-web-1") for each in range(2)))
    return pods


async def overview(client: httpx.AsyncClient) -> Overview:
    answer = await client.get("/", headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    return Overview.model_validate_json(answer.content)


async def test_what_is_not_as_wanted_is_told_once_with_what_is_below_it(pods: Store, client: httpx.AsyncClient) -> None:
    told = await overview(client)
    (failed,) = told.unhealthy

    assert (failed.namespace, failed.name, failed.word, failed.tone) == ("blue", "web", "Failed", "bad")
    assert failed.sentence == 'deployment "web" exceeded its progress deadline: 0 of 1 replicas are available'
    assert (failed.detail, failed.since) == ("has timed out", 1767323045.0)
    assert [(each.kind, each.word, each.count) for each in failed.because] == [("Pod", "CrashLoopBackOff", 2)]


async def test_a_rollout_whose_pods_fail_stands_before_those_that_are_under_way(
    pods: Store, store: Store, client: httpx.AsyncClient
) -> None:
    waiting = {"observedGeneration": 0, "replicas": 1, "updatedReplicas": 0}
    for version, name, uid in ((101, "aaa", "uid-blue-aaa"), (102, "web", "uid-blue-web")):
        store.writer.handle(Apply(store.object(version, name, "blue", uid=uid, spec={"replicas": 1}, status=waiting)))
    told = await overview(client)

    assert [(each.name, each.tone) for each in told.unhealthy] == [("web", "busy"), ("aaa", "busy")]


async def test_health_is_counted_by_kind_and_namespace_the_worst_first(pods: Store, client: httpx.AsyncClient) -> None:
    told = await overview(client)

    assert {each.kind: each.counts.told for each in told.health} == {
        "Deployment": [("bad", 1), ("good", 2)],
        "ReplicaSet": [("busy", 1)],
        "Pod": [("bad", 2)],
    }
    assert [(each.namespace, each.counts.bad, each.counts.total) for each in told.namespaces] == [
        ("blue", 3, 5),
        ("green", 0, 1),
    ]


async def test_a_pod_stands_for_itself_where_nobody_above_is_to_blame(
    world: World, store: Store, client: httpx.AsyncClient
) -> None:
    pods = world.mirror(PODS)
    pods.sync(crashing(pods, 8, "alone", "green", "uid-of-nobody"))
    told = await overview(client)

    assert [(each.kind, each.name) for each in told.unhealthy if each.namespace == "green"] == [("Pod", "alone")]


async def test_images_in_more_than_one_version_are_told_with_who_runs_them(
    store: Store, client: httpx.AsyncClient
) -> None:
    (drift,) = (await overview(client)).drift

    assert drift.image == "team/web"
    assert [(each.version, each.workloads, each.namespaces) for each in drift.versions] == [
        ("1", 2, ["blue"]),
        ("2", 1, ["green"]),
    ]


async def test_what_changed_is_told_with_who_and_from_what_to_what(store: Store, client: httpx.AsyncClient) -> None:
    await overview(client)  # the history begins
    store.writer.handle(Apply(deployment(store, 101, "api", "blue", image="team/web:3")))
    store.delete(102, "web", "green")
    told = await overview(client)

    assert [(each.type, each.name, each.meanings, each.there) for each in told.changes] == [
        ("DELETED", "web", [], False),
        ("MODIFIED", "api", ["image", "spec"], True),
    ]
    assert [(each.label, each.old, each.new) for each in told.changes[1].details] == [
        ("container web: image", "team/web:1", "team/web:3")
    ]


async def test_a_change_is_seen_in_all_of_it(store: Store, client: httpx.AsyncClient) -> None:
    before = await overview(client)
    store.writer.handle(Apply(deployment(store, 101, "web", "blue")))
    after = await overview(client)

    assert [len(before.unhealthy), len(after.unhealthy)] == [1, 0]
    assert [each.counts.bad for each in after.health] == [0]


async def test_the_page_shows_all_of_it_and_its_links_lead_somewhere(pods: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/")
    links = {str(each["href"]) for each in page.select("main a")}
    answers = {link: (await client.get(link, headers={"accept": "text/html"})).status_code for link in links}

    assert page.h1.text == "1 Deployment and 2 Pods are failing"  # type: ignore[union-attr]
    assert page.select_one('[data-part=unhealthy] a[href="/resources/deployments.apps/blue/web"]') is not None
    assert page.select_one('[data-part=unhealthy] a[href="/resources/pods/blue/web-1-0"]') is not None
    assert "team/web" in page.select_one("[data-part=drift]").text  # type: ignore[union-attr]
    assert set(answers.values()) == {200}


async def test_a_count_leads_to_the_objects_that_it_counts(pods: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/")
    counts = {part: page.select(f"[data-part={part}] a.count") for part in ("health", "namespaces")}
    totals = [
        ((await client.get(str(each["href"]), headers=JSON)).headers["kubemirror-total"], each.text.split()[0])
        for found in counts.values()
        for each in found
    ]

    assert [len(found) for found in counts.values()] == [4, 5]
    assert [told for told, _ in totals] == [shown for _, shown in totals]
    assert counts["health"][0]["href"] == "/resources/deployments.apps?filter=Mark%3D%3Dfailing"


async def test_curl_reads_the_same(pods: Store, client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"user-agent": "curl/8.5", "accept": "*/*"})

    assert 'Deployment blue/web: Failed: deployment "web" exceeded its progress deadline' in answer.text
    assert "team/web: 1 (2), 2 (1)" in answer.text
    assert "blue: 3 failing, 1 on the way, 1 as wanted" in answer.text
    assert "green: 1 as wanted" in answer.text


async def test_curl_reads_what_changed(store: Store, client: httpx.AsyncClient) -> None:
    await overview(client)  # the history begins
    store.writer.handle(Apply(deployment(store, 101, "api", "blue", image="team/web:3")))
    answer = await client.get("/", headers={"user-agent": "curl/8.5", "accept": "*/*"})

    change = "ago Deployment blue/api: image, spec: container web: image team/web:1 \N{RIGHTWARDS ARROW} team/web:3"
    assert change in answer.text


async def test_one_reason_is_told_once_and_all_that_is_stale_is_marked(
    world: World, pods: Store, client: httpx.AsyncClient
) -> None:
    reason = "connection refused: is the API server running there?"
    sets = world.mirror(REPLICA_SETS)
    sets.sync(sets.object(7, "web-1", "blue", spec={"replicas": 2}, status={"replicas": 2, "availableReplicas": 0}))
    for each in (pods, sets):
        each.phase(Phase.STALE, reason)
    page = await page_at(client, "/")
    banner = " ".join(page.select_one("#freshness").text.split())  # type: ignore[union-attr]

    assert banner.count(reason) == 1
    assert "running there? What you see of them may be out of date." in banner
    assert banner.startswith(("ReplicaSet, Pod: STALE", "Pod, ReplicaSet: STALE"))
    assert sorted(str(each.select_one(".tile-name").text) for each in page.select(".tile.stale")) == [  # type: ignore[union-attr]
        "Pod",
        "ReplicaSet",
    ]
    assert page.select("[data-part=namespaces] td.stale")
    assert page.select_one("#mirrored[data-partly]") is not None


async def test_an_overview_hears_at_once_that_its_connection_is_lost(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/")

    assert page.select_one("#mirrored")["data-watch"] == "/watch?resource=deployments.apps&as=key&changes=image"  # type: ignore[index]


class Confined:
    """Says no to pods and, of everything else, to all namespaces but one."""

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: object = None,
        held: object = None,
    ) -> Decision:
        if isinstance(attributes, PathAttributes):
            return Allow()
        if attributes.resource == "pods":
            return Deny("the test says so")
        if attributes.namespace == "green":
            return Allow()
        return AllowNamespaces(frozenset({"green"})) if partial else Deny("only green")


@pytest.fixture
async def confined(directly: Asking, world: World, pods: Store) -> httpx.AsyncClient:
    world.authorizer = Confined()
    return directly(world)


async def test_who_may_not_see_it_is_told_so_and_nothing_else(
    world: World, store: Store, confined: httpx.AsyncClient
) -> None:
    store.writer.handle(Apply(deployment(store, 101, "web", "blue", image="team/secret:3", ok=False)))
    told = await overview(confined)
    page = await page_at(confined, "/")

    assert told.unhealthy == told.changes == told.drift == []
    assert [each.namespace for each in told.namespaces] == ["green"]
    assert [each.resource for each in told.not_shown] == ["pods"]
    assert "the test says so" in told.not_shown[0].reason
    assert "Not shown: pods" in " ".join(page.select_one("[data-part=hidden]").text.split())  # type: ignore[union-attr]
    assert "secret" not in page.text
    assert "blue" not in page.text


async def test_what_surrounds_an_object_is_asked_for_by_itself(confined: httpx.AsyncClient) -> None:
    page = await page_at(confined, "/resources/deployments/green/web")

    assert (await confined.get("/resources/deployments/blue/web", headers=JSON)).status_code == 403
    assert "the test says so" in page.select_one("[data-part=rollout]").text  # type: ignore[union-attr]


async def test_the_model_is_in_the_contract(client: httpx.AsyncClient) -> None:
    contract = (await client.get("/-/openapi.json")).json()
    answer = contract["paths"]["/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

    assert answer["$ref"].endswith("/Overview")
    assert "notShown" in contract["components"]["schemas"]["Overview"]["properties"]
