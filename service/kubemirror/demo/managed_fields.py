"""metadata.managedFields as the API server keeps them: who set which fields, with which request, when.

The field sets are those of structured-merge-diff for lists keyed as in strategic merge; lists without a key are
atomic. An update moves the fields it changes to its manager. Ownership conflicts (server-side apply) are not kept.
"""

from __future__ import annotations

from typing import Any

import orjson

Fields = dict[str, Any]

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
}
_SETS = frozenset({"finalizers"})
# Atomic structs and maps in k8s.io/api, and what the server itself sets.
_ATOMIC = frozenset({"selector", "fieldRef", "resourceFieldRef", "versions", "involvedObject", "securityContext"})
_SERVER_SET = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    }
)
# Maps whose own entry is recorded (".") because an empty one means something.
_STRUCTS = frozenset(
    {"metadata", "spec", "status", "template", "strategy", "names", "acceptedNames", "resources", "state", "lastState"}
)


def changed_fields(old: dict[str, Any], new: dict[str, Any], *, custom: bool = False) -> Fields:
    """The fields of ``new`` that differ from ``old``, as FieldsV1. custom: spec and status may be absent themselves."""
    fields: Fields = {}
    for name, value in new.items():
        if name in ("apiVersion", "kind"):
            continue
        before = old.get(name)
        if name == "metadata":
            value = {field: inner for field, inner in value.items() if field not in _SERVER_SET}
            before = {field: inner for field, inner in (before or {}).items() if field not in _SERVER_SET}
            if not value:
                continue
            inner = _fields(name, before, value, custom=False)
            if inner:
                fields["f:metadata"] = inner
            continue
        if value == before and name in old:
            continue
        inner = _fields(name, before, value, custom=custom)
        if inner or before is None:
            fields[f"f:{name}"] = inner
    return fields


def record(
    metadata: dict[str, Any],
    fields: Fields,
    *,
    manager: str,
    api_version: str,
    subresource: str,
    time: str,
    removed: Fields | None = None,
) -> None:
    """Write down in ``metadata`` that ``manager`` set ``fields`` at ``time``; nothing changed, nothing written."""
    if not fields and not removed:
        return
    entries = [entry for entry in metadata.get("managedFields") or () if isinstance(entry, dict)]
    identity = (manager, "Update", api_version, subresource)
    mine: dict[str, Any] | None = None
    kept = []
    for entry in entries:
        if _identity(entry) == identity:
            mine = entry
            continue
        left = _without(_without(entry.get("fieldsV1") or {}, fields), removed or {})
        if left:
            kept.append({**entry, "fieldsV1": left})
    owned = _with(_without((mine or {}).get("fieldsV1") or {}, removed or {}), fields)
    written: dict[str, Any] = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": _sorted(owned),
    }
    if subresource:
        written["subresource"] = subresource
    if owned:
        kept.append(written)
    metadata["managedFields"] = kept


def _identity(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    return (
        entry.get("manager", ""),
        entry.get("operation", ""),
        entry.get("apiVersion", ""),
        entry.get("subresource", ""),
    )


def _fields(name: str, old: Any, new: Any, *, custom: bool) -> Fields:
    if isinstance(new, dict) and name not in _ATOMIC:
        before = old if isinstance(old, dict) else {}
        fields: Fields = {}
        if not before and (custom or name not in _STRUCTS):
            fields["."] = {}
        for key, value in new.items():
            if key not in before or before[key] != value:
                fields[f"f:{key}"] = _fields(key, before.get(key), value, custom=custom)
        return fields
    if isinstance(new, list) and name in _KEYS and not custom:
        return _keyed(_KEYS[name], old if isinstance(old, list) else [], new)
    if isinstance(new, list) and name in _SETS:
        before_set = old if isinstance(old, list) else []
        fields = {} if before_set else {".": {}}
        for item in new:
            if item not in before_set:
                fields[f"v:{orjson.dumps(item).decode()}"] = {}
        return fields
    return {}


def _keyed(keys: tuple[str, ...], old: list[Any], new: list[Any]) -> Fields:
    fields: Fields = {}
    before = {_key(keys, item): item for item in old}
    for item in new:
        identity = _key(keys, item)
        held = before.get(identity)
        if held == item:
            continue
        inner: Fields = {".": {}} if held is None else {}
        for name, value in item.items():
            if held is None or held.get(name) != value or name not in held:
                inner[f"f:{name}"] = _fields(name, (held or {}).get(name), value, custom=False)
        fields[identity] = inner
    return fields


def _key(keys: tuple[str, ...], item: Any) -> str:
    identity = {key: item[key] for key in keys if isinstance(item, dict) and key in item}
    return f"k:{orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()}"


def _with(left: Fields, right: Fields) -> Fields:
    merged = dict(left)
    for name, inner in right.items():
        merged[name] = _with(merged.get(name) or {}, inner)
    return merged


def _sorted(fields: Fields) -> Fields:
    return {name: _sorted(fields[name]) for name in sorted(fields)}


def _without(fields: Fields, gone: Fields) -> Fields:
    left: Fields = {}
    for name, inner in fields.items():
        if name not in gone:
            left[name] = inner
        elif inner and gone[name]:
            rest = _without(inner, {key: value for key, value in gone[name].items() if key != "."})
            if rest:
                left[name] = rest
    return left
