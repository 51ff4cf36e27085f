"""A resource's objects as they are asked for, and the bodies that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubemirror.serve.listing import Listing
from kubemirror.serve.namespaces import Namespaces
from kubemirror.serve.output import OBJECTS, Carried, Output
from kubemirror.serve.reading import Moment, Reading
from kubemirror.serve.resource_view import Asking, count, rows_of, select
from kubemirror.serve.resources_query import ResourcesQuery
from kubemirror.serve.row import Column, Group, Row, Rows, View, row_bytes
from kubemirror.serve.serving import Serving
from kubemirror.serve.status import bad_request
from kubemirror.serve.text_forms import (
    csv,
    group_bytes,
    lines,
    listed,
    markdown,
    names,
    ndjson,
    table,
    text_of,
    viewed,
    yaml,
)
from kubemirror.serve.turns import in_turns
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.state.selectors import Selection, parse_field_selector, parse_label_selector
from kubemirror.views.grouping import COUNT
from kubemirror.views.table import Table

# As many rows as paint at once; a page links the next ones.
PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """What is shown of a resource, as of ``moment``.

    held: the objects. view: of them, or of groups; None where objects are carried, or drawn one by one.
    columns: of the rows.
    pure: whether what is shown depends on the objects alone, and on the time.
    watchable: whether a stream can tell what comes to be shown and what ceases to be.
    """

    reading: Reading
    moment: Moment
    namespaces: Namespaces
    query: ResourcesQuery
    table: Table
    columns: Rows
    held: Sequence[Object]
    view: View | None
    total: int
    next: str
    pure: bool
    watchable: bool

    @property
    def rows(self) -> Sequence[Row]:
        return self.view.rows if self.view is not None else ()

    @property
    def groups(self) -> Sequence[Group] | None:
        return self.view.groups if self.view is not None else None


async def listed_as(
    serving: Serving, reading: Reading, namespaces: Namespaces, query: ResourcesQuery, output: Output
) -> Listed:
    """Raises 400 where ``query`` names what is not there."""
    now, resource = serving.context.wall(), reading.entry.resource
    shown = serving.printers.table(reading, page=output is Output.HTML)
    if output is Output.HTML and shown.page_sort and not query.sort and not query.group:
        query = query.model_copy(update={"sort": [shown.page_sort]})
    columns = query.rows(resource, shown, wide=output is Output.WIDE, ordered=not query.group)
    predicate = query.predicate(shown, columns)
    groups = query.groups(shown)
    if groups and output is Output.NAME:
        raise bad_request("group: counts have no names; choose another output")
    label = parse_label_selector(query.label_selector)
    field = parse_field_selector(query.field_selector, resource, resource.version)
    asking = Asking(
        Selection(label, field),
        predicate,
        columns.sorted_by,
        query.limit if query.limit is not None else PAGE_ROWS if output is Output.HTML else None,
        query.continue_,
    )
    moment = reading.moment()
    held: Sequence[Object] = ()
    view: View | None = None
    if groups:
        with query.said("sort"):
            counted = await count(moment, asking, shown, groups, ",".join(query.sort), now)
        titles = [Column(name=each.name, type=each.type, description=each.description) for each in groups]
        titles.append(Column(name=COUNT, type="integer", description="How many objects there are of it."))
        view = view_of(reading, moment.cursor, titles, [], counted.total, counted.next, counted.groups)
        total, following = counted.total, counted.next
    else:
        selected = await select(moment, asking, shown, serving.sort_values, now)
        total, following = selected.total, selected.next
        carried = (output in OBJECTS and query.as_ is Carried.OBJECT) or output in (Output.NAME, Output.HTML)
        held = selected.held
        if not carried:
            rows = await rows_of(selected, columns, now)
            view = view_of(reading, moment.cursor, columns.described(), rows, total, following)
    looked_at = [*columns.columns, *groups, *predicate.filter.columns, *(key.column for key in columns.sorted_by)]
    return Listed(
        reading,
        moment,
        namespaces,
        query,
        shown,
        columns,
        held,
        view,
        total,
        following,
        pure=all(column.pure for column in looked_at),
        watchable=predicate.pure and not groups,
    )


def view_of(
    reading: Reading,
    cursor: str,
    columns: list[Column],
    rows: list[Row],
    total: int,
    following: str = "",
    groups: Sequence[Group] | None = None,
) -> View:
    """The view model of what is shown."""
    return View(
        resource=reading.name,
        columns=columns,
        rows=rows,
        groups=list(groups) if groups is not None else None,
        total=total,
        next=following or None,
        resourceVersion=cursor,
        state=reading.state,
    )


async def body_of(output: Output, shown: Listed) -> bytes | Listing:
    """In any form but a page."""
    resource = shown.reading.entry.resource
    if shown.view is not None:
        return await view_body(output, shown.view, none=_none_found(shown.reading))
    match output:
        case Output.JSON:
            return listed(shown.held, shown.moment.cursor, shown.next, shown.total)
        case Output.YAML:
            return yaml(listed(shown.held, shown.moment.cursor, shown.next, shown.total))
        case Output.NDJSON:
            return ndjson(shown.held)
        case _:
            return names(resource, shown.held)


def object_body(output: Output, resource: Resource, held: Object) -> bytes | Listing:
    """One object."""
    match output:
        case Output.JSON:
            return held.raw + b"\n"
        case Output.YAML:
            return yaml(held.raw)
        case Output.NDJSON:
            return ndjson([held])
        case _:
            return names(resource, [held])


async def view_body(output: Output, view: View, *, none: str) -> bytes | Listing:
    """Rows or groups; none: what is said where there are none."""
    counted = view.groups
    if output in OBJECTS:
        items = [row_bytes(row) async for some in in_turns(view.rows) for row in some]
        if output is Output.NDJSON:
            return lines(items if counted is None else [*map(group_bytes, counted)])
        body = viewed(view, items)
        return yaml(body) if output is Output.YAML else body
    titles = [column.name for column in view.columns]
    cells = (
        [[text_of(cell) for cell in row.cells] async for some in in_turns(view.rows) for row in some]
        if counted is None
        else [[*each.values, str(each.count)] for each in counted]
    )
    match output:
        case Output.CSV:
            return await csv(titles, cells, ",")
        case Output.TSV:
            return await csv(titles, cells, "\t")
        case Output.MARKDOWN:
            return markdown(titles, cells)
        case _:
            return table(titles, cells, none=none)


def _none_found(reading: Reading) -> str:
    """As kubectl says it."""
    return f"No resources found in {reading.namespace} namespace." if reading.namespace else "No resources found"
