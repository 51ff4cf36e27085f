"""A CustomResourceDefinition's structural schema: prune what it does not name, fill defaults, check the rest.

The keywords people use: type, properties, additionalProperties, items, required, enum, minimum, maximum, minLength,
maxLength, pattern, minItems, maxItems, default, nullable, x-kubernetes-preserve-unknown-fields,
x-kubernetes-int-or-string, x-kubernetes-embedded-resource. CEL rules and logical junctors are not evaluated.
Texts are those of apiextensions-apiserver's validation (kube-openapi).
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from kubemirror.demo.refusal import Cause, invalid_value, required, type_invalid, unsupported

Fields = dict[str, Any]

_TOP_LEVEL = frozenset({"apiVersion", "kind", "metadata"})


def prune(obj: Fields, schema: Fields) -> list[str]:
    """Remove from ``obj`` what ``schema`` does not name; the paths removed, as strict decoding names them."""
    removed: list[str] = []
    _prune(obj, schema, "", removed, top=True)
    return removed


def _prune(value: Any, schema: Fields, path: str, removed: list[str], *, top: bool = False) -> None:
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        keeps = schema.get("x-kubernetes-preserve-unknown-fields") or extra is True
        embedded = top or schema.get("x-kubernetes-embedded-resource")
        for name in list(value):
            if embedded and name in _TOP_LEVEL:
                continue
            where = f"{path}.{name}" if path else name
            if name in properties:
                _prune(value[name], properties[name], where, removed)
            elif isinstance(extra, dict):
                _prune(value[name], extra, where, removed)
            elif not keeps:
                del value[name]
                removed.append(where)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            _prune(item, schema["items"], f"{path}[{index}]", removed)


def fill(value: Any, schema: Fields) -> None:
    """Put the schema's defaults where a field is absent, in place."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, inner in properties.items():
            if name not in value and "default" in inner:
                value[name] = deepcopy(inner["default"])
            if name in value:
                if value[name] is None and not inner.get("nullable"):
                    if "default" in inner:
                        value[name] = deepcopy(inner["default"])
                    else:
                        del value[name]
                        continue
                fill(value[name], inner)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for name, item in value.items():
                if name not in properties:
                    fill(item, extra)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            fill(item, schema["items"])


def check(obj: Fields, schema: Fields) -> list[Cause]:
    """What of ``obj`` the schema forbids, in upstream's words, ordered by field."""
    causes: list[Cause] = []
    _check(obj, schema, "", causes, top=True)
    return sorted(causes, key=lambda cause: cause.field)


def _check(value: Any, schema: Fields, path: str, causes: list[Cause], *, top: bool = False) -> None:
    if value is None and schema.get("nullable"):
        return
    wanted = schema.get("type", "")
    found = _type(value)
    if schema.get("x-kubernetes-int-or-string"):
        if found not in ("integer", "string"):
            causes.append(type_invalid(path, found, "integer,string"))
            return
    elif wanted and found != wanted and not (wanted == "number" and found == "integer"):
        causes.append(type_invalid(path, found, wanted))
        return
    if "enum" in schema and value not in schema["enum"]:
        causes.append(unsupported(path, value, [str(item) for item in schema["enum"]]))
    if isinstance(value, dict):
        _check_object(value, schema, path, causes, top=top)
    elif isinstance(value, list):
        _check_list(value, schema, path, causes)
    elif isinstance(value, str):
        _check_string(value, schema, path, causes)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema, path, causes)


def _check_object(value: Fields, schema: Fields, path: str, causes: list[Cause], *, top: bool) -> None:
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    missing = [name for name in schema.get("required") or () if name not in value]
    causes.extend(required(f"{path}.{name}" if path else name) for name in missing)
    for name, item in value.items():
        if top and name in _TOP_LEVEL:
            continue
        where = f"{path}.{name}" if path else name
        if name in properties:
            _check(item, properties[name], where, causes)
        elif isinstance(extra, dict):
            _check(item, extra, where, causes)


def _check_list(value: list[Any], schema: Fields, path: str, causes: list[Cause]) -> None:
    if "minItems" in schema and len(value) < schema["minItems"]:
        causes.append(
            invalid_value(path, len(value), f"{path} in body should have at least {schema['minItems']} items")
        )
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        causes.append(
            Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {schema['maxItems']} items")
        )
    if isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            _check(item, schema["items"], f"{path}[{index}]", causes)


def _check_string(value: str, schema: Fields, path: str, causes: list[Cause]) -> None:
    if "minLength" in schema and len(value) < schema["minLength"]:
        causes.append(invalid_value(path, value, f"{path} in body should be at least {schema['minLength']} chars long"))
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        causes.append(Cause(path, "FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']} bytes"))
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        causes.append(invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'"))


def _check_number(value: float, schema: Fields, path: str, causes: list[Cause]) -> None:
    if "minimum" in schema and value < schema["minimum"]:
        causes.append(
            invalid_value(path, value, f"{path} in body should be greater than or equal to {schema['minimum']}")
        )
    if "maximum" in schema and value > schema["maximum"]:
        causes.append(invalid_value(path, value, f"{path} in body should be less than or equal to {schema['maximum']}"))


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"
