"""Rollouts by the demo's controllers and by real ones: the same conditions in the same order, the same end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import reduce
from itertools import groupby
from typing import Any

import pytest

from tests.contract.both import is_age
from tests.contract.objects import deployment
from tests.contract.servers import PATIENCE_SECONDS, STRATEGIC_PATCH, TABLE, Server

pytestmark = [pytest.mark.controllers, pytest.mark.timeout(120)]

CREATED, UPDATED, DONE = "NewReplicaSetCreated", "ReplicaSetUpdated", "NewReplicaSetAvailable"
NOTED = "deployment.kubernetes.io/"


class Rollouts:
    """A Deployment named web, all that was told of it, and its ReplicaSets by their age: rs1, rs2, ..."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.sets_path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
        self.told: list[dict[str, Any]] = []
        self._begun = 0
        self._moved = asyncio.Event()

    async def follow(self) -> None:
        async with self.server.watch(self.path, resourceVersion="0") as events:
            while True:
                self.told.append((await events.next())["object"])
                self._moved.set()

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until what is told next satisfies ``condition``."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (self.told and condition(self.told[-1])):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pods = await self.server.done("GET", f"/api/v1/namespaces/{self.namespace}/pods")
            states = [(pod["metadata"]["name"], pod["status"]) for pod in pods["items"]]
            raise AssertionError(f"last told: {self.told[-1:]}, with pods {states}") from None
        return self.told[-1]

    async def rolled_out(self) -> dict[str, Any]:
        """Wait as `kubectl rollout status` does, and until the status says so itself."""
        held = await self.server.done("GET", f"{self.path}/web")
        wanted, generation = held["spec"]["replicas"], held["metadata"]["generation"]

        def done(obj: dict[str, Any]) -> bool:
            status = obj.get("status", {})
            counts = [status.get(f"{name}eplicas", 0) for name in ("r", "updatedR", "availableR", "readyR")]
            return (
                counts == [wanted] * 4
                and status.get("observedGeneration", 0) >= generation
                and progress(obj)[1] == DONE
                and not status.get("terminatingReplicas")
            )

        return await self.until(done)

    async def patch(self, patch: dict[str, Any]) -> None:
        """A change; what is told from now on is asked for by ``changes``."""
        self._begun = max(len(self.told) - 1, 0)
        await self.server.patch(f"{self.path}/web", patch, STRATEGIC_PATCH)

    async def set_image(self, image: str) -> None:
        await self.patch({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})

    def changes(self, of: Callable[[dict[str, Any]], Any]) -> list[Any]:
        """What was told one after the other since the last change, without repetitions and what was before."""
        seen = [key for key, _ in groupby(of(obj) for obj in self.told[self._begun :])]
        return seen[1:] if self._begun else [key for key in seen if key != ("", "")]

    def progressed(self) -> list[tuple[str, str]]:
        """How progress was told to change, but for steps between: real controllers skip them when pods are quick."""
        told: list[tuple[str, str]] = self.changes(progress)
        assert not told or told[-1] != ("True", UPDATED)
        return [key for key, _ in groupby(each for each in told if each != ("True", UPDATED))]

    async def sets(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.server.done("GET", self.sets_path))["items"]
        return sorted(items, key=_first)

    async def plain(self, *texts: str) -> list[str]:
        """With the ReplicaSets' names replaced."""
        names = {item["metadata"]["name"]: f"rs{at}" for at, item in enumerate(await self.sets(), 1)}
        return [reduce(lambda text, name: text.replace(name, names[name]), names, text) for text in texts]


def _first(replica_set: dict[str, Any]) -> int:
    """The revision it was made for."""
    annotations = replica_set["metadata"]["annotations"]
    history = annotations.get(f"{NOTED}revision-history", annotations[f"{NOTED}revision"])
    return int(history.split(",")[0])


def condition(obj: dict[str, Any], type_: str) -> dict[str, str]:
    found = obj.get("status", {}).get("conditions") or ()
    return next((each for each in found if each["type"] == type_), {"status": "", "reason": ""})


def progress(obj: dict[str, Any]) -> tuple[str, str]:
    held = condition(obj, "Progressing")
    return held["status"], held["reason"]


