"""What a subscription of /watch tells of an object, and which objects it is about beside what selectors say.

A filter decides membership, so it must give of one state of an object the same answer whenever it is asked: that is how
a reader that resumes, on any replica, hears DELETED of exactly what it was told of before. Ages do not qualify.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from kubemirror.serve.forms import As, carried, key
from kubemirror.serve.reading import Reading
from kubemirror.serve.row import Column
from kubemirror.serve.serving import Serving
from kubemirror.serve.source import Shape
from kubemirror.serve.status import bad_request
from kubemirror.serve.view_query import ViewQuery
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.views.versions import WORKLOADS, versions


def shape_of(serving: Serving, reading: Reading, query: ViewQuery, form: As) -> Shape:
    """Raises 400 where ``query`` asks for what the resource does not have."""
    context, resource = serving.context, reading.entry.resource
    if form is As.VERSION:
        require_workload(resource)
    if form is not As.ROW and not (query.q or query.filter or query.columns or query.sort):
        return _plain(resource, form, wide=query.wide)
    definitions = reading.definitions
    table = serving.printers.table(reading)
    rows = query.rows(resource, table)
    predicate = query.predicate(table, rows)
    if not predicate.pure:
        raise bad_request("filter: how old something is changes without an event: watch without it, and look yourself")

    def current() -> bool:
        now = context.catalog.get(resource.name)
        same = now is None or now.resource is resource or now.resource == resource
        return same and reading.definitions == definitions

    plain = _plain(resource, form, wide=query.wide)
    asked = (query.q, tuple(query.filter), tuple(query.columns), tuple(query.sort), query.wide, table.several)
    return Shape(
        rows.encoded(context.wall) if form is As.ROW else plain.carry,
        (form, asked, id(table.printer)),
        wanted=_both(plain.wanted, lambda held: predicate.matches(held, 0.0)) if not predicate.empty else plain.wanted,
        current=current,
        columns=_described(rows.described()),
        cells=True,
    )


def _plain(resource: Resource, form: As, *, wide: bool) -> Shape:
    """Where no column is looked at."""
    if form is not As.VERSION:
        return Shape(carried(form), form)

    def item(held: Object) -> bytes:
        return key(held, versions(held, resource, wide=wide))

    return Shape(item, (form, wide), wanted=lambda held: versions(held, resource) is not None)


def _both(first: Callable[[Object], bool], second: Callable[[Object], bool]) -> Callable[[Object], bool]:
    return lambda held: first(held) and second(held)


def _described(columns: list[Column]) -> bytes:
    return orjson.dumps([column.model_dump() for column in columns])


def require_workload(resource: Resource) -> None:
    """Raise 400 where no containers are."""
    if resource.name not in WORKLOADS:
        raise bad_request(f"{resource.name} runs no containers: ask for one of {', '.join(sorted(WORKLOADS))}")
