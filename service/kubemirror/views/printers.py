"""What kube-apiserver prints for the built-in resources that the demo cluster serves.

Columns and cells as kubernetes' pkg/printers/internalversion; the mirror itself takes upstream's cells and
needs none of this. ``definitions.json`` holds the columnDefinitions, texts included, by resource name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import orjson

from kubemirror.views.duration import UNKNOWN, age, timestamp
from kubemirror.views.pods import summary

Fields = Mapping[str, Any]
NONE = "<none>"


@cache
def _definitions() -> dict[str, Any]:
    text = resources.files("kubemirror.views").joinpath("definitions.json").read_bytes()
    return dict(orjson.loads(text))


def built_in_definitions(name: str) -> bytes | None:
    """columnDefinitions (JSON) of a built-in resource such as ``deployments.apps``; None where it is not known."""
    definitions = _definitions().get(name)
    return None if definitions is None else orjson.dumps(definitions)


def built_in_cells(name: str, fields: Fields, now: float) -> list[Any]:
    """The cells of one object of that resource; ``now`` in seconds since 1970. KeyError for an unknown resource."""
    return _PRINTERS[name](fields, now)


def _age(fields: Fields, now: float) -> str:
    return age(timestamp(fields["metadata"].get("creationTimestamp")), now)


def _containers(template: Fields) -> tuple[str, str]:
    containers = (template.get("spec") or {}).get("containers") or []
    return ",".join(each["name"] for each in containers), ",".join(each.get("image", "") for each in containers)


def format_selector(selector: Fields | None) -> str:
    """A LabelSelector as apimachinery's FormatLabelSelector: ``app=web,tier in (a,b)``; ``<none>`` when empty."""
    if not selector:
        return NONE
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression["key"], expression["operator"]
        values = ",".join(sorted(expression.get("values") or ()))
        match operator:
            case "Exists":
                parts.append((key, key))
            case "DoesNotExist":
                parts.append((key, f"!{key}"))
            case _:
                parts.append((key, f"{key} {operator.lower()} ({values})"))
    parts.sort(key=lambda part: part[0])  # by key alone: requirements of one key stay in their order
    return ",".join(text for _, text in parts) or NONE


def _deployment(fields: Fields, now: float) -> list[Any]:
    spec, status = fields.get("spec") or {}, fields.get("status") or {}
    names, images = _containers(spec.get("template") or {})
    return [
        fields["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(fields, now),
        names,
        images,
        format_selector(spec.get("selector")),
    ]


def _replica_set(fields: Fields, now: float) -> list[Any]:
    spec, status = fields.get("spec") or {}, fields.get("status") or {}
    names, images = _containers(spec.get("template") or {})
    return [
        fields["metadata"]["name"],
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(fields, now),
        names,
        images,
        format_selector(spec.get("selector")),
    ]


def _pod(fields: Fields, now: float) -> list[Any]:
    spec, status = fields.get("spec") or {}, fields.get("status") or {}
    pod = summary(fields)
    gates = spec.get("readinessGates") or []
    true = {each["type"] for each in status.get("conditions") or () if each.get("status") == "True"}
    return [
        fields["metadata"]["name"],
        f"{pod.ready}/{pod.total}",
        pod.status,
        pod.restarts_text(now),
        _age(fields, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{sum(each['conditionType'] in true for each in gates)}/{len(gates)}" if gates else NONE,
    ]


def _event(fields: Fields, now: float) -> list[Any]:
    first = age(timestamp(fields.get("firstTimestamp") or fields.get("eventTime")), now)
    last = age(timestamp(fields.get("lastTimestamp")), now) if fields.get("lastTimestamp") else first
    count = fields.get("count") or 1
    series = fields.get("series")
    if series:
        last, count = age(timestamp(series.get("lastObservedTime")), now), series.get("count", 0)
    involved, source = fields.get("involvedObject") or {}, fields.get("source") or {}
    kind, name = str(involved.get("kind", "")).lower(), involved.get("name", "")
    component = source.get("component") or fields.get("reportingComponent", "")
    host = source.get("host") or fields.get("reportingInstance", "")
    return [
        last,
        fields.get("type", ""),
        fields.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(fields.get("message", "")).strip(),
        first,
        count,
        fields["metadata"]["name"],
    ]


def _namespace(fields: Fields, now: float) -> list[Any]:
    return [fields["metadata"]["name"], (fields.get("status") or {}).get("phase", ""), _age(fields, now)]


def _node(fields: Fields, now: float) -> list[Any]:
    metadata, spec, status = fields["metadata"], fields.get("spec") or {}, fields.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = {each["type"]: each.get("status") for each in status.get("conditions") or ()}.get("Ready")
    state = ["Ready" if ready == "True" else "Unknown" if ready is None else "NotReady"]
    if spec.get("unschedulable"):
        state.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    labels = metadata.get("labels") or {}
    roles = {key.removeprefix(prefix) for key in labels if key.startswith(prefix) and key != prefix}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    addresses = {each["type"]: each["address"] for each in reversed(status.get("addresses") or ())}
    return [
        metadata["name"],
        ",".join(state),
        ",".join(sorted(roles)) or NONE,
        _age(fields, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _config_map(fields: Fields, now: float) -> list[Any]:
    data = len(fields.get("data") or {}) + len(fields.get("binaryData") or {})
    return [fields["metadata"]["name"], data, _age(fields, now)]


def _definition(fields: Fields, now: float) -> list[Any]:
    return [fields["metadata"]["name"], fields["metadata"].get("creationTimestamp", "")]


_PRINTERS: Mapping[str, Callable[[Fields, float], list[Any]]] = {
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "pods": _pod,
    "events": _event,
    "namespaces": _namespace,
    "configmaps": _config_map,
    "nodes": _node,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
}
