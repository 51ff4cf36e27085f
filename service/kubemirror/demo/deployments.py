"""A small deployment controller: ReplicaSets per template, rolling updates, conditions, revisions.

Follows kubernetes pkg/controller/deployment (rolling.go, recreate.go, sync.go, progress.go) closely enough that
``kubectl rollout status``, ``history`` and ``undo`` work, and that a rollout looks as it does elsewhere.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from hashlib import sha256
from math import ceil, floor
from typing import Any

import orjson

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.kinds import DEPLOYMENTS, REPLICASETS
from kubemirror.demo.recorder import Recorder

Fields = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
_OPTIONS = Options(manager="kube-controller-manager")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # the hash is written in the letters of generated names


class DeploymentController:
    """Brings one Deployment a step nearer to its spec each time ``sync`` is called."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._recorder = Recorder(cluster, "deployment-controller")

    def sync(self, name: str, namespace: str) -> float | None:
        """Look at one Deployment; the seconds after which to look again by ourselves, None if a change will tell."""
        deployment = self._cluster.find(DEPLOYMENTS, name, namespace)
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            return None
        sets = self._replica_sets(deployment)
        if deployment["spec"].get("paused"):
            new = self._matching(deployment, sets)
        else:
            new = self._new_replica_set(deployment, sets)
            sets = self._replica_sets(deployment)
            self._scale(deployment, sets, new["metadata"]["name"])
            self._forget(deployment, sets)
        return self._status(name, namespace, new["metadata"]["name"] if new else "")

    # -- replica sets -----------------------------------------------------------------------------------

    def _replica_sets(self, deployment: Fields) -> list[Fields]:
        owned = self._cluster.dependents(deployment["metadata"]["uid"])
        sets = [obj for resource, obj in owned if resource == REPLICASETS]
        return [obj for obj in sets if not obj["metadata"].get("deletionTimestamp")]

    def _matching(self, deployment: Fields, sets: list[Fields]) -> Fields | None:
        wanted = deployment["spec"]["template"]
        return next((obj for obj in sets if _without_hash(obj["spec"]["template"]) == wanted), None)

    def _new_replica_set(self, deployment: Fields, sets: list[Fields]) -> Fields:
        newest = max((_revision(obj) for obj in sets), default=0)
        found = self._matching(deployment, sets)
        if found is None:
            found = self._create(deployment, newest + 1)
        elif _revision(found) < newest:  # rolled back to
            metadata = found["metadata"]
            patch = {"metadata": {"annotations": {REVISION: str(newest + 1)}}}
            found = self._cluster.patch(REPLICASETS, metadata["name"], patch, metadata["namespace"], options=_OPTIONS)
        revision = found["metadata"]["annotations"][REVISION]
        metadata = deployment["metadata"]
        if (metadata.get("annotations") or {}).get(REVISION) != revision:
            patch = {"metadata": {"annotations": {REVISION: revision}}}
            self._cluster.patch(
                DEPLOYMENTS, metadata["name"], patch, metadata["namespace"], subresource="status", options=_OPTIONS
            )
        return found

    def _create(self, deployment: Fields, revision: int) -> Fields:
        metadata, spec = deployment["metadata"], deployment["spec"]
        digest = _hash(spec["template"])
        template = deepcopy(spec["template"])
        labels = {**(template["metadata"].get("labels") or {}), HASH: digest}
        template["metadata"]["labels"] = labels
        copied = {
            name: value
            for name, value in (metadata.get("annotations") or {}).items()
            if name not in (REVISION, "kubectl.kubernetes.io/last-applied-configuration")
        }
        return self._cluster.create(
            REPLICASETS,
            {
                "metadata": {
                    "name": f"{metadata['name']}-{digest}",
                    "labels": labels,
                    "annotations": {
                        **copied,
                        "deployment.kubernetes.io/desired-replicas": str(spec["replicas"]),
                        "deployment.kubernetes.io/max-replicas": str(spec["replicas"] + _surge(spec)),
                        REVISION: str(revision),
                    },
                    "ownerReferences": [_owner(deployment)],
                },
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {**spec["selector"].get("matchLabels", {}), HASH: digest}},
                    "template": template,
                },
            },
            metadata["namespace"],
            options=_OPTIONS,
        )

    def _scale(self, deployment: Fields, sets: list[Fields], new_name: str) -> None:
        spec = deployment["spec"]
        wanted: int = spec["replicas"]
        new = next(obj for obj in sets if obj["metadata"]["name"] == new_name)
        old = [obj for obj in sets if obj is not new and obj["spec"]["replicas"] > 0]
        if spec["strategy"]["type"] == "Recreate":
            for obj in old:
                self._scale_to(deployment, obj, 0)
            pods = sum((obj.get("status") or {}).get("replicas", 0) for obj in sets if obj is not new)
            if not old and not pods:
                self._scale_to(deployment, new, wanted)
            return
        total = sum(obj["spec"]["replicas"] for obj in sets)
        current: int = new["spec"]["replicas"]
        if current > wanted:
            self._scale_to(deployment, new, wanted)
        elif current < wanted:
            room = wanted + _surge(spec) - total if old else wanted
            if room > 0:
                self._scale_to(deployment, new, min(wanted, current + room))
                return
        least = wanted - _unavailable(spec)
        new_unavailable = current - (new.get("status") or {}).get("availableReplicas", 0)
        spare = total - least - new_unavailable
        for obj in sorted(old, key=_revision):
            replicas: int = obj["spec"]["replicas"]
            unhealthy = replicas - (obj.get("status") or {}).get("availableReplicas", 0)
            down = min(replicas, max(spare, 0)) if spare > 0 else 0
            down = max(down, min(unhealthy, max(total - least - new_unavailable, 0)))
            if down > 0:
                self._scale_to(deployment, obj, replicas - down)
                spare -= down

    def _scale_to(self, deployment: Fields, replica_set: Fields, replicas: int) -> None:
        before: int = replica_set["spec"]["replicas"]
        if before == replicas:
            return
        metadata = replica_set["metadata"]
        wanted = deployment["spec"]["replicas"]
        annotations = {
            "deployment.kubernetes.io/desired-replicas": str(wanted),
            "deployment.kubernetes.io/max-replicas": str(wanted + _surge(deployment["spec"])),
        }
        patch = {"spec": {"replicas": replicas}, "metadata": {"annotations": annotations}}
        self._cluster.patch(REPLICASETS, metadata["name"], patch, metadata["namespace"], options=_OPTIONS)
        direction = "up" if replicas > before else "down"
        message = f"Scaled {direction} replica set {metadata['name']} from {before} to {replicas}"
        self._recorder.record(deployment, "ScalingReplicaSet", message)

    def _forget(self, deployment: Fields, sets: list[Fields]) -> None:
        """Beyond revisionHistoryLimit, empty old ReplicaSets go."""
        empty = [
            obj
            for obj in sorted(sets, key=_revision)[:-1]
            if not obj["spec"]["replicas"] and not (obj.get("status") or {}).get("replicas")
        ]
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        for obj in empty[: max(len(empty) - limit, 0)]:
            self._cluster.delete(REPLICASETS, obj["metadata"]["name"], obj["metadata"]["namespace"])

    # -- status -----------------------------------------------------------------------------------------

    def _status(self, name: str, namespace: str, new_name: str) -> float | None:
        deployment = self._cluster.find(DEPLOYMENTS, name, namespace)
        if deployment is None:
            return None
        sets = self._replica_sets(deployment)
        spec, before = deployment["spec"], deployment.get("status") or {}
        new = next((obj for obj in sets if obj["metadata"]["name"] == new_name), None)
        totals = {
            field: sum((obj.get("status") or {}).get(field, 0) for obj in sets)
            for field in ("replicas", "readyReplicas", "availableReplicas")
        }
        updated = ((new or {}).get("status") or {}).get("replicas", 0)
        status: Fields = {"observedGeneration": deployment["metadata"]["generation"], **totals}
        status["updatedReplicas"] = updated
        status["unavailableReplicas"] = max(
            sum(obj["spec"]["replicas"] for obj in sets) - totals["availableReplicas"], 0
        )
        counts = {field: value for field, value in status.items() if value}
        now = self._cluster.now()
        conditions = [dict(condition) for condition in before.get("conditions") or ()]
        if totals["availableReplicas"] >= spec["replicas"] - _unavailable(spec):
            message = "Deployment has minimum availability."
            _condition(conditions, now, "Available", "True", "MinimumReplicasAvailable", message)
        else:
            message = "Deployment does not have minimum availability."
            _condition(conditions, now, "Available", "False", "MinimumReplicasUnavailable", message)
        again = self._progress(deployment, conditions, counts, new_name, now)
        wanted = {"conditions": conditions, **counts}
        if wanted != before:
            whole = {field: wanted.get(field) for field in {*before, *wanted}}
            self._cluster.patch(DEPLOYMENTS, name, {"status": whole}, namespace, subresource="status", options=_OPTIONS)
        return again

    def _progress(
        self, deployment: Fields, conditions: list[Fields], counts: Fields, new_name: str, now: str
    ) -> float | None:
        """The Progressing condition; the seconds until its deadline while a rollout is under way."""
        spec = deployment["spec"]
        wanted = spec["replicas"]
        complete = (
            counts.get("updatedReplicas", 0) == wanted
            and counts.get("replicas", 0) == wanted
            and counts.get("availableReplicas", 0) == wanted
        )
        held = next((condition for condition in conditions if condition["type"] == "Progressing"), None)
        if complete:
            message = f'ReplicaSet "{new_name}" has successfully progressed.'
            if held is None or held["reason"] != "NewReplicaSetAvailable" or held["message"] != message:
                _condition(conditions, now, "Progressing", "True", "NewReplicaSetAvailable", message, update=True)
            return None
        before = {field: value for field, value in (deployment.get("status") or {}).items() if field != "conditions"}
        progressing = f'ReplicaSet "{new_name}" is progressing.'
        moved = {**counts, "observedGeneration": 0} != {**before, "observedGeneration": 0}
        other = held is None or f'"{new_name}"' not in held["message"]
        if other or (moved and held is not None and held["reason"] != "ProgressDeadlineExceeded"):
            _condition(conditions, now, "Progressing", "True", "ReplicaSetUpdated", progressing, update=True)
            return float(spec.get("progressDeadlineSeconds", 600))
        if held is None or held["reason"] in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable"):
            return None
        since = datetime.fromisoformat(now) - datetime.fromisoformat(held["lastUpdateTime"])
        left = spec.get("progressDeadlineSeconds", 600) - since.total_seconds()
        if left > 0:
            return float(left)
        message = f'ReplicaSet "{new_name}" has timed out progressing.'
        _condition(conditions, now, "Progressing", "False", "ProgressDeadlineExceeded", message, update=True)
        return None


