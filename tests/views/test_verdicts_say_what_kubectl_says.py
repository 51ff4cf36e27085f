"""Verdicts: kubectl's rollout wording in its order, kstatus' rules for the rest, and what neither of them says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.views.conditions import Condition, Tone
from kubemirror.views.rollout import verdict
from kubemirror.views.verdicts import Verdict

HOSTILE: list[Any] = [None, True, 7, 1.5, "x", [], {}, [None], {"x": None}, [{"type": 7}], "<script>"]


def resource(name: str, *, custom: bool = False, status: bool = True) -> Resource:
    plural, _, group = name.partition(".")
    return Resource(
        group,
        "v1",
        plural,
        plural,
        plural.title(),
        namespaced=True,
        versions=(ServedVersion("v1"),),
        custom=custom,
        subresources=("status",) if status else (),
    )


DEPLOYMENTS, FOOS = resource("deployments.apps"), resource("foos.example.com", custom=True)
SINCE = {"lastTransitionTime": "2026-01-02T03:04:05Z"}


def condition(type_: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message, **SINCE}


PROGRESSING = condition("Progressing", reason="ReplicaSetUpdated", message="is progressing")
ROLLED_OUT = condition("Progressing", reason="NewReplicaSetAvailable")
LATE = condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out progressing")


def deployment(*conditions: Any, wanted: int | None = 3, generation: int = 2, **status: int) -> dict[str, Any]:
    counts = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "observedGeneration": 2} | status
    spec = {} if wanted is None else {"replicas": wanted}
    return {
        "metadata": {"name": "web", "generation": generation},
        "spec": spec,
        "status": {**counts, "conditions": list(conditions)},
    }


def said(of: Resource, data: dict[str, Any]) -> tuple[str, Tone, str]:
    found = verdict(of, data)
    assert found is not None
    assert found.rule
    return found.word, found.tone, found.sentence


WAITING = 'waiting for deployment "web" rollout to finish: '


@pytest.mark.parametrize(
    ("data", "word", "tone", "sentence"),
    [
        (deployment(ROLLED_OUT), "Complete", "good", 'deployment "web" successfully rolled out'),
        (
            deployment(),
            "Complete",
            "good",
            'deployment "web" successfully rolled out',
        ),  # a bare status: kubectl is done
        (deployment(generation=3), "Progressing", "busy", "waiting for deployment spec update to be observed"),
        (
            deployment(LATE, generation=3),  # not observed yet comes before what the old status says
            "Progressing",
            "busy",
            "waiting for deployment spec update to be observed",
        ),
        (
            deployment(LATE, updatedReplicas=1, availableReplicas=2),
            "Failed",
            "bad",
            'deployment "web" exceeded its progress deadline: 2 of 3 replicas are available',
        ),
        (
            deployment(PROGRESSING, updatedReplicas=2, replicas=4, availableReplicas=3),
            "Progressing",
            "busy",
            f"{WAITING}2 out of 3 new replicas have been updated",
        ),
        (
            deployment(PROGRESSING, replicas=4),
            "Progressing",
            "busy",
            f"{WAITING}1 old replicas are pending termination",
        ),
        (
            deployment(PROGRESSING, availableReplicas=2),
            "Progressing",
            "busy",
            f"{WAITING}2 of 3 updated replicas are available",
        ),
        (
            deployment(wanted=None, replicas=1, updatedReplicas=0, availableReplicas=0),
            "Progressing",
            "busy",
            f"{WAITING}0 out of 1 new replicas have been updated",
        ),
        (
            deployment(ROLLED_OUT, condition("Available"), availableReplicas=2),  # complete before: pods were lost
            "Degraded",
            "warn",
            f"{WAITING}2 of 3 updated replicas are available",
        ),
        (
            deployment(ROLLED_OUT, condition("Available", "False"), availableReplicas=1),
            "Degraded",
            "bad",
            f"{WAITING}1 of 3 updated replicas are available",
        ),
        (
            deployment(PROGRESSING, condition("ReplicaFailure", message="quota"), updatedReplicas=0),
            "Failed",
            "bad",
            f"{WAITING}0 out of 3 new replicas have been updated",
        ),
        (
            deployment(wanted=0, replicas=0, updatedReplicas=0, availableReplicas=0),
            "Complete",
            "good",
            'deployment "web" successfully rolled out',
        ),
    ],
)
def test_a_deployment_is_judged_in_the_order_of_kubectl_rollout_status(
    data: dict[str, Any], word: str, tone: str, sentence: str
) -> None:
    assert said(DEPLOYMENTS, data) == (word, Tone(tone), sentence)


def test_a_paused_deployment_is_paused_whatever_else_it_is() -> None:
    data = deployment(LATE, generation=3, updatedReplicas=1)
    data["spec"]["paused"] = True

    assert said(DEPLOYMENTS, data) == (
        "Paused",
        Tone.REST,
        "rollout is paused: 1 out of 3 new replicas have been updated",
    )


def test_what_is_being_deleted_says_so_first_and_what_it_waits_for() -> None:
    data = deployment(LATE)
    data["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["example.com/keep"]}

    assert said(DEPLOYMENTS, data)[::2] == (
        "Terminating",
        "is being deleted, and waits for the finalizers example.com/keep",
    )


def test_a_verdict_tells_since_when_why_and_by_which_rule() -> None:
    found = verdict(DEPLOYMENTS, deployment(LATE, updatedReplicas=1))

    assert found is not None
    assert (found.since, found.detail) == (1767323045.0, "has timed out progressing")
    assert found.rule == "kubectl rollout status: Progressing has reason ProgressDeadlineExceeded"


def test_a_rollout_is_as_old_as_its_last_step_though_progressing_was_true_all_along() -> None:
    updated = {"lastUpdateTime": "2026-01-02T03:17:05Z"}
    done = verdict(DEPLOYMENTS, deployment(ROLLED_OUT | updated))
    under_way = verdict(DEPLOYMENTS, deployment(PROGRESSING | updated, updatedReplicas=1))

    assert [each and each.since for each in (done, under_way)] == [1767323825.0, 1767323825.0]


@pytest.mark.parametrize(
    ("status", "word", "tone", "sentence"),
    [
        (None, "Unknown", "unknown", "not observed yet: Foos declares a status, and it is empty"),
        ({}, "Unknown", "unknown", "not observed yet: Foos declares a status, and it is empty"),
        (
            {"observedGeneration": 1, "conditions": [condition("Ready")]},
            "Progressing",
            "busy",
            "generation 2 of the spec is not observed yet, the status is of 1",
        ),
        (
            {
                "observedGeneration": 2,
                "conditions": [condition("Reconciling"), condition("Stalled"), condition("Ready")],
            },
            "Progressing",
            "busy",
            "Reconciling is True",
        ),
        (
            {"conditions": [condition("Ready"), condition("Stalled", reason="Invalid")]},
            "Failed",
            "bad",
            "Stalled is True, because Invalid",
        ),
        ({"conditions": [condition("Stalled", "False"), condition("Ready")]}, "Ready", "good", "Ready is True"),
        (
            {"conditions": [condition("Ready", "False", "Crashed")]},
            "Not ready",
            "bad",
            "Ready is False, because Crashed",
        ),
        (
            {"conditions": [condition("Ready", "False", "Progressing")]},
            "Progressing",
            "busy",
            "Ready is False, because Progressing",
        ),
        ({"conditions": [condition("Ready", "Unknown")]}, "Unknown", "warn", "Ready is Unknown"),
        ({"conditions": [condition("Degraded"), condition("Available")]}, "Degraded", "bad", "Degraded is True"),
        ({"phase": "Ready"}, "Ready", "good", "phase is Ready"),
        ({"phase": "Failed"}, "Failed", "bad", "phase is Failed"),
        ({"phase": "Provisioning"}, "Provisioning", "busy", "phase is Provisioning"),
        ({"phase": "Somewhere"}, "Somewhere", "unknown", "phase is Somewhere"),
    ],
)
def test_a_custom_resource_is_judged_by_what_it_says_of_itself(
    status: Any, word: str, tone: str, sentence: str
) -> None:
    data = {"metadata": {"name": "x", "generation": 2}, **({} if status is None else {"status": status})}

    assert said(FOOS, data) == (word, Tone(tone), sentence)


def test_who_declares_no_status_or_says_nothing_has_no_verdict() -> None:
    data = {"metadata": {"name": "x"}, "spec": {}}

    assert verdict(resource("foos.example.com", custom=True, status=False), data) is None
    assert verdict(FOOS, data | {"status": {"url": "https://x"}}) is None
    assert verdict(resource("configmaps"), data) is None


def workload(name: str, spec: dict[str, Any], **status: Any) -> Verdict | None:
    data = {"metadata": {"name": "db", "generation": 1}, "spec": spec, "status": {"observedGeneration": 1, **status}}
    return verdict(resource(name), data)


@pytest.mark.parametrize(
    ("spec", "status", "tone", "sentence"),
    [
        ({"replicas": 3}, {"observedGeneration": 0}, "busy", "waiting for statefulset spec update to be observed"),
        ({"replicas": 3}, {"readyReplicas": 1}, "busy", "waiting for 2 pods to be ready"),
        (
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {"readyReplicas": 3, "updatedReplicas": 1},
            "busy",
            "waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated",
        ),
        (
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {"readyReplicas": 3, "updatedReplicas": 2},
            "good",
            "partitioned roll out complete: 2 new pods have been updated",
        ),
        (
            {"replicas": 3},
            {"readyReplicas": 3, "updatedReplicas": 2, "updateRevision": "db-2", "currentRevision": "db-1"},
            "busy",
            "waiting for statefulset rolling update to complete 2 pods at revision db-2",
        ),
        (
            {"replicas": 3},
            {"readyReplicas": 3, "currentReplicas": 3, "updateRevision": "db-2", "currentRevision": "db-2"},
            "good",
            "statefulset rolling update complete 3 pods at revision db-2",
        ),
    ],
)
def test_a_stateful_set_is_judged_as_kubectl_does(
    spec: dict[str, Any], status: dict[str, Any], tone: str, sentence: str
) -> None:
    found = workload("statefulsets.apps", spec, **status)

    assert found is not None
    assert (found.tone, found.sentence) == (Tone(tone), sentence)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ({"observedGeneration": 0}, "waiting for daemon set spec update to be observed"),
        (
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 1},
            'waiting for daemon set "db" rollout to finish: 1 out of 3 new pods have been updated',
        ),
        (
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2},
            'waiting for daemon set "db" rollout to finish: 2 of 3 updated pods are available',
        ),
        (
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3},
            'daemon set "db" successfully rolled out',
        ),
    ],
)
def test_a_daemon_set_is_judged_as_kubectl_does(status: dict[str, Any], sentence: str) -> None:
    found = workload("daemonsets.apps", {}, **status)

    assert found is not None
    assert found.sentence == sentence


def pod(phase: str = "Running", *conditions: Any, **container: Any) -> dict[str, Any]:
    status = {"phase": phase, "conditions": list(conditions), "containerStatuses": [{"name": "c", **container}]}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": status}


@pytest.mark.parametrize(
    ("data", "word", "tone"),
    [
        (pod("Running", condition("Ready"), ready=True, state={"running": {}}), "Running", "good"),
        (pod("Running", condition("Ready", "False"), state={"running": {}}), "Not ready", "busy"),
        (pod("Running", state={"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff", "bad"),
        (pod("Pending", state={"waiting": {"reason": "ImagePullBackOff"}}), "ImagePullBackOff", "bad"),
        (pod("Pending", state={"waiting": {"reason": "ContainerCreating"}}), "ContainerCreating", "busy"),
        (pod("Pending", condition("PodScheduled", "False", "Unschedulable")), "Unschedulable", "bad"),
        (pod("Succeeded", state={"terminated": {"reason": "Completed"}}), "Completed", "rest"),
        (pod("Failed", state={"terminated": {"reason": "OOMKilled", "exitCode": 137}}), "OOMKilled", "bad"),
    ],
)
def test_a_pod_is_judged_by_the_word_that_kubectl_prints(data: dict[str, Any], word: str, tone: str) -> None:
    assert said(resource("pods"), data)[:2] == (word, Tone(tone))


@pytest.mark.parametrize(
    ("type_", "status", "tone"),
    [
        ("Ready", "True", Tone.GOOD),
        ("Ready", "False", Tone.BAD),
        ("Ready", "Unknown", Tone.WARN),
        ("MemoryPressure", "True", Tone.BAD),
        ("MemoryPressure", "False", None),
        ("Reconciling", "True", None),
        ("Progressing", "False", Tone.BAD),
    ],
)
def test_a_condition_is_good_or_bad_news_by_what_it_names(type_: str, status: str, tone: Tone | None) -> None:
    assert Condition(type_, status, "", "", "").tone is tone


@pytest.mark.parametrize(
    "name", ["deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "pods", "jobs.batch"]
)
@pytest.mark.parametrize("value", HOSTILE, ids=json.dumps)
def test_whatever_is_anywhere_in_an_object_it_has_a_verdict(name: str, value: Any) -> None:
    for field in ("replicas", "conditions", "observedGeneration", "phase", "containerStatuses", "paused"):
        for data in (
            {"metadata": {}, "spec": {field: value}, "status": {field: value}},
            {"spec": value, "status": value},
        ):
            assert verdict(resource(name), data) is not None
            verdict(FOOS, data)
