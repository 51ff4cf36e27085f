"""Codes, reasons, messages and bodies of writes, as a kube-apiserver 1.36 gives them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.demo.api import CONFIGMAPS, DEPLOYMENTS, JSON_PATCH, STRATEGIC, Client, deployment


def problem(body: dict[str, Any]) -> tuple[int, str, str]:
    return body["code"], body.get("reason", ""), body["message"]


async def test_a_created_deployment_comes_back_complete(api: Client) -> None:
    answer = await api("POST", DEPLOYMENTS, deployment(), fieldManager="kubectl-create")
    body = answer.json()

    assert answer.status == 201
    assert list(body) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert list(body["metadata"]) == [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
    ]
    assert body["metadata"]["generation"] == 1
    assert body["metadata"]["creationTimestamp"] == "2027-01-15T08:00:00Z"
    assert body["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert (body["spec"]["replicas"], body["spec"]["revisionHistoryLimit"]) == (1, 10)
    assert body["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert body["status"] == {}


async def test_managed_fields_name_the_manager_and_the_fields(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment(), fieldManager="kubectl-create")
    await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 4}}, fieldManager="scaler")
    body = (await api.patch(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 4}}, fieldManager="ctl")).json()

    created, scaled, status = body["metadata"]["managedFields"]
    assert (created["manager"], created["operation"], created["apiVersion"]) == ("kubectl-create", "Update", "apps/v1")
    containers = created["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert list(containers) == ['k:{"name":"c"}']
    assert "f:replicas" not in created["fieldsV1"]["f:spec"]
    assert (scaled["manager"], scaled["fieldsV1"]) == ("scaler", {"f:spec": {"f:replicas": {}}})
    assert (status["subresource"], status["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})


async def test_the_user_agent_is_the_manager_where_none_is_named(api: Client) -> None:
    body = (await api("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"x": "y"}})).json()

    assert [entry["manager"] for entry in body["metadata"]["managedFields"]] == ["kubectl"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            deployment("Bad_Name"),
            (
                422,
                "Invalid",
                (
                    'Deployment.apps "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC '
                    "1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
                    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                ),
            ),
        ),
        (
            {"metadata": {"name": "x"}},
            (
                422,
                "Invalid",
                (
                    'Deployment.apps "x" is invalid: [spec.selector: Required value, spec.template.metadata.labels: '
                    "Invalid value: null: `selector` does not match template `labels`, spec.template.spec.containers: "
                    "Required value]"
                ),
            ),
        ),
        (
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}},
            (
                400,
                "BadRequest",
                (
                    'Pod in version "v1" cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): '
                    "unknown conversion"
                ),
            ),
        ),
        (
            deployment(namespace="other"),
            (
                400,
                "BadRequest",
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
        ),
        (deployment(resourceVersion="5"), (500, "", "resourceVersion should not be set on objects to be created")),
    ],
)
async def test_a_create_is_refused_in_upstreams_words(api: Client, body: Any, wanted: tuple[int, str, str]) -> None:
    answer = await api("POST", DEPLOYMENTS, body)

    assert problem(answer.json()) == wanted
    assert answer.status == wanted[0]


async def test_what_exists_is_not_created_again(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())

    assert (await api("POST", DEPLOYMENTS, deployment())).json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 409,
    }


async def test_nothing_is_created_in_a_namespace_that_is_not_there(api: Client) -> None:
    answer = await api("POST", "/apis/apps/v1/namespaces/nowhere/deployments", deployment())

    assert problem(answer.json()) == (404, "NotFound", 'namespaces "nowhere" not found')


async def test_an_update_of_an_older_version_is_a_conflict(api: Client) -> None:
    old = (await api("POST", DEPLOYMENTS, deployment())).json()
    await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 2}})

    answer = await api("PUT", f"{DEPLOYMENTS}/web", old)

    assert problem(answer.json()) == (
        409,
        "Conflict",
        (
            'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your '
            "changes to the latest version and try again"
        ),
    )


async def test_identity_and_selector_cannot_change(api: Client) -> None:
    obj = (await api("POST", DEPLOYMENTS, deployment())).json()

    renamed = await api("PUT", f"{DEPLOYMENTS}/web", {**obj, "metadata": {**obj["metadata"], "name": "other"}})
    labels = {"matchLabels": {"app": "other"}}
    selected = await api("PUT", f"{DEPLOYMENTS}/web", {**obj, "spec": {**obj["spec"], "selector": labels}})

    assert problem(renamed.json())[2] == "the name of the object (other) does not match the name on the URL (web)"
    assert selected.status == 422
    assert (
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable'
        in selected.json()["message"]
    )


async def test_the_server_keeps_its_own_metadata(api: Client) -> None:
    before = (await api("POST", DEPLOYMENTS, deployment())).json()["metadata"]
    patch = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 99, "labels": {"a": "b"}}}

    after = (await api.patch(f"{DEPLOYMENTS}/web", patch)).json()["metadata"]

    kept = ("uid", "creationTimestamp", "generation")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert after["labels"] == {"a": "b"}


async def test_generation_counts_changes_of_the_spec_only(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
    labelled = (await api.patch(f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"a": "b"}}})).json()
    scaled = (await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 2}})).json()
    status = (await api.patch(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 2}})).json()

    assert [obj["metadata"]["generation"] for obj in (labelled, scaled, status)] == [1, 2, 2]


async def test_a_write_that_changes_nothing_writes_nothing(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
    first = (await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 2}})).json()
    second = (await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 2}})).json()

    assert second == first


async def test_status_and_spec_are_written_apart(api: Client) -> None:
    await api("POST", DEPLOYMENTS, {**deployment(), "status": {"replicas": 7}})
    through_spec = (await api.patch(f"{DEPLOYMENTS}/web", {"status": {"replicas": 7}})).json()
    through_status = (
        await api.patch(f"{DEPLOYMENTS}/web/status", {"spec": {"replicas": 9}, "status": {"replicas": 1}})
    ).json()

    assert through_spec["status"] == {}
    assert (through_status["spec"]["replicas"], through_status["status"]) == (1, {"replicas": 1})


async def test_scale_is_a_view_of_the_replicas(api: Client) -> None:
    created = (await api("POST", DEPLOYMENTS, deployment())).json()
    scaled = (await api.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 5}})).json()

    assert scaled == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": created["metadata"]["uid"],
            "resourceVersion": str(int(created["metadata"]["resourceVersion"]) + 1),
            "creationTimestamp": created["metadata"]["creationTimestamp"],
        },
        "spec": {"replicas": 5},
        "status": {"replicas": 0, "selector": "app=web"},
    }
    assert (await api("GET", f"{DEPLOYMENTS}/web/scale")).json() == scaled
    assert (await api("GET", f"{DEPLOYMENTS}/web")).json()["spec"]["replicas"] == 5


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/spec/replicas", "value": 5}],
        [{"op": "remove", "path": "/spec/nope"}],
        [{"op": "fly", "path": "/spec/replicas"}],
        {"spec": 1},
    ],
)
async def test_a_json_patch_that_does_not_apply_is_unprocessable(api: Client, patch: Any) -> None:
    await api("POST", DEPLOYMENTS, deployment())

    answer = await api.patch(f"{DEPLOYMENTS}/web", patch, JSON_PATCH)

    assert problem(answer.json()) == (
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    )


async def test_dry_run_changes_nothing(api: Client) -> None:
    before = api.cluster.resource_version
    named = {**deployment(), "metadata": {"generateName": "gen-"}}
    body = (await api("POST", DEPLOYMENTS, named, dryRun="All")).json()
    refused = await api("POST", DEPLOYMENTS, named, dryRun="Some")

    assert "resourceVersion" not in body["metadata"]
    assert body["metadata"]["name"].startswith("gen-")
    assert api.cluster.resource_version == before
    assert problem(refused.json()) == (
        422,
        "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
    )


async def test_types_are_checked_and_unknown_fields_dropped_or_refused(api: Client) -> None:
    wrong = await api("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"a": 1}})
    strict = await api("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "foo": 1}, fieldValidation="Strict")
    loose = await api("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "foo": 1})

    assert problem(wrong.json())[2] == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct '
        "field ConfigMap.data of type string"
    )
    assert problem(strict.json())[2] == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "foo"'
    )
    assert "foo" not in loose.json()


async def test_media_types_that_are_not_read_are_415(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
    created = await api("POST", DEPLOYMENTS, b"x", content_type="text/plain")
    applied = await api.patch(f"{DEPLOYMENTS}/web", {}, "application/apply-patch+yaml")

    assert problem(created.json()) == (
        415,
        "UnsupportedMediaType",
        (
            "the body of the request was in an unknown format - accepted media types include: application/json, "
            "application/yaml, application/vnd.kubernetes.protobuf"
        ),
    )
    assert applied.status == 415
    assert "without --server-side" in applied.json()["message"]


async def test_yaml_is_read_too(api: Client) -> None:
    body = b"metadata:\n  name: from-yaml\ndata:\n  a: b\n"

    answer = await api("POST", CONFIGMAPS, body, content_type="application/yaml")

    assert (answer.status, answer.json()["data"]) == (201, {"a": "b"})


async def test_a_strategic_patch_merges_containers_by_name(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())
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

    body = (await api.patch(f"{DEPLOYMENTS}/web", patch, STRATEGIC)).json()

    containers = body["spec"]["template"]["spec"]["containers"]
    assert [(one["name"], one["image"]) for one in containers] == [("c", "nginx:2"), ("sidecar", "envoy:1")]
    assert containers[0]["terminationMessagePath"] == "/dev/termination-log"
