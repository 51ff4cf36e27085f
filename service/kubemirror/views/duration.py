"""Ages as kubectl prints them: apimachinery's pkg/util/duration HumanDuration, and the times they start from."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY  # upstream's years have no leap days
# Go's time.Duration ends here (292 years): what lies further away is as far as this.
_FARTHEST = ((1 << 63) - 1) / 1e9

UNKNOWN = "<unknown>"
INVALID = "<invalid>"

# Go's time.RFC3339, which is narrower than ISO 8601.
_is_rfc3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII).fullmatch


# What human_duration prints, and what people write.
_is_duration = re.compile(
    r"(?:([\d.]+)y)?(?:([\d.]+)w)?(?:([\d.]+)d)?(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", re.ASCII
).fullmatch
_UNITS = (_YEAR, 7 * _DAY, _DAY, _HOUR, _MINUTE, 1)


class Ticking(NamedTuple):
    """A cell that tells how long ago something was: ``before`` and ``after`` stand around the age.

    since: seconds since 1970.
    """

    since: float
    before: str = ""
    after: str = ""

    def at(self, now: float) -> str:
        """The cell's text at that time."""
        return f"{self.before}{human_duration(now - self.since)}{self.after}"


def seconds_of(text: str) -> float | None:
    """Of a duration as it is printed: ``90s``, ``3h20m``, ``2y10d``, ``1.5d``, ``2w``; None for what is none."""
    found = _is_duration(text)
    if found is None or not text:
        return None
    try:
        return sum(float(number) * unit for number, unit in zip(found.groups(), _UNITS, strict=True) if number)
    except ValueError:  # 1.2.3d
        return None


def human_duration(seconds: float) -> str:
    """Two or three significant figures of a duration: ``59s``, ``2m5s``, ``3h20m``, ``47h``, ``7d3h``, ``2y10d``.

    Below zero by less than two seconds counts as now (clocks differ), further below is ``<invalid>``.
    """
    whole = int(max(-_FARTHEST, min(_FARTHEST, seconds)))
    if whole < -1:
        return INVALID
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large}{large_unit}{rest}{small_unit}" if rest else f"{seconds // large}{large_unit}"


def timestamp(text: str | None) -> float | None:
    """Seconds since 1970 of a Kubernetes time; None where it is absent, empty or the zero time.

    Raises ValueError where it is none (RFC 3339 as Go reads it).
    """
    if not text or text == "null" or text.startswith("0001-01-01T00:00:00"):
        return None
    if _is_rfc3339(text) is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    return datetime.fromisoformat(text).timestamp()


def age(since: float | None, now: float) -> str:
    """How long ago ``since`` (seconds since 1970) is; ``<unknown>`` for None."""
    return UNKNOWN if since is None else human_duration(now - since)
