"""A small replica set controller: as many pods as asked for, made from the template."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.kinds import PODS, REPLICASETS
from kubemirror.demo.recorder import Recorder

Fields = dict[str, Any]

_OPTIONS = Options(manager="kube-controller-manager")


class ReplicaSetController:
    """Brings one ReplicaSet to its spec each time ``sync`` is called."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._recorder = Recorder(cluster, "replicaset-controller")

    def sync(self, name: str, namespace: str) -> None:
        replica_set = self._cluster.find(REPLICASETS, name, namespace)
        if replica_set is None or replica_set["metadata"].get("deletionTimestamp"):
            return
        pods = self._pods(replica_set)
        wanted: int = replica_set["spec"]["replicas"]
        for _ in range(wanted - len(pods)):
            self._create(replica_set)
        if len(pods) > wanted:
            for pod in sorted(pods, key=_worth)[: len(pods) - wanted]:
                pod_name = pod["metadata"]["name"]
                self._cluster.delete(PODS, pod_name, namespace)
                self._recorder.record(replica_set, "SuccessfulDelete", f"Deleted pod: {pod_name}")
        self._status(name, namespace)

    def _pods(self, replica_set: Fields, *, ending: bool = False) -> list[Fields]:
        """Those that run or will; or those that are on their way out."""
        owned = self._cluster.dependents(replica_set["metadata"]["uid"])
        return [
            pod
            for resource, pod in owned
            if resource == PODS
            and bool(pod["metadata"].get("deletionTimestamp")) is ending
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]

    def _create(self, replica_set: Fields) -> None:
        metadata = replica_set["metadata"]
        template = deepcopy(replica_set["spec"]["template"])
        owner = {
            "apiVersion": replica_set["apiVersion"],
            "kind": replica_set["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        pod = self._cluster.create(
            PODS,
            {
                "metadata": {
                    **template["metadata"],
                    "generateName": f"{metadata['name']}-",
                    "ownerReferences": [owner],
                },
                "spec": template["spec"],
            },
            metadata["namespace"],
            options=_OPTIONS,
        )
        self._recorder.record(replica_set, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    def _status(self, name: str, namespace: str) -> None:
        replica_set = self._cluster.find(REPLICASETS, name, namespace)
        if replica_set is None:
            return
        pods = self._pods(replica_set)
        ready = sum(1 for pod in pods if is_ready(pod))
        status: Fields = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "terminatingReplicas": len(self._pods(replica_set, ending=True)),
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        kept = ("replicas", "terminatingReplicas")
        status = {field: value for field, value in status.items() if value or field in kept}
        before = replica_set.get("status") or {}
        if status != before:
            whole = {field: status.get(field) for field in {*before, *status}}
            self._cluster.patch(REPLICASETS, name, {"status": whole}, namespace, subresource="status", options=_OPTIONS)


def is_ready(pod: Fields) -> bool:
    """Whether its Ready condition holds."""
    conditions = pod["status"].get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _worth(pod: Fields) -> tuple[bool, bool, str]:
    """Which pods go first: unscheduled, then unready, then the younger ones (upstream's ActivePods order)."""
    created = pod["metadata"]["creationTimestamp"]
    inverted = "".join(chr(0x7F - ord(character)) for character in created)
    return bool(pod["spec"].get("nodeName")), is_ready(pod), inverted
