"""Rows as ``kubectl get -w`` prints them: aligned to what has been printed so far, which is never printed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# kubectl's tabwriter: no column is narrower, and this much lies between two.
LEAST_WIDTH, PADDING = 6, 3


def cell(value: Any) -> str:
    """On one line, and without what a terminal would obey."""
    if value is None:
        return "<none>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


class Printer:
    """Remembers how wide each column has become."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """``rows`` as lines that align with each other and with those before."""
        for row in rows:
            self._widths += [LEAST_WIDTH] * (len(row) - len(self._widths))
            for index, text in enumerate(row):
                self._widths[index] = max(self._widths[index], len(text) + PADDING)
        return ["".join(text.ljust(self._widths[index]) for index, text in enumerate(row)).rstrip() for row in rows]
