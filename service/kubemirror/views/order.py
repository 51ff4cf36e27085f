"""Sorting by several columns: ``-Ready,Age``. Typed as the column is (values.py), and what is missing always last."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from kubemirror.state.objects import Object
from kubemirror.views.split import split
from kubemirror.views.table import ColumnError, Line, Table, TableColumn
from kubemirror.views.values import Value, order_of

MOST_KEYS = 8


class SortKey(NamedTuple):
    """One column to sort by."""

    column: TableColumn
    descending: bool

    def of(self, line: Line) -> Value | None:
        return order_of(self.column.cell(line), self.column.kind)


def parse_sort(text: str, table: Table) -> list[SortKey]:
    """``Ready,-Age``; ``Age:desc`` is the same as ``-Age``. Raises ColumnError."""
    keys = [SortKey(table.column(name), descending) for name, descending in cut_sort(text)]
    if len(keys) > MOST_KEYS:
        raise ColumnError(f"{len(keys)} columns to sort by are too many: write at most {MOST_KEYS}")
    return keys


def cut_sort(text: str) -> list[tuple[str, bool]]:
    """Each column, as it is written, and whether it descends."""
    found: list[tuple[str, bool]] = []
    for part in filter(None, (part.strip() for part in split(text))):
        name, descending = part.removeprefix("-"), part.startswith("-")
        named, _, order = name.rpartition(":")
        if named and order.casefold() in ("asc", "desc"):  # as others write it
            name, descending = named, order.casefold() == "desc"
        found.append((name.strip(), descending))
    return found


def in_order(held: Sequence[Object], values: Sequence[Sequence[Value | None]], keys: Sequence[SortKey]) -> list[Object]:
    """``held`` sorted; ``values`` has for each key those of ``held``. Equals stay as they are."""
    by = [(each, key.descending) for key, each in zip(keys, values, strict=True)]
    return [held[place] for place in missing_last(len(held), by)]


def missing_last(count: int, keys: Sequence[tuple[Sequence[Any], bool]]) -> list[int]:
    """The places 0 to ``count`` by (values, descending) of each key, the first weighs most. Equals stay as they are."""
    places = list(range(count))
    for values, descending in reversed(keys):
        present = [place for place in places if values[place] is not None]
        missing = [place for place in places if values[place] is None]
        present.sort(key=values.__getitem__, reverse=descending)
        places = present + missing
    return places


def told(value: Value | None) -> Any:
    """A sort key as JSON: lists compare element by element, numbers before text."""
    return None if value is None else [int(value.family), _plain(value.key)]


def _plain(key: Any) -> Any:
    match key:
        case tuple():
            return [_plain(each) for each in key]
        case float() if math.isinf(key):  # JSON has none
            return math.copysign(sys.float_info.max, key)
    return key
