"""Counts of objects by what they have in some columns."""

from __future__ import annotations

from collections.abc import Sequence

from kubemirror.views.order import missing_last
from kubemirror.views.split import split
from kubemirror.views.table import ColumnError, Line, Table, TableColumn
from kubemirror.views.values import Value, order_of, text_of

COUNT = "Count"
MOST_COLUMNS = 4
# What has no value is counted too.
NONE = "<none>"
Group = tuple[str, ...]


def parse_group(text: str, table: Table) -> list[TableColumn]:
    """The columns to count by. Raises ColumnError."""
    columns = [table.column(part.strip()) for part in split(text) if part.strip()]
    if len(columns) > MOST_COLUMNS:
        raise ColumnError(f"{len(columns)} columns to count by are too many: write at most {MOST_COLUMNS}")
    for column in columns:
        if column.ages:
            raise ColumnError(f'"{column.name}" tells ages, of which each is another: count by something else')
    return columns


class Counts:
    """How many of each there are."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self._columns = columns
        self._counts: dict[Group, int] = {}
        self._values: dict[Group, list[Value | None]] = {}

    def add(self, line: Line) -> None:
        cells = [column.cell(line) for column in self._columns]
        group = tuple([text_of(cell, line.now) or NONE for cell in cells])
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
        for part in filter(None, (part.strip() for part in split(sort))):
            name = part.removeprefix("-")
            index = next((at for at, each in enumerate(names) if each.casefold() == name.casefold()), None)
            if index is not None:
                keys.append(([self._values[group][index] for group in groups], part.startswith("-")))
            elif name.casefold() == COUNT.casefold():
                keys.append(([self._counts[group] for group in groups], part.startswith("-")))
            else:
                raise ColumnError(f'what is counted has no column "{name}"', name, [*names, COUNT])
        return [(groups[place], self._counts[groups[place]]) for place in missing_last(len(groups), keys)]
