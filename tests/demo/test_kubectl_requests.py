"""The requests kubectl 1.32 and 1.36 send, one command after the other, as recorded from them."""

from __future__ import annotations

import json
from typing import Any

from tests.demo.api import DEPLOYMENTS, JSON_PATCH, STRATEGIC, Client, definition, deployment

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


async def operations(api: Client, group_version: str) -> list[dict[str, Any]]:
    index = (await api("GET", "/openapi/v3", timeout="32s")).json()
    url, _, query = index["paths"][group_version]["serverRelativeURL"].partition("?")
    document = (await api("GET", url, hash=query.removeprefix("hash="), timeout="32s")).json()
    return [operation for path in document["paths"].values() for operation in path.values()]


async def test_validation_is_left_to_the_server_for_every_kind(api: Client) -> None:
    await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition())
    for group_version, kind in (("apis/apps/v1", "Deployment"), ("api/v1", "Pod"), ("apis/example.dev/v1", "Widget")):
        takes = {
            parameter["name"]
            for operation in await operations(api, group_version)
            if operation["x-kubernetes-group-version-kind"]["kind"] == kind
            and operation["x-kubernetes-action"] == "patch"
            for parameter in operation["parameters"]
        }

        assert "fieldValidation" in takes


async def test_apply_creates_then_patches_what_differs(api: Client) -> None:
    query = {"fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"}
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

    missing = await api("GET", f"{DEPLOYMENTS}/ap")
    created = await api("POST", DEPLOYMENTS, first, **query)
    applied = await api.patch(f"{DEPLOYMENTS}/ap", change, STRATEGIC, **query)

    assert [answer.status for answer in (missing, created, applied)] == [404, 201, 200]
    assert applied.json()["metadata"]["generation"] == 2
    assert applied.json()["spec"]["template"]["spec"]["containers"][0]["image"] == "x:2"


async def test_scale_reads_then_merges_into_the_subresource(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
    answer = await api.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 5}})

    assert (answer.json()["kind"], answer.json()["spec"]) == ("Scale", {"replicas": 5})


async def test_undo_replaces_template_and_annotations_by_json_patch(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
    template = deployment()["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "nginx:0"
    patch = [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}},
    ]

    body = (await api.patch(f"{DEPLOYMENTS}/web", patch, JSON_PATCH)).json()

    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:0"
    assert body["metadata"]["annotations"] == {"a": "b"}


async def test_delete_sends_its_options_in_the_body(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
    answer = await api("DELETE", f"{DEPLOYMENTS}/web", b'{"propagationPolicy":"Background"}\n')

    assert answer.json()["status"] == "Success"
    assert (await api("GET", f"{DEPLOYMENTS}/web")).status == 404
