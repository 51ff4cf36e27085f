"""Scheduler and kubelet in one: pods are placed, pull their image, start, fail or end, each after its time.

An image whose tag contains ``missing`` cannot be pulled; one whose tag contains ``crash`` starts and exits.
"""

from __future__ import annotations

import heapq
from random import Random
from typing import Any

from kubemirror.demo.cluster import Cluster, DeleteOptions, Options
from kubemirror.demo.kinds import NODES, PODS
from kubemirror.demo.recorder import Recorder

Fields = dict[str, Any]

_OPTIONS = Options(manager="kubelet")
_SCHEDULER = Options(manager="kube-scheduler")
# Seconds a container takes to stop, and the longest it waits between restarts (kubelet: 5 minutes).
_STOP_SECONDS = 1.0
_MOST_BACKOFF_SECONDS = 300.0
# Until a pod that no node takes is tried again (kube-scheduler: when a node changes, else after 5 minutes).
_UNPLACED_SECONDS = 300.0


class Kubelet:
    """Moves pods along. ``notice`` a pod when it changed, ``step`` when time has passed."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._cluster = cluster
        self._random = random
        self._due: list[tuple[float, int, str, str, str]] = []
        self._scheduled: dict[tuple[str, str], str] = {}  # pod to the stage it waits for
        self._count = 0
        self._recorder = Recorder(cluster, "kubelet")
        self._placements = Recorder(cluster, "default-scheduler")

    def notice(self, name: str, namespace: str, now: float) -> None:
        """Decide what happens to a pod next, unless that is decided."""
        pod = self._cluster.find(PODS, name, namespace)
        key = (namespace, name)
        if pod is None:
            self._scheduled.pop(key, None)
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._plan(key, "stop", now + _STOP_SECONDS)
            return
        if key in self._scheduled:
            return
        statuses = pod["status"].get("containerStatuses")
        if not pod["spec"].get("nodeName"):
            self._plan(key, "place", now)
        elif not statuses or _images(pod) != [status["image"] for status in statuses]:
            self._plan(key, "pull", now)

    @property
    def next_due(self) -> float | None:
        return self._due[0][0] if self._due else None

    def step(self, now: float) -> bool:
        """Do what is due; whether there was anything."""
        done = False
        while self._due and self._due[0][0] <= now:
            _, _, namespace, name, stage = heapq.heappop(self._due)
            if self._scheduled.get((namespace, name)) != stage:
                continue
            del self._scheduled[namespace, name]
            pod = self._cluster.find(PODS, name, namespace)
            if pod is not None:
                self._do(stage, pod, now)
                done = True
        return done

    def _plan(self, key: tuple[str, str], stage: str, at: float) -> None:
        if self._scheduled.get(key) == stage:
            return
        self._scheduled[key] = stage
        self._count += 1
        heapq.heappush(self._due, (at, self._count, *key, stage))

    def _do(self, stage: str, pod: Fields, now: float) -> None:
        metadata = pod["metadata"]
        key = (metadata["namespace"], metadata["name"])
        match stage:
            case "place":
                if self._place(pod):
                    self._plan(key, "pull", now + 0.2)
                else:
                    self._plan(key, "place", now + _UNPLACED_SECONDS)
            case "pull":
                self._begin(pod)
                missing = any("missing" in _tag(image) for image in _images(pod))
                self._plan(key, "fail" if missing else "start", now + self._random.uniform(0.6, 2.0))
            case "start":
                self._start(pod)
                if any("crash" in _tag(image) for image in _images(pod)):
                    self._plan(key, "crash", now + self._random.uniform(1.0, 2.0))
            case "crash":
                restarts = self._crash(pod)
                self._plan(key, "start", now + min(5.0 * 2**restarts, _MOST_BACKOFF_SECONDS))
            case "fail":
                times = self._fail(pod)
                self._plan(key, "fail", now + min(5.0 * 2**times, _MOST_BACKOFF_SECONDS))
            case "stop":
                self._recorder.record(pod, "Killing", f"Stopping container {pod['spec']['containers'][0]['name']}")
                self._cluster.delete(PODS, key[1], key[0], options=DeleteOptions(grace=0))

    def _place(self, pod: Fields) -> bool:
        """Whether a node takes it: one with the labels that its nodeSelector asks for."""
        metadata = pod["metadata"]
        wanted = (pod["spec"].get("nodeSelector") or {}).items()
        nodes = self._cluster.objects(NODES)
        fitting = [
            node["metadata"]["name"] for node in nodes if wanted <= (node["metadata"].get("labels") or {}).items()
        ]
        if nodes and not fitting:
            self._refuse(pod, len(nodes))
            return False
        node = self._random.choice(fitting or ["node-a"])
        scheduled = {**_condition("PodScheduled", "True", self._cluster.now())}
        self._cluster.patch(
            PODS,
            metadata["name"],
            {"spec": {"nodeName": node}},
            metadata["namespace"],
            options=_SCHEDULER,
        )
        self._write(pod, {"conditions": [scheduled]})
        message = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        self._placements.record(pod, "Scheduled", message)
        return True

    def _refuse(self, pod: Fields, nodes: int) -> None:
        message = f"0/{nodes} nodes are available: {nodes} node(s) didn't match Pod's node affinity/selector."
        refused = {"reason": "Unschedulable", "message": message}
        if not pod["status"].get("conditions"):
            self._write(pod, {"conditions": [{**_condition("PodScheduled", "False", self._cluster.now()), **refused}]})
        self._placements.record(pod, "FailedScheduling", message, warning=True)

    def _begin(self, pod: Fields) -> None:
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        statuses = [self._container(container, waiting, pod) for container in pod["spec"]["containers"]]
        now = self._cluster.now()
        message = f"containers with unready status: [{' '.join(_names(pod))}]"
        unready = {"reason": "ContainersNotReady", "message": message}
        conditions = [
            _condition("PodReadyToStartContainers", "False", now),
            _condition("Initialized", "True", now),
            {**_condition("Ready", "False", now), **unready},
            {**_condition("ContainersReady", "False", now), **unready},
            _condition("PodScheduled", "True", now),
        ]
        self._write(
            pod,
            {
                "phase": "Pending",
                "conditions": conditions,
                "hostIP": "192.168.0.10",
                "startTime": pod["status"].get("startTime") or now,
                "containerStatuses": statuses,
            },
        )
        self._recorder.record(pod, "Pulling", f'Pulling image "{_images(pod)[0]}"')

    def _start(self, pod: Fields) -> None:
        now = self._cluster.now()
        running = {"running": {"startedAt": now}}
        statuses = [self._container(container, running, pod) for container in pod["spec"]["containers"]]
        address = f"10.244.{self._random.randrange(3)}.{self._random.randrange(2, 250)}"
        types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        self._write(
            pod,
            {
                "phase": "Running",
                "conditions": [_condition(type_, "True", now) for type_ in types],
                "podIP": address,
                "podIPs": [{"ip": address}],
                "containerStatuses": statuses,
            },
        )
        name = _names(pod)[0]
        self._recorder.record(pod, "Started", f"Started container {name}")

    def _crash(self, pod: Fields) -> int:
        now = self._cluster.now()
        held = (pod["status"].get("containerStatuses") or [{}])[0]
        restarts: int = held.get("restartCount", 0) + 1
        message = f"back-off {min(10 * 2 ** (restarts - 1), 300)}s restarting failed container={_names(pod)[0]}"
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        statuses = [self._container(container, state, pod) for container in pod["spec"]["containers"]]
        for status in statuses:
            status["restartCount"] = restarts
            started = (held.get("state") or {}).get("running", {}).get("startedAt", now)
            ended = {"exitCode": 1, "reason": "Error", "startedAt": started, "finishedAt": now}
            status["lastState"] = {"terminated": ended}
        self._not_ready(pod, "Running", statuses, now)
        self._recorder.record(pod, "BackOff", f"Back-off restarting failed container {_names(pod)[0]}", warning=True)
        return restarts

    def _fail(self, pod: Fields) -> int:
        image = _images(pod)[0]
        held = ((pod["status"].get("containerStatuses") or [{}])[0].get("state") or {}).get("waiting") or {}
        again = held.get("reason") in ("ErrImagePull", "ImagePullBackOff")
        if again:
            reason, message = "ImagePullBackOff", f'Back-off pulling image "{image}"'
            self._recorder.record(pod, "BackOff", message, warning=True)
        else:
            reason, message = "ErrImagePull", f'failed to pull and unpack image "{image}": not found'
            self._recorder.record(pod, "Failed", f'Failed to pull image "{image}": not found', warning=True)
        state = {"waiting": {"reason": reason, "message": message}}
        statuses = [self._container(container, state, pod) for container in pod["spec"]["containers"]]
        self._not_ready(pod, "Pending", statuses, self._cluster.now())
        return 3 if again else 0

    def _not_ready(self, pod: Fields, phase: str, statuses: list[Fields], now: str) -> None:
        conditions = [dict(condition) for condition in pod["status"].get("conditions") or ()]
        for condition in conditions:
            if condition["type"] in ("Ready", "ContainersReady"):
                if condition["status"] != "False":
                    condition["lastTransitionTime"] = now
                message = f"containers with unready status: [{' '.join(_names(pod))}]"
                condition.update(status="False", reason="ContainersNotReady", message=message)
        self._write(pod, {"phase": phase, "conditions": conditions, "containerStatuses": statuses})

    def _container(self, container: Fields, state: Fields, pod: Fields) -> Fields:
        statuses = pod["status"].get("containerStatuses") or ()
        held: Fields = next((status for status in statuses if status["name"] == container["name"]), {})
        running = "running" in state
        status = {
            "name": container["name"],
            "state": state,
            "lastState": held.get("lastState", {}),
            "ready": running,
            "restartCount": held.get("restartCount", 0),
            "image": container["image"],
            "imageID": f"demo://{container['image']}" if running else "",
            "started": running,
        }
        if running:
            status["containerID"] = f"demo://{pod['metadata']['uid']}"
        return status

    def _write(self, pod: Fields, status: Fields) -> None:
        metadata = pod["metadata"]
        self._cluster.patch(
            PODS,
            metadata["name"],
            {"status": status},
            metadata["namespace"],
            subresource="status",
            options=_OPTIONS,
        )


def _condition(type_: str, status: str, now: str) -> Fields:
    return {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": now}


def _images(pod: Fields) -> list[str]:
    return [container["image"] for container in pod["spec"]["containers"]]


def _names(pod: Fields) -> list[str]:
    return [container["name"] for container in pod["spec"]["containers"]]


def _tag(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[2]
