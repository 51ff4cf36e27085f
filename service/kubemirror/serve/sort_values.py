"""What objects are sorted by, kept for each version of them: a page that is watched is sorted anew with each change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from kubemirror.serve.turns import in_turns
from kubemirror.state.objects import Key, Object
from kubemirror.views.order import SortKey
from kubemirror.views.table import Table
from kubemirror.views.values import Value

# Values that are kept, of all columns together: about 200 bytes each.
MOST_VALUES = 100_000

Known = dict[Key, tuple[Object, Value | None]]


class SortValues:
    """Those of one process; the columns that were not asked for longest are forgotten first."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._columns: OrderedDict[tuple[object, str], Known] = OrderedDict()

    async def of(self, held: Sequence[Object], key: SortKey, table: Table, now: float) -> list[Value | None]:
        """One value per object."""
        if not key.column.pure:
            return [key.of(table.line(each, now)) async for some in in_turns(held) for each in some]
        # The printer stands for the resource and the version of its columns.
        place = (table.printer, key.column.source)
        known = self._columns.pop(place, {})
        values: list[Value | None] = []
        used: Known = {}
        async for some in in_turns(held):
            for each in some:
                where = each.key
                found = known.get(where)
                if found is None or found[0] is not each:
                    found = each, key.of(table.line(each, now))
                used[where] = found
                values.append(found[1])
        self._keep(place, used)
        return values

    def _keep(self, place: tuple[object, str], used: Known) -> None:
        self._columns[place] = used
        self._columns.move_to_end(place)
        count = sum(map(len, self._columns.values()))
        while count > self._most and self._columns:
            _, dropped = self._columns.popitem(last=False)
            count -= len(dropped)
