"""The demo cluster's life: controllers that react to every write, and a seeded script that keeps things moving.

Deployments in several namespaces roll out, stall on a missing image, crash, scale and recover; preview environments
come and go. The controllers also follow what anybody else writes (kubectl scale, set image). Clock and sleep are
injected; one ``step`` is all that happens at one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import orjson

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.deployments import DeploymentController
from kubemirror.demo.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubemirror.demo.kubelet import Kubelet
from kubemirror.demo.recorder import forget_old_events
from kubemirror.demo.replica_sets import ReplicaSetController
from kubemirror.state.journal import Change
from kubemirror.state.objects import Key

Fields = dict[str, Any]

# How often the controllers look: pods become ready one by one, as people are used to see it.
TICK_SECONDS = 0.5
# Between two acts of the script; a rollout takes about ten seconds, so something is always under way.
_ACT_SECONDS = (3.0, 6.0)
# A broken rollout is repaired after this long: its progress deadline has passed by then.
_REPAIR_SECONDS = (25.0, 45.0)
_DEADLINE_SECONDS = 15
_PREVIEWS = "previewenvironments.platform9.com"
_CI = Options(manager="ci-deployer")
_BRANCHES = ("new-cart", "faster-search", "fix-tax", "holiday-sale", "two-factor", "gift-cards")


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment of the script."""

    namespace: str
    name: str
    replicas: int
    image: str
    sidecar: str = ""
    strategy: str = "RollingUpdate"


WORKLOADS = (
    Workload("shop", "web", 6, "registry.example.com/shop/web", sidecar="envoyproxy/envoy:v1.31.2"),
    Workload("shop", "cart", 3, "registry.example.com/shop/cart"),
    Workload("shop", "checkout", 4, "registry.example.com/shop/checkout"),
    Workload("payments", "api", 3, "registry.example.com:5000/payments/api", sidecar="envoyproxy/envoy:v1.30.4"),
    Workload("payments", "ledger", 2, "registry.example.com:5000/payments/ledger", strategy="Recreate"),
    Workload("search", "indexer", 2, "ghcr.io/example/indexer"),
    Workload("search", "query", 5, "ghcr.io/example/query"),
    Workload("platform", "gateway", 3, "envoyproxy/gateway"),
    Workload("platform", "metrics", 1, "quay.io/example/metrics"),
)


class Controllers:
    """Deployments, ReplicaSets and Pods brought to their specs, a step at a time."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._cluster = cluster
        self._deployments = DeploymentController(cluster)
        self._replica_sets = ReplicaSetController(cluster)
        self._kubelet = Kubelet(cluster, random)
        self._queues: dict[str, dict[Key, None]] = {DEPLOYMENTS: {}, REPLICASETS: {}, PODS: {}}
        self._again: dict[Key, float] = {}  # deployments to look at again at a time, for their deadline
        self._detach: list[Callable[[], None]] = []

    def attach(self) -> None:
        """Follow every change from now on. What is there already is left alone until it changes."""
        self._cluster.graceful = True
        for resource in self._queues:
            reader = self._cluster.shelf(resource).reader
            self._detach.append(reader.on_change(partial(self._changed, resource)))

    def detach(self) -> None:
        for detach in self._detach:
            detach()
        self._detach.clear()
        self._cluster.graceful = False

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or due for its own sake (deadlines aside)."""
        return not any(self._queues.values())

    def step(self, now: float) -> None:
        """One round over what changed since the last one."""
        self._kubelet.step(now)
        for key in self._take(PODS):
            self._kubelet.notice(key.name, key.namespace, now)
        for key in self._take(REPLICASETS):
            self._replica_sets.sync(key.name, key.namespace)
        for key, at in list(self._again.items()):
            if at <= now:
                del self._again[key]
                self._queues[DEPLOYMENTS][key] = None
        for key in self._take(DEPLOYMENTS):
            again = self._deployments.sync(key.name, key.namespace)
            if again is not None:
                self._again[key] = now + again + TICK_SECONDS
            else:
                self._again.pop(key, None)

    def _take(self, resource: str) -> list[Key]:
        queue = self._queues[resource]
        keys = list(queue)
        queue.clear()
        return keys

    def _changed(self, resource: str, change: Change) -> None:
        self._queues[resource][change.object.key] = None
        if resource == DEPLOYMENTS:
            return
        if b'"ownerReferences"' not in change.object.raw:
            return
        above = REPLICASETS if resource == PODS else DEPLOYMENTS
        for reference in orjson.loads(change.object.raw)["metadata"].get("ownerReferences") or ():
            self._queues[above][Key(change.object.namespace, reference["name"])] = None


