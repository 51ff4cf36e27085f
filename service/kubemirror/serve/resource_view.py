"""The view model of /resources: one resource's objects as rows of printed cells, selected, sorted and paged.

Page, text, CSV and the rest are made from this; JSON, YAML and NDJSON carry the objects themselves.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kubemirror.serve.problems import nearest
from kubemirror.serve.reading import Reading
from kubemirror.serve.status import bad_request
from kubemirror.state.objects import Key, Object
from kubemirror.state.selectors import Selection
from kubemirror.views.columns import Printer

NAMESPACE = "Namespace"


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column of the view. priority above 0: only when wide."""

    name: str
    type: str = "string"
    description: str = ""
    priority: int = 0

    @property
    def ages(self) -> bool:
        return self.name == "Age"


@dataclass(frozen=True, slots=True)
class Row:
    """An object and its cells, as many as there are columns."""

    held: Object
    cells: list[Any]


@dataclass(frozen=True, slots=True)
class View:
    """What is shown. total: rows selected before paging. next: the token of the next page, "" at the end."""

    columns: list[ShownColumn]
    rows: list[Row]
    total: int
    next: str

    @property
    def name_index(self) -> int:
        """Which column names the object."""
        return next((index for index, column in enumerate(self.columns) if column.name == "Name"), 0)


@dataclass(frozen=True, slots=True)
class Asking:
    """What part of a resource is asked for. sort: column names, each with "-" in front for descending."""

    selection: Selection
    q: str = ""
    sort: str = ""
    limit: int | None = None
    after: str = ""
    wide: bool = False


def view(reading: Reading, printer: Printer, asking: Asking, now: float, *, only: Object | None = None) -> View:
    """The rows of ``reading`` (or ``only`` one object). ``now``: seconds since 1970, for ages.

    Cells are printed for the rows that are shown, and for the others only where sorting or searching asks.
    """
    columns = columns_of(reading, printer, wide=True)
    shown = [index for index, column in enumerate(columns) if asking.wide or column.priority == 0]
    cells = _cells_of(reading, printer, now)
    held = [only] if only is not None else [each for each in reading.objects() if asking.selection.matches(each)]
    if asking.q:
        held = [each for each in held if _found(each, cells, asking.q)]
    for key, descending in _sort_keys(asking.sort, columns, cells):
        held = _sorted(held, key, descending=descending)
    total = len(held)
    start = _start(held, asking.after)
    end = total if asking.limit is None else min(total, start + asking.limit)
    rows = [Row(each, _picked(cells(each), shown)) for each in held[start:end]]
    following = _token(end, held[end - 1].key) if end < total else ""
    return View([columns[index] for index in shown], rows, total, following)


def columns_of(reading: Reading, printer: Printer, *, wide: bool) -> list[ShownColumn]:
    """The columns, Namespace in front where objects of several are shown."""
    columns = [
        ShownColumn(each.name, each.type, each.description, each.priority)
        for each in printer.definitions
        if wide or each.priority == 0
    ]
    if _several(reading):
        columns.insert(0, ShownColumn(NAMESPACE))
    return columns


def _several(reading: Reading) -> bool:
    return reading.entry.resource.namespaced and reading.namespace is None


def _cells_of(reading: Reading, printer: Printer, now: float) -> Callable[[Object], list[Any]]:
    titled = len(printer.definitions)
    if _several(reading):
        return lambda held: [held.namespace, *printer.cells(held, now)[:titled]]
    return lambda held: printer.cells(held, now)[:titled]


def _picked(cells: list[Any], shown: Sequence[int]) -> list[Any]:
    return [cells[index] if index < len(cells) else None for index in shown]


def _found(held: Object, cells: Callable[[Object], list[Any]], q: str) -> bool:
    wanted = q.casefold()
    if wanted in held.name.casefold() or wanted in held.namespace.casefold():
        return True
    return any(wanted in str(value).casefold() for value in cells(held) if value is not None)


def _sort_keys(
    sort: str, columns: Sequence[ShownColumn], cells: Callable[[Object], list[Any]]
) -> list[tuple[Callable[[Object], Any], bool]]:
    """(value of an object, descending) for each column named, the last first: sorting is stable."""
    names = {column.name.casefold(): index for index, column in enumerate(columns)}
    keys: list[tuple[Callable[[Object], Any], bool]] = []
    for part in filter(None, sort.split(",")):
        name = part.strip()
        descending = name.startswith("-")
        name = name.removeprefix("-")
        index = names.get(name.casefold())
        if index is None:
            known = [column.name for column in columns]
            raise bad_request(f'sort: there is no column "{name}"{nearest(name, known)}')
        keys.append((_value_of(columns[index], index, cells), descending))
    return keys[::-1]


def _value_of(column: ShownColumn, index: int, cells: Callable[[Object], list[Any]]) -> Callable[[Object], Any]:
    if column.name == "Age":
        return lambda held: -held.created if held.created else None  # the youngest first, as 5s comes before 5d
    if column.name == "Name":
        return lambda held: held.name

    def value(held: Object) -> Any:
        printed = cells(held)
        return _comparable(printed[index] if index < len(printed) else None)

    return value


_LEADING_NUMBER = re.compile(r"\d+")


def _comparable(value: Any) -> Any:
    """Numbers as numbers, text by its runs of digits as numbers (2/10 before 10/10); None for what is missing."""
    if value is None or value in ("", "<none>", "<unknown>"):
        return None
    if isinstance(value, bool | int | float):
        return (0, float(value), "")
    text = str(value)
    number = _LEADING_NUMBER.match(text)
    return (0, float(number.group()), text) if number else (1, 0.0, text.casefold())


def _sorted(held: list[Object], key: Callable[[Object], Any], *, descending: bool) -> list[Object]:
    """Missing values last, whichever way."""
    present: list[tuple[Any, Object]] = []
    missing: list[Object] = []
    for each in held:
        value = key(each)
        if value is None:
            missing.append(each)
        else:
            present.append((value, each))
    present.sort(key=lambda pair: pair[0], reverse=descending)
    return [each for _, each in present] + missing


def _token(offset: int, last: Key) -> str:
    return urlsafe_b64encode(orjson.dumps([offset, last.namespace, last.name])).decode().rstrip("=")


def _start(held: Sequence[Object], token: str) -> int:
    """Right after the last object of the page before; where that is gone, at its place."""
    if not token:
        return 0
    try:
        offset, namespace, name = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        last = Key(str(namespace), str(name))
        offset = max(0, int(offset))
    except (ValueError, TypeError):
        raise bad_request("continue: this is no token of a page before") from None
    if 0 < offset <= len(held) and held[offset - 1].key == last:
        return offset
    place = next((index for index, each in enumerate(held) if each.key == last), None)
    return min(offset, len(held)) if place is None else place + 1
