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


def bar(group: str, name: str, color: str = "red", version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/{version}",
        "kind": "Bar",
        "metadata": {"name": name},
        "spec": {"color": color},
    }
