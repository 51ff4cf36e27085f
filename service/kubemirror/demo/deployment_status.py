"""What a Deployment's status says: counts of pods, and whether it is available and progresses.

kubernetes pkg/controller/deployment/{sync,progress}.go. Progress is judged against the status before: a rollout that
did not move for ``progressDeadlineSeconds`` has timed out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kubemirror.demo.deployment_sizes import available, size, unavailable

Fields = dict[str, Any]


def calculated(deployment: Fields, sets: list[Fields], new: Fields | None, now: str) -> Fields:
    """The status by what the ReplicaSets say; of the conditions only Available is judged anew."""
    spec = deployment["spec"]
    before = deployment.get("status") or {}

    def total(field: str) -> int:
        return sum((each.get("status") or {}).get(field, 0) for each in sets)

    counts = {
        "replicas": total("replicas"),
        "updatedReplicas": ((new or {}).get("status") or {}).get("replicas", 0),
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": sum(map(available, sets)),
        "unavailableReplicas": max(sum(map(size, sets)) - sum(map(available, sets)), 0),
    }
    status: Fields = {
        "observedGeneration": deployment["metadata"]["generation"],
        **{field: count for field, count in counts.items() if count},
        "terminatingReplicas": total("terminatingReplicas"),
        "conditions": [dict(condition) for condition in before.get("conditions") or ()],
    }
    if counts["availableReplicas"] >= spec["replicas"] - unavailable(spec):
        message = "Deployment has minimum availability."
        set_condition(status, now, "Available", "True", "MinimumReplicasAvailable", message)
    else:
        message = "Deployment does not have minimum availability."
        set_condition(status, now, "Available", "False", "MinimumReplicasUnavailable", message)
    return status


def judge_progress(deployment: Fields, status: Fields, new: Fields | None, now: str) -> None:
    """Write the Progressing condition into ``status``, which ``calculated`` made."""
    before = deployment.get("status") or {}
    held = condition_of(before, "Progressing")
    same = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if same and held is not None and held["reason"] == "NewReplicaSetAvailable":
        return
    subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if complete(deployment, status):
        message = f"{subject} has successfully progressed."
        set_condition(status, now, "Progressing", "True", "NewReplicaSetAvailable", message)
    elif _moved(before, status):
        since = held["lastTransitionTime"] if held is not None and held["status"] == "True" else now
        status["conditions"] = [each for each in status["conditions"] if each["type"] != "Progressing"]
        set_condition(status, now, "Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.")
        status["conditions"][-1]["lastTransitionTime"] = since
    elif (left := seconds_left(deployment, status, now)) is not None and left <= 0:
        message = f"{subject} has timed out progressing."
        set_condition(status, now, "Progressing", "False", "ProgressDeadlineExceeded", message)


def complete(deployment: Fields, status: Fields) -> bool:
    """Whether every pod is new, and available."""
    wanted = deployment["spec"]["replicas"]
    counts = [status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [wanted] * 3 and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]


def seconds_left(deployment: Fields, status: Fields, now: str) -> float | None:
    """Until a rollout that does not move times out; None where nothing is timed."""
    held = condition_of(status, "Progressing")
    if held is None or held["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    since = datetime.fromisoformat(now) - datetime.fromisoformat(held["lastUpdateTime"])
    seconds: float = deployment["spec"].get("progressDeadlineSeconds", 600) - since.total_seconds()
    return seconds


def condition_of(status: Fields, type_: str) -> Fields | None:
    return next((each for each in status.get("conditions") or () if each["type"] == type_), None)


def set_condition(status: Fields, now: str, type_: str, condition: str, reason: str, message: str) -> None:
    """As SetDeploymentCondition: one of the same status and reason stays as it is, a changed one goes to the end."""
    held = condition_of(status, type_)
    if held is not None and (held["status"], held["reason"]) == (condition, reason):
        return
    since = held["lastTransitionTime"] if held is not None and held["status"] == condition else now
    status["conditions"] = [each for each in status.get("conditions") or () if each["type"] != type_]
    status["conditions"].append(
        {
            "type": type_,
            "status": condition,
            "lastUpdateTime": now,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }
    )


def _moved(before: Fields, status: Fields) -> bool:
    def old_pods(counts: Fields) -> int:
        number: int = counts.get("replicas", 0) - counts.get("updatedReplicas", 0)
        return number

    rising = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_pods(status) < old_pods(before) or any(status.get(field, 0) > before.get(field, 0) for field in rising)
