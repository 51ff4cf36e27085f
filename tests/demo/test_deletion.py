"""Deleting: what is answered, what waits, and what goes along."""

from __future__ import annotations

from typing import Any

import pytest

from kubemirror.demo.cluster import Cluster, DeleteOptions
from kubemirror.demo.refusal import Refusal
from tests.demo.api import CONFIGMAPS, DEPLOYMENTS, Client, deployment


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "b"}}


def owned_by(owner: dict[str, Any], name: str, *more: dict[str, Any]) -> dict[str, Any]:
    references = [
        {
            "apiVersion": one["apiVersion"],
            "kind": one["kind"],
            "name": one["metadata"]["name"],
            "uid": one["metadata"]["uid"],
        }
        for one in (owner, *more)
    ]
    return config_map(name, ownerReferences=references)


def names(cluster: Cluster, resource: str = "configmaps", namespace: str = "default") -> list[str]:
    return [obj["metadata"]["name"] for obj in cluster.objects(resource, namespace)]


async def test_a_deleted_object_is_answered_with_a_status(api: Client) -> None:
    uid = (await api("POST", DEPLOYMENTS, deployment())).json()["metadata"]["uid"]

    assert (await api("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Background"})).json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "web", "group": "apps", "kind": "deployments", "uid": uid},
    }
    assert (await api("GET", f"{DEPLOYMENTS}/web")).status == 404


@pytest.mark.parametrize(
    ("preconditions", "message"),
    [
        ({"uid": "x"}, "the UID in the precondition (x) does not match the UID in record"),
        ({"resourceVersion": "1"}, "the ResourceVersion in the precondition (1) does not match the ResourceVersion"),
    ],
)
async def test_preconditions_hold_a_deletion_back(api: Client, preconditions: Any, message: str) -> None:
    await api("POST", DEPLOYMENTS, deployment())

    answer = await api("DELETE", f"{DEPLOYMENTS}/web", {"preconditions": preconditions})

    assert answer.status == 409
    assert answer.json()["message"].startswith('Operation cannot be fulfilled on Deployment.apps "web": ')
    assert message in answer.json()["message"]


async def test_an_unknown_propagation_is_refused(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())

    answer = await api("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Foo"})

    assert answer.json()["message"] == (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": supported values: '
        '"Foreground", "Background", "Orphan", "nil"'
    )


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(api: Client) -> None:
    await api("POST", CONFIGMAPS, config_map("a", finalizers=["x.io/y"]))
    version = str(api.cluster.resource_version)
    async with api.watch(CONFIGMAPS, resourceVersion=version) as stream:
        going = (await api("DELETE", f"{CONFIGMAPS}/a")).json()
        added = await api.patch(f"{CONFIGMAPS}/a", {"metadata": {"finalizers": ["x.io/y", "x.io/z"]}})
        last = await api.patch(f"{CONFIGMAPS}/a", {"metadata": {"finalizers": None}})

        assert going["metadata"]["deletionTimestamp"] == "2027-01-15T08:00:00Z"
        assert added.status == 422
        assert "no new finalizers can be added if the object is being deleted" in added.json()["message"]
        assert last.status == 200
        assert await stream.events(2) == [("MODIFIED", "a"), ("DELETED", "a")]
    assert names(api.cluster) == []


async def test_the_deletions_resource_version_is_its_own(api: Client) -> None:
    created = (await api("POST", CONFIGMAPS, config_map("a"))).json()["metadata"]["resourceVersion"]
    async with api.watch(CONFIGMAPS, resourceVersion=created) as stream:
        await api("DELETE", f"{CONFIGMAPS}/a")
        type_, obj = await stream.event()

    assert type_ == "DELETED"
    assert int(obj["metadata"]["resourceVersion"]) == int(created) + 1


