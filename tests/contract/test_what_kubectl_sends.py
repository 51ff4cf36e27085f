"""The requests kubectl 1.32 and 1.36 send, one command after the other, as recorded from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.objects import deployment, widgets
from tests.contract.recorded import CAN_I, CREATE_DEPLOYMENT, CREATE_NAMESPACE, WHO_AM_I
from tests.contract.servers import DEFINITIONS, JSON_PATCH, STRATEGIC_PATCH, Server

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def path_of(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


async def operations(server: Server, group_version: str) -> list[dict[str, Any]]:
    index = await server.until("/openapi/v3", lambda answer: group_version in answer.json()["paths"])
    url, _, query = index.json()["paths"][group_version]["serverRelativeURL"].partition("?")
    document = await server.done("GET", url, hash=query.removeprefix("hash="), timeout="32s")
    return [
        operation
        for path in document["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict) and "x-kubernetes-action" in operation
    ]


@pytest.mark.parametrize(("group_version", "kind"), [("apis/apps/v1", "Deployment"), ("api/v1", "Pod"), ("", "Widget")])
async def test_validation_is_left_to_the_server_for_every_kind(server: Server, group_version: str, kind: str) -> None:
    group = server.group()
    if kind == "Widget":
        await server.done("POST", DEFINITIONS, widgets(group))
    try:
        takes = {
            parameter["name"]
            for operation in await operations(server, group_version or f"apis/{group}/v1")
            if operation["x-kubernetes-group-version-kind"]["kind"] == kind
            and operation["x-kubernetes-action"] == "patch"
            for parameter in operation["parameters"]
            if "name" in parameter
        }
    finally:
        if kind == "Widget":
            await server.done("DELETE", f"{DEFINITIONS}/widgets.{group}")

    assert "fieldValidation" in takes


async def test_apply_creates_then_patches_what_differs(server: Server, namespace: str) -> None:
    query = {"fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"}
    path = path_of(namespace)
    first = deployment("ap", annotations={LAST_APPLIED: json.dumps(deployment("ap")) + "\n"})
    change = {
        "metadata": {"annotations": {LAST_APPLIED: "{}\n"}},
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}],
                    "containers": [{"image": "x:2", "name": "c"}],
                }
            }
        },
    }

    missing = await server("GET", f"{path}/ap")
    created = await server("POST", path, first, **query)
    applied = await server("PATCH", f"{path}/ap", change, content_type=STRATEGIC_PATCH, **query)

    assert [answer.status_code for answer in (missing, created, applied)] == [404, 201, 200]
    assert applied.json()["metadata"]["generation"] == 2
    assert applied.json()["spec"]["template"]["spec"]["containers"][0]["image"] == "x:2"


async def test_undo_replaces_template_and_annotations_by_json_patch(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())
    template = deployment()["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "nginx:0"
    patch = [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}},
    ]

    body = await server.patch(f"{path}/web", patch, JSON_PATCH)

    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:0"
    assert body["metadata"]["annotations"] == {"a": "b"}


async def test_delete_sends_its_options_in_the_body(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())

    answer = await server.done("DELETE", f"{path}/web", b'{"propagationPolicy":"Background"}\n')

    assert answer["status"] == "Success"
    assert (await server("GET", f"{path}/web")).status_code == 404


async def test_typed_commands_send_protobuf(server: Server) -> None:
    # The recorded bodies name their namespace: no other test uses it.
    answers = {
        "/api/v1/namespaces": CREATE_NAMESPACE,
        path_of("demo2"): CREATE_DEPLOYMENT,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews": WHO_AM_I,
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": CAN_I,
    }
    try:
        namespace, created, who, can = [
            await server("POST", path, body, content_type=PROTOBUF) for path, body in answers.items()
        ]
        assert [answer.status_code for answer in (namespace, created, who, can)] == [201] * 4
        assert created.json()["spec"]["replicas"] == 3
        assert created.json()["metadata"]["labels"] == {"app": "web"}
        assert who.json()["status"]["userInfo"]["username"] == "admin"
        assert can.json()["spec"]["resourceAttributes"] == {"namespace": "default", "verb": "list", "resource": "pods"}
        assert can.json()["status"] == {"allowed": True}
    finally:
        await server("DELETE", f"{path_of('demo2')}/web")
        await server("DELETE", "/api/v1/namespaces/demo2")
        # Where no controller does it, it is ended by hand.
        end = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo2"}, "spec": {"finalizers": []}}
        await server("PUT", "/api/v1/namespaces/demo2/finalize", end)
        await server.gone("/api/v1/namespaces/demo2")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"k8s\x00", CREATE_DEPLOYMENT[:40], CREATE_DEPLOYMENT.replace(b"apps/v1", b"beta/v1")],
    ids=["nothing", "JSON", "magic", "cut", "unknown"],
)
async def test_what_is_no_protobuf_is_refused(server: Server, namespace: str, body: bytes) -> None:
    answer = await server("POST", path_of(namespace), body, content_type=PROTOBUF)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
