"""What is refused, with which code, reason and words: one expectation, met by both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.objects import deployment
from tests.contract.servers import JSON_PATCH, MERGE_PATCH, Server


def path_of(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def problem(body: dict[str, Any]) -> tuple[int, str, str]:
    return body["code"], body.get("reason", ""), body["message"]


@pytest.mark.parametrize(
    ("body", "code", "reason", "message"),
    [
        (
            deployment("Bad_Name"),
            422,
            "Invalid",
            (
                'Deployment.apps "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC '
                "1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
                "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ),
        ),
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
        (
            {**deployment(), "apiVersion": "apps/v1beta1"},
            400,
            "BadRequest",
            "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)",
        ),
        (
            deployment(labels={"bad label": "a"}),
            422,
            "Invalid",
            (
                'Deployment.apps "web" is invalid: metadata.labels: Invalid value: "bad label": name part must consist '
                "of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ),
        ),
        (
            deployment(labels={"a": "b c"}),
            422,
            "Invalid",
            (
                'Deployment.apps "web" is invalid: metadata.labels: Invalid value: "b c": a valid label must be an '
                "empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
                "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ),
        ),
        (
            deployment(replicas=-1),
            422,
            "Invalid",
            ('Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'),
        ),
    ],
)
async def test_a_create_is_refused(
    server: Server, namespace: str, body: Any, code: int, reason: str, message: str
) -> None:
    answer = await server("POST", path_of(namespace), body)

    assert (answer.status_code, *problem(answer.json())) == (code, code, reason, message)


async def test_the_causes_of_a_refusal_are_told_one_by_one(server: Server, namespace: str) -> None:
    answer = await server("POST", path_of(namespace), {"metadata": {"name": "x"}})

    assert answer.json()["details"] == {
        "name": "x",
        "group": "apps",
        "kind": "Deployment",
        "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
            {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: null: `selector` does not match template `labels`",
                "field": "spec.template.metadata.labels",
            },
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.template.spec.containers"},
        ],
    }


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{"name": "c"}], "spec.template.spec.containers[0].image: Required value"),
        (
            [{"name": "c", "image": "a"}, {"name": "c", "image": "b"}],
            'spec.template.spec.containers[1].name: Duplicate value: "c"',
        ),
        ([{"image": "a"}], "spec.template.spec.containers[0].name: Required value"),
    ],
)
async def test_containers_are_checked(server: Server, namespace: str, containers: Any, message: str) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"] = containers

    answer = await server("POST", path_of(namespace), body)

    assert problem(answer.json()) == (422, "Invalid", f'Deployment.apps "web" is invalid: {message}')


async def test_what_cannot_be_written_over_is_a_conflict(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    old = await server.done("POST", path, deployment())
    await server.patch(f"{path}/web", {"spec": {"replicas": 2}})

    twice = (await server("POST", path, deployment())).json()
    stale = (await server("PUT", f"{path}/web", old)).json()

    assert twice == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 409,
    }
    assert problem(stale) == (
        409,
        "Conflict",
        (
            'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your '
            "changes to the latest version and try again"
        ),
    )


async def test_an_update_of_another_uid_is_a_conflict(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    held = await server.done("POST", path, deployment())
    other = {**held, "metadata": {**held["metadata"], "uid": "0"}}

    answer = (await server("PUT", f"{path}/web", other)).json()

    assert problem(answer) == (
        409,
        "Conflict",
        (
            'Operation cannot be fulfilled on deployments.apps "web": StorageError: invalid object, Code: 4, Key: '
            f"/registry/deployments/{namespace}/web, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID "
            f"in precondition: 0, UID in object meta: {held['metadata']['uid']}"
        ),
    )


async def test_what_is_not_there_is_not_updated(server: Server, namespace: str) -> None:
    path = path_of(namespace)

    put = (await server("PUT", f"{path}/web", deployment())).json()
    patched = (await server("PATCH", f"{path}/web", {}, content_type=MERGE_PATCH)).json()

    assert problem(put) == problem(patched) == (404, "NotFound", 'deployments.apps "web" not found')


async def test_nothing_is_created_in_a_namespace_that_is_not_there(server: Server) -> None:
    answer = await server("POST", path_of("nowhere"), deployment())

    assert problem(answer.json()) == (404, "NotFound", 'namespaces "nowhere" not found')


async def test_identity_and_selector_cannot_change(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    obj = await server.done("POST", path, deployment())
    labels = {"matchLabels": {"app": "other"}}

    renamed = await server("PUT", f"{path}/web", {**obj, "metadata": {**obj["metadata"], "name": "other"}})
    moved = await server("PUT", f"{path}/web", {**obj, "metadata": {**obj["metadata"], "namespace": "other"}})
    selected = await server("PUT", f"{path}/web", {**obj, "spec": {**obj["spec"], "selector": labels}})

    assert problem(renamed.json()) == (
        400, "BadRequest", "the name of the object (other) does not match the name on the URL (web)",
    )  # fmt: skip
    assert problem(moved.json()) == (
        400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request",
    )  # fmt: skip
    assert problem(selected.json()) == (
        422,
        "Invalid",
        (
            'Deployment.apps "web" is invalid: [spec.template.metadata.labels: Invalid value: {"app":"web"}: '
            "`selector` does not match template `labels`, spec.selector: Invalid value: "
            '{"matchLabels":{"app":"other"}}: field is immutable]'
        ),
    )


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/spec/replicas", "value": 5}],
        [{"op": "remove", "path": "/spec/nope"}],
    ],
)
async def test_a_json_patch_that_does_not_apply_is_unprocessable(server: Server, namespace: str, patch: Any) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())

    answer = await server("PATCH", f"{path}/web", patch, content_type=JSON_PATCH)

    assert problem(answer.json()) == (
        422, "Invalid", "the server rejected our request due to an error in our request",
    )  # fmt: skip


@pytest.mark.parametrize("patch", [[{"op": "fly", "path": "/spec/replicas"}], {"spec": 1}, b"{"])
async def test_what_is_no_json_patch_is_refused(server: Server, namespace: str, patch: Any) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())

    answer = await server("PATCH", f"{path}/web", patch, content_type=JSON_PATCH)

    assert (answer.status_code, answer.json()["reason"]) in ((422, "Invalid"), (400, "BadRequest")), answer.text


async def test_types_are_checked_and_unknown_fields_refused_when_asked_strictly(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    wrong = await server("POST", path, {"metadata": {"name": "a"}, "data": {"a": 1}})
    strict = await server("POST", path, {"metadata": {"name": "a"}, "foo": 1}, fieldValidation="Strict")

    assert problem(wrong.json()) == (
        400,
        "BadRequest",
        (
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct '
            "field ConfigMap.data of type string"
        ),
    )
    assert problem(strict.json()) == (
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "foo"',
    )


async def test_an_immutable_config_map_is_not_changed(server: Server, namespace: str) -> None:
    path = config_maps(namespace)
    await server.done("POST", path, {"metadata": {"name": "a"}, "data": {"a": "b"}, "immutable": True})

    answer = await server("PATCH", f"{path}/a", {"data": {"a": "c"}}, content_type=MERGE_PATCH)

    assert problem(answer.json()) == (
        422,
        "Invalid",
        'ConfigMap "a" is invalid: data: Forbidden: field is immutable when `immutable` is set',
    )


async def test_media_types_that_are_not_read_are_415(server: Server, namespace: str) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment())
    created = await server("POST", path, b"x", content_type="text/plain")
    patched = await server("PATCH", f"{path}/web", b"{}", content_type="text/plain")

    assert problem(created.json()) == (
        415,
        "UnsupportedMediaType",
        (
            "the body of the request was in an unknown format - accepted media types include: application/json, "
            "application/yaml, application/vnd.kubernetes.protobuf"
        ),
    )
    assert problem(patched.json()) == (415, "UnsupportedMediaType", "415: Unsupported Media Type")


async def test_a_dry_run_is_all_or_none(server: Server, namespace: str) -> None:
    answer = await server("POST", path_of(namespace), deployment(), dryRun="Some")

    assert problem(answer.json()) == (
        422,
        "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
    )


async def test_who_may_only_read_writes_nothing(server: Server, namespace: str) -> None:
    answer = await server("POST", path_of(namespace), deployment(), token="reader-token")

    assert problem(answer.json()) == (
        403,
        "Forbidden",
        (
            'deployments.apps is forbidden: User "reader" cannot create resource "deployments" in API group "apps" in '
            f'the namespace "{namespace}"'
        ),
    )
