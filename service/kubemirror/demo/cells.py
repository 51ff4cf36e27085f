"""The cells the demo cluster prints for its objects, as an API server does for ``kubectl get``.

Custom resources print by their definition's columns (views/columns.py), built-ins by views/printers.py; both are the
same code that a mirror uses where its upstream has no Tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kubemirror.state.catalog import Resource

Fields = dict[str, Any]


class CellPrinter(NamedTuple):
    """definitions: columnDefinitions as JSON, b"" where nothing is printed. cells: of (object, wall seconds)."""

    definitions: bytes
    cells: Callable[[Fields, float], list[Any]]


def cell_printer(resource: Resource, version: str) -> CellPrinter:
    return CellPrinter(b"", lambda obj, now: [])
