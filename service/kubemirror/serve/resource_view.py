"""What part of a resource is shown: selected, filtered, sorted, counted and paged.

The objects are those of one moment. Looking at 10,000 of them takes a tenth of a second, in which others get their
turns and the store moves on, so the answer says of which moment it is (``Moment``).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from kubemirror.serve.reading import Moment
from kubemirror.serve.row import Group, Row, Rows
from kubemirror.serve.sort_values import SortValues
from kubemirror.serve.status import bad_request
from kubemirror.serve.turns import in_turns
from kubemirror.state.objects import Key, Object
from kubemirror.state.selectors import Selection
from kubemirror.views.grouping import Counts
from kubemirror.views.order import SortKey, in_order
from kubemirror.views.predicate import Predicate
from kubemirror.views.table import Table, TableColumn


@dataclass(frozen=True, slots=True)
class Asking:
    """What part of a resource is asked for."""

    selection: Selection
    predicate: Predicate | None = None
    sorted_by: Sequence[SortKey] = ()
    limit: int | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """Objects that are shown. total: those selected before paging. next: the token of the next page, "" at the end."""

    held: Sequence[Object]
    total: int
    next: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Groups that are shown, of ``total`` objects."""

    groups: Sequence[Group]
    total: int
    next: str = ""


async def select(moment: Moment, asking: Asking, table: Table, values: SortValues, now: float) -> Selected:
    """What of ``moment`` is asked for. now: seconds since 1970, for ages. Raises 400."""
    held = moment.objects
    if not asking.selection.empty:
        matches = asking.selection.matches
        held = [each async for some in in_turns(held) for each in some if matches(each)]
    predicate = asking.predicate
    if predicate is not None and not predicate.empty:
        held = [each async for some in in_turns(held) for each in some if predicate.matches(each, now)]
    if asking.sorted_by:
        held = in_order(held, [await values.of(held, key, table, now) for key in asking.sorted_by], asking.sorted_by)
    total = len(held)
    start = _start(held, asking.after)
    end = total if asking.limit is None else min(total, start + asking.limit)
    following = _token(end, held[end - 1].key) if end < total else ""
    return Selected(held[start:end], total, following)


async def count(
    moment: Moment, asking: Asking, table: Table, columns: Sequence[TableColumn], sort: str, now: float
) -> Counted:
    """What of ``moment`` is asked for, counted by ``columns``. Raises ColumnError, 400."""
    predicate = asking.predicate
    counts = Counts(columns)
    total = 0
    async for some in in_turns(moment.objects):
        for each in some:
            if asking.selection.matches(each) and (predicate is None or predicate.matches(each, now)):
                counts.add(table.line(each, now))
                total += 1
    groups = [Group(values=list(group), count=number) for group, number in counts.found(sort)]
    start = _offset(asking.after)
    end = len(groups) if asking.limit is None else min(len(groups), start + asking.limit)
    following = _token(end, Key("", "")) if end < len(groups) else ""
    return Counted(groups[start:end], total, following)


async def rows_of(selected: Selected, rows: Rows, now: float) -> list[Row]:
    """The rows of what is shown."""
    return [rows.row(each, now) async for some in in_turns(selected.held) for each in some]


def _token(offset: int, last: Key) -> str:
    return urlsafe_b64encode(orjson.dumps([offset, last.namespace, last.name])).decode().rstrip("=")


def _parsed(token: str) -> tuple[int, Key]:
    try:
        offset, namespace, name = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return max(0, int(offset)), Key(str(namespace), str(name))
    except (ValueError, TypeError):
        raise bad_request("continue: this is no token of a page before") from None


def _offset(token: str) -> int:
    return _parsed(token)[0] if token else 0


def _start(held: Sequence[Object], token: str) -> int:
    """Right after the last object of the page before; where that is gone, at its place."""
    if not token:
        return 0
    offset, last = _parsed(token)
    if 0 < offset <= len(held) and held[offset - 1].key == last:
        return offset
    place = next((index for index, each in enumerate(held) if each.key == last), None)
    return min(offset, len(held)) if place is None else place + 1
