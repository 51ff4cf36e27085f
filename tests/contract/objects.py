"""What the tests write."""

from __future__ import annotations

from typing import Any

OPEN = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
V1: dict[str, Any] = {"name": "v1", "served": True, "storage": True, "schema": OPEN}
V2: dict[str, Any] = {"name": "v2", "served": True, "storage": False, "schema": OPEN}
COLOR = {"name": "Color", "type": "string", "jsonPath": ".spec.color"}


def deployment(name: str = "web", *, image: str = "nginx:1", replicas: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    }


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "b"}}


def owned_by(
    owner: dict[str, Any], name: str, *more: dict[str, Any], block: bool = False, **metadata: Any
) -> dict[str, Any]:
    """A config map that these own. block: whether the first one waits for it when deleted in the foreground."""
    references = [
        {
            "apiVersion": one["apiVersion"],
            "kind": one["kind"],
            "name": one["metadata"]["name"],
            "uid": one["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block and one is owner else {}),
        }
        for one in (owner, *more)
    ]
    return config_map(name, ownerReferences=references, **metadata)


def definition(group: str, *versions: dict[str, Any], kind: str = "Bar") -> dict[str, Any]:
    """``bars.<group>``, namespaced, of one open version v1 unless others are given."""
    plural = kind.lower() + "s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": list(versions or (V1,)),
        },
    }


def widgets(group: str, **version: Any) -> dict[str, Any]:
    """``widgets.<group>`` with a schema, defaults and a status, of one version v1 with these fields besides."""
    spec = {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "minLength": 2},
            "size": {"type": "integer", "minimum": 1, "default": 3},
            "mode": {"type": "string", "enum": ["a", "b"]},
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    **version,
                }
            ],
        },
    }


def widget(group: str, name: str = "one", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"image": "nginx:1", **spec},
    }


def bar(group: str, name: str, color: str = "red", version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/{version}",
        "kind": "Bar",
        "metadata": {"name": name},
        "spec": {"color": color},
    }
