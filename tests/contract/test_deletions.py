"""Deleting: what is answered, what waits, and what goes along."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.objects import config_map, deployment, owned_by
from tests.contract.servers import Server, named


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


async def names(server: Server, path: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await server.done("GET", path))["items"]]


async def test_a_deleted_object_is_answered_with_a_status(server: Server, namespace: str) -> None:
    path = deployments(namespace)
    uid = (await server.done("POST", path, deployment()))["metadata"]["uid"]

    assert await server.done("DELETE", f"{path}/web", {"propagationPolicy": "Background"}) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "web", "group": "apps", "kind": "deployments", "uid": uid},
    }
    assert (await server("GET", f"{path}/web")).status_code == 404


async def test_what_is_not_there_cannot_be_deleted(server: Server, namespace: str) -> None:
    answer = await server("DELETE", f"{deployments(namespace)}/nope")

    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


@pytest.mark.parametrize(
    ("preconditions", "message"),
    [
        ({"uid": "x"}, "the UID in the precondition (x) does not match the UID in record ({uid}). "),
        (
            {"resourceVersion": "1"},
            (
                "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record "
                "({resourceVersion}). "
            ),
        ),
    ],
)
async def test_preconditions_hold_a_deletion_back(
    server: Server, namespace: str, preconditions: Any, message: str
) -> None:
    path = deployments(namespace)
    held = (await server.done("POST", path, deployment()))["metadata"]

    answer = await server("DELETE", f"{path}/web", {"preconditions": preconditions})

    assert answer.status_code == 409
    told = answer.json()["message"]
    assert told.startswith(f'Operation cannot be fulfilled on Deployment.apps "web": {message.format_map(held)}')


async def test_preconditions_that_hold_let_it_pass(server: Server, namespace: str) -> None:
    path = deployments(namespace)
    held = (await server.done("POST", path, deployment()))["metadata"]
    preconditions = {"uid": held["uid"], "resourceVersion": held["resourceVersion"]}

    answer = await server.done("DELETE", f"{path}/web", {"preconditions": preconditions})

    assert answer["status"] == "Success"


async def test_an_unknown_propagation_is_refused(server: Server, namespace: str) -> None:
    path = deployments(namespace)
    await server.done("POST", path, deployment())

    answer = await server("DELETE", f"{path}/web", {"propagationPolicy": "Foo"})

    assert (answer.status_code, answer.json()["message"]) == (
        422,
        (
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": supported values: '
            '"Foreground", "Background", "Orphan", "nil"'
        ),
    )


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    created = await server.done("POST", path, config_map("a", finalizers=["x.io/y"]))
    async with server.watch(path, resourceVersion=created["metadata"]["resourceVersion"]) as events:
        going = await server.done("DELETE", f"{path}/a")
        again = await server.done("DELETE", f"{path}/a")
        added = await server(
            "PATCH",
            f"{path}/a",
            {"metadata": {"finalizers": ["x.io/y", "x.io/z"]}},
            content_type="application/merge-patch+json",
        )
        last = await server.patch(f"{path}/a", {"metadata": {"finalizers": None}})

        assert going["kind"] == "ConfigMap"
        assert going["metadata"]["deletionTimestamp"].endswith("Z")
        assert going["metadata"]["deletionGracePeriodSeconds"] == 0
        assert again["metadata"]["resourceVersion"] == going["metadata"]["resourceVersion"]
        assert added.status_code == 422
        assert added.json()["message"] == (
            'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object '
            'is being deleted, found new finalizers []string{"x.io/z"}'
        )
        assert "finalizers" not in last["metadata"]
        told = await events.take(2)
        assert [named(event) for event in told] == [("MODIFIED", "a"), ("DELETED", "a")]
    assert (await server("GET", f"{path}/a")).status_code == 404


async def test_the_deletions_resource_version_is_its_own(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    created = await server.done("POST", path, config_map("a"))
    async with server.watch(path, resourceVersion=created["metadata"]["resourceVersion"]) as events:
        await server.done("DELETE", f"{path}/a")
        event = await events.next()

    assert named(event) == ("DELETED", "a")
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    assert event["object"]["data"] == {"a": "b"}


async def test_a_collection_is_deleted_by_selector(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    for name, tier in (("a", "1"), ("b", "2"), ("c", "1")):
        await server.done("POST", path, config_map(name, labels={"tier": tier}))

    answer = await server.done("DELETE", path, labelSelector="tier=1")

    assert (answer["kind"], answer["apiVersion"]) == ("ConfigMapList", "v1")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "c"]
    assert all("kind" not in item for item in answer["items"])
    assert await names(server, path) == ["b"]


async def test_a_dry_run_deletes_nothing(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    await server.done("POST", path, config_map("a"))

    by_query = await server.done("DELETE", f"{path}/a", dryRun="All")
    by_body = await server.done("DELETE", f"{path}/a", {"dryRun": ["All"]})

    assert by_query == by_body
    assert by_body["status"] == "Success"
    assert await names(server, path) == ["a"]


# -- what the controllers do --------------------------------------------------------------------------------


@pytest.mark.controllers
async def test_dependents_go_with_their_owner_unless_another_lives(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    first = await server.done("POST", path, config_map("first"))
    second = await server.done("POST", path, config_map("second"))
    child = await server.done("POST", path, owned_by(first, "child"))
    await server.done("POST", path, owned_by(child, "grandchild"))
    await server.done("POST", path, owned_by(first, "shared", second))

    await server.done("DELETE", f"{path}/first")
    await server.gone(f"{path}/child", f"{path}/grandchild")
    shared = await server.until(f"{path}/shared", lambda answer: len(answer.json()["metadata"]["ownerReferences"]) == 1)

    assert [reference["name"] for reference in shared.json()["metadata"]["ownerReferences"]] == ["second"]
    assert {"second", "shared"} <= set(await names(server, path))


@pytest.mark.controllers
async def test_orphans_stay(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    owner = await server.done("POST", path, config_map("owner"))
    await server.done("POST", path, owned_by(owner, "child"))

    answer = await server.done("DELETE", f"{path}/owner", {"propagationPolicy": "Orphan"})
    await server.gone(f"{path}/owner")

    assert answer["metadata"]["finalizers"] == ["orphan"]
    child = await server.done("GET", f"{path}/child")
    assert "ownerReferences" not in child["metadata"]
    assert "deletionTimestamp" not in child["metadata"]


@pytest.mark.controllers
async def test_in_the_foreground_dependents_go_first(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    owner = await server.done("POST", path, config_map("owner"))
    child = await server.done("POST", path, owned_by(owner, "child", block=True))
    async with server.watch(path, resourceVersion=child["metadata"]["resourceVersion"]) as events:
        answer = await server.done("DELETE", f"{path}/owner", {"propagationPolicy": "Foreground"})
        told = [named(event) for event in await events.take(3)]

    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert told == [("MODIFIED", "owner"), ("DELETED", "child"), ("DELETED", "owner")]


@pytest.mark.controllers
async def test_in_the_foreground_an_owner_waits_for_nobody_who_does_not_block(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    owner = await server.done("POST", path, config_map("owner"))
    await server.done("POST", path, owned_by(owner, "child", finalizers=["x.io/y"]))

    await server.done("DELETE", f"{path}/owner", {"propagationPolicy": "Foreground"})
    await server.gone(f"{path}/owner")
    await server.until(f"{path}/child", lambda answer: "deletionTimestamp" in answer.json()["metadata"])

    await server.patch(f"{path}/child", {"metadata": {"finalizers": None}})
    await server.gone(f"{path}/child")


@pytest.mark.controllers
async def test_in_the_foreground_an_owner_waits_for_a_dependents_finalizer(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    owner = await server.done("POST", path, config_map("owner"))
    child = owned_by(owner, "child", finalizers=["x.io/y"], block=True)
    await server.done("POST", path, child)

    await server.done("DELETE", f"{path}/owner", {"propagationPolicy": "Foreground"})
    await server.until(f"{path}/child", lambda answer: "deletionTimestamp" in answer.json()["metadata"])
    waiting = await server("GET", f"{path}/owner")
    await server.patch(f"{path}/child", {"metadata": {"finalizers": None}})

    assert waiting.json()["metadata"]["finalizers"] == ["foregroundDeletion"]
    await server.gone(f"{path}/child", f"{path}/owner")


@pytest.mark.controllers
async def test_an_object_whose_owners_are_all_gone_is_collected(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    owner = await server.done("POST", path, config_map("owner"))
    await server.done("DELETE", f"{path}/owner")

    await server.done("POST", path, owned_by(owner, "late"))

    await server.gone(f"{path}/late")


@pytest.mark.controllers
@pytest.mark.parametrize(("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_what_owns_nothing_waits_for_the_collector_too(
    server: Server, namespace: str, propagation: str, finalizer: str
) -> None:
    path = config_maps(namespace)
    owner = await server.done("POST", path, config_map("owner"))
    async with server.watch(path, resourceVersion=owner["metadata"]["resourceVersion"]) as events:
        answer = await server.done("DELETE", f"{path}/owner", {"propagationPolicy": propagation})
        told = [named(event) for event in await events.take(2)]

    assert answer["metadata"]["finalizers"] == [finalizer]
    assert told == [("MODIFIED", "owner"), ("DELETED", "owner")]


@pytest.mark.controllers
async def test_a_namespace_takes_its_contents_along_and_waits_for_a_finalizer_in_it(
    server: Server, namespace: str
) -> None:
    # Both at once: a real controller looks at a namespace only after five seconds.
    other = await server.namespace()
    await server.done("POST", deployments(other), deployment())
    await server.done("POST", config_maps(other), config_map("a"))
    whole, path = f"/api/v1/namespaces/{namespace}", config_maps(namespace)
    await server.done("POST", path, config_map("held", finalizers=["x.io/y"]))

    await server.done("DELETE", f"/api/v1/namespaces/{other}")
    answer = await server.done("DELETE", whole)
    await server.gone(f"{deployments(other)}/web", f"{config_maps(other)}/a", f"/api/v1/namespaces/{other}")
    await server.until(f"{path}/held", lambda answer: "deletionTimestamp" in answer.json()["metadata"])
    late = await server("POST", path, config_map("late"))
    waiting = await server.done("GET", whole)
    await server.patch(f"{path}/held", {"metadata": {"finalizers": None}})
    await server.gone(f"{path}/held")

    assert answer["kind"] == "Namespace"
    assert answer["status"] == {"phase": "Terminating"}
    assert (waiting["status"]["phase"], waiting["spec"]) == ("Terminating", {"finalizers": ["kubernetes"]})
    assert late.status_code == 403
    assert late.json()["message"] == (
        f'configmaps "late" is forbidden: unable to create new content in namespace {namespace} because it is being '
        "terminated"
    )
    assert late.json()["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
