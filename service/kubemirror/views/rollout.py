"""Verdicts on what rolls out, in the words and the order of ``kubectl rollout status``.

Deployments, StatefulSets and DaemonSets: kubectl's pkg/polymorphichelpers/rollout_status.go; ReplicaSets, Pods and
Jobs: kstatus' rules in words of the same kind. Two rules come first that kubectl does not have: what is being deleted
is Terminating, and a paused Deployment is Paused, as Argo CD has it. ``spec.replicas`` is 1 where it is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubemirror.state.catalog import Resource
from kubemirror.views.conditions import Condition, Tone, by_type, conditions
from kubemirror.views.fields import Fields, instant, mapping, number, text
from kubemirror.views.pods import summary
from kubemirror.views.verdicts import Verdict, generic, leaving

KUBECTL = "kubectl rollout status"


def verdict(resource: Resource, data: Fields) -> Verdict | None:
    """What is to be said of an object of ``resource``; None where it says nothing of itself."""
    rules = None if resource.custom else _RULES.get(resource.name)
    if rules is None:
        return None if resource.name in SILENT else generic(resource, data)
    early = leaving(data)
    return early if early is not None else rules(data)


# -- Deployments ----------------------------------------------------------------------------------------


def _deployment(data: Fields) -> Verdict:
    name = text(data, "metadata", "name")
    spec, status = mapping(data, "spec"), mapping(data, "status")
    found = by_type(conditions(data))
    progressing = found.get("Progressing")
    wanted = number(spec, "replicas", default=1)
    replicas, updated = number(status, "replicas"), number(status, "updatedReplicas")
    available = number(status, "availableReplicas")
    since = _progress(progressing)
    if spec.get("paused") is True:
        sentence = f"rollout is paused: {updated} out of {wanted} new replicas have been updated"
        return Verdict("Paused", Tone.REST, sentence, "spec.paused (Argo CD's rule)", since)
    if number(data, "metadata", "generation") > number(status, "observedGeneration"):
        sentence = "waiting for deployment spec update to be observed"
        return Verdict(
            "Progressing", Tone.BUSY, sentence, f"{KUBECTL}: metadata.generation > status.observedGeneration"
        )
    if progressing is not None and progressing.reason == "ProgressDeadlineExceeded":
        rule = f"{KUBECTL}: Progressing has reason ProgressDeadlineExceeded"
        sentence = f'deployment "{name}" exceeded its progress deadline: {available} of {wanted} replicas are available'
        return Verdict("Failed", Tone.BAD, sentence, rule, since, _why(found, progressing))
    waiting = f'waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        sentence = f"{waiting}{updated} out of {wanted} new replicas have been updated"
        rule = f"{KUBECTL}: status.updatedReplicas < spec.replicas"
    elif replicas > updated:
        sentence = f"{waiting}{replicas - updated} old replicas are pending termination"
        rule = f"{KUBECTL}: status.replicas > status.updatedReplicas"
    elif available < updated:
        sentence = f"{waiting}{available} of {updated} updated replicas are available"
        rule = f"{KUBECTL}: status.availableReplicas < status.updatedReplicas"
    else:
        return Verdict("Complete", Tone.GOOD, f'deployment "{name}" successfully rolled out', f"{KUBECTL}: done", since)
    failure, min_available = found.get("ReplicaFailure"), found.get("Available")
    if failure is not None and failure.status == "True":
        return Verdict("Failed", Tone.BAD, sentence, rule, failure.since, failure.message)
    rolled_out = progressing is not None and progressing.reason == "NewReplicaSetAvailable"
    if rolled_out and replicas == updated == wanted:  # it had been complete: this is no rollout, but a loss of pods
        lost = min_available is not None and min_available.status == "False"
        tone = Tone.BAD if lost or not available else Tone.WARN
        return Verdict("Degraded", tone, sentence, rule, _since(min_available), _why(found, min_available))
    return Verdict("Progressing", Tone.BUSY, sentence, rule, since, _why(found, progressing))


def _why(found: Mapping[str, Condition], condition: Condition | None) -> str:
    failure = found.get("ReplicaFailure")
    if failure is not None and failure.status == "True" and failure.message:
        return failure.message
    return condition.message if condition is not None else ""


def _progress(progressing: Condition | None) -> float | None:
    """When a rollout came this far: Progressing stays True from one to the next, and is updated by each step."""
    if progressing is None:
        return None
    updated = instant(progressing.updated)
    return updated if updated is not None else progressing.since


def _since(condition: Condition | None) -> float | None:
    return condition.since if condition is not None else None


# -- StatefulSets and DaemonSets ------------------------------------------------------------------------


def _stateful_set(data: Fields) -> Verdict:
    spec, status = mapping(data, "spec"), mapping(data, "status")
    wanted = number(spec, "replicas", default=1)
    updated, ready = number(status, "updatedReplicas"), number(status, "readyReplicas")
    on_delete = text(spec, "updateStrategy", "type") == "OnDelete"
    observed = number(status, "observedGeneration")
    if observed == 0 or number(data, "metadata", "generation") > observed:
        rule = f"{KUBECTL}: metadata.generation > status.observedGeneration"
        return Verdict("Progressing", Tone.BUSY, "waiting for statefulset spec update to be observed", rule)
    if ready < wanted:
        word, tone = ("Progressing", Tone.BUSY) if ready else ("Not ready", Tone.BAD)
        rule = f"{KUBECTL}: status.readyReplicas < spec.replicas"
        return Verdict(word, tone, f"waiting for {wanted - ready} pods to be ready", rule)
    if on_delete:
        rule = "kstatus: spec.updateStrategy is OnDelete"
        return Verdict("Ready", Tone.GOOD, f"{ready} pods are ready; they are updated when somebody deletes them", rule)
    partition = number(spec, "updateStrategy", "rollingUpdate", "partition")
    if partition > 0:
        share = max(wanted - partition, 0)
        rule = f"{KUBECTL}: status.updatedReplicas, spec.replicas - partition"
        if updated < share:
            sentence = (
                f"waiting for partitioned roll out to finish: {updated} out of {share} new pods have been updated"
            )
            return Verdict("Progressing", Tone.BUSY, sentence, rule)
        sentence = f"partitioned roll out complete: {updated} new pods have been updated"
        return Verdict("Complete", Tone.GOOD, sentence, rule)
    revision = text(status, "updateRevision")
    if revision != text(status, "currentRevision"):
        rule = f"{KUBECTL}: status.updateRevision is not status.currentRevision"
        sentence = f"waiting for statefulset rolling update to complete {updated} pods at revision {revision}"
        return Verdict("Progressing", Tone.BUSY, sentence, rule)
    sentence = f"statefulset rolling update complete {number(status, 'currentReplicas')} pods at revision {revision}"
    return Verdict("Complete", Tone.GOOD, sentence, f"{KUBECTL}: done")


def _daemon_set(data: Fields) -> Verdict:
    name, status = text(data, "metadata", "name"), mapping(data, "status")
    wanted, updated = number(status, "desiredNumberScheduled"), number(status, "updatedNumberScheduled")
    available = number(status, "numberAvailable")
    if number(data, "metadata", "generation") > number(status, "observedGeneration"):
        rule = f"{KUBECTL}: metadata.generation > status.observedGeneration"
        return Verdict("Progressing", Tone.BUSY, "waiting for daemon set spec update to be observed", rule)
    waiting = f'waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted and text(data, "spec", "updateStrategy", "type") != "OnDelete":
        rule = f"{KUBECTL}: status.updatedNumberScheduled < status.desiredNumberScheduled"
        sentence = f"{waiting}{updated} out of {wanted} new pods have been updated"
        return Verdict("Progressing", Tone.BUSY, sentence, rule)
    if available < wanted:
        word, tone = ("Progressing", Tone.BUSY) if available else ("Unavailable", Tone.BAD)
        rule = f"{KUBECTL}: status.numberAvailable < status.desiredNumberScheduled"
        return Verdict(word, tone, f"{waiting}{available} of {wanted} updated pods are available", rule)
    return Verdict("Complete", Tone.GOOD, f'daemon set "{name}" successfully rolled out', f"{KUBECTL}: done")


# -- ReplicaSets, Pods, Jobs ----------------------------------------------------------------------------


def _replica_set(data: Fields) -> Verdict:
    status, found = mapping(data, "status"), by_type(conditions(data))
    wanted = number(data, "spec", "replicas", default=1)
    replicas, available = number(status, "replicas"), number(status, "availableReplicas")
    failure = found.get("ReplicaFailure")
    if failure is not None and failure.status == "True":
        sentence = f"pods cannot be created: {replicas} of {wanted} exist"
        rule = "kstatus: condition ReplicaFailure=True"
        return Verdict("Failed", Tone.BAD, sentence, rule, failure.since, failure.message)
    if number(data, "metadata", "generation") > number(status, "observedGeneration"):
        rule = "kstatus: metadata.generation > status.observedGeneration"
        return Verdict("Progressing", Tone.BUSY, "waiting for replica set spec update to be observed", rule)
    if replicas > wanted:
        rule = "kstatus: status.replicas > spec.replicas"
        return Verdict("Progressing", Tone.BUSY, f"{replicas - wanted} replicas are pending termination", rule)
    if available < wanted:
        rule = "kstatus: status.availableReplicas < spec.replicas"
        return Verdict("Progressing", Tone.BUSY, f"{available} of {wanted} replicas are available", rule)
    if not wanted:
        return Verdict("Scaled to 0", Tone.REST, "no replicas are wanted", "spec.replicas is 0")
    return Verdict("Available", Tone.GOOD, f"{available} of {wanted} replicas are available", "kstatus: done")


# What a container waits for without anybody having to look.
_STARTING = frozenset({"ContainerCreating", "PodInitializing", "Pending", "SchedulingGated", "Terminating"})


def _pod(data: Fields) -> Verdict:
    try:
        told = summary(data)
    except (AttributeError, KeyError, TypeError):  # no API server takes such a pod; whoever sends one gets an answer
        return Verdict("Unknown", Tone.UNKNOWN, "the pod's status cannot be read", "kubectl get pods")
    found = by_type(conditions(data))
    ready, scheduled = found.get("Ready"), found.get("PodScheduled")
    phase, word = text(data, "status", "phase"), told.status or "Unknown"
    sentence = f"{told.ready} of {told.total} containers are ready"
    rule = "kubectl get pods: STATUS"
    since = _since(ready)
    detail = ready.message if ready is not None and ready.status == "False" else ""
    if phase == "Succeeded" or word in ("Completed", "Succeeded"):
        return Verdict("Completed", Tone.REST, "ran to its end", "status.phase is Succeeded", since)
    if phase == "Failed":
        reason = text(data, "status", "message")
        return Verdict(word, Tone.BAD, "has failed", "status.phase is Failed", since, reason)
    if phase == "Pending" and scheduled is not None and scheduled.reason == "Unschedulable":
        rule = "kstatus: condition PodScheduled has reason Unschedulable"
        return Verdict("Unschedulable", Tone.BAD, "no node takes it", rule, scheduled.since, scheduled.message)
    if word == "Running":
        if ready is not None and ready.status == "True":
            return Verdict("Running", Tone.GOOD, sentence, "condition Ready=True", since)
        tone = Tone.WARN if told.restarts else Tone.BUSY
        return Verdict("Not ready", tone, sentence, "condition Ready is not True", since, detail)
    if word in _STARTING or (word.startswith("Init:") and "/" in word):
        return Verdict(word, Tone.BUSY, sentence, rule, since, detail)
    tone = Tone.UNKNOWN if word == "Unknown" else Tone.BAD
    return Verdict(word, tone, sentence, rule, since, _waits(data) or detail)


def _waits(pod: Fields) -> str:
    for field in ("initContainerStatuses", "containerStatuses"):
        statuses = mapping(pod, "status").get(field)
        for each in statuses if isinstance(statuses, list) else ():
            message = text(each, "state", "waiting", "message")
            if message:
                return message
    return ""


def _job(data: Fields) -> Verdict:
    status, found = mapping(data, "status"), by_type(conditions(data))
    for type_, tone in (("Failed", Tone.BAD), ("Complete", Tone.REST), ("Suspended", Tone.REST)):
        condition = found.get(type_)
        if condition is not None and condition.status == "True":
            sentence = f"{number(status, 'succeeded')} pods succeeded, {number(status, 'failed')} failed"
            return Verdict(
                type_, tone, sentence, f"kstatus: condition {type_}=True", condition.since, condition.message
            )
    if not instant(status, "startTime"):
        return Verdict("Pending", Tone.BUSY, "has not begun", "kstatus: status.startTime is empty")
    failed = number(status, "failed")
    sentence = f"{number(status, 'active')} pods are active, {number(status, 'succeeded')} succeeded, {failed} failed"
    return Verdict("Running", Tone.WARN if failed else Tone.BUSY, sentence, "kstatus: no condition yet")


_RULES: Mapping[str, Callable[[Fields], Verdict]] = {
    "deployments.apps": _deployment,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "replicasets.apps": _replica_set,
    "pods": _pod,
    "jobs.batch": _job,
}
# Kinds that come by thousands and say nothing of their own health.
SILENT = frozenset(
    {
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "controllerrevisions.apps",
        "componentstatuses",
    }
)
