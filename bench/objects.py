"""A Deployment as an API server sends it: a rolled-out web service of 4.6 kB. What the json pass passes."""

from __future__ import annotations

import json
from typing import Any

# With managedFields of two managers (apply, and the controller's status): nearly half of the bytes, as in life.
OBJECT_BYTES = 4600
# A hundred Deployments a namespace of 10,000 in all.
NAMESPACES = 100

JSON = dict[str, Any]

_DEFAULTS: JSON = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}


def _probe(path: str) -> JSON:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def _managed(value: Any) -> JSON:
    """fieldsV1 of ``value``: f:name per field, k:{...} per named list item."""
    fields: JSON = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            fields[f"f:{name}"] = _managed(inner)
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            key = next(iter(inner[0]))
            fields[f"f:{name}"] = {
                f"k:{json.dumps({key: item[key]}, separators=(',', ':'))}": {".": {}, **_managed(item)}
                for item in inner
            }
        else:
            fields[f"f:{name}"] = {}
    return fields


def _container(name: str, image: str) -> JSON:
    return {
        "name": name,
        "image": image,
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        ],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "livenessProbe": _probe("/live"),
        "readinessProbe": _probe("/ready"),
        **_DEFAULTS,
    }


def deployment(index: int) -> JSON:
    """The ``index``-th Deployment, padded by an annotation to OBJECT_BYTES of compact JSON."""
    name, namespace = f"service-{index:06}", f"team-{index % NAMESPACES:02}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": f"product-{index % 20}"}
    at = f"2026-{index % 12 + 1:02}-{index % 28 + 1:02}T{index % 24:02}:00:00Z"
    spec: JSON = {
        "replicas": 3,
        "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [_container("app", f"registry.example:5000/shop/{name}:1.{index % 40}.{index % 7}")],
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
    }
    status: JSON = {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "conditions": [
            {
                "type": "Available",
                "status": "True",
                "lastUpdateTime": at,
                "lastTransitionTime": at,
                "reason": "MinimumReplicasAvailable",
                "message": "Deployment has minimum availability.",
            }
        ],
    }
    managed = [
        {
            "manager": "kubectl",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": at,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": _managed({"labels": labels}), "f:spec": _managed(spec)},
        },
        {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": at,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": _managed(status)},
            "subresource": "status",
        },
    ]
    metadata: JSON = {
        "name": name,
        "namespace": namespace,
        "uid": f"{index:08x}-0000-4000-8000-{index:012x}",
        "resourceVersion": str(1000 + index),
        "generation": 1,
        "creationTimestamp": at,
        "labels": labels,
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "managedFields": managed,
    }
    made: JSON = {"metadata": metadata, "spec": spec, "status": status}
    missing = OBJECT_BYTES - len(encode(made)) - len('"example.com/description":"",')
    if missing > 0:
        metadata["annotations"]["example.com/description"] = ("a service of the shop " * 200)[:missing]
    return made


def encode(value: Any) -> bytes:
    """Compact JSON, as an API server writes it."""
    return json.dumps(value, separators=(",", ":")).encode()
