"""Real rollouts, by real controllers on a fake node: the mirror tells them, and holds the server's own state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kubemirror.state.store import Reader
from tests.cluster.control_plane import ControlPlane
from tests.contract.mirrored import PATIENCE_SECONDS, Mirrored, digest_of, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import STRATEGIC_PATCH, Real

DEPLOYMENTS, PODS, REPLICA_SETS = "deployments.apps", "pods", "replicasets.apps"

pytestmark = pytest.mark.timeout(120)  # the first one waits for a whole control plane and its node


@pytest.fixture
async def real(full_control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Real]:
    real = Real(full_control_plane, tmp_path)
    yield real
    await real.close()


@pytest.fixture
async def mirrored(real: Real) -> AsyncIterator[Mirrored]:
    async with mirror_of(real, mirror=("pods", "replicasets.apps")) as mirrored:
        await mirrored.until(lambda: all(mirrored.synced(name) for name in (DEPLOYMENTS, PODS, REPLICA_SETS)))
        yield mirrored


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


async def same_as_the_server(real: Real, mirrored: Mirrored, namespace: str) -> None:
    for name, path in (
        (DEPLOYMENTS, "/apis/apps/v1/namespaces/{}/deployments"),
        (REPLICA_SETS, "/apis/apps/v1/namespaces/{}/replicasets"),
        (PODS, "/api/v1/namespaces/{}/pods"),
    ):
        reader = mirrored.held(name)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while reader.digest(namespace) != digest_of(await real.done("GET", path.format(namespace))):
                pass  # a controller wrote between the two looks
        assert reader.statistics.lists == 1


async def test_a_rollout_and_one_that_is_rolled_back(real: Real, mirrored: Mirrored) -> None:
    namespace = await real.namespace()
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    reader = mirrored.held(DEPLOYMENTS)
    await real.done("POST", path, deployment(replicas=3))
    await mirrored.until(lambda: rolled_out(told(reader, "web", namespace), 3))

    for image in ("nginx:2", "nginx:1"):
        patch: Any = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
        generation = (await real.patch(f"{path}/web", patch, STRATEGIC_PATCH))["metadata"]["generation"]
        await mirrored.until(
            lambda generation=generation: (  # type: ignore[misc]
                told(reader, "web", namespace)["metadata"]["generation"] == generation
                and rolled_out(told(reader, "web", namespace), 3)
            )
        )

    pods = mirrored.held(PODS)
    await mirrored.until(lambda: pods.count(namespace) == 3)
    assert mirrored.held(REPLICA_SETS).count(namespace) == 2
    await same_as_the_server(real, mirrored, namespace)


async def test_a_deleted_namespace_takes_everything_along(real: Real, mirrored: Mirrored) -> None:
    namespace = await real.namespace()
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    deployments, pods = mirrored.held(DEPLOYMENTS), mirrored.held(PODS)
    await real.done("POST", path, deployment(replicas=2))
    await mirrored.until(lambda: rolled_out(told(deployments, "web", namespace), 2))
    assert pods.count(namespace) == 2

    await real.done("DELETE", f"/api/v1/namespaces/{namespace}")

    await mirrored.until(lambda: not any(mirrored.held(name).count(namespace) for name in (DEPLOYMENTS, PODS)))
