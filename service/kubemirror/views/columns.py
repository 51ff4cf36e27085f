"""The cells that ``kubectl get`` prints, for any object that is held.

Upstream printed them when the object last changed (Table), so most are taken as they are. Those that tell an
age were stale the moment they arrived and are computed anew: Age from creationTimestamp, a CRD's ``date``
columns from their JSONPath, and the few of built-in resources that BUILT_IN_AGES names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from kubemirror.state.catalog import Column, Resource
from kubemirror.state.objects import Object
from kubemirror.views.custom_columns import (
    AGE_DESCRIPTION,
    CREATION_TIMESTAMP,
    NAME_DEFINITION,
    ColumnDefinition,
    aging_cell_of,
    definitions_of,
    shown,
)
from kubemirror.views.duration import UNKNOWN, Ticking, timestamp
from kubemirror.views.pods import summary

JSON = Any
# The cell of an object; ``printed`` is the cell as upstream sent it.
Cell = Callable[[Object, Callable[[], JSON], JSON], JSON | Ticking]

# What kubectl prints by itself for a resource whose server has no Tables.
_FALLBACK = (NAME_DEFINITION, ColumnDefinition("Age", "string", "", AGE_DESCRIPTION, 0))


class Printer:
    """The columns of a resource in one served version, and the cells of its objects.

    definitions: the store's columnDefinitions as JSON, b"" where the cells that are held belong to another
        version or there are none: a custom resource's are then computed from that version's columns, of
        anything else Name and Age are printed.
    """

    def __init__(self, resource: Resource, version: str, definitions: bytes) -> None:
        served = resource.served(version)
        columns = tuple(shown(served.columns)) if served is not None else ()
        self._computed: list[Callable[[JSON], JSON | Ticking]] | None = None
        self._anew: list[tuple[int, Cell]] = []
        if definitions:
            self.definitions = [_definition(each) for each in orjson.loads(definitions)]
            self.definitions_json = definitions
            self._anew = list(_ages(resource, self.definitions, columns))
        elif resource.custom:
            self.definitions = definitions_of(columns)
            self.definitions_json = orjson.dumps([each._asdict() for each in self.definitions])
            self._computed = [aging_cell_of(column) for column in columns]
        else:
            self.definitions = list(_FALLBACK)
            self.definitions_json = orjson.dumps([each._asdict() for each in self.definitions])

    @property
    def default(self) -> bool:
        """Whether upstream has no columns of its own for the kind: Name and Created At, as these two alone."""
        return [each.name for each in self.definitions] == ["Name", "Created At"]

    @property
    def ages(self) -> bool:
        """Whether some cell depends on the time."""
        if self._computed is not None:
            return any(each.type == "date" for each in self.definitions)
        return bool(self._anew) or self.definitions == list(_FALLBACK)

    def aging(self, index: int) -> bool:
        """Whether the cells of that column are ages, and nothing beside."""
        if self._computed is not None or not self._anew:
            return self.definitions[index].type == "date" or self.definitions[index].name == "Age"
        return any(index == each and cell is not _restarts for each, cell in self._anew)

    def cells(self, held: Object, now: float) -> list[JSON]:
        """One cell per column definition; ``now`` is seconds since 1970. A stub's are its name and age.

        More where upstream printed more, as it does of IPAddresses.
        """
        return [cell.at(now) if type(cell) is Ticking else cell for cell in self.aging_cells(held)]

    def aging_cells(self, held: Object) -> list[JSON | Ticking]:
        """The same, with ages told by when they began."""
        if self._computed is not None:
            data = orjson.loads(held.raw)
            return [held.name, *(cell(data) for cell in self._computed)]
        printed: list[JSON | Ticking] = orjson.loads(held.cells) if held.cells else []
        if len(printed) < len(self.definitions):
            return [self._without_cells(each, held) for each in self.definitions]
        whole: JSON = None

        def decoded() -> JSON:
            nonlocal whole
            if whole is None:
                whole = orjson.loads(held.raw)
            return whole

        for index, cell in self._anew:
            if index == len(printed):
                continue  # one that was printed without its untitled cell
            printed[index] = cell(held, decoded, printed[index])
        return printed

    def _without_cells(self, definition: ColumnDefinition, held: Object) -> JSON | Ticking:
        if definition.format == "name" or definition.name == "Name":
            return held.name
        if definition.name == "Age":
            return Ticking(held.created) if held.created else UNKNOWN
        return None


def _definition(fields: Mapping[str, JSON]) -> ColumnDefinition:
    return ColumnDefinition(
        fields.get("name", ""),
        fields.get("type", ""),
        fields.get("format", ""),
        fields.get("description", ""),
        fields.get("priority", 0),
    )


def _ages(
    resource: Resource, definitions: list[ColumnDefinition], columns: tuple[Column, ...]
) -> list[tuple[int, Cell]]:
    """Which columns are computed anew, and how."""
    by_name = {column.name: column for column in columns}
    built_in = {} if resource.custom else BUILT_IN_AGES.get(resource.name, {})
    found: list[tuple[int, Cell]] = []
    if resource.name == _UNTITLED_AGE and len(definitions) == 2:
        found.append((2, _created))
    for index, definition in enumerate(definitions):
        column = by_name.get(definition.name)
        if definition.name in built_in:
            found.append((index, built_in[definition.name]))
        elif resource.custom and column is not None and definition.type == "date":
            found.append((index, _created if column.json_path == CREATION_TIMESTAMP else _date(column)))
        elif definition.name == "Age" and (not resource.custom or column is None):
            found.append((index, _created))
    return found


def _created(held: Object, data: Callable[[], JSON], printed: JSON) -> JSON | Ticking:
    return Ticking(held.created) if held.created else UNKNOWN


def _date(column: Column) -> Cell:
    compute = aging_cell_of(column)
    return lambda held, data, printed: compute(data())


def _since(text: JSON) -> str | Ticking:
    since = timestamp(text)
    return UNKNOWN if since is None else Ticking(since)


def _first_seen(held: Object, data: Callable[[], JSON], printed: JSON) -> JSON | Ticking:
    event = data()
    return _since(event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime"))


def _last_seen(held: Object, data: Callable[[], JSON], printed: JSON) -> JSON | Ticking:
    event = data()
    series = event.get("series")
    if series:
        return _since(series.get("lastObservedTime"))
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp")
    return _since(last) if last else _first_seen(held, data, printed)


def _last_schedule(held: Object, data: Callable[[], JSON], printed: JSON) -> JSON | Ticking:
    last = data().get("status", {}).get("lastScheduleTime")
    return _since(last) if last else printed


def _job_duration(held: Object, data: Callable[[], JSON], printed: JSON) -> JSON | Ticking:
    status = data().get("status", {})
    started = timestamp(status.get("startTime"))
    return printed if started is None or status.get("completionTime") else Ticking(started)


def _restarts(held: Object, data: Callable[[], JSON], printed: JSON) -> JSON | Ticking:
    # Without an "ago" there is nothing that could be stale, and most pods need not be decoded.
    if not isinstance(printed, str) or not printed.endswith(" ago)"):
        return printed
    pod = summary(data())
    if not pod.restarts or pod.last_restart is None:
        return str(pod.restarts)
    return Ticking(pod.last_restart, f"{pod.restarts} (", " ago)")


# Upstream prints the age of these in a cell more than there are columns.
_UNTITLED_AGE = "ipaddresses.networking.k8s.io"
# Columns of built-in resources, beside Age, that tell how long ago something was.
BUILT_IN_AGES: Mapping[str, Mapping[str, Cell]] = {
    "events": {"Last Seen": _last_seen, "First Seen": _first_seen},
    "events.events.k8s.io": {"Last Seen": _last_seen, "First Seen": _first_seen},
    "cronjobs.batch": {"Last Schedule": _last_schedule},
    "jobs.batch": {"Duration": _job_duration},
    "pods": {"Restarts": _restarts},
}
