"""Counts of objects by what they have in some columns."""

from __future__ import annotations

from collections.abc import Sequence

from kubemirror.views.order import cut_sort, missing_last
from kubemirror.views.quoted import unquoted, written
from kubemirror.views.split import split
from kubemirror.views.table import ColumnError, Line, Table, TableColumn, cut_title
from kubemirror.views.values import NONE, Value, order_of, shown_as

COUNT = "Count"
MOST_COLUMNS = 4
Group = tuple[str, ...]


def parse_group(text: str, table: Table) -> list[TableColumn]:
    """The columns to count by. Raises ColumnError."""
    columns = [table.titled(part.strip()) for part in split(text) if part.strip()]
    if len(columns) > MOST_COLUMNS:
        raise ColumnError(f"{len(columns)} columns to count by are too many: write at most {MOST_COLUMNS}")
    for column in columns:
        if column.ages:
            raise ColumnError(f'"{column.name}" tells ages, of which each is another: count by something else')
    return columns


def conditions_of(text: str, group: Group) -> list[str]:
    """The filter that finds what was counted as ``group``, by the columns that ``text`` names, and nothing else."""
    sources = [cut_title(part.strip())[1] for part in split(text) if part.strip()]
    return [
        f"{written(unquoted(source))}=={'' if value == NONE else written(value)}"
        for source, value in zip(sources, group, strict=True)
    ]


class Counts:
    """How many of each there are."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self._columns = columns
        self._counts: dict[Group, int] = {}
        self._values: dict[Group, list[Value | None]] = {}

    def add(self, line: Line) -> None:
        cells = [column.cell(line) for column in self._columns]
        group = tuple([shown_as(cell, line.now) or NONE for cell in cells])
        count = self._counts.get(group)
        if count is None:
            self._values[group] = [
                order_of(cell, column.kind) for cell, column in zip(cells, self._columns, strict=True)
            ]
        self._counts[group] = (count or 0) + 1

    def found(self, sort: str = "") -> list[tuple[Group, int]]:
        """Each with its count, the largest first; or by ``sort``: the columns' names and Count. Raises ColumnError."""
        groups = sorted(self._counts, key=lambda group: (-self._counts[group], group))
        names = [column.name for column in self._columns]
        keys: list[tuple[list[Value | int | None], bool]] = []
        for text, descending in cut_sort(sort):
            name = unquoted(text)
            index = next((at for at, each in enumerate(names) if each.casefold() == name.casefold()), None)
            if index is not None:
                keys.append(([self._values[group][index] for group in groups], descending))
            elif name.casefold() == COUNT.casefold():
                keys.append(([self._counts[group] for group in groups], descending))
            else:
                raise ColumnError(f'what is counted has no column "{name}"', name, [*names, COUNT])
        return [(groups[place], self._counts[groups[place]]) for place in missing_last(len(groups), keys)]
