"""Bodies of writes: one expectation, met by both servers."""

from __future__ import annotations

from tests.contract.objects import deployment
from tests.contract.servers import STRATEGIC_PATCH, Server


def path_of(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


async def test_a_created_deployment_comes_back_complete(server: Server, namespace: str) -> None:
    answer = await server("POST", path_of(namespace), deployment(labels={"a": "b"}), fieldManager="tests")
    body = answer.json()
    metadata = body["metadata"]

    assert answer.status_code == 201
    assert list(body) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert list(metadata) == [
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels", "managedFields",
    ]  # fmt: skip
    (managed,) = metadata["managedFields"]
    assert (managed["manager"], managed["operation"], managed["time"]) == (
        "tests", "Update", metadata["creationTimestamp"],
    )  # fmt: skip
    assert body["status"] == {}
    assert body["spec"] == {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "nginx:1",
                        "resources": {},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "imagePullPolicy": "IfNotPresent",
                    }
                ],
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "securityContext": {},
                "schedulerName": "default-scheduler",
            },
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }


async def test_generation_counts_changes_of_the_spec_only(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())

    labelled = await server.patch(f"{path}/web", {"metadata": {"labels": {"a": "b"}}})
    scaled = await server.patch(f"{path}/web", {"spec": {"replicas": 2}})
    unchanged = await server.patch(f"{path}/web", {"spec": {"replicas": 2}})
    status = await server.patch(f"{path}/web/status", {"status": {"replicas": 2}})
    annotated = await server.patch(f"{path}/web", {"metadata": {"annotations": {"a": "b"}}})

    generations = [obj["metadata"]["generation"] for obj in (labelled, scaled, unchanged, status, annotated)]
    assert generations == [1, 2, 2, 2, 3]  # of Deployments alone, annotations count
    assert unchanged == scaled  # not written again: the resourceVersion is the same


async def test_scale_is_a_view_of_the_replicas(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    created = (await server.done("POST", path, deployment()))["metadata"]

    scaled = await server.patch(f"{path}/web/scale", {"spec": {"replicas": 5}})

    assert int(scaled["metadata"].pop("resourceVersion")) > int(created["resourceVersion"])
    assert scaled == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": "web",
            "namespace": namespace,
            "uid": created["uid"],
            "creationTimestamp": created["creationTimestamp"],
        },
        "spec": {"replicas": 5},
        "status": {"replicas": 0, "selector": "app=web"},
    }
    read = await server.done("GET", f"{path}/web/scale")
    held = await server.done("GET", f"{path}/web")
    assert read["metadata"].pop("resourceVersion") == held["metadata"]["resourceVersion"]
    assert read == scaled
    assert held["spec"]["replicas"] == 5


async def test_the_server_keeps_its_own_metadata(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    before = (await server.done("POST", path, deployment()))["metadata"]
    patch = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 99, "labels": {"a": "b"}}}

    after = (await server.patch(f"{path}/web", patch))["metadata"]

    kept = ("uid", "creationTimestamp", "generation")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert after["labels"] == {"a": "b"}


async def test_status_and_spec_are_written_apart(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    created = await server.done("POST", path, {**deployment(), "status": {"replicas": 7}})
    through_spec = await server.patch(f"{path}/web", {"status": {"replicas": 7}})
    through_status = await server.patch(f"{path}/web/status", {"spec": {"replicas": 9}, "status": {"replicas": 1}})

    assert created["status"] == through_spec["status"] == {}
    assert (through_status["spec"]["replicas"], through_status["status"]) == (1, {"replicas": 1})


async def test_names_are_generated_from_a_prefix(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    made = [
        (await server.done("POST", path, {**deployment(), "metadata": {"generateName": "web-"}}))["metadata"]
        for _ in range(2)
    ]

    assert all(metadata["generateName"] == "web-" and len(metadata["name"]) == 9 for metadata in made)
    assert made[0]["name"] != made[1]["name"]


async def test_unknown_fields_and_empty_ones_are_not_kept(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"metadata": {"name": "a", "labels": {}, "annotations": {}, "foo": 1}, "data": {}, "foo": 1}

    created = await server.done("POST", path, body)

    assert list(created) == ["kind", "apiVersion", "metadata"]
    assert list(created["metadata"]) == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]


async def test_yaml_is_read_too(server: Server, namespace: str) -> None:
    body = b"metadata:\n  name: from-yaml\ndata:\n  a: b\n"

    answer = await server("POST", f"/api/v1/namespaces/{namespace}/configmaps", body, content_type="application/yaml")

    assert (answer.status_code, answer.json()["data"]) == (201, {"a": "b"})


async def test_a_strategic_patch_merges_containers_by_name(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())
    patch = {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}, {"name": "sidecar"}],
                    "containers": [{"name": "c", "image": "nginx:2"}, {"name": "sidecar", "image": "envoy:1"}],
                }
            }
        }
    }

    containers = (await server.patch(f"{path}/web", patch, STRATEGIC_PATCH))["spec"]["template"]["spec"]["containers"]

    assert [(one["name"], one["image"]) for one in containers] == [("c", "nginx:2"), ("sidecar", "envoy:1")]
    assert containers[0]["terminationMessagePath"] == "/dev/termination-log"


async def test_dry_run_changes_nothing(server: Server, namespace: str) -> None:
    path = path_of(namespace)

    held = await server.done("POST", path, deployment())
    created = await server.done("POST", path, deployment("dry"), dryRun="All")
    named = await server.done("POST", path, {**deployment(), "metadata": {"generateName": "gen-"}}, dryRun="All")
    scaled = await server.patch(f"{path}/web", {"spec": {"replicas": 9}}, dryRun="All")

    assert "resourceVersion" not in created["metadata"]
    assert named["metadata"]["name"].startswith("gen-")
    assert (scaled["spec"]["replicas"], scaled["metadata"]["generation"]) == (9, 2)
    assert (await server("GET", f"{path}/dry")).status_code == 404
    assert await server.done("GET", f"{path}/web") == held
