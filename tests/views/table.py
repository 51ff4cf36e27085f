"""A table of objects written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.objects import Ingest, Object
from kubemirror.views.columns import Printer
from kubemirror.views.filter import parse_filter
from kubemirror.views.order import in_order, parse_sort
from kubemirror.views.table import Table

NOW = 1_800_000_000.0
PODS = Resource("", "v1", "pods", "pod", "Pod", True, (ServedVersion("v1"),))
_ingest = Ingest(api_version="v1", kind="Pod")


def table(*columns: str, types: Sequence[str] = ()) -> Table:
    """Columns after Name, as upstream's Table would have them."""
    kinds = [*types, *["string"] * (len(columns) - len(types))]
    definitions = [{"name": "Name", "type": "string", "format": "name"}]
    definitions += [{"name": name, "type": kind} for name, kind in zip(columns, kinds, strict=True)]
    return Table(PODS, Printer(PODS, "v1", json.dumps(definitions).encode()), several=True)


def pod(name: str, *cells: Any, namespace: str = "shop", **fields: Any) -> Object:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": name,
        "resourceVersion": "7",
        "creationTimestamp": fields.pop("created", "2027-01-15T07:00:00Z"),  # an hour before NOW
        **fields.pop("metadata", {}),
    }
    return _ingest.object(json.dumps({"metadata": metadata, **fields}).encode(), json.dumps([name, *cells]).encode())


def found(held: Sequence[Object], shown: Table, text: str) -> list[str]:
    """Names of those that meet a filter."""
    condition = parse_filter(text, shown)
    return [each.name for each in held if condition.matches(shown.line(each, NOW))]


def ordered(held: Sequence[Object], shown: Table, text: str) -> list[str]:
    """Names, sorted."""
    keys = parse_sort(text, shown)
    values = [[key.of(shown.line(each, NOW)) for each in held] for key in keys]
    return [each.name for each in in_order(held, values, keys)]
