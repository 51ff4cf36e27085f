"""Conditions, as most kinds tell of themselves, and what each says for the eye.

Whether True is good news depends on the type, and nothing but its name tells: those that name a trouble
(Degraded, Stalled, MemoryPressure, ...) are bad when True, those that name an activity are no news, and the rest are
bad when False.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from kubemirror.views.fields import Fields, instant, maps, text


class Tone(StrEnum):
    """What something means to whoever is on call."""

    BAD = "bad"  # somebody has to look
    WARN = "warn"  # not as wanted, and perhaps on its own way there
    BUSY = "busy"  # on its way
    UNKNOWN = "unknown"  # nothing can be said
    GOOD = "good"  # as wanted
    REST = "rest"  # as wanted, and not meant to run


# What the tones are called.
MARKS = {
    Tone.BAD: "failing",
    Tone.WARN: "impaired",
    Tone.BUSY: "on the way",
    Tone.UNKNOWN: "unknown",
    Tone.GOOD: "as wanted",
    Tone.REST: "at rest",
}
# Worst first.
SEVERITY = {tone: index for index, tone in enumerate(Tone)}

# As upstream and the well-known controllers name what is wrong: Degraded, Stalled, ReplicaFailure, DiskPressure, ...
_names_trouble = re.compile(
    r"Stalled|Degraded|Failed|Failure|Error|Unhealthy|Unavailable|Pressure|Exceeded|Conflict|NonStructural|Violat"
    r"|Disrupt|Invalid|Deadlock|ReadonlyFilesystem|Corrupt|Unschedulable|NamesConflict|Denied"
).search
# What is under way, or merely so: no news whichever way it stands.
_names_activity = re.compile(
    r"Progressing|Reconciling|Suspended|Paused|Terminating|Upgradeable|Deprecated|ResizePending|ResizeInProgress"
    r"|Complete|SuccessCriteriaMet|KubernetesAPIApprovalPolicyConformant|Releas"
).search


class Condition(NamedTuple):
    """One condition. turned: its last transition, as it is written; updated: its last update, where that is told."""

    type: str
    status: str
    reason: str
    message: str
    turned: str
    updated: str = ""

    @property
    def since(self) -> float | None:
        """Seconds since 1970 of its last transition; None where it does not say."""
        return instant(self.turned)

    @property
    def tone(self) -> Tone | None:
        """What it says; None for no news."""
        if _names_trouble(self.type):
            return {"True": Tone.BAD, "Unknown": Tone.WARN}.get(self.status)
        if self.type == "Progressing" and self.status == "False":
            return Tone.BAD
        if _names_activity(self.type):
            return None
        return {"True": Tone.GOOD, "False": Tone.BAD, "Unknown": Tone.WARN}.get(self.status)


def conditions(data: Fields) -> list[Condition]:
    """status.conditions, in their order."""
    return [
        Condition(
            text(each, "type"),
            text(each, "status"),
            text(each, "reason"),
            text(each, "message"),
            text(each, "lastTransitionTime"),
            text(each, "lastUpdateTime"),
        )
        for each in maps(data, "status", "conditions")
        if text(each, "type")
    ]


def by_type(found: list[Condition]) -> dict[str, Condition]:
    """By their types; of two of one type the first, as upstream's helpers take it."""
    return {each.type: each for each in reversed(found)}
