"""Which version runs where: right where version-rs is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.objects import Ingest, Object
from kubemirror.views.images import parse_image
from kubemirror.views.versions import versions

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("nginx", "nginx", "latest"),
        ("nginx:1.25", "nginx", "1.25"),
        ("localhost:5000/app", "localhost:5000/app", "latest"),
        ("localhost:5000/app:2.0", "localhost:5000/app", "2.0"),
        (f"app@{DIGEST}", "app", DIGEST),
        (f"reg:5000/a/b:1.0-rc.1@{DIGEST}", "reg:5000/a/b", "1.0-rc.1"),
        ("", "", "latest"),
        ("a:b:c", "a", "b:c"),
    ],
)
def test_images(reference: str, name: str, version: str) -> None:
    image = parse_image(reference)

    assert (image.name, image.version) == (name, version)


POD = {
    "containers": [{"name": "app", "image": f"reg:5000/web:1.2@{DIGEST}"}, {"name": "proxy", "image": "envoy"}],
    "initContainers": [
        {"name": "setup", "image": "busybox:1"},
        {"name": "logs", "image": "fluent:2", "restartPolicy": "Always"},
    ],
}


def resource(name: str) -> Resource:
    plural, _, group = name.partition(".")
    return Resource(group, "v1", plural, plural[:-1], plural[:-1], True, (ServedVersion("v1"),))


def held(spec: Any) -> Object:
    fields = {"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "1"}, "spec": spec}
    return Ingest(api_version="v1", kind="Any").object(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("deployments.apps", {"template": {"spec": POD}}),
        ("statefulsets.apps", {"template": {"spec": POD}}),
        ("daemonsets.apps", {"template": {"spec": POD}}),
        ("replicasets.apps", {"template": {"spec": POD}}),
        ("replicationcontrollers", {"template": {"spec": POD}}),
        ("jobs.batch", {"template": {"spec": POD}}),
        ("cronjobs.batch", {"jobTemplate": {"spec": {"template": {"spec": POD}}}}),
        ("pods", POD),
    ],
)
def test_every_workload_tells_exactly_four_fields(name: str, spec: dict[str, Any]) -> None:
    item = versions(held(spec), resource(name))

    assert item == {"container": "reg:5000/web", "name": "web", "namespace": "shop", "version": "1.2"}
    assert list(item) == ["container", "name", "namespace", "version"]


def test_wide_tells_every_container() -> None:
    item = versions(held({"template": {"spec": POD}}), resource("deployments.apps"), wide=True)

    assert item is not None
    assert item["image"] == f"reg:5000/web:1.2@{DIGEST}"
    assert item["digest"] == DIGEST
    assert [(each["name"], each["kind"], each["version"]) for each in item["containers"]] == [
        ("app", "container", "1.2"),
        ("proxy", "container", "latest"),
        ("setup", "init", "1"),
        ("logs", "sidecar", "2"),
    ]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("previewenvironments.platform9.com", {"image": "web:1"}),
        ("configmaps", {}),
        ("deployments.apps", {}),
        ("deployments.apps", {"template": {"spec": {"containers": []}}}),
        ("deployments.apps", {"template": "odd"}),
        ("cronjobs.batch", {"jobTemplate": {}}),
        ("pods", None),
    ],
)
def test_what_runs_nothing_has_no_version(name: str, spec: Any) -> None:
    assert versions(held(spec), resource(name)) is None
