"""Decodes built-in objects as Go does: unknown fields are dropped, wrong types refused, empties left out.

The types are those of ``protobuf.json``; kinds that are not in it (definitions) are taken as they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from kubemirror.demo.protobuf import messages
from kubemirror.errors import KubemirrorError

Fields = dict[str, Any]

_PACKAGES = {"": "core", "apps": "apps", "autoscaling": "autoscaling", "meta": "meta"}
_INTEGERS = frozenset({"int", "int32", "int64"})
# Times that Go writes as null where there are none: as structs they are never empty.
_NULLED = {
    "core.PodCondition": ("lastProbeTime", "lastTransitionTime"),
    "core.Event": ("eventTime", "firstTimestamp", "lastTimestamp"),
}
_TEXTS = frozenset({"string", "bytes", "time", "microtime"})


class WrongTypeError(KubemirrorError):
    """A value is of another type than its field; text as encoding/json has it."""


class _Field(NamedTuple):
    type: str
    repeated: bool
    mapped: bool
    pointer: bool
    omitted: bool


def decode_typed(group: str, kind: str, obj: Fields) -> tuple[Fields, list[str]]:
    """A copy of ``obj`` as its type holds it, and the paths that were unknown. Raises WrongTypeError."""
    message = f"{_PACKAGES.get(group, '?')}.{kind}"
    if message not in messages():
        return _without_nulls(obj), []
    unknown: list[str] = []
    decoded = _struct(message, obj, "", kind, unknown)
    for name in ("apiVersion", "kind"):
        if name in obj:
            decoded[name] = obj[name]
    return decoded, unknown


@cache
def _fields(message: str) -> dict[str, _Field]:
    fields: dict[str, _Field] = {}
    for name, type_, *rest in messages()[message].values():
        flags = rest[0] if rest else ""
        if "i" in flags:
            fields.update(_fields(type_))
        else:
            fields[name] = _Field(type_, "r" in flags, "m" in flags, "p" in flags, "o" in flags)
    return fields


def _struct(message: str, value: Any, path: str, where: str, unknown: list[str]) -> Fields:
    if not isinstance(value, dict):
        raise _wrong(value, where, message)
    fields = _fields(message)
    nulled = _NULLED.get(message, ())
    out: Fields = {}
    for name, item in value.items():
        inner = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            if path or name not in ("apiVersion", "kind"):
                unknown.append(inner)
            continue
        if item is None:
            if name in nulled:
                out[name] = None
            continue
        decoded = _value(field, item, inner, f"{where}.{name}", unknown)
        if field.omitted and not field.pointer and _empty(field, decoded):
            continue
        out[name] = decoded
    for name in nulled:
        out.setdefault(name, None)
    return out


def _empty(field: _Field, value: Any) -> bool:
    if isinstance(value, dict):
        return field.mapped and not value
    return value in ("", 0, []) or value is False


def _value(field: _Field, value: Any, path: str, where: str, unknown: list[str]) -> Any:
    if field.repeated:
        if not isinstance(value, list):
            raise _wrong(value, where, f"[]{field.type}")
        return [_one(field.type, item, f"{path}[{index}]", where, unknown) for index, item in enumerate(value)]
    if field.mapped:
        if not isinstance(value, dict):
            raise _wrong(value, where, f"map[string]{field.type}")
        return {name: _one(field.type, item, f"{path}.{name}", where, unknown) for name, item in value.items()}
    return _one(field.type, value, path, where, unknown)


def _one(type_: str, value: Any, path: str, where: str, unknown: list[str]) -> Any:
    if type_ in _TEXTS:
        if not isinstance(value, str):
            raise _wrong(value, where, "string")
    elif type_ in _INTEGERS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(value, where, type_)
    elif type_ == "bool":
        if not isinstance(value, bool):
            raise _wrong(value, where, "bool")
    elif type_ == "quantity":
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _wrong(value, where, "resource.Quantity")
        return str(value)
    elif type_ in messages():
        return _struct(type_, value, path, where, unknown)
    return value


def _wrong(value: Any, where: str, wanted: str) -> WrongTypeError:
    match value:
        case bool():
            found = "bool"
        case int() | float():
            found = "number"
        case str():
            found = "string"
        case list():
            found = "array"
        case _:
            found = "object"
    kind, _, field = where.partition(".")
    shown = f"{kind}.{field}" if field else kind
    return WrongTypeError(f"json: cannot unmarshal {found} into Go struct field {shown} of type {wanted}")


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
        case list():
            return [_without_nulls(item) for item in value]
    return value
