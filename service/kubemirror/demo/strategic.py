"""Strategic merge patch, for the kinds served here: lists merge by key instead of being replaced.

Follows apimachinery pkg/util/strategicpatch/patch.go: ``$patch: replace|delete``, ``$retainKeys``,
``$setElementOrder/<list>`` and ``$deleteFromPrimitiveList/<list>``. Which list merges by which key is the
``patchMergeKey`` of k8s.io/api's types; field names are unique enough among our kinds to need no path.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from kubemirror.demo.patches import PatchError

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "conditions": "type",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "addresses": "type",
    "taints": "key",
}
_MERGED_PRIMITIVES = frozenset({"finalizers"})
_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


def strategic_patch(target: dict[str, Any], patch: Any) -> dict[str, Any]:
    """``patch`` merged into a copy of ``target``; PatchError when it is none or a merge key is missing."""
    if not isinstance(patch, dict):
        raise PatchError("a strategic merge patch is an object")
    return _merge(deepcopy(target), patch)


def _merge(original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: deepcopy(value) for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"unknown patch type: {directive}")
    kept = patch.get("$retainKeys")
    if kept is not None:
        original = {name: value for name, value in original.items() if name in kept}
    for name, value in patch.items():
        if name.startswith(_DELETE_PRIMITIVES):
            field = name.removeprefix(_DELETE_PRIMITIVES)
            original[field] = [item for item in original.get(field) or [] if item not in value]
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            original.pop(name, None)
        elif isinstance(value, dict):
            held = original.get(name)
            original[name] = _merge(held if isinstance(held, dict) else {}, value)
        elif isinstance(value, list):
            order = patch.get(_ORDER + name)
            original[name] = _merge_list(name, original.get(name) or [], value, order)
        else:
            original[name] = value
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and field not in patch and isinstance(original.get(field), list):
            original[field] = _in_order(field, original[field], order, original[field])
    return original


def _merge_list(name: str, original: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    if name in _MERGED_PRIMITIVES:
        merged = original + [item for item in patch if item not in original]
    elif name in _MERGE_KEYS and all(isinstance(item, dict) for item in patch):
        merged = _merge_keyed(_MERGE_KEYS[name], original, patch)
    else:
        return deepcopy(patch)
    return merged if order is None else _in_order(name, merged, order, original)


def _merge_keyed(key: str, original: list[Any], patch: list[dict[str, Any]]) -> list[Any]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [deepcopy(item) for item in patch if "$patch" not in item]
    merged = list(original)
    for item in patch:
        if key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, held in enumerate(merged) if held.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [held for held in merged if held.get(key) != item[key]]
        elif place is None:
            merged.append(_merge({}, item))
        else:
            merged[place] = _merge(merged[place], item)
    return merged


def _in_order(name: str, items: list[Any], order: list[Any], original: list[Any]) -> list[Any]:
    """Items named by ``order`` in that order; the others keep their place relative to them, as the server had it."""
    key = _MERGE_KEYS.get(name)

    def identity(item: Any) -> Any:
        return item.get(key) if key is not None and isinstance(item, dict) else item

    wanted = [identity(item) for item in order]
    server = [identity(item) for item in original]
    named = sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    others = [item for item in items if identity(item) not in wanted]
    result: list[Any] = []
    while named and others:
        first, other = identity(named[0]), identity(others[0])
        if other in server and first in server and server.index(other) < server.index(first):
            result.append(others.pop(0))
        else:
            result.append(named.pop(0))
    return result + named + others
