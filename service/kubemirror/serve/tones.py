"""What a printed cell says about its object, for the eye: the text says it already, colour only repeats it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from kubemirror.views.computed import Said

AGE, BUSY, WARN, BAD = "age", "busy", "warn", "bad"

_is_ratio = re.compile(r"(\d+)/(\d+)").fullmatch
# As the kubelet and controllers spell them: CrashLoopBackOff, ErrImagePull, Init:Error, OOMKilled, ...
_says_bad = re.compile(r"BackOff|Err|Fail|Invalid|Evicted|OOMKilled|Lost|Degraded|Stalled|NotReady").search
_says_soon = re.compile(r"Pending|Creating|Progressing|Init:|Initializing|Terminating|Reconciling").search
# A Pod that ended well is not ready either.
_says_ended = re.compile(r"Completed|Succeeded").fullmatch


class Titled(Protocol):
    """A column."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def ages(self) -> bool: ...


def tones(columns: Sequence[Titled], cells: Sequence[Any]) -> list[str]:
    """One of AGE, BUSY, WARN, BAD or "" for each cell, of a verdict its own; AGE goes on by itself."""
    ended = any(isinstance(value, str) and _says_ended(value) for value in cells)
    return [_tone(column, value, ended=ended) for column, value in zip(columns, cells, strict=True)]


def _tone(column: Titled, value: Any, *, ended: bool) -> str:
    if isinstance(value, Said):
        return value.tone
    if column.ages or column.type == "date":
        return AGE
    text = str(value) if value is not None else ""
    match column.name.casefold():
        case "ready" | "available" | "healthy":
            ratio = _is_ratio(text)
            if ratio is not None and not ended:
                ready, wanted = int(ratio[1]), int(ratio[2])
                return "" if ready >= wanted else WARN if ready else BAD
            return {"false": BAD, "unknown": WARN}.get(text.casefold(), "")
        case "status" | "phase" | "state" | "reason":
            return BAD if _says_bad(text) else WARN if "Unknown" in text else BUSY if _says_soon(text) else ""
        case "type":
            return WARN if text == "Warning" else ""
        case _:
            return ""
