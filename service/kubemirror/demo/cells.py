"""The cells the demo cluster prints for its objects, as an API server does for ``kubectl get``.

Custom resources print by their definition's columns, built-ins by what kubectl prints for them; both are the
functions of views/, the first of which a mirror uses where its upstream has no Tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import orjson

from kubemirror.state.catalog import Resource
from kubemirror.views.custom_columns import cell_of, definitions_of, shown
from kubemirror.views.printers import built_in_cells, built_in_definitions

Fields = dict[str, Any]


class CellPrinter(NamedTuple):
    """definitions: columnDefinitions as JSON, b"" where nothing is printed. cells: of (object, seconds since 1970)."""

    definitions: bytes
    cells: Callable[[Fields, float], list[Any]]


def cell_printer(resource: Resource, version: str) -> CellPrinter:
    """How objects of ``resource`` are printed in ``version``."""
    if not resource.custom:
        known = built_in_definitions(resource.name)
        if known is None:
            return CellPrinter(b"", lambda obj, now: [])
        return CellPrinter(known, partial(built_in_cells, resource.name))
    served = resource.served(version)
    columns = shown(served.columns if served is not None else ())
    definitions = orjson.dumps([each._asdict() for each in definitions_of(columns)])
    cells = [cell_of(column) for column in columns]
    return CellPrinter(definitions, lambda obj, now: [obj["metadata"]["name"], *(cell(obj, now) for cell in cells)])
