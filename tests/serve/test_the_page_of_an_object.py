"""The page of one object: verdict, rollout, what surrounds it, what changed; a definition's shows what it defines."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml
from bs4 import BeautifulSoup

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Apply
from tests.serve.conftest import Asking
from tests.serve.test_pages import page_at
from tests.serve.test_the_overview_tells_what_is_wrong import (
    PODS,
    REPLICA_SETS,
    condition,
    crashing,
    deployment,
    made,
    owned,
    resource,
)
from tests.serve.world import WIDGETS, Store, World

EVENTS = resource("events", "Event")
DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "customresourcedefinition",
    "CustomResourceDefinition",
    namespaced=False,
    versions=(ServedVersion("v1"),),
    short_names=("crd", "crds"),
)


def part(page: BeautifulSoup, name: str) -> str:
    found = page.select_one(f"[data-part={name}]")
    assert found is not None
    return " ".join(found.text.split())


def event(store: Store, version: int, uid: str, reason: str, count: int, minute: int, message: str) -> Any:
    return store.object(
        version,
        f"event-{version}",
        "blue",
        involvedObject={"kind": "Pod", "name": "web-1-0", "uid": uid},
        reason=reason,
        message=message,
        type="Warning" if reason == "BackOff" else "Normal",
        count=count,
        lastTimestamp=f"2026-01-02T03:{minute:02}:00Z",
    )


@pytest.fixture
def client(world: World, directly: Asking) -> httpx.AsyncClient:
    return directly(world)


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(deployment(store, 7, "web", "blue", ok=False, image="team/web:2@sha256:" + "ab" * 32))
    return store


@pytest.fixture
def around(world: World, store: Store) -> dict[str, Store]:
    stores = {each.plural: world.mirror(each) for each in (REPLICA_SETS, PODS, EVENTS)}
    sets, pods, events = stores.values()
    revisions = []
    for number, wanted in ((1, 0), (2, 1), (3, 2)):
        revision = {"annotations": {"deployment.kubernetes.io/revision": str(number)}}
        template = {"spec": {"containers": [{"name": "web", "image": f"team/web:{number}"}]}}
        spec, status = {"replicas": wanted, "template": template}, {"replicas": wanted, "readyReplicas": wanted // 2}
        owner = owned("Deployment", "uid-blue-web")
        fields: dict[str, Any] = {"metadata": revision, "spec": spec, "status": status}
        revisions.append(made(sets, number, f"web-{number}", "blue", owner, **fields))
    sets.sync(*revisions)
    pods.sync(
        crashing(pods, 8, "web-3-0", "blue", "uid-blue-web-3"),
        crashing(pods, 9, "another", "blue", "uid-of-another"),
    )
    events.sync(
        event(events, 10, "uid-blue-web-3-0", "BackOff", 3, 4, "older"),
        event(events, 11, "uid-blue-web-3-0", "BackOff", 4, 9, "newer"),
        event(events, 12, "uid-blue-web", "ScalingReplicaSet", 1, 5, "Scaled up"),
        event(events, 13, "uid-of-another", "Elsewhere", 1, 5, "of another"),
    )
    return stores


async def test_a_deployment_begins_with_its_verdict_and_the_rule(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deployments/blue/web")

    assert "Failed" in part(page, "verdict")
    assert "exceeded its progress deadline: 0 of 1 replicas are available" in part(page, "verdict")
    assert "Rule: kubectl rollout status: Progressing has reason ProgressDeadlineExceeded" in part(page, "verdict")
    assert "has timed out" in part(page, "conditions")
    assert [each.text for each in page.select("[data-part=images] .tag")] == ["2"]
    assert "sha256:abab" in part(page, "images")


async def test_the_rollout_is_told_from_the_old_revision_to_the_newest_with_its_pods(
    around: dict[str, Store], client: httpx.AsyncClient
) -> None:
    page = await page_at(client, "/resources/deployments/blue/web")
    cards = [" ".join(each.text.split()) for each in page.select(".revision")]

    assert [card.split(" ready")[0] for card in cards] == ["Revision 2 old 0/1", "Revision 3 newest 1/2"]
    assert "web-3-0: CrashLoopBackOff" in cards[1]
    assert page.select_one('.pods a[href="/resources/pods/blue/web-3-0"]') is not None
    assert "1 earlier revision" in part(page, "rollout")
    assert "another" not in part(page, "rollout")


async def test_events_of_it_and_what_it_owns_are_told_once_per_reason_the_newest_first(
    around: dict[str, Store], client: httpx.AsyncClient
) -> None:
    page = await page_at(client, "/resources/deployments/blue/web")
    events = [" ".join(each.text.split()) for each in page.select("[data-part=events] li")]

    assert len(events) == 2
    assert "BackOff 7 times" in events[0]
    assert events[0].endswith("newer")
    assert "ScalingReplicaSet" in events[1]


async def test_what_is_not_mirrored_is_named(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deployments/blue/web")

    assert "replicasets: not mirrored (--mirror replicasets.apps would)" in part(page, "rollout")
    assert "pods: not mirrored" in part(page, "rollout")
    assert "not mirrored (--mirror events would)" in part(page, "events")


async def test_a_pod_leads_to_its_owner_and_a_replica_set_to_what_it_owns(
    around: dict[str, Store], client: httpx.AsyncClient
) -> None:
    pod = await page_at(client, "/resources/pods/blue/web-3-0")
    replica_set = await page_at(client, "/resources/replicasets/blue/web-3")

    assert "CrashLoopBackOff" in part(pod, "verdict")
    assert "back-off 40s" in part(pod, "verdict")
    assert pod.select_one(".crumbs").text.endswith("owned by ReplicaSet x")  # type: ignore[union-attr]
    assert replica_set.select_one(".crumbs a[href='/resources/deployments.apps/blue/x']") is not None
    links = [str(each["href"]) for each in replica_set.select("[data-part=related] th a")]
    assert links == ["/resources/pods/blue/web-3-0"]


async def test_changes_are_told_with_what_was_before_and_where_they_begin(
    store: Store, client: httpx.AsyncClient
) -> None:
    before = await page_at(client, "/resources/deployments/blue/web")
    store.writer.handle(Apply(deployment(store, 101, "web", "blue", image="team/web:3")))
    store.relist(deployment(store, 102, "web", "blue", image="team/web:4"), resource_version=110)
    after = await page_at(client, "/resources/deployments/blue/web")

    assert "This replica remembers since" in part(before, "changes")
    assert "team/web: 2 → 3" in part(after, "changes")
    assert "team/web: 3 → 4" in part(after, "changes")
    assert "while it was not watched" in part(after, "changes")
    assert "Not watched from" in part(after, "changes")
    assert [each.text for each in after.select("[data-part=images] .tag")] == ["4", "3"]


async def test_a_page_is_made_anew_when_something_around_its_object_moved(
    around: dict[str, Store], client: httpx.AsyncClient
) -> None:
    await page_at(client, "/resources/deployments/blue/web")
    around["pods"].delete(101, "web-3-0", "blue")
    page = await page_at(client, "/resources/deployments/blue/web")

    assert page.select(".pods a") == []


async def test_a_page_follows_all_that_its_rollout_is_told_from(
    around: dict[str, Store], client: httpx.AsyncClient
) -> None:
    page = await page_at(client, "/resources/deployments/blue/web")
    facts = page.select_one("#facts")
    assert facts is not None

    assert facts["data-watch"] == (
        "/watch?resource=deployments.apps&resource=replicasets.apps&resource=pods&as=key&namespace=blue"
    )
    assert facts["data-cursor"] == "deployments.apps=100;replicasets.apps=100;pods=100"


async def test_a_custom_resource_has_a_verdict_and_its_status_as_facts(world: World, client: httpx.AsyncClient) -> None:
    widgets = world.mirror(WIDGETS)
    ready = condition("Ready", "False", "Broken", "no disk")
    status = {"conditions": [ready], "url": "https://w.example", "x": "javascript:1"}
    widgets.sync(widgets.object(7, "w", "blue", status=status))
    page = await page_at(client, "/resources/widgets/blue/w")

    assert "Ready is False, because Broken" in part(page, "verdict")
    links = page.select("#facts a")
    assert [(str(each["href"]), each["rel"]) for each in links] == [
        ("https://w.example", ["noopener", "noreferrer", "nofollow"])
    ]


SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 2, "description": "How large it is."},
                "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                "mode": {"type": "string", "enum": ["fast", "slow"]},
                "more": {"type": "object", "additionalProperties": {"type": "string"}},
                "port": {"x-kubernetes-int-or-string": True},
            },
        }
    },
}


def definition(store: Store, schema: Any) -> Any:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "Its size.", "priority": 1}]
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    old = {"name": "v1beta1", "served": True, "storage": False, "deprecated": True, "deprecationWarning": "use v1"}
    return store.object(
        7,
        "widgets.example.com",
        spec={
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                old,
                {**version, "schema": {"openAPIV3Schema": schema}, "additionalPrinterColumns": columns},
            ],
        },
        status={"conditions": [condition("Established", "True")]},
    )


async def test_a_definition_shows_its_versions_columns_and_schema(world: World, client: httpx.AsyncClient) -> None:
    definitions = world.mirror(DEFINITIONS)
    definitions.sync(definition(definitions, SCHEMA))
    world.mirror(WIDGETS).sync()
    page = await page_at(client, "/resources/crds/widgets.example.com")
    text = " ".join(page.get_text(" ").split())
    fields = {" ".join(each.parent.text.split()) for each in page.select(".tree .field")}  # type: ignore[union-attr]

    assert page.select_one('main a[href="/resources/widgets.example.com"]') is not None
    assert "deprecated use v1" in text
    assert "Size integer .spec.size when wide Its size." in text
    assert {"size integer required", "parts list of object", "mode string", "more map of string"} <= fields
    assert "port integer or string" in fields
    assert "How large it is." in text
    assert "default 2 · at least 1" in text
    assert "one of fast, slow" in text


async def test_a_schema_without_end_is_shown_as_far_as_it_can_be_read(world: World, client: httpx.AsyncClient) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {f"f{each}": {"type": "string"} for each in range(4000)}}
    for _ in range(60):
        schema = {"type": "object", "properties": {"deeper": schema}}
    definitions = world.mirror(DEFINITIONS)
    wide = {"properties": {f"f{each}": {"type": "string"} for each in range(4000)}}
    definitions.sync(definition(definitions, {"properties": {"wide": wide, "deep": schema}}))
    answer = await client.get("/resources/crds/widgets.example.com", headers={"accept": "text/html"})

    assert answer.status_code == 200
    assert "fields more" in answer.text
    assert len(answer.content) < 2_500_000


async def test_the_yaml_of_a_page_is_the_object_line_by_line(
    world: World, store: Store, client: httpx.AsyncClient
) -> None:
    notes = {"script": "#!/bin/sh\n\n\necho 1e3\n\n", "small": "08"}
    store.writer.handle(Apply(store.object(101, "web", "blue", annotations=notes)))
    page = await page_at(client, "/resources/deployments/blue/web")
    code = page.select_one("pre.yaml code")
    assert code is not None
    numbers = [each.extract().text for each in code.select("a.line")]
    form = (await client.get("/resources/deployments/blue/web?output=yaml")).text

    assert code.text == form
    assert numbers == [str(number + 1) for number in range(len(form.splitlines()))]
    assert yaml.safe_load(form)["metadata"]["annotations"] == notes
