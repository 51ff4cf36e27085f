"""Ages as apimachinery's HumanDuration prints them, boundaries included."""

from __future__ import annotations

import pytest

from kubemirror.views.duration import age, human_duration, timestamp

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 31536000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (1, "1s"),
        (119, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR - 1, "7h59m"),
        (8 * HOUR, "8h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 3 * HOUR, "2d3h"),
        (8 * DAY - 1, "7d23h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 5 * DAY, "2y5d"),
        (8 * YEAR - 1, "7y364d"),
        (8 * YEAR, "8y"),
        (80 * YEAR, "80y"),
        (1e300, "292y"),
    ],
)
def test_human_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize("text", [None, "", "null", "0001-01-01T00:00:00Z"])
def test_no_time_has_no_known_age(text: str | None) -> None:
    assert age(timestamp(text), 1e9) == "<unknown>"


@pytest.mark.parametrize("text", ["soon", "2026-01-01", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        timestamp(text)
