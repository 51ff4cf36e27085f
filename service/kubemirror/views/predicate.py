"""Which objects a reader wants to see beside what selectors say: those that contain a text, and meet a filter."""

from __future__ import annotations

from collections.abc import Sequence

from kubemirror.state.objects import Object
from kubemirror.views.duration import Ticking
from kubemirror.views.filter import Filter
from kubemirror.views.table import Line, Table, TableColumn
from kubemirror.views.values import text_of


class Predicate:
    """``q`` is looked for in the name, the namespace and what is printed of an object, shown or not; in what its page
    has besides; and in ``columns``, those that are asked for by name. That is the same in every form.

    Nowhere in ages, which nobody looks for by their text, nor in what is not the object's own: a stream could not tell
    when that changes.
    """

    def __init__(self, table: Table, q: str, condition: Filter, columns: Sequence[TableColumn]) -> None:
        self.table = table
        self.filter = condition
        self._q = q.casefold()
        printed = {column.source for column in table.printed}
        others = {column.source: column for column in [*table.searched, *columns] if column.source not in printed}
        self._others = [column for column in others.values() if column.pure and not column.ages]

    @property
    def empty(self) -> bool:
        """Whether it takes everything."""
        return not self._q and not self.filter.conditions

    @property
    def pure(self) -> bool:
        """Whether it looks at objects alone: not at the time, nor at what is known beside them."""
        return all(column.pure and not column.ages for column in self.filter.columns)

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
        return any(q in text_of(column.cell(line), line.now).casefold() for column in self._others)