def test_dependents_go_with_their_owner_unless_another_lives(cluster: Cluster) -> None:
    first = cluster.create("configmaps", config_map("first"))
    second = cluster.create("configmaps", config_map("second"))
    cluster.create("configmaps", owned_by(first, "child"))
    grandchild = owned_by(cluster.read("configmaps", "child"), "grandchild")
    cluster.create("configmaps", grandchild)
    cluster.create("configmaps", owned_by(first, "shared", second))

    cluster.delete("configmaps", "first")

    assert names(cluster) == ["second", "shared"]
    references = cluster.read("configmaps", "shared")["metadata"]["ownerReferences"]
    assert [reference["name"] for reference in references] == ["second"]


def test_orphans_stay(cluster: Cluster) -> None:
    owner = cluster.create("configmaps", config_map("owner"))
    cluster.create("configmaps", owned_by(owner, "child"))

    cluster.delete("configmaps", "owner", options=DeleteOptions(propagation="Orphan"))

    assert names(cluster) == ["child"]
    assert "ownerReferences" not in cluster.read("configmaps", "child")["metadata"]


async def test_in_the_foreground_dependents_go_first(api: Client) -> None:
    cluster = api.cluster
    owner = cluster.create("configmaps", config_map("owner"))
    cluster.create("configmaps", owned_by(owner, "child"))
    async with api.watch(CONFIGMAPS, resourceVersion=str(cluster.resource_version)) as stream:
        answer = cluster.delete("configmaps", "owner", options=DeleteOptions(propagation="Foreground"))

        assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert await stream.events(3) == [("MODIFIED", "owner"), ("DELETED", "child"), ("DELETED", "owner")]


def test_in_the_foreground_an_owner_waits_for_a_dependents_finalizer(cluster: Cluster) -> None:
    owner = cluster.create("configmaps", config_map("owner"))
    child = owned_by(owner, "child")
    child["metadata"]["finalizers"] = ["x.io/y"]
    cluster.create("configmaps", child)

    cluster.delete("configmaps", "owner", options=DeleteOptions(propagation="Foreground"))
    waiting = names(cluster)
    cluster.patch("configmaps", "child", {"metadata": {"finalizers": None}})

    assert waiting == ["child", "owner"]
    assert names(cluster) == []


def test_an_object_whose_owners_are_all_gone_is_collected(cluster: Cluster) -> None:
    owner = cluster.create("configmaps", config_map("owner"))
    late = owned_by(owner, "late")
    cluster.delete("configmaps", "owner")

    cluster.create("configmaps", late)

    assert names(cluster) == []


def test_a_namespace_takes_its_contents_along(cluster: Cluster) -> None:
    cluster.create("namespaces", {"metadata": {"name": "gone"}})
    cluster.create("deployments.apps", deployment(), "gone")
    cluster.create("configmaps", config_map("held", finalizers=["x.io/y"]), "gone")

    answer = cluster.delete("namespaces", "gone")
    with pytest.raises(Refusal) as refused:
        cluster.create("configmaps", config_map("late"), "gone")
    remaining = names(cluster, namespace="gone") + names(cluster, "deployments.apps", "gone")
    cluster.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "gone")

    assert answer["status"] == {"phase": "Terminating"}
    assert str(refused.value) == (
        'configmaps "late" is forbidden: unable to create new content in namespace gone because it is being terminated'
    )
    assert remaining == ["held"]
    assert cluster.find("namespaces", "gone") is None


async def test_a_collection_is_deleted_by_selector(api: Client) -> None:
    for name, tier in (("a", "1"), ("b", "2"), ("c", "1")):
        await api("POST", CONFIGMAPS, config_map(name, labels={"tier": tier}))

    answer = (await api("DELETE", CONFIGMAPS, labelSelector="tier=1")).json()

    assert (answer["kind"], [item["metadata"]["name"] for item in answer["items"]]) == ("ConfigMapList", ["a", "c"])
    assert names(api.cluster) == ["b"]


async def test_what_is_not_there_cannot_be_deleted(api: Client) -> None:
    answer = await api("DELETE", f"{DEPLOYMENTS}/nope")

    assert (answer.status, answer.json()["message"]) == (404, 'deployments.apps "nope" not found')
