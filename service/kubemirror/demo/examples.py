"""What the demo cluster holds when it starts: namespaces, nodes, three CustomResourceDefinitions and instances."""

from __future__ import annotations

from typing import Any

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.kinds import CONFIGMAPS, DEFINITIONS, NAMESPACES, NODES

Fields = dict[str, Any]

NAMESPACE_NAMES = ("shop", "payments", "search", "platform", "preview")
NODE_NAMES = ("node-a", "node-b", "node-c")
_WRITER = Options(manager="kubectl-create")

_STRING = {"type": "string"}
_CONDITIONS = {
    "type": "array",
    "items": {"type": "object", "properties": dict.fromkeys(("type", "status", "reason", "message"), _STRING)},
}


def _definition(
    plural: str,
    group: str,
    kind: str,
    *,
    spec: Fields,
    required: list[str],
    columns: list[Fields],
    short_names: list[str],
    status: Fields,
) -> Fields:
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": spec, "required": required},
            "status": {"type": "object", "properties": status},
        },
        "required": ["spec"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": short_names},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


PREVIEW_ENVIRONMENTS = _definition(
    "previewenvironments",
    "platform9.com",
    "PreviewEnvironment",
    spec={
        "image": {**_STRING, "minLength": 1, "description": "Image that is previewed."},
        "fqdn": {**_STRING, "description": "Where it can be seen."},
        "branch": _STRING,
        "owner": _STRING,
        "replicas": {"type": "integer", "minimum": 0, "default": 1},
        "ttlHours": {"type": "integer", "minimum": 1},
    },
    required=["image", "fqdn"],
    columns=[
        {"name": "Image", "type": "string", "jsonPath": ".spec.image"},
        {"name": "FQDN", "type": "string", "jsonPath": ".spec.fqdn"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Branch", "type": "string", "jsonPath": ".spec.branch", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
    short_names=["pe", "previewenv", "preview"],
    status={"phase": _STRING, "url": _STRING, "conditions": _CONDITIONS},
)

DOCUMENTS = _definition(
    "documents",
    "kube.rs",
    "Document",
    spec={
        "title": _STRING,
        "content": _STRING,
        "hide": {"type": "boolean", "default": False},
    },
    required=["title", "content"],
    columns=[
        {"name": "Title", "type": "string", "jsonPath": ".spec.title"},
        {"name": "Hidden", "type": "boolean", "jsonPath": ".status.hidden"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
    short_names=["doc"],
    status={"hidden": {"type": "boolean"}},
)

FOOS = _definition(
    "foos",
    "clux.dev",
    "Foo",
    spec={"name": _STRING, "info": _STRING, "replicas": {"type": "integer", "minimum": 0}},
    required=["name"],
    columns=[
        {"name": "Name", "type": "string", "jsonPath": ".spec.name"},
        {"name": "Info", "type": "string", "jsonPath": ".spec.info", "priority": 1},
        {"name": "Ready", "type": "boolean", "jsonPath": ".status.is_ok"},
    ],
    short_names=["f"],
    status={"is_ok": {"type": "boolean"}, "conditions": _CONDITIONS},
)


def furnish(cluster: Cluster) -> None:
    """Create all of it in an empty cluster."""
    for name in NAMESPACE_NAMES:
        labels = {"team": name, "environment": "preview" if name == "preview" else "production"}
        cluster.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}}, options=_WRITER)
    for index, name in enumerate(NODE_NAMES):
        cluster.create(NODES, _node(name, index), options=Options(manager="kubelet"))
        cluster.patch(NODES, name, _node_status(cluster.now(), index), subresource="status")
    for definition in (PREVIEW_ENVIRONMENTS, DOCUMENTS, FOOS):
        cluster.create(DEFINITIONS, definition, options=Options(manager="kubectl-client-side-apply"))
    for number, (branch, version) in enumerate((("main", "2.4.1"), ("search-facets", "2.5.0"), ("dark-mode", "2.5.1"))):
        cluster.create(
            "previewenvironments.platform9.com",
            {
                "metadata": {"name": f"web-{branch}", "labels": {"app": "web", "branch": branch}},
                "spec": {
                    "image": f"registry.example.com/shop/web:{version}",
                    "fqdn": f"{branch}.preview.example.com",
                    "branch": branch,
                    "owner": ("ana", "li", "sam")[number],
                    "ttlHours": 72,
                },
            },
            "preview",
            options=_WRITER,
        )
        phase = {
            "status": {"phase": "Ready" if number else "Progressing", "url": f"https://{branch}.preview.example.com"}
        }
        cluster.patch("previewenvironments.platform9.com", f"web-{branch}", phase, "preview", subresource="status")
    for name, title in (("welcome", "Welcome"), ("runbook", "When the shop is slow")):
        spec = {"title": title, "content": f"# {title}\n", "hide": name == "runbook"}
        cluster.create("documents.kube.rs", {"metadata": {"name": name}, "spec": spec}, "platform", options=_WRITER)
    for name in ("baz", "qux"):
        spec = {"name": name, "info": f"the unpatched {name}", "replicas": 1}
        cluster.create("foos.clux.dev", {"metadata": {"name": name}, "spec": spec}, "default", options=_WRITER)
    cluster.create(
        CONFIGMAPS,
        {"metadata": {"name": "shop-settings"}, "data": {"currency": "EUR", "checkout.yaml": "retries: 3\n"}},
        "shop",
        options=_WRITER,
    )


def _node(name: str, index: int) -> Fields:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{index + 1}",
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": {"podCIDR": f"10.244.{index}.0/24"}}


def _node_status(now: str, index: int) -> Fields:
    resources = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": f"192.168.0.{index + 10}"}],
            "nodeInfo": {
                "kubeletVersion": "v1.36.3",
                "osImage": "Demo Linux",
                "containerRuntimeVersion": "demo://1.0",
                "kernelVersion": "6.12.0",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }
    }
