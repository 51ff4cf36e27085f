"""The controllers bring what is written to its end: rollouts, stalls, crashes, scaling, undoing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import orjson
import pytest

from kubemirror.demo.cluster import Cluster
from kubemirror.demo.examples import furnish
from kubemirror.demo.life import Controllers, Life
from kubemirror.state.journal import Change
from tests.demo.api import deployment

NAME = "deployments.apps"
Step = Callable[[float], None]


@pytest.fixture
def run(cluster: Cluster, now: list[float]) -> Step:
    """Let so many seconds pass, half a second at a time."""
    furnish(cluster)
    controllers = Controllers(cluster, Random(1))
    controllers.attach()

    def pass_(seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            now[0] += 0.5
            controllers.step(now[0])

    return pass_


def status(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.read(NAME, "web")["status"]
    return found


def conditions(cluster: Cluster) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status(cluster)["conditions"]}


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.objects("pods", "default")


def set_image(cluster: Cluster, image: str) -> None:
    container = {"name": "c", "image": image}
    cluster.patch(
        NAME,
        "web",
        {"spec": {"template": {"spec": {"containers": [container]}}}},
        media_type="application/strategic-merge-patch+json",
    )


def test_a_new_deployment_becomes_available(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, deployment())
    cluster.patch(NAME, "web", {"spec": {"replicas": 3}})
    run(10)

    assert {name: value for name, value in status(cluster).items() if name != "conditions"} == {
        "observedGeneration": 2,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "terminatingReplicas": 0,
    }
    assert conditions(cluster) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert {pod["status"]["phase"] for pod in pods(cluster)} == {"Running"}
    assert cluster.read(NAME, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    reasons = {event["reason"] for event in cluster.objects("events", "default")}
    assert reasons >= {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulling", "Started"}


def test_a_rollout_keeps_within_surge_and_availability(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, {**deployment(), "spec": {**deployment()["spec"], "replicas": 4}})
    run(10)
    set_image(cluster, "nginx:2")
    most, least, seen = 0, 99, set()
    for _ in range(60):
        run(0.5)
        alive = [pod for pod in pods(cluster) if not pod["metadata"].get("deletionTimestamp")]
        most = max(most, len(alive))
        least = min(least, status(cluster)["availableReplicas"])
        seen |= {pod["spec"]["containers"][0]["image"] for pod in alive}

    assert (most, least) == (5, 3)
    assert seen == {"nginx:1", "nginx:2"}
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"nginx:2"}
    assert status(cluster)["updatedReplicas"] == 4
    assert sorted(obj["spec"]["replicas"] for obj in cluster.objects("replicasets.apps", "default")) == [0, 4]


def test_progress_is_told_step_by_step(cluster: Cluster, run: Step) -> None:
    told: list[str] = []

    def note(change: Change) -> None:
        for condition in orjson.loads(change.object.raw).get("status", {}).get("conditions") or ():
            if condition["type"] == "Progressing" and told[-1:] != [condition["reason"]]:
                told.append(condition["reason"])

    cluster.shelf(NAME).reader.on_change(note)
    cluster.create(NAME, {**deployment(), "spec": {**deployment()["spec"], "replicas": 3}})
    run(10)
    set_image(cluster, "nginx:2")
    run(30)

    assert told == ["NewReplicaSetCreated", "ReplicaSetUpdated", "NewReplicaSetAvailable"] * 2


def test_scaling_amid_a_rollout_is_shared_out(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, {**deployment(), "spec": {**deployment()["spec"], "replicas": 10}})
    run(10)
    set_image(cluster, "nginx:missing")
    run(20)
    before = sizes(cluster)
    cluster.patch(NAME, "web", {"spec": {"replicas": 20}})
    run(1)
    after = sizes(cluster)

    assert before == {"nginx:1": 8, "nginx:missing": 5}
    assert after == {"nginx:1": 15, "nginx:missing": 10}  # 25 in all with the surge, each in proportion


def sizes(cluster: Cluster) -> dict[str, int]:
    return {
        obj["spec"]["template"]["spec"]["containers"][0]["image"]: obj["spec"]["replicas"]
        for obj in cluster.objects("replicasets.apps", "default")
    }


def test_a_missing_image_stalls_the_rollout_until_it_is_repaired(cluster: Cluster, run: Step) -> None:
    cluster.create(
        NAME, {**deployment(), "spec": {**deployment()["spec"], "replicas": 4, "progressDeadlineSeconds": 20}}
    )
    run(10)
    set_image(cluster, "nginx:missing")
    run(60)

    stalled = conditions(cluster)
    waiting = {
        state["waiting"]["reason"]
        for pod in pods(cluster)
        for one in pod["status"]["containerStatuses"]
        if "waiting" in (state := one["state"])
    }
    set_image(cluster, "nginx:3")
    run(30)

    assert stalled["Progressing"] == ("False", "ProgressDeadlineExceeded")
    assert stalled["Available"] == ("True", "MinimumReplicasAvailable")
    assert waiting == {"ImagePullBackOff"}
    assert conditions(cluster)["Progressing"] == ("True", "NewReplicaSetAvailable")
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"nginx:3"}


def test_a_crashing_container_is_restarted_with_growing_patience(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, deployment())
    set_image(cluster, "nginx:crash")
    run(30)

    (pod,) = pods(cluster)
    (container,) = pod["status"]["containerStatuses"]
    assert container["restartCount"] in (1, 2)
    assert container["lastState"]["terminated"]["reason"] == "Error"


def test_scaling_down_ends_pods_gracefully(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, {**deployment(), "spec": {**deployment()["spec"], "replicas": 3}})
    run(10)
    cluster.patch(NAME, "web", {"spec": {"replicas": 1}}, subresource="scale")
    run(1)
    ending = [pod for pod in pods(cluster) if pod["metadata"].get("deletionTimestamp")]
    run(5)

    assert [pod["metadata"]["deletionGracePeriodSeconds"] for pod in ending] == [30, 30]
    assert len(pods(cluster)) == 1


def test_going_back_to_an_old_template_reuses_its_replica_set(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, deployment())
    run(10)
    set_image(cluster, "nginx:2")
    run(10)
    set_image(cluster, "nginx:1")
    run(10)

    sets = cluster.objects("replicasets.apps", "default")
    revisions = [obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for obj in sets]
    assert sorted(revisions) == ["2", "3"]
    assert cluster.read(NAME, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_recreate_ends_all_old_pods_before_a_new_one_starts(cluster: Cluster, run: Step) -> None:
    spec = {**deployment()["spec"], "replicas": 2, "strategy": {"type": "Recreate"}}
    cluster.create(NAME, {**deployment(), "spec": spec})
    run(10)
    set_image(cluster, "nginx:2")
    together = False
    for _ in range(40):
        run(0.5)
        alive = [pod for pod in pods(cluster) if not pod["metadata"].get("deletionTimestamp")]
        together |= len({pod["spec"]["containers"][0]["image"] for pod in alive}) > 1

    assert not together
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"nginx:2"}


def test_a_paused_deployment_does_not_roll_out(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, deployment())
    run(10)
    cluster.patch(NAME, "web", {"spec": {"paused": True}})
    set_image(cluster, "nginx:2")
    run(10)

    assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"nginx:1"}


def test_deleting_a_deployment_takes_replica_sets_and_pods_along(cluster: Cluster, run: Step) -> None:
    cluster.create(NAME, deployment())
    run(10)
    cluster.delete(NAME, "web")
    run(5)

    assert (cluster.objects("replicasets.apps", "default"), pods(cluster)) == ([], [])


async def test_the_script_keeps_things_moving_and_is_the_same_for_a_seed() -> None:
    def lived(seed: int) -> list[str]:
        now = [1_800_000_000.0]
        cluster = Cluster(clock=lambda: now[0], wall=lambda: now[0], seed=seed)
        furnish(cluster)
        life = Life(cluster, random=Random(seed))
        life.begin()
        images = []
        for _ in range(160):
            now[0] += 0.5
            life.step()
            images.append(str(sorted(_images(cluster))))
        return images

    first = lived(7)

    assert lived(7) == first
    assert lived(8) != first
    changes = sum(1 for before, after in itertools.pairwise(first) if before != after)
    assert changes >= 7  # in 80 seconds


def _images(cluster: Cluster) -> list[str]:
    return [
        container["image"]
        for obj in cluster.objects(NAME)
        for container in obj["spec"]["template"]["spec"]["containers"]
    ]


def test_what_life_leaves_behind_stays_small(now: list[float]) -> None:
    cluster = Cluster(clock=lambda: now[0], wall=lambda: now[0], seed=3)
    furnish(cluster)
    life = Life(cluster, random=Random(3))
    life.begin()
    for _ in range(300):  # five minutes here; what piles up does so from the start
        now[0] += 1.0
        life.step()

    assert len(cluster.objects("events")) <= 540
    assert len(cluster.objects("pods")) < 120
    assert len(cluster.objects("replicasets.apps")) <= 11 * 12
