"""The scale subresource: autoscaling/v1 Scale as a view of spec.replicas and status.replicas."""

from __future__ import annotations

from typing import Any

from kubemirror.demo.refusal import bad_request, invalid, invalid_value
from kubemirror.state.catalog import Resource

Fields = dict[str, Any]

_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(resource: Resource, obj: Fields) -> Fields:
    """What GET .../scale answers. Custom resources tell no selector here."""
    metadata = obj["metadata"]
    labels = ((obj["spec"].get("selector") or {}).get("matchLabels") or {}) if not resource.custom else {}
    selector = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
    status = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _SHOWN if name in metadata},
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {**status, "selector": selector} if selector else status,
    }


def replicas_of(scale: Fields, name: str) -> int:
    """spec.replicas of a Scale that was sent; Refusal 400 or 422 where that is no count."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if not isinstance(replicas, int):
        message = "json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32"
        raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: {message}')
    if replicas < 0:
        cause = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", name, [cause])
    return replicas
