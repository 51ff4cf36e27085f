"""Counts of objects by what they have in some columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

COUNT = "Count"
Group = tuple[str, ...]


def counted(texts: Iterable[Group]) -> list[tuple[Group, int]]:
    """Each group with how many it has, the largest first, equals by name."""
    return sorted(Counter(texts).items(), key=lambda each: (-each[1], each[0]))
