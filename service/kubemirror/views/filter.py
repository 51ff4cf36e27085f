"""Conditions on columns: ``Ready<1,Image~nginx``, all of which must hold.

``= != < <= > >=`` compare as the column is typed (values.py); ``==`` takes what is shown exactly so, letter by letter,
as ``group`` counts it; ``~`` and ``!~`` look for text (``values.Pattern``). What is missing is neither less nor more
than anything, equals nothing but "", and contains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kubemirror.views.quoted import cut
from kubemirror.views.split import split
from kubemirror.views.table import ColumnError, Line, Table, TableColumn
from kubemirror.views.values import MISSING, NONE, Operand, Pattern, shown_as, text_of, values_of

# The longest first: <= is no < with =2 behind it.
OPERATORS = ("!=", "<=", ">=", "!~", "==", "=", "<", ">", "~")
MOST_CONDITIONS = 32
_FIRST = frozenset("!=<>~")
_escaped = re.compile(r"\\(.)", re.DOTALL)
_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda compared: compared < 0,
    "<=": lambda compared: compared <= 0,
    ">": lambda compared: compared > 0,
    ">=": lambda compared: compared >= 0,
}


class FilterError(ColumnError):
    """What was written is no condition."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them."""

    column: TableColumn
    holds: Callable[[Line], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """All of them."""

    conditions: tuple[Condition, ...] = ()

    def matches(self, line: Line) -> bool:
        return all(condition.holds(line) for condition in self.conditions)

    @property
    def columns(self) -> list[TableColumn]:
        """Which are looked at."""
        return [condition.column for condition in self.conditions]


def parse_filter(text: str, table: Table) -> Filter:
    """Raises ColumnError and FilterError."""
    parts = [part.strip() for part in split(text)]
    parts = [part for part in parts if part]
    if len(parts) > MOST_CONDITIONS:
        raise FilterError(f"{len(parts)} conditions are too many: write at most {MOST_CONDITIONS}")
    # What costs least is looked at first.
    conditions = sorted((_condition(part, table) for part in parts), key=lambda each: each.column.decodes)
    return Filter(tuple(conditions))


def _condition(text: str, table: Table) -> Condition:
    name, operator, written = _cut(text)
    column = table.column(name)
    return Condition(column, _holds(column, operator, _unquoted(written)))


def _cut(text: str) -> tuple[str, str, str]:
    """Column, operator and value. What stands in brackets belongs to a path, and in quotes to a name."""
    depth = 0
    start = len(text) - len(cut(text)[1])
    for index, character in enumerate(text[start:], start):
        if character in "[({":
            depth += 1
        elif character in "])}":
            depth -= 1
        elif character in _FIRST and depth <= 0:
            operator = next((each for each in OPERATORS if text.startswith(each, index)), "")
            name = text[:index].strip()
            if not operator or not name:
                break
            return name, operator, text[index + len(operator) :].strip()
    raise FilterError(f'"{text}" is no condition: write a column, one of {" ".join(OPERATORS)}, and a value')


def _unquoted(text: str) -> str:
    name, rest = cut(text)
    if name is not None and not rest:
        return name
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return _escaped.sub(r"\1", text)


def _holds(column: TableColumn, operator: str, written: str) -> Callable[[Line], bool]:
    cell, kind = column.cell, column.kind
    if operator in ("~", "!~"):
        pattern, wanted = Pattern(written), operator == "~"
        return lambda line: pattern.found(text_of(cell(line), line.now)) is wanted
    if operator == "==":
        exactly = written or NONE
        return lambda line: (shown_as(cell(line), line.now) or NONE) == exactly
    operand = Operand(written)
    if operator in _ORDERS:
        holds = _ORDERS[operator]

        def ordered(line: Line) -> bool:
            compared = (operand.compared(value) for value in values_of(cell(line), kind, line.now))
            return any(each is not None and holds(each) for each in compared)

        return ordered
    wanted = operator != "!="
    if written in MISSING:
        return lambda line: (not values_of(cell(line), kind, line.now)) is wanted

    def equal(line: Line) -> bool:
        held = cell(line)
        text = shown_as(held, line.now)
        return any(operand.equals(value, text) for value in values_of(held, kind, line.now)) is wanted

    return equal
