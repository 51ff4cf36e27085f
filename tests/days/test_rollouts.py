"""Real rollouts, by real controllers on a fake node: the mirror tells them, and holds the server's own state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from kubemirror.state.store import Reader
from tests.cluster.control_plane import ControlPlane
from tests.contract.mirrored import Mirrored, digest_of, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import STRATEGIC_PATCH, Real
from tests.days.day import CONVERGED_SECONDS, DEPLOYMENTS, Day

PODS, REPLICA_SETS = "pods", "replicasets.apps"
PATHS = {
    DEPLOYMENTS: "/apis/apps/v1/namespaces/{}/deployments",
    REPLICA_SETS: "/apis/apps/v1/namespaces/{}/replicasets",
    PODS: "/api/v1/namespaces/{}/pods",
}
# What kwok's stage pod-image-missing never lets become ready.
MISSING = "registry.example.com/missing:1"

pytestmark = pytest.mark.timeout(120)  # the first one waits for a whole control plane and its node


@pytest.fixture
async def real(full_control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Real]:
    real = Real(full_control_plane, tmp_path)
    yield real
    await real.close()


@pytest.fixture
async def day(full_control_plane: ControlPlane, real: Real) -> Day:
    return Day(full_control_plane, real)


@pytest.fixture
async def mirrored(day: Day, real: Real) -> AsyncIterator[Mirrored]:
    """One that has synced; nothing that a rollout does makes it list again."""
    async with mirror_of(real, mirror=("pods", "replicasets.apps")) as mirrored:
        await mirrored.until(lambda: all(mirrored.synced(name) for name in PATHS))
        day.begins()
        yield mirrored
        for name in PATHS:
            assert day.lists(name) == 0


def told(reader: Reader, name: str, namespace: str) -> dict[str, Any]:
    held = reader.get(name, namespace)
    obj: dict[str, Any] = orjson.loads(held.raw) if held is not None else {}
    return obj


def rolled_out(obj: dict[str, Any], replicas: int) -> bool:
    """As `kubectl rollout status` judges it."""
    status = obj.get("status", {})
    return (
        status.get("observedGeneration", 0) >= obj.get("metadata", {}).get("generation", 1)
        and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
    )


def condition(obj: dict[str, Any], type_: str) -> tuple[str, str]:
    """Its status and reason."""
    conditions = obj.get("status", {}).get("conditions", [])
    return next(((each["status"], each["reason"]) for each in conditions if each["type"] == type_), ("", ""))


class Web:
    """A Deployment named web in a namespace of its own, and what the mirror tells of it."""

    def __init__(self, real: Real, mirrored: Mirrored, namespace: str) -> None:
        self.real = real
        self.mirrored = mirrored
        self.namespace = namespace
        self.generation = 0

    @property
    def told(self) -> dict[str, Any]:
        return told(self.mirrored.held(DEPLOYMENTS), "web", self.namespace)

    async def create(self, replicas: int, **spec: Any) -> None:
        written = deployment(replicas=replicas)
        written["spec"].update(spec)
        await self.real.done("POST", PATHS[DEPLOYMENTS].format(self.namespace), written)
        await self.rolled_out(replicas)

    async def patch(self, **spec: Any) -> None:
        """The spec; what is waited for next is told of it, and of nothing before."""
        path = f"{PATHS[DEPLOYMENTS].format(self.namespace)}/web"
        self.generation = (await self.real.patch(path, {"spec": spec}, STRATEGIC_PATCH))["metadata"]["generation"]

    async def image(self, image: str) -> None:
        await self.patch(template={"spec": {"containers": [{"name": "c", "image": image}]}})

    async def until(self, judged: Callable[[dict[str, Any]], bool]) -> None:
        def holds() -> bool:
            obj = self.told
            return bool(obj) and obj["metadata"]["generation"] >= self.generation and judged(obj)

        await self.mirrored.until(holds)

    async def rolled_out(self, replicas: int) -> None:
        await self.until(lambda obj: rolled_out(obj, replicas))

    def count(self, name: str) -> int:
        return self.mirrored.held(name).count(self.namespace)

    async def is_the_servers(self) -> None:
        """All three resources, once the controllers are done."""
        began = time.monotonic()
        for name, path in PATHS.items():
            reader = self.mirrored.held(name)
            async with asyncio.timeout(CONVERGED_SECONDS):
                while reader.digest(self.namespace) != digest_of(
                    await self.real.done("GET", path.format(self.namespace))
                ):
                    pass  # a controller wrote between the two looks
        print(f"converged after {time.monotonic() - began:.2f} s")


@pytest.fixture
async def web(real: Real, mirrored: Mirrored) -> Web:
    return Web(real, mirrored, await real.namespace())


async def test_good_and_rolled_back(web: Web) -> None:
    await web.create(3)
    for image in ("nginx:2", "nginx:1"):
        await web.image(image)
        await web.rolled_out(3)

    await web.mirrored.until(lambda: web.count(PODS) == 3)
    assert web.count(REPLICA_SETS) == 2
    assert condition(web.told, "Progressing") == ("True", "NewReplicaSetAvailable")
    await web.is_the_servers()


async def test_stuck_and_mended(web: Web) -> None:
    await web.create(3, progressDeadlineSeconds=2)
    await web.image(MISSING)

    await web.until(lambda obj: condition(obj, "Progressing") == ("False", "ProgressDeadlineExceeded"))
    assert web.told["status"]["availableReplicas"] == 3  # the old ones stay until new ones are ready
    assert web.told["status"]["unavailableReplicas"] >= 1
    pods = [orjson.loads(held.raw) for held in web.mirrored.held(PODS).snapshot(web.namespace).objects]
    waiting = [pod["status"]["containerStatuses"][0]["state"].get("waiting", {}).get("reason") for pod in pods]
    assert waiting.count("ImagePullBackOff") == web.told["status"]["unavailableReplicas"]
    await web.is_the_servers()

    await web.image("nginx:2")
    await web.rolled_out(3)
    assert condition(web.told, "Progressing") == ("True", "NewReplicaSetAvailable")
    await web.mirrored.until(lambda: web.count(PODS) == 3)
    await web.is_the_servers()


async def test_paused_and_resumed(web: Web) -> None:
    await web.create(2)
    await web.patch(paused=True)
    await web.image("nginx:2")

    await web.until(lambda obj: condition(obj, "Progressing") == ("Unknown", "DeploymentPaused"))
    await web.until(lambda obj: obj["status"]["observedGeneration"] == web.generation)
    assert web.told["status"].get("updatedReplicas", 0) == 0
    assert web.count(REPLICA_SETS) == 1
    await web.is_the_servers()

    await web.patch(paused=None)
    await web.rolled_out(2)
    await web.mirrored.until(lambda: web.count(PODS) == 2)
    assert web.count(REPLICA_SETS) == 2
    await web.is_the_servers()


async def test_scaled_up_down_and_to_nothing(web: Web) -> None:
    await web.create(1)
    for replicas in (6, 2, 0, 1):
        await web.patch(replicas=replicas)
        await web.rolled_out(replicas)
        await web.mirrored.until(lambda replicas=replicas: web.count(PODS) == replicas)  # type: ignore[misc]
        await web.is_the_servers()

    assert web.count(REPLICA_SETS) == 1


async def test_a_deleted_namespace_takes_everything_along(web: Web) -> None:
    await web.create(2)
    assert web.count(PODS) == 2

    await web.real.done("DELETE", f"/api/v1/namespaces/{web.namespace}")

    await web.mirrored.until(lambda: not any(web.count(name) for name in PATHS))
    await web.is_the_servers()
