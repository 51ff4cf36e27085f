"""Which objects a reader wants to see beside what selectors say: those that contain a text, and meet a filter."""

from __future__ import annotations

from kubemirror.state.objects import Object
from kubemirror.views.duration import Ticking
from kubemirror.views.filter import Filter
from kubemirror.views.table import Line, Table, TableColumn
from kubemirror.views.values import text_of


class Predicate:
    """``q`` is looked for in the name, the namespace and every cell but ages, which nobody looks for by their text.

    columns: further ones to look into, beside those that are printed.
    """

    def __init__(self, table: Table, q: str, condition: Filter, columns: list[TableColumn]) -> None:
        self.table = table
        self.filter = condition
        self._q = q.casefold()
        printed = {column.source for column in table.printed}
        self._others = [column for column in columns if column.source not in printed]

    @property
    def empty(self) -> bool:
        """Whether it takes everything."""
        return not self._q and not self.filter.conditions

    @property
    def pure(self) -> bool:
        """Whether it looks at objects alone: not at the time, nor at what is known beside them."""
        looked_at = self.filter.columns + (self._others if self._q else [])
        return all(column.pure and not column.ages for column in looked_at)

    def matches(self, held: Object, now: float) -> bool:
        """Whether it takes ``held``. now: seconds since 1970, for ages."""
        line = self.table.line(held, now)
        return self.filter.matches(line) and (not self._q or self._contains(line))

    def _contains(self, line: Line) -> bool:
        q, held = self._q, line.held
        if q in held.name.casefold() or q in held.namespace.casefold():
            return True
        for cell in line.cells:
            if cell is None:
                continue
            text = cell.before if isinstance(cell, Ticking) else text_of(cell, line.now)
            if q in text.casefold():
                return True
        return any(q in text_of(column.cell(line), line.now).casefold() for column in self._others if not column.ages)
