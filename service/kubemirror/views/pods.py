"""What ``kubectl get pods`` says of a pod: printPod of kubernetes' pkg/printers/internalversion/printers.go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kubemirror.views.duration import human_duration, timestamp

Fields = Mapping[str, Any]


class PodSummary(NamedTuple):
    """ready of total containers, STATUS, restarts, and when the last one was (seconds since 1970)."""

    ready: int
    total: int
    status: str
    restarts: int
    last_restart: float | None

    def restarts_text(self, now: float) -> str:
        """RESTARTS: ``3``, or ``3 (5m ago)`` where it is known when."""
        if not self.restarts or self.last_restart is None:
            return str(self.restarts)
        return f"{self.restarts} ({human_duration(now - self.last_restart)} ago)"


class _Count:
    """Restarts so far, and the newest end that one followed."""

    def __init__(self) -> None:
        self.restarts = 0
        self.last: float | None = None

    def add(self, status: Fields) -> None:
        self.restarts += status.get("restartCount", 0)
        terminated = (status.get("lastState") or {}).get("terminated") or {}
        ended = timestamp(terminated.get("finishedAt"))
        if ended is not None and (self.last is None or ended > self.last):
            self.last = ended


def summary(pod: Fields) -> PodSummary:
    """As upstream counts: init containers only until the pod is initialized, sidecars (KEP-753) always."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    init_containers = spec.get("initContainers") or ()
    sidecars = {each["name"] for each in init_containers if each.get("restartPolicy") == "Always"}
    reason = str(status.get("reason") or status.get("phase") or "")
    if (conditions.get("PodScheduled") or {}).get("reason") == "SchedulingGated":
        reason = "SchedulingGated"

    ready = 0
    every, lasting = _Count(), _Count()
    initializing = False
    for index, each in enumerate(status.get("initContainerStatuses") or ()):
        sidecar = each.get("name") in sidecars
        every.add(each)
        if sidecar:
            lasting.add(each)
        state = each.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if sidecar and each.get("started"):
            ready += bool(each.get("ready"))
            continue
        if terminated is not None:
            reason = f"Init:{_ended(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(init_containers)}"
        initializing = True
        break

    counted = every
    if not initializing or _true(conditions, "Initialized"):
        counted = lasting
        running = False
        failed = ""
        for each in reversed(status.get("containerStatuses") or []):
            counted.add(each)
            state = each.get("state") or {}
            if (state.get("waiting") or {}).get("reason"):
                reason = state["waiting"]["reason"]
            elif state.get("terminated") is not None:
                reason = _ended(state["terminated"])
                if state["terminated"].get("exitCode", 0) != 0:
                    failed = reason
            elif each.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed":
            if running and _true(conditions, "Ready"):
                reason = "Running"
            elif failed or running:
                reason = failed or "NotReady"

    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    total = len(spec.get("containers") or ()) + len(sidecars)
    return PodSummary(ready, total, reason, counted.restarts, counted.last)


def _true(conditions: Mapping[Any, Fields], type_: str) -> bool:
    return (conditions.get(type_) or {}).get("status") == "True"


def _ended(terminated: Fields) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"