class Life:
    """Runs the controllers and the script until cancelled."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        script: bool = True,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._sleep = sleep
        self._script = script
        self._controllers = Controllers(cluster, random)
        self._next_act = 0.0
        self._broken: dict[Workload, float] = {}  # workload to the time of its repair
        self._releases = {workload: [1, self._random.randrange(1, 9), 0] for workload in WORKLOADS}

    async def run(self) -> None:
        """Never returns; an exception out of it is a bug."""
        self.begin()
        try:
            while True:
                self.step()
                await self._sleep(TICK_SECONDS)
        finally:
            self._controllers.detach()

    def begin(self) -> None:
        """Start following changes, and create what the script plays with."""
        self._controllers.attach()
        if self._script:
            for workload in WORKLOADS:
                if self._cluster.find(DEPLOYMENTS, workload.name, workload.namespace) is None:
                    self._cluster.create(DEPLOYMENTS, self._deployment(workload), workload.namespace, options=_CI)
        self._next_act = self._cluster.clock() + self._random.uniform(*_ACT_SECONDS)

    def step(self) -> None:
        """All that happens at this moment."""
        now = self._cluster.clock()
        self._controllers.step(now)
        if self._script and now >= self._next_act:
            self._act(now)
            forget_old_events(self._cluster)
            self._next_act = now + self._random.uniform(*_ACT_SECONDS)

    # -- the script -------------------------------------------------------------------------------------

    def _act(self, now: float) -> None:
        for workload, at in list(self._broken.items()):
            if at <= now:
                del self._broken[workload]
                self._release(workload)
                return
        workload = self._random.choice([one for one in WORKLOADS if one not in self._broken])
        if self._cluster.find(DEPLOYMENTS, workload.name, workload.namespace) is None:
            return  # somebody deleted it: let it be
        act = self._random.choices(("release", "scale", "stall", "fail", "preview"), (50, 20, 6, 4, 20))[0]
        match act:
            case "release":
                self._release(workload)
            case "scale":
                low, high = max(workload.replicas - 2, 1), workload.replicas + 3
                self._change(workload, {"spec": {"replicas": self._random.randint(low, high)}})
            case "stall" | "fail" if len(self._broken) < 2:
                tag = "missing" if act == "stall" else "crash"
                self._image(workload, f"{workload.image}:{self._version(workload)}-{tag}")
                self._broken[workload] = now + self._random.uniform(*_REPAIR_SECONDS)
            case _:
                self._preview()

    def _release(self, workload: Workload) -> None:
        parts = self._releases[workload]
        if self._random.random() < 0.25:
            parts[1], parts[2] = parts[1] + 1, 0
        else:
            parts[2] += 1
        self._image(workload, f"{workload.image}:{self._version(workload)}")

    def _version(self, workload: Workload) -> str:
        return ".".join(map(str, self._releases[workload]))

    def _image(self, workload: Workload, image: str) -> None:
        held = self._cluster.find(DEPLOYMENTS, workload.name, workload.namespace)
        if held is None:
            return
        containers = held["spec"]["template"]["spec"]["containers"]
        containers[0]["image"] = image
        self._change(workload, {"spec": {"template": {"spec": {"containers": containers}}}})

    def _change(self, workload: Workload, patch: Fields) -> None:
        self._cluster.patch(DEPLOYMENTS, workload.name, patch, workload.namespace, options=_CI)

    def _preview(self) -> None:
        """A preview environment comes, moves on, or goes."""
        if _PREVIEWS not in self._cluster or self._cluster.shelf(_PREVIEWS).terminating:
            return
        held = self._cluster.objects(_PREVIEWS, "preview")
        branch = self._random.choice(_BRANCHES)
        name = f"web-{branch}"
        image = f"registry.example.com/shop/web:pr-{self._random.randrange(100, 1000)}"
        mine = next((obj for obj in held if obj["metadata"]["name"] == name), None)
        if mine is None:
            spec = {"image": image, "fqdn": f"{branch}.preview.example.com", "branch": branch, "ttlHours": 24}
            obj = {"metadata": {"name": name, "labels": {"app": "web", "branch": branch}}, "spec": spec}
            self._cluster.create(_PREVIEWS, obj, "preview", options=_CI)
        elif self._random.random() < 0.4:
            self._cluster.delete(_PREVIEWS, name, "preview")
        else:
            self._cluster.patch(_PREVIEWS, name, {"spec": {"image": image}}, "preview", options=_CI)
            status = {
                "phase": self._random.choice(("Progressing", "Ready")),
                "url": f"https://{branch}.preview.example.com",
            }
            self._cluster.patch(_PREVIEWS, name, {"status": status}, "preview", subresource="status", options=_CI)

    def _deployment(self, workload: Workload) -> Fields:
        labels = {"app": workload.name, "team": workload.namespace}
        containers: list[Fields] = [
            {
                "name": workload.name,
                "image": f"{workload.image}:{self._version(workload)}",
                "ports": [{"containerPort": 8080, "name": "http"}],
                "env": [{"name": "LOG_LEVEL", "value": "info"}],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            }
        ]
        if workload.sidecar:
            containers.append({"name": "proxy", "image": workload.sidecar})
        return {
            "metadata": {"name": workload.name, "labels": labels},
            "spec": {
                "replicas": workload.replicas,
                "selector": {"matchLabels": {"app": workload.name}},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
                "strategy": {"type": workload.strategy},
                "progressDeadlineSeconds": _DEADLINE_SECONDS,
            },
        }
