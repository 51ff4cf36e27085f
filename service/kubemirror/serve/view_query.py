"""The parameters that /resources and /watch share: which objects, and which columns of them.

They mean the same on both, so that a page and the stream that keeps it true can have the same query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kubemirror.serve.namespaces import Namespaces, SeveralNamespaces, namespaces_of
from kubemirror.serve.problems import nearest
from kubemirror.serve.row import Rows
from kubemirror.serve.status import StatusError, bad_request
from kubemirror.state.catalog import Resource
from kubemirror.views.filter import parse_filter
from kubemirror.views.order import SortKey, parse_sort
from kubemirror.views.predicate import Predicate
from kubemirror.views.table import ColumnError, Table


def _joined(value: object) -> object:
    """Repeated is the same as written with commas; these are cut where their own grammar says."""
    return ",".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


# One parameter or several, as one text in a list.
Listed = BeforeValidator(lambda value: [_joined(value)])


class ViewQuery(BaseModel):
    """See the module."""

    model_config = ConfigDict(populate_by_name=True)

    namespace: SeveralNamespaces = []
    label_selector: Annotated[str, Field(alias="labelSelector", description="As kubectl's -l.")] = ""
    field_selector: Annotated[str, Field(alias="fieldSelector", description="As kubectl's --field-selector.")] = ""
    q: Annotated[
        str, Field(description="Only objects that contain this text in a cell, shown or not; the same in every form.")
    ] = ""
    filter: Annotated[
        list[str],
        Listed,
        Field(
            description="Only objects whose cells are so: Ready<1,Image~nginx. = != < <= > >= ~ !~, comma-separated;"
            " == for exactly what is shown."
        ),
    ] = []
    sort: Annotated[
        list[str], Listed, Field(description="Columns by name, comma-separated, - in front for descending.")
    ] = []
    columns: Annotated[
        list[str],
        Listed,
        Field(
            description="Printer columns by name, labels.x, annotations.x, .spec.jsonPath; Title=any of them;"
            " * for those that are shown otherwise."
        ),
    ] = []
    wide: Annotated[bool, Field(description="All columns, as kubectl's -o wide.")] = False

    @property
    def namespaces(self) -> Namespaces:
        return namespaces_of(self.namespace)

    def rows(self, resource: Resource, table: Table, *, wide: bool = False, ordered: bool = True) -> Rows:
        """What makes rows in the columns that are asked for. ordered: by what ``sort`` says. Raises 400."""
        with self.said("columns"):
            columns = table.shown(",".join(self.columns), wide=self.wide or wide)
        return Rows(resource, table, columns, self.sorted_by(table) if ordered else ())

    def sorted_by(self, table: Table) -> list[SortKey]:
        """Raises 400."""
        with self.said("sort"):
            return parse_sort(",".join(self.sort), table)

    def predicate(self, table: Table, rows: Rows) -> Predicate:
        """Which objects are asked for, beside what the selectors say. Raises 400."""
        with self.said("filter"):
            condition = parse_filter(",".join(self.filter), table)
        return Predicate(table, self.q, condition, rows.columns if self.columns else ())

    @staticmethod
    @contextmanager
    def said(parameter: str) -> Iterator[None]:
        """What names no column is told with the parameter that it stands in, and the nearest column."""
        try:
            yield
        except ColumnError as error:
            raise column_problem(parameter, error) from None


def column_problem(parameter: str, error: ColumnError) -> StatusError:
    hint = nearest(error.name, error.known) if error.name else ""
    if error.known and not hint:
        hint = f"; there are {', '.join(error.known)}, labels.x, annotations.x and .paths"
    return bad_request(f"{parameter}: {error}{hint}")
