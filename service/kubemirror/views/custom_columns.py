"""Cells of custom resources, computed from a CRD version's additionalPrinterColumns.

Upstream: apiextensions-apiserver's pkg/registry/customresource/tableconvertor. Used where upstream printed no
cells for the version that is asked for, and by the demo cluster, which is its own upstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from kubemirror.state.catalog import Column
from kubemirror.views.duration import INVALID, UNKNOWN, Ticking, timestamp
from kubemirror.views.jsonpath import JSONPath, JSONPathError

JSON = Any

# What Go's encoding/json escapes within strings (outside of them these characters do not occur).
_GO_JSON = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})

# The texts of ObjectMeta's fields in upstream's API reference, which upstream sends with every Table.
NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow"
    " a client to request the generation of an appropriate name automatically. Name is primarily intended for"
    " creation idempotence and configuration definition. Cannot be updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
AGE_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not"
    " guaranteed to be set in happens-before order across separate operations. Clients may not set this value."
    " It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists."
    " More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
CREATION_TIMESTAMP = ".metadata.creationTimestamp"
DEFAULT_COLUMNS = (Column("Age", "date", CREATION_TIMESTAMP, description=AGE_DESCRIPTION),)


class ColumnDefinition(NamedTuple):
    """One column of a Table (meta.k8s.io/v1 TableColumnDefinition)."""

    name: str
    type: str
    format: str
    description: str
    priority: int


NAME_DEFINITION = ColumnDefinition("Name", "string", "name", NAME_DESCRIPTION, 0)


def definitions_of(columns: Sequence[Column]) -> list[ColumnDefinition]:
    """What upstream's Table of a CR says about the columns that it shows: Name, then these."""
    return [
        NAME_DEFINITION,
        *(
            ColumnDefinition(
                column.name,
                column.type,
                column.format,
                column.description
                or f"Custom resource definition column (in JSONPath format): {_braceless(column.json_path)}",
                column.priority,
            )
            for column in columns
        ),
    ]


def shown(columns: Sequence[Column]) -> Sequence[Column]:
    """The columns that upstream prints: Age where there are none, else up to the first whose path does not parse."""
    if not columns:
        return DEFAULT_COLUMNS
    for at, column in enumerate(columns):
        try:
            JSONPath(_braceless(column.json_path))
        except JSONPathError:
            return columns[:at]
    return columns


def cell_of(column: Column) -> Callable[[JSON, float], JSON]:
    """A function of (decoded object, seconds since 1970) to the column's cell; None where there is no value.

    Raises JSONPathError for a path that does not parse.
    """
    value_of = aging_cell_of(column)

    def cell(data: JSON, now: float) -> JSON:
        value = value_of(data)
        return value.at(now) if isinstance(value, Ticking) else value

    return cell


def aging_cell_of(column: Column) -> Callable[[JSON], JSON | Ticking]:
    """The same as a function of the object alone: an age is told by when it began."""
    path = JSONPath(_braceless(column.json_path))
    type_ = column.type

    def cell(data: JSON) -> JSON | Ticking:
        try:
            found = path.find(data)
        except JSONPathError:
            return None
        if not found:
            return None
        return printed(found[0]) if type_ == "string" else _typed(type_, found[0])

    return cell


def _typed(type_: str, value: JSON) -> JSON | Ticking:
    match type_, value:
        case "boolean", bool():
            return value
        case _, bool():
            return None
        case "integer", int() | float():
            # Go's conversion of a float beyond int64 gives its least value.
            return int(value) if -(2**63) <= value < 2**63 else -(2**63)
        case "number", int() | float():
            return int(value) if float(value).is_integer() and abs(value) < 1e21 else value  # Go writes 7.0 as 7
        case "date", str():
            try:
                since = timestamp(value)
            except ValueError:
                return INVALID
            return UNKNOWN if since is None else Ticking(since)
    return None


def printed(value: JSON) -> str:
    """A value as Go's fmt prints it: maps and lists as JSON, floats in their shortest form."""
    match value:
        case str():
            return value
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case float():
            return _go_float(value)
        case dict() | list():
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode().translate(_GO_JSON)
    return str(value)


def _go_float(value: float) -> str:
    """Go's %v of a float64: the shortest digits, in exponent form below 1e-4 and from 1e6 on."""
    if not value or not math.isfinite(value):
        return str(value).removesuffix(".0")
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) - 1 + int(exponent)
    if -5 < power < 6:
        return repr(value).removesuffix(".0")
    rest = "".join(map(str, digits[1:]))
    return f"{'-' if value < 0 else ''}{digits[0]}{'.' if rest else ''}{rest}e{power:+03d}"


def _braceless(path: str) -> str:
    return path[1:-1] if path.startswith("{") and path.endswith("}") else path
