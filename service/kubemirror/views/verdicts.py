"""One word and one sentence about an object: is it as wanted, and which rule says so.

The order of rules is that of ``kubectl rollout status`` for what rolls out (views/rollout.py), and that of kstatus for
everything else: being deleted, a spec that is not observed yet, Reconciling, Stalled, then Ready or its like. Where
they know nothing and say that all is well (a custom resource that declares a status and has none), this says that it
is not observed yet. A kind that says nothing of itself (a ConfigMap) has no verdict.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kubemirror.state.catalog import Resource
from kubemirror.views.conditions import Condition, Tone, by_type, conditions
from kubemirror.views.fields import Fields, instant, mapping, number, text


class Verdict(NamedTuple):
    """What is to be said of one object.

    word: one or two. sentence: kubectl's where it has one. rule: what was compared, and by whose rule it decides.
    since: seconds since 1970, None where nothing tells. detail: what its controller says of it, "" for nothing.
    """

    word: str
    tone: Tone
    sentence: str
    rule: str
    since: float | None = None
    detail: str = ""


# Conditions that sum up an object, the most telling first.
_SUMMARIES = ("Ready", "Available", "Healthy", "Established", "Synced", "Reconciled", "Succeeded", "Accepted")
# Reasons that a Ready=False has while it is still under way.
_is_soon = re.compile(
    r".*(Progress|Pending|Creating|Waiting|Initializ|Installing|Provisioning|Reconciling|NotReadyYet).*"
).fullmatch
_GOOD_PHASES = frozenset(
    {"ready", "running", "active", "bound", "available", "succeeded", "completed", "complete", "healthy", "deployed"}
)
_BAD_PHASES = frozenset({"failed", "error", "lost", "degraded", "unhealthy", "crashed", "invalid"})
_BUSY_PHASES = frozenset(
    {
        "pending",
        "progressing",
        "creating",
        "provisioning",
        "initializing",
        "updating",
        "upgrading",
        "reconciling",
        "terminating",
        "deleting",
        "scaling",
        "installing",
    }
)


def generic(resource: Resource, data: Fields) -> Verdict | None:
    """What kstatus says of any kind; None where the object says nothing of itself."""
    early = leaving(data)
    if early is not None:
        return early
    status = data.get("status")
    found = by_type(conditions(data))
    if not status and resource.custom and "status" in resource.subresources_of(resource.version):
        sentence = f"not observed yet: {resource.kind} declares a status, and it is empty"
        return Verdict(
            "Unknown", Tone.UNKNOWN, sentence, "status is empty", instant(data, "metadata", "creationTimestamp")
        )
    unobserved = not_observed(data)
    if unobserved is not None:
        return unobserved
    told = _of_conditions(found)
    return told if told is not None else _of_phase(data)


def leaving(data: Fields) -> Verdict | None:
    """The verdict on what is being deleted."""
    metadata = mapping(data, "metadata")
    if not metadata.get("deletionTimestamp"):
        return None
    finalizers = metadata.get("finalizers")
    waiting = ", ".join(map(str, finalizers)) if isinstance(finalizers, list) and finalizers else ""
    sentence = f"is being deleted, and waits for the finalizers {waiting}" if waiting else "is being deleted"
    since = instant(metadata, "deletionTimestamp")
    return Verdict("Terminating", Tone.BUSY, sentence, "metadata.deletionTimestamp is set", since)


def not_observed(data: Fields) -> Verdict | None:
    """The verdict on a spec that its controller has not seen yet."""
    observed = mapping(data, "status").get("observedGeneration")
    wanted = number(data, "metadata", "generation")
    if type(observed) is not int or observed >= wanted:
        return None
    sentence = f"generation {wanted} of the spec is not observed yet, the status is of {observed}"
    return Verdict("Progressing", Tone.BUSY, sentence, "status.observedGeneration < metadata.generation")


def _of_conditions(found: dict[str, Condition]) -> Verdict | None:
    if (reconciling := found.get("Reconciling")) is not None and reconciling.status == "True":
        return _by(reconciling, "Progressing", Tone.BUSY)
    if (stalled := found.get("Stalled")) is not None and stalled.status == "True":
        return _by(stalled, "Failed", Tone.BAD)
    for type_ in ("Failed", "Degraded"):
        if type_ in found and found[type_].status == "True":
            return _by(found[type_], type_, Tone.BAD)
    for type_ in _SUMMARIES:
        condition = found.get(type_)
        if condition is None:
            continue
        match condition.status:
            case "True":
                return _by(condition, type_, Tone.GOOD)
            case "False" if _is_soon(condition.reason):
                return _by(condition, "Progressing", Tone.BUSY)
            case "False":
                return _by(condition, f"Not {type_.lower()}", Tone.BAD)
            case _:
                return _by(condition, "Unknown", Tone.WARN)
    return None


def _by(condition: Condition, word: str, tone: Tone) -> Verdict:
    reason = f", because {condition.reason}" if condition.reason else ""
    sentence = f"{condition.type} is {condition.status}{reason}"
    rule = f"condition {condition.type}={condition.status}"
    return Verdict(word, tone, sentence, rule, condition.since, condition.message)


def _of_phase(data: Fields) -> Verdict | None:
    for field in ("phase", "state"):
        phase = text(data, "status", field)
        if not phase:
            continue
        lower = phase.lower()
        tone = (
            Tone.BAD
            if lower in _BAD_PHASES
            else Tone.BUSY
            if lower in _BUSY_PHASES
            else Tone.GOOD
            if lower in _GOOD_PHASES
            else Tone.UNKNOWN
        )
        return Verdict(phase, tone, f"{field} is {phase}", f"status.{field}", None, text(data, "status", "message"))
    return None
