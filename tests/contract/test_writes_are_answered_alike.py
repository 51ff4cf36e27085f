"""Bodies and refusals of writes: one expectation, met by both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.objects import deployment
from tests.contract.servers import JSON_PATCH, Server


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

    assert [obj["metadata"]["generation"] for obj in (labelled, scaled, unchanged, status)] == [1, 2, 2, 2]
    assert unchanged == scaled


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


async def test_what_was_deleted_is_told(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    uid = (await server.done("POST", path, deployment()))["metadata"]["uid"]

    assert await server.done("DELETE", f"{path}/web") == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "web", "group": "apps", "kind": "deployments", "uid": uid},
    }
    assert (await server("DELETE", f"{path}/web")).json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" not found',
        "reason": "NotFound",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


@pytest.mark.parametrize(
    ("body", "code", "reason", "message"),
    [
        (
            deployment(namespace="other"),
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (deployment(resourceVersion="5"), 500, "", "resourceVersion should not be set on objects to be created"),
        (
            {"metadata": {"name": "x"}},
            422,
            "Invalid",
            (
                'Deployment.apps "x" is invalid: [spec.selector: Required value, spec.template.metadata.labels: '
                "Invalid value: null: `selector` does not match template `labels`, spec.template.spec.containers: "
                "Required value]"
            ),
        ),
        (
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}},
            400,
            "BadRequest",
            (
                'Pod in version "v1" cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): '
                "unknown conversion"
            ),
        ),
    ],
)
async def test_a_create_is_refused(
    server: Server, namespace: str, body: Any, code: int, reason: str, message: str
) -> None:
    answer = await server("POST", path_of(namespace), body)

    told = answer.json()
    assert (answer.status_code, told["code"], told.get("reason", ""), told["message"]) == (code, code, reason, message)


async def test_what_cannot_be_written_over_is_a_conflict(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    old = await server.done("POST", path, deployment())
    await server.patch(f"{path}/web", {"spec": {"replicas": 2}})

    twice = (await server("POST", path, deployment())).json()
    stale = (await server("PUT", f"{path}/web", old)).json()
    test = [{"op": "test", "path": "/spec/replicas", "value": 5}]
    failed = (await server("PATCH", f"{path}/web", test, content_type=JSON_PATCH)).json()

    assert (twice["code"], twice["reason"], twice["message"]) == (
        409, "AlreadyExists", 'deployments.apps "web" already exists',
    )  # fmt: skip
    assert (stale["code"], stale["reason"], stale["message"]) == (
        409,
        "Conflict",
        (
            'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your '
            "changes to the latest version and try again"
        ),
    )
    assert (failed["code"], failed["reason"], failed["message"]) == (
        422, "Invalid", "the server rejected our request due to an error in our request",
    )  # fmt: skip


async def test_dry_run_changes_nothing(server: Server, namespace: str) -> None:
    path = path_of(namespace)

    body = await server.done("POST", path, deployment("dry"), dryRun="All")

    assert "resourceVersion" not in body["metadata"]
    assert (await server("GET", f"{path}/dry")).status_code == 404
