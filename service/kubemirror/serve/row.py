"""The view model: a resource's objects as rows of printed cells.

It is what a page shows, what text, CSV and Markdown are made of, and what ``as=row`` gives as JSON and in events.

A page, a line of NDJSON and an event are made of the very same Row, so what is drawn first can be kept true by events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from kubemirror.serve.tones import tones
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.views.duration import Ticking
from kubemirror.views.order import SortKey, told
from kubemirror.views.table import NAMESPACE, Table, TableColumn


class Column(BaseModel):
    """A column of a view."""

    name: str
    type: str = Field(description="As in a Table of Kubernetes: string, integer, number, boolean, date.")
    description: str = ""
    priority: int = Field(default=0, description="Above 0: shown only where all columns are wanted.")


class Age(BaseModel):
    """A cell that goes on by itself: it tells how long ago something was."""

    column: int = Field(description="Which cell, from 0 on.")
    since: int = Field(description="Since when, in seconds since 1970.")
    before: str = Field(default="", description="What stands before the age in the cell.")
    after: str = Field(default="", description="What stands after it.")


class Identity(BaseModel):
    """Which object, and which version of it."""

    model_config = ConfigDict(populate_by_name=True)

    namespace: str | None = None
    name: str
    uid: str | None = None
    resource_version: str = Field(alias="resourceVersion")


class Row(BaseModel):
    """One object."""

    model_config = ConfigDict(populate_by_name=True)

    kind: str
    api_version: str = Field(alias="apiVersion")
    metadata: Identity
    cells: list[Any] = Field(description="One per column: text, a number, a boolean, or null.")
    tones: list[str] = Field(
        description='What each cell says about the object: age, busy, warn, bad, of a verdict its own, or "".'
    )
    ages: list[Age] = Field(description="The cells that are ages, which are told as of now.")
    order: list[Any] | None = Field(
        default=None,
        description="What it is sorted by, one per key: lists compare element by element, numbers before text; null,"
        " for what is missing, comes last.",
    )
    error: str | None = Field(
        default=None, description="Why only its name is known: the object is beyond the size cap."
    )


class Group(BaseModel):
    """Objects that have the same in the columns of ``group``."""

    values: list[str]
    count: int


class View(BaseModel):
    """Rows of one resource, or with ``group`` counts of them."""

    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["View"] = "View"
    resource: str
    columns: list[Column]
    rows: list[Row]
    groups: list[Group] | None = Field(default=None, description="Instead of rows, where they are counted.")
    total: int = Field(description="How many there are, this page and all others.")
    next: str | None = Field(
        default=None,
        serialization_alias="continue",
        validation_alias=AliasChoices("next", "continue"),
        description="Token of the next page.",
    )
    resource_version: str = Field(alias="resourceVersion", description="Watch from here, and nothing is missed.")
    state: str = Field(description="SYNCED, or STALE where the mirror has lost its cluster.")


class Rows:
    """Makes rows of a resource's objects, in some columns of its table."""

    def __init__(
        self, resource: Resource, table: Table, columns: Sequence[TableColumn], sorted_by: Sequence[SortKey] = ()
    ) -> None:
        self.table = table
        self.columns = columns
        self._resource = resource
        self.sorted_by = sorted_by

    @property
    def name_index(self) -> int:
        """The column that leads to the object: of events, which have no name to speak of, what they are about."""
        names = [column.name for column in self.columns]
        if known := next((name for name in ("Name", "Object") if name in names), ""):
            return names.index(known)
        return next((index for index, column in enumerate(self.columns) if column.source != NAMESPACE), 0)

    def described(self) -> list[Column]:
        """The columns as they are told."""
        return [
            Column(name=each.name, type=each.type, description=each.description, priority=each.priority)
            for each in self.columns
        ]

    def row(self, held: Object, now: float) -> Row:
        """``held`` as of ``now``, seconds since 1970."""
        line = self.table.line(held, now)
        cells: list[Any] = []
        ages: list[Age] = []
        for index, column in enumerate(self.columns):
            cell = column.cell(line)
            if isinstance(cell, Ticking):
                ages.append(Age(column=index, since=int(cell.since), before=cell.before, after=cell.after))
                cell = cell.at(now)
            elif isinstance(cell, list):
                cell = ",".join(str(each) for each in cell)
            cells.append(cell)
        return Row(
            kind=self._resource.kind,
            apiVersion=self._resource.api_version,
            metadata=Identity(
                namespace=held.namespace or None,
                name=held.name,
                uid=held.uid or None,
                resourceVersion=str(held.resource_version),
            ),
            cells=cells,
            tones=tones(self.columns, cells),
            ages=ages,
            order=[told(key.of(line)) for key in self.sorted_by] if self.sorted_by else None,
            error=held.error or None,
        )

    def encoded(self, wall: Callable[[], float]) -> Callable[[Object], bytes]:
        """The function that writes an object as a row, as one line of JSON."""
        return lambda held: row_bytes(self.row(held, wall()))


def row_bytes(row: Row) -> bytes:
    """As one line of JSON."""
    return row.__pydantic_serializer__.to_json(row, by_alias=True, exclude_defaults=True)
