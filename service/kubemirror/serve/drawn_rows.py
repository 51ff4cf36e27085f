"""Rows as a page draws them, kept for each version of an object: a change costs one row, and not the page.

What a template makes of a row is cut where an age stands, since that alone goes on by itself. Cells that many rows have
alike (3/3, a version, a verdict) are drawn once. Everything is made by rows.html, which escapes it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import orjson
from markupsafe import Markup, escape

from kubemirror.serve.pages import Pages
from kubemirror.serve.row import Row, Rows
from kubemirror.serve.turns import in_turns
from kubemirror.serve.visible import visible
from kubemirror.state.objects import Key, Object
from kubemirror.views.duration import Ticking
from kubemirror.views.table import NAMESPACE

# Rows that are kept, about 1 kB each, and cells, about 300 bytes each.
MOST_ROWS, MOST_CELLS = 20_000, 20_000
# Longer values are seldom alike.
_KEPT_CHARACTERS = 200
# Where an age stands in what is drawn. No data can have it: what cannot be seen is shown by its code point.
HOLE = Markup("\0")


class Drawn(NamedTuple):
    """One row. beside: the cells that are no matter of the object alone. pieces: what stands around ``ages``."""

    held: Object
    beside: tuple[Any, ...]
    pieces: list[str]
    ages: list[Ticking]


class Place(NamedTuple):
    """Where a page's rows lead. known: what else decides how they are drawn; equal for equal pages."""

    known: Hashable
    object_url: str  # before /namespace/name
    namespace_url: Any  # of a namespace


class DrawnRows:
    """Those of one process."""

    def __init__(self, pages: Pages) -> None:
        self._templates = pages
        self._pages: OrderedDict[Hashable, dict[Key, Drawn]] = OrderedDict()
        self._cells: dict[Hashable, Markup] = {}

    async def html(self, held: Sequence[Object], rows: Rows, place: Place, now: float) -> Markup:
        """The rows of ``held``, as of ``now``."""
        page = (rows.table.printer, tuple(column[:4] + column[-1:] for column in rows.columns), place.known)
        known = self._pages.pop(page, None) or {}
        used: dict[Key, Drawn] = {}
        beside = [column.cell for column in rows.columns if not column.pure]
        parts: list[str] = []
        async for some in in_turns(held):
            for each in some:
                key = each.key
                drawn = known.get(key)
                line = rows.table.line(each, now) if beside else None
                others = tuple([cell(line) for cell in beside]) if line is not None else ()
                if drawn is None or drawn.held is not each or drawn.beside != others:
                    drawn = self._drawn(each, others, rows, place, now)
                used[key] = drawn
                pieces, ages = drawn.pieces, drawn.ages
                parts.append(pieces[0])
                for index, age in enumerate(ages, start=1):
                    parts += (_told(age, now), pieces[index])
        self._keep(page, known | used if len(used) < len(known) else used)
        return Markup("".join(parts))  # noqa: S704 - made by a template, and ages

    def _drawn(self, held: Object, beside: tuple[Any, ...], rows: Rows, place: Place, now: float) -> Drawn:
        row = rows.row(held, now)
        html = self._row(row, rows, place)
        ages = [Ticking(age.since, age.before, age.after) for age in row.ages]
        return Drawn(held, beside, html.split("\0"), ages)

    def _row(self, row: Row, rows: Rows, place: Place) -> str:
        macros, ages = self._templates.macros("rows.html"), {age.column: age for age in row.ages}
        linked = rows.name_index
        within = any(column.source == NAMESPACE for column in rows.columns)
        cells: list[Markup] = []
        for index, column in enumerate(rows.columns):
            value, tone = row.cells[index], row.tones[index]
            if index == linked:
                where = row.metadata
                cells.append(macros.named(place.object_url, where.namespace or "", where.name, value, within))
            elif column.source == NAMESPACE:
                cells.append(self._cell(place.known, macros.namespace, value, place.namespace_url))
            elif index in ages:
                cells.append(macros.age(tone, ages[index], HOLE))
            else:
                cells.append(self._cell((column.type, tone), macros.plain, value, column.type, tone))
        order = orjson.dumps(row.order).decode() if row.order is not None else ""
        return str(macros.row(row.metadata.uid or "", order, row.error or "", cells))

    def _cell(self, kind: Hashable, macro: Any, value: Any, *given: Any) -> Markup:
        """A cell that others may have alike."""
        key = kind, type(value), value
        try:
            found = self._cells.get(key)
        except TypeError:  # upstream may print what is no text
            return Markup(macro(value, *given))  # noqa: S704 - a macro's
        if found is None:
            found = macro(value, *given)
            if not isinstance(value, str) or len(value) <= _KEPT_CHARACTERS:
                if len(self._cells) >= MOST_CELLS:
                    self._cells.clear()
                self._cells[key] = found
        return found

    def _keep(self, page: Hashable, drawn: dict[Key, Drawn]) -> None:
        self._pages[page] = drawn
        count = sum(map(len, self._pages.values()))
        while count > MOST_ROWS and self._pages:
            _, dropped = self._pages.popitem(last=False)
            count -= len(dropped)


def _told(age: Ticking, now: float) -> str:
    text = age.at(now)
    return str(escape(visible(text))) if age.before or age.after else text