def _owner(obj: Fields) -> Fields:
    """An ownerReference of a controller."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _without_hash(template: Fields) -> Fields:
    labels = {name: value for name, value in template["metadata"]["labels"].items() if name != HASH}
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def _hash(template: Fields) -> str:
    number = int.from_bytes(sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).digest()[:8], "big")
    letters = ""
    while len(letters) < 9:
        number, digit = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[digit]
    return letters


def _revision(obj: Fields) -> int:
    return int((obj["metadata"].get("annotations") or {}).get(REVISION, "0"))


def _surge(spec: Fields) -> int:
    return _share(spec, "maxSurge", up=True)


def _unavailable(spec: Fields) -> int:
    wanted: int = spec["replicas"]
    share = _share(spec, "maxUnavailable", up=False)
    if spec["strategy"]["type"] != "Recreate" and share == 0 and _surge(spec) == 0:
        return 1
    return min(share, wanted)


def _share(spec: Fields, field: str, *, up: bool) -> int:
    rolling = spec["strategy"].get("rollingUpdate")
    if spec["strategy"]["type"] == "Recreate" or not rolling:
        return 0
    value = rolling.get(field, "25%")
    if isinstance(value, int):
        return int(value)
    share: float = spec["replicas"] * int(value.rstrip("%")) / 100
    return ceil(share) if up else floor(share)


def _condition(
    conditions: list[Fields], now: str, type_: str, status: str, reason: str, message: str, *, update: bool = False
) -> None:
    for condition in conditions:
        if condition["type"] == type_:
            if condition["status"] != status:
                condition["lastTransitionTime"] = now
                update = True
            if update or (condition["reason"], condition["message"]) != (reason, message):
                condition.update(status=status, reason=reason, message=message, lastUpdateTime=now)
            return
    conditions.append(
        {
            "type": type_,
            "status": status,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
    )
