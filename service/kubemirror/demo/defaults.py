"""What the API server fills in: pkg/apis/{apps,core}/v1/defaults.go and the strategies' PrepareForCreate."""

from __future__ import annotations

from typing import Any

Fields = dict[str, Any]


def new_namespace(obj: Fields) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def namespace(obj: Fields) -> None:
    metadata = obj["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}


def new_workload(obj: Fields) -> None:
    obj["status"] = {}


def new_replica_set(obj: Fields) -> None:
    obj["status"] = {"replicas": 0}


def new_pod(obj: Fields) -> None:
    spec = obj.get("spec") or {}
    obj["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault(
        "tolerations",
        [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
    )


def pod(obj: Fields) -> None:
    spec = obj.get("spec")
    if isinstance(spec, dict):
        spec.setdefault("enableServiceLinks", True)
        pod_spec(spec)


def deployment(obj: Fields) -> None:
    spec = obj["spec"] = _in_order(_one_replica(obj.get("spec")), ("replicas", "selector", "template", "strategy"))
    _template(spec)
    strategy = spec.setdefault("strategy", {})
    if not isinstance(strategy, dict):
        return
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if not isinstance(rolling, dict):
            rolling = strategy["rollingUpdate"] = {}
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def replica_set(obj: Fields) -> None:
    spec = obj["spec"] = _in_order(_one_replica(obj.get("spec")), ("replicas", "selector", "template"))
    _template(spec)


def _one_replica(spec: Any) -> Fields:
    return {"replicas": 1, **spec} if isinstance(spec, dict) else {"replicas": 1}


def _in_order(spec: Any, names: tuple[str, ...]) -> Fields:
    """A copy with these fields first, as the API server writes them."""
    given = spec if isinstance(spec, dict) else {}
    first = {name: given[name] for name in names if name in given}
    return {**first, **{name: value for name, value in given.items() if name not in first}}


def _template(spec: Fields) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def pod_spec(spec: Fields) -> None:
    """Defaults of a PodSpec, in place."""
    for name in ("initContainers", "containers"):
        for container in spec.get(name) or ():
            if isinstance(container, dict):
                _container(container)
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for volume in spec.get("volumes") or ():
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if isinstance(volume, dict) and isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 420)


def _container(container: Fields) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = container.get("image")
    if "imagePullPolicy" not in container and isinstance(image, str):
        tag = image.rpartition("/")[2].partition(":")[2]
        always = "@" not in image and tag in ("", "latest")
        container["imagePullPolicy"] = "Always" if always else "IfNotPresent"
    for port in container.get("ports") or ():
        if isinstance(port, dict):
            port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            probe.setdefault("timeoutSeconds", 1)
            probe.setdefault("periodSeconds", 10)
            probe.setdefault("successThreshold", 1)
            probe.setdefault("failureThreshold", 3)
            if isinstance(probe.get("httpGet"), dict):
                probe["httpGet"].setdefault("scheme", "HTTP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") if isinstance(variable, dict) else None
        if isinstance(source, dict) and isinstance(source.get("fieldRef"), dict):
            source["fieldRef"].setdefault("apiVersion", "v1")


def _quality(spec: Fields) -> str:
    demands = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(demand.get("requests") or demand.get("limits") for demand in demands):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(demand.get("limits") or {})
        and (demand.get("requests") or demand["limits"]) == demand["limits"]
        for demand in demands
    )
    return "Guaranteed" if guaranteed else "Burstable"


def new_definition(obj: Fields) -> None:
    versions = (obj.get("spec") or {}).get("versions") or ()
    stored = [version.get("name") for version in versions if isinstance(version, dict) and version.get("storage")]
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def definition(obj: Fields) -> None:
    if not isinstance(obj.get("spec"), dict):
        return
    spec = obj["spec"] = _in_order(obj["spec"], ("group", "names", "scope", "versions"))
    names = spec.get("names")
    if isinstance(names, dict) and isinstance(names.get("kind"), str):
        names = {**names, "singular": names.get("singular") or names["kind"].lower()}
        names["listKind"] = names.get("listKind") or f"{names['kind']}List"
        spec["names"] = _in_order(names, ("plural", "singular", "shortNames", "kind", "listKind", "categories"))
    spec.setdefault("conversion", {"strategy": "None"})
