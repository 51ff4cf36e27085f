"""A deployment controller: ReplicaSets per template, rolling updates, scaling, pausing, revisions.

Follows kubernetes pkg/controller/deployment (deployment_controller.go, sync.go, rolling.go, recreate.go), one pass per
``sync``, so that ``kubectl rollout status``, ``history`` and ``undo`` work, and a rollout is told as it is elsewhere.
"""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256
from typing import Any

import orjson

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.deployment_sizes import (
    DESIRED,
    MOST,
    annotations_of,
    available,
    grown,
    recreates,
    shared_out,
    shrunk,
    size,
)
from kubemirror.demo.deployment_status import (
    calculated,
    complete,
    condition_of,
    judge_progress,
    seconds_left,
    set_condition,
)
from kubemirror.demo.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubemirror.demo.recorder import Recorder

Fields = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
HASH = "pod-template-hash"
_OPTIONS = Options(manager="kube-controller-manager")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # the hash is written in the letters of generated names
# Annotations that a ReplicaSet does not take over from its Deployment.
_OWN = frozenset({REVISION, HISTORY, DESIRED, MOST, "kubectl.kubernetes.io/last-applied-configuration"})


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
        self._tell_pauses(deployment)
        sets = self._replica_sets(deployment)
        spec = deployment["spec"]
        if spec.get("paused") or _scaled(spec, sets):
            new = self._new(deployment, sets, create=False)
            self._scale(deployment, self._replica_sets(deployment), new)
            return self._status(deployment, new, progress=False)
        if recreates(spec):
            return self._recreate(deployment, sets)
        return self._roll(deployment, sets)

    # -- rolling out ------------------------------------------------------------------------------------

    def _roll(self, deployment: Fields, sets: list[Fields]) -> float | None:
        new = self._new(deployment, sets, create=True)
        assert new is not None  # noqa: S101 - it was asked to be made
        sets = self._replica_sets(deployment)
        spec = deployment["spec"]
        wanted: int = spec["replicas"]
        grow = wanted if size(new) > wanted else grown(spec, sets, new)
        if grow != size(new):
            self._scale_to(deployment, new, grow)
            return self._status(deployment, new)
        old = [each for each in _by_age(sets) if size(each) and not _same(each, new)]
        left = shrunk(spec, old, new)
        if old and any(self._scale_to(deployment, each, left[each["metadata"]["name"]]) for each in old):
            return self._status(deployment, new)
        if complete(deployment, deployment.get("status") or {}):
            self._forget(deployment, sets, new)
        return self._status(deployment, new)

    def _recreate(self, deployment: Fields, sets: list[Fields]) -> float | None:
        new = self._new(deployment, sets, create=False)
        old = [each for each in sets if new is None or not _same(each, new)]
        downs = [self._scale_to(deployment, each, 0) for each in old if size(each)]
        if any(downs) or any(self._pods(each) for each in old):
            return self._status(deployment, new)
        if new is None:
            new = self._new(deployment, sets, create=True)
        assert new is not None  # noqa: S101 - it was asked to be made
        self._scale_to(deployment, new, deployment["spec"]["replicas"])
        if complete(deployment, deployment.get("status") or {}):
            self._forget(deployment, sets, new)
        return self._status(deployment, new)

    # -- scaling ----------------------------------------------------------------------------------------

    def _scale(self, deployment: Fields, sets: list[Fields], new: Fields | None) -> None:
        """Amid no rollout the one active ReplicaSet takes it all, else each its share."""
        spec, wanted = deployment["spec"], deployment["spec"]["replicas"]
        active = [each for each in sets if size(each)]
        if len(active) <= 1:
            newest = active or ([new] if new else _by_age(sets)[-1:])
            for each in newest:
                self._scale_to(deployment, each, wanted)
            return
        saturated = new is not None and size(new) == wanted == available(new)
        if saturated and (new["metadata"].get("annotations") or {}).get(DESIRED) == str(wanted):  # type: ignore[index]
            for each in active:
                if not _same(each, new):  # type: ignore[arg-type]
                    self._scale_to(deployment, each, 0)
        elif not recreates(spec):
            sizes = shared_out(spec, deployment.get("status") or {}, active)
            for each in active:
                self._scale_to(deployment, each, sizes[each["metadata"]["name"]], always=True)

    def _scale_to(self, deployment: Fields, replica_set: Fields, replicas: int, *, always: bool = False) -> bool:
        """Whether it had another size. always: what it notes of the Deployment's size is renewed in any case."""
        before = size(replica_set)
        if before == replicas and not always:
            return False
        metadata = replica_set["metadata"]
        patch = {"spec": {"replicas": replicas}, "metadata": {"annotations": annotations_of(deployment["spec"])}}
        self._cluster.patch(REPLICASETS, metadata["name"], patch, metadata["namespace"], options=_OPTIONS)
        if before != replicas:
            self._record_scaling(deployment, metadata["name"], before, replicas)
        return before != replicas

    def _record_scaling(self, deployment: Fields, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self._recorder.record(deployment, "ScalingReplicaSet", message)

    # -- replica sets -----------------------------------------------------------------------------------

    def _replica_sets(self, deployment: Fields) -> list[Fields]:
        owned = self._cluster.dependents(deployment["metadata"]["uid"])
        sets = [obj for resource, obj in owned if resource == REPLICASETS]
        return [obj for obj in sets if not obj["metadata"].get("deletionTimestamp")]

    def _pods(self, replica_set: Fields) -> bool:
        """Whether pods of it still run."""
        owned = self._cluster.dependents(replica_set["metadata"]["uid"])
        return any(
            resource == PODS and pod["status"].get("phase") not in ("Succeeded", "Failed") for resource, pod in owned
        )

    def _new(self, deployment: Fields, sets: list[Fields], *, create: bool) -> Fields | None:
        """The ReplicaSet of the present template, its revision the greatest."""
        wanted = deployment["spec"]["template"]
        found = next((each for each in _by_age(sets) if _without_hash(each["spec"]["template"]) == wanted), None)
        newest = max((_revision(each) for each in sets if found is None or not _same(each, found)), default=0)
        if found is not None:
            return self._found(deployment, found, newest + 1)
        return self._create(deployment, sets, str(newest + 1)) if create else None

    def _found(self, deployment: Fields, found: Fields, revision: int) -> Fields:
        metadata = found["metadata"]
        held = dict(metadata.get("annotations") or {})
        noted = {**held, **_taken_over(deployment)}
        if _revision(found) < revision:  # rolled back to
            noted[HISTORY] = ",".join(filter(None, (held.get(HISTORY, ""), held.get(REVISION, ""))))
            noted[REVISION] = str(revision)
        if noted != held:
            patch = {"metadata": {"annotations": noted}}
            return self._cluster.patch(REPLICASETS, metadata["name"], patch, metadata["namespace"], options=_OPTIONS)
        changed = _revise(deployment, held[REVISION])
        status = deployment.setdefault("status", {})
        if condition_of(status, "Progressing") is None:
            message = f'Found new replica set "{metadata["name"]}"'
            set_condition(status, self._cluster.now(), "Progressing", "True", "FoundNewReplicaSet", message)
            changed = True
        if changed:
            self._write(deployment)
        return found

    def _create(self, deployment: Fields, sets: list[Fields], revision: str) -> Fields:
        metadata, spec = deployment["metadata"], deployment["spec"]
        digest = _hash(spec["template"])
        template = deepcopy(spec["template"])
        labels = {**(template["metadata"].get("labels") or {}), HASH: digest}
        template["metadata"]["labels"] = labels
        made: Fields = {
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "labels": labels,
                "annotations": {**_taken_over(deployment), **annotations_of(spec), REVISION: revision},
                "ownerReferences": [_owner(deployment)],
            },
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {**spec["selector"].get("matchLabels", {}), HASH: digest}},
                "template": template,
            },
        }
        replicas = made["spec"]["replicas"] = grown(spec, [*sets, made], made)
        created = self._cluster.create(REPLICASETS, made, metadata["namespace"], options=_OPTIONS)
        name = created["metadata"]["name"]
        if replicas:
            self._record_scaling(deployment, name, 0, replicas)
        _revise(deployment, revision)
        status = deployment.setdefault("status", {})
        held = condition_of(status, "Progressing")
        # Upstream's own write of this one conflicts with the one that told the resuming, and is not tried again.
        if held is None or held["reason"] != "DeploymentResumed":
            message = f'Created new replica set "{name}"'
            set_condition(status, self._cluster.now(), "Progressing", "True", "NewReplicaSetCreated", message)
        self._write(deployment)
        return created

    def _forget(self, deployment: Fields, sets: list[Fields], new: Fields) -> None:
        """Beyond revisionHistoryLimit, empty old ReplicaSets go."""
        empty = [
            each
            for each in sorted(sets, key=_revision)
            if not _same(each, new) and not size(each) and not (each.get("status") or {}).get("replicas")
        ]
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        for each in empty[: max(len(empty) - limit, 0)]:
            self._cluster.delete(REPLICASETS, each["metadata"]["name"], each["metadata"]["namespace"])

    # -- status -----------------------------------------------------------------------------------------

    def _tell_pauses(self, deployment: Fields) -> None:
        """Pausing and resuming are told, unless a lack of progress is."""
        status = deployment.setdefault("status", {})
        held = condition_of(status, "Progressing")
        reason = held["reason"] if held is not None else ""
        if reason == "ProgressDeadlineExceeded":
            return
        paused, now = bool(deployment["spec"].get("paused")), self._cluster.now()
        if paused and reason != "DeploymentPaused":
            set_condition(status, now, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif not paused and reason == "DeploymentPaused":
            set_condition(status, now, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
        else:
            return
        self._write(deployment)

    def _status(self, deployment: Fields, new: Fields | None, *, progress: bool = True) -> float | None:
        """Write what there is to say; the seconds until a rollout that is under way times out."""
        sets = self._replica_sets(deployment)
        if new is not None:
            new = next((each for each in sets if _same(each, new)), new)
        now = self._cluster.now()
        status = calculated(deployment, sets, new, now)
        if progress:
            judge_progress(deployment, status, new, now)
        left = seconds_left(deployment, status, now)
        if status != deployment.get("status"):
            deployment["status"] = status
            self._write(deployment)
        return None if left is None or left <= 0 else left

    def _write(self, deployment: Fields) -> None:
        """Status, and the revision with it; ``deployment`` is then as it is stored."""
        metadata = deployment["metadata"]
        written = self._cluster.update(
            DEPLOYMENTS, metadata["name"], deployment, metadata["namespace"], subresource="status", options=_OPTIONS
        )
        deployment["metadata"] = deepcopy(written["metadata"])


def _scaled(spec: Fields, sets: list[Fields]) -> bool:
    """Whether the Deployment's size is not what its active ReplicaSets note."""
    noted = [(each["metadata"].get("annotations") or {}).get(DESIRED) for each in sets if size(each)]
    return any(each is not None and each != str(spec["replicas"]) for each in noted)


def _taken_over(deployment: Fields) -> dict[str, str]:
    held = deployment["metadata"].get("annotations") or {}
    return {name: value for name, value in held.items() if name not in _OWN}


def _revise(deployment: Fields, revision: str) -> bool:
    """Note the revision in the Deployment; whether it was another."""
    annotations = deployment["metadata"].setdefault("annotations", {})
    if annotations.get(REVISION) == revision:
        return False
    annotations[REVISION] = revision
    return True


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


def _same(one: Fields, other: Fields) -> bool:
    equal: bool = one["metadata"]["uid"] == other["metadata"]["uid"]
    return equal


def _by_age(sets: list[Fields]) -> list[Fields]:
    return sorted(sets, key=lambda each: (each["metadata"]["creationTimestamp"], _revision(each)))


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