def availability(obj: dict[str, Any]) -> tuple[str, str]:
    held = condition(obj, "Available")
    return held["status"], held["reason"]


def revision(obj: dict[str, Any]) -> str:
    found: str = (obj["metadata"].get("annotations") or {}).get(f"{NOTED}revision", "")
    return found


def counts(obj: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in obj["status"].items() if name != "conditions"}


ALL_AVAILABLE = ("True", "MinimumReplicasAvailable")
TOO_FEW = ("False", "MinimumReplicasUnavailable")


@pytest.fixture
async def web(server: Server, namespace: str) -> AsyncIterator[Rollouts]:
    await server.account(namespace)  # else the first pods are refused, and tried again later
    made = Rollouts(server, namespace)
    following = asyncio.create_task(made.follow(), name="follow")
    yield made
    assert not following.done(), following.exception()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await server("DELETE", f"{made.path}/web")


async def test_a_rollout_the_next_one_and_its_undoing(server: Server, web: Rollouts, namespace: str) -> None:
    await server.done("POST", web.path, deployment(replicas=3, annotations={"team": "a"}))
    await web.rolled_out()
    assert web.progressed() == [("True", CREATED), ("True", DONE)]
    assert web.changes(availability) == [TOO_FEW, ALL_AVAILABLE]

    await web.set_image("nginx:2")
    await web.rolled_out()
    assert web.progressed() == [("True", CREATED), ("True", DONE)]
    assert web.changes(availability) == []  # one is added before one is taken
    assert web.changes(revision) == ["2"]

    await web.set_image("nginx:1")
    last = await web.rolled_out()
    assert web.progressed() in ([("True", DONE)], [])  # nothing is created
    assert web.changes(revision) == ["3"]

    assert counts(last) == {
        "observedGeneration": 3,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "terminatingReplicas": 0,
    }
    assert await web.plain(*(each["message"] for each in last["status"]["conditions"])) == [
        "Deployment has minimum availability.",
        'ReplicaSet "rs1" has successfully progressed.',
    ]
    assert [each["type"] for each in last["status"]["conditions"]] == ["Available", "Progressing"]
    first, second = await web.sets()
    sizes = {f"{NOTED}desired-replicas": "3", f"{NOTED}max-replicas": "4", "team": "a"}
    assert first["metadata"]["annotations"] == {
        **sizes, f"{NOTED}revision": "3", f"{NOTED}revision-history": "1",
    }  # fmt: skip
    assert second["metadata"]["annotations"] == {**sizes, f"{NOTED}revision": "2"}
    assert (first["spec"]["replicas"], second["spec"]["replicas"]) == (3, 0)
    assert second["status"] == {
        "replicas": 0, "terminatingReplicas": 0, "observedGeneration": second["metadata"]["generation"],
    }  # fmt: skip
    assert first["metadata"]["labels"].keys() == {"app", "pod-template-hash"}
    assert first["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": last["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


async def test_what_is_printed_of_a_rollout(server: Server, web: Rollouts, namespace: str) -> None:
    await server.done("POST", web.path, deployment(replicas=2))
    await web.rolled_out()
    await web.set_image("nginx:2")
    await web.rolled_out()
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await server.until(pods, lambda answer: len(answer.json()["items"]) == 2)

    async def rows(path: str) -> list[list[Any]]:
        cells = [row["cells"] for row in (await server("GET", path, accept=TABLE)).json()["rows"]]
        plain = iter(await web.plain(*(str(cell) for row in cells for cell in row)))
        return [[_shown(cell, next(plain)) for cell in row] for row in cells]

    assert await rows(web.path) == [["web", "2/2", 2, 2, "AGE", "c", "nginx:2", "app=web"]]
    hashes = [item["metadata"]["labels"]["pod-template-hash"] for item in await web.sets()]
    assert sorted(await rows(web.sets_path)) == [
        ["rs1", 0, 0, 0, "AGE", "c", "nginx:1", f"app=web,pod-template-hash={hashes[0]}"],
        ["rs2", 2, 2, 2, "AGE", "c", "nginx:2", f"app=web,pod-template-hash={hashes[1]}"],
    ]
    for name, ready, phase, restarts, age, _, _, nominated, gates in await rows(pods):
        assert name.startswith("rs2-")
        assert (ready, phase, restarts, age, nominated, gates) == ("1/1", "Running", "0", "AGE", "<none>", "<none>")
    events = f"/api/v1/namespaces/{namespace}/events"
    await server.until(events, lambda answer: answer.text.count('"ScalingReplicaSet"') == 5)  # they are told later
    scaled = [row[6] for row in await rows(events) if row[2] == "ScalingReplicaSet"]
    assert sorted(scaled) == [
        "Scaled down replica set rs1 from 1 to 0",
        "Scaled down replica set rs1 from 2 to 1",
        "Scaled up replica set rs1 from 0 to 2",
        "Scaled up replica set rs2 from 0 to 1",
        "Scaled up replica set rs2 from 1 to 2",
    ]


def _shown(cell: Any, plain: str) -> Any:
    if is_age(cell):
        return "AGE"
    return plain if isinstance(cell, str) else cell


async def test_a_pod_of_a_rollout(server: Server, web: Rollouts, namespace: str) -> None:
    await server.done("POST", web.path, deployment())
    await web.rolled_out()
    (pod,) = (await server.done("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
    (made,) = await web.sets()

    metadata, status = pod["metadata"], pod["status"]
    assert metadata["name"].startswith(metadata["generateName"])
    assert metadata["generateName"] == f"{made['metadata']['name']}-"
    assert metadata["labels"] == made["metadata"]["labels"]
    assert [(each["kind"], each["uid"]) for each in metadata["ownerReferences"]] == [
        ("ReplicaSet", made["metadata"]["uid"])
    ]
    assert metadata["generation"] == 1  # being placed is no change of what was asked for
    assert pod["spec"]["nodeName"]
    assert (status["phase"], status["qosClass"]) == ("Running", "BestEffort")
    conditions = {each["type"]: each for each in status["conditions"]}
    assert {"Initialized", "Ready", "ContainersReady", "PodScheduled"} <= set(conditions)
    assert {each["status"] for each in conditions.values()} == {"True"}
    assert conditions["Ready"]["lastProbeTime"] is None
    assert [
        (each["name"], each["ready"], each["restartCount"], each["image"]) for each in status["containerStatuses"]
    ] == [("c", True, 0, "nginx:1")]


async def test_scaling_is_no_rollout(server: Server, web: Rollouts) -> None:
    await server.done("POST", web.path, deployment(replicas=2))
    await web.rolled_out()

    await web.patch({"spec": {"replicas": 5}})
    await web.rolled_out()
    assert web.changes(progress) == []
    assert web.changes(availability) == [TOO_FEW, ALL_AVAILABLE]

    await web.patch({"spec": {"replicas": 1}})
    last = await web.rolled_out()
    assert web.changes(progress) == web.changes(availability) == []
    assert revision(last) == "1"
    (only,) = await web.sets()
    assert only["metadata"]["annotations"] == {
        f"{NOTED}desired-replicas": "1", f"{NOTED}max-replicas": "2", f"{NOTED}revision": "1",
    }  # fmt: skip


async def test_a_paused_deployment_rolls_out_when_it_is_resumed(server: Server, web: Rollouts) -> None:
    await server.done("POST", web.path, deployment(replicas=2))
    await web.rolled_out()

    await web.patch({"spec": {"paused": True}})
    await web.until(lambda obj: progress(obj)[1] == "DeploymentPaused" and _observed(obj))
    assert web.changes(progress) == [("Unknown", "DeploymentPaused")]
    await web.set_image("nginx:2")
    waiting = await web.until(lambda obj: obj["metadata"]["generation"] == 3 and _observed(obj))
    assert revision(waiting) == "1"
    assert counts(waiting) == {
        "observedGeneration": 3, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "terminatingReplicas": 0,
    }  # fmt: skip
    assert len(await web.sets()) == 1

    await web.patch({"spec": {"paused": None}})
    await web.rolled_out()
    assert web.progressed() == [("Unknown", "DeploymentResumed"), ("True", DONE)]
    assert web.changes(revision) == ["2"]


def _observed(obj: dict[str, Any]) -> bool:
    found: bool = obj["status"].get("observedGeneration") == obj["metadata"]["generation"]
    return found


async def test_a_rollout_that_finds_no_node_times_out_and_is_repaired(
    server: Server, web: Rollouts, namespace: str
) -> None:
    stuck = deployment(replicas=2)
    stuck["spec"]["progressDeadlineSeconds"] = 1
    stuck["spec"]["template"]["spec"]["nodeSelector"] = {"example.dev/no": "node"}
    await server.done("POST", web.path, stuck)
    held = await web.until(lambda obj: progress(obj)[0] == "False")
    assert web.progressed() == [("True", CREATED), ("False", "ProgressDeadlineExceeded")]
    assert web.changes(availability) == [TOO_FEW]
    assert await web.plain(condition(held, "Progressing")["message"]) == ['ReplicaSet "rs1" has timed out progressing.']
    told = await _scheduled(server, namespace)
    for _ in range(int(PATIENCE_SECONDS / 0.05)):  # the scheduler may say so after the deadline is over
        if "" not in told:
            break
        await asyncio.sleep(0.05)
        told = await _scheduled(server, namespace)
    assert told == ["Pending, Unschedulable"] * 2

    await web.patch({"spec": {"template": {"spec": {"nodeSelector": None}}}})
    await web.rolled_out()
    assert web.progressed() == [("True", CREATED), ("True", DONE)]
    assert web.changes(availability) == [ALL_AVAILABLE]


async def _scheduled(server: Server, namespace: str) -> list[str]:
    """Phase of each pod, and why it is not scheduled; "" while nothing is said."""
    pods = (await server.done("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
    reasons = [{each["type"]: each.get("reason") for each in pod["status"].get("conditions", ())} for pod in pods]
    return [
        f"{pod['status']['phase']}, {reason['PodScheduled']}" if "PodScheduled" in reason else ""
        for pod, reason in zip(pods, reasons, strict=True)
    ]


async def test_recreating_takes_all_old_pods_before_a_new_one_comes(
    server: Server, web: Rollouts, namespace: str
) -> None:
    body = deployment(replicas=2)
    body["spec"]["strategy"] = {"type": "Recreate"}
    await server.done("POST", web.path, body)
    await web.rolled_out()
    version = (await server.done("GET", f"/api/v1/namespaces/{namespace}/pods"))["metadata"]["resourceVersion"]

    async with server.watch(f"/api/v1/namespaces/{namespace}/pods", resourceVersion=version) as events:
        await web.set_image("nginx:2")
        await web.rolled_out()
        order = []
        while order.count("ADDED") < 2:
            order.append((await events.next())["type"])

    assert web.changes(availability) == [TOO_FEW, ALL_AVAILABLE]
    # The telling of the new one may conflict with that of the old one's end: then all there is to see are the counts.
    assert web.progressed() in ([("True", CREATED), ("True", DONE)], [])
    assert [each for each in order if each != "MODIFIED"] == ["DELETED", "DELETED", "ADDED", "ADDED"]


async def test_old_revisions_beyond_the_limit_go(server: Server, web: Rollouts) -> None:
    body = deployment()
    body["spec"]["revisionHistoryLimit"] = 1
    await server.done("POST", web.path, body)
    await web.rolled_out()
    for image in ("nginx:2", "nginx:3"):
        await web.set_image(image)
        await web.rolled_out()

    left = await server.until(web.sets_path, lambda answer: len(answer.json()["items"]) == 2)
    revisions = [item["metadata"]["annotations"][f"{NOTED}revision"] for item in left.json()["items"]]
    assert sorted(revisions) == ["2", "3"]


async def test_a_deployment_that_is_deleted_takes_everything_along(
    server: Server, web: Rollouts, namespace: str
) -> None:
    await server.done("POST", web.path, deployment(replicas=2))
    await web.rolled_out()

    await server.done("DELETE", f"{web.path}/web", {"propagationPolicy": "Foreground"})

    for path in (web.path, web.sets_path, f"/api/v1/namespaces/{namespace}/pods"):
        await server.until(path, lambda answer: not answer.json()["items"])
