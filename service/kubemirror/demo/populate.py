"""Fills the demo cluster up to N Deployments of realistic size, quickly; nothing rolls out among them.

They look like what a chart makes: labels, annotations, probes, resources, environment, and managedFields of three
managers, which are about a quarter of the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from kubemirror.demo import managed_fields
from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.kinds import DEPLOYMENTS, NAMESPACES

Fields = dict[str, Any]

NAMESPACE_COUNT = 100
_TEAMS = ("atlas", "borealis", "cygnus", "draco", "electra", "fornax", "gemini", "hydra")
_PARTS = ("api", "worker", "web", "cache", "gateway", "indexer", "scheduler", "exporter")


def populate(cluster: Cluster, count: int, *, object_bytes: int = 4600, namespaces: int = NAMESPACE_COUNT) -> None:
    """Add Deployments until there are ``count``, spread evenly over ``namespaces`` namespaces.

    object_bytes: size of each as JSON, managedFields included, to within 5 % (2,400 is the least there is to it).
    """
    missing = count - len(cluster.shelf(DEPLOYMENTS).reader)
    if missing <= 0:
        return
    names = [f"team-{index:03}" for index in range(min(namespaces, missing))]
    for index, name in enumerate(names):
        if cluster.find(NAMESPACES, name) is None:
            labels = {"team": _TEAMS[index % len(_TEAMS)], "tier": str(index % 3)}
            cluster.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}}, options=Options("terraform"))
    cluster.load(DEPLOYMENTS, _deployments(cluster.now(), missing, names, object_bytes))


def _deployments(now: str, count: int, namespaces: list[str], object_bytes: int) -> Iterator[Fields]:
    managed = _managed_fields(now)
    missing = object_bytes - _size(managed, namespaces[0], now)
    while missing < 0 and len(managed) > 1:  # small ones have been touched by fewer
        managed = managed[1:]
        missing = object_bytes - _size(managed, namespaces[0], now)
    padding = _padding(missing)
    for index in range(count):
        yield _deployment(index, namespaces[index % len(namespaces)], now, managed, padding)


def _size(managed: list[Fields], namespace: str, now: str) -> int:
    """Bytes of a stored object without padding: what the server adds (type, uid, resourceVersion) included."""
    added = len('"kind":"Deployment","apiVersion":"apps/v1","uid":"","resourceVersion":"100000",') + 36
    return len(orjson.dumps(_deployment(0, namespace, now, managed, []))) + added


def _padding(missing: int) -> list[Fields]:
    """Environment variables of about ``missing`` bytes in all."""
    variables: list[Fields] = []
    while missing > 0:
        name = f"SERVICE_ENDPOINT_{len(variables):02}"
        value = f"https://service-{len(variables):02}.internal.example.com:8443/v1"
        frame = len(orjson.dumps({"name": name, "value": ""})) + 1
        variables.append({"name": name, "value": value[: max(missing - frame, 1)]})
        missing -= frame + len(variables[-1]["value"])
    return variables


def _deployment(index: int, namespace: str, now: str, managed: list[Fields], padding: list[Fields]) -> Fields:
    part = _PARTS[index % len(_PARTS)]
    name = f"{part}-{index:06}"
    replicas = 1 + index % 5
    image = f"registry.example.com/{namespace}/{part}:1.{index % 40}.{index % 7}"
    selector = {"app.kubernetes.io/name": part, "app.kubernetes.io/instance": name}
    container = {
        "name": part,
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": "SERVICE_NAME", "value": name}, *padding],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "128Mi"}},
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "generation": 1 + index % 9,
            "creationTimestamp": now,
            "labels": {**selector, "app.kubernetes.io/managed-by": "Helm", "tier": str(index % 3)},
            "annotations": {
                "deployment.kubernetes.io/revision": str(1 + index % 9),
                "meta.helm.sh/release-name": name,
                "meta.helm.sh/release-namespace": namespace,
            },
            "managedFields": managed,
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": selector},
                "spec": {
                    "containers": [container],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst",
                    "securityContext": {},
                    "schedulerName": "default-scheduler",
                },
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
        "status": {
            "observedGeneration": 1 + index % 9,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [
                {
                    "type": "Available",
                    "status": "True",
                    "lastUpdateTime": now,
                    "lastTransitionTime": now,
                    "reason": "MinimumReplicasAvailable",
                    "message": "Deployment has minimum availability.",
                },
                {
                    "type": "Progressing",
                    "status": "True",
                    "lastUpdateTime": now,
                    "lastTransitionTime": now,
                    "reason": "NewReplicaSetAvailable",
                    "message": f'ReplicaSet "{name}-5d4f8c7b9" has successfully progressed.',
                },
            ],
        },
    }


def _managed_fields(now: str) -> list[Fields]:
    """What three managers leave behind: the chart, the controller, and whoever scaled it."""
    sample = _deployment(0, "any", now, [], [])
    del sample["metadata"]["managedFields"]
    fields = managed_fields.changed_fields({}, sample)
    status = {"f:status": fields.pop("f:status")}
    revision: Fields = {"f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}}}
    entry = {"operation": "Update", "apiVersion": "apps/v1", "time": now, "fieldsType": "FieldsV1"}
    return [
        {"manager": "helm", **entry, "fieldsV1": fields},
        {"manager": "kube-controller-manager", **entry, "fieldsV1": {**revision, **status}, "subresource": "status"},
        {"manager": "kubectl", **entry, "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale"},
    ]
