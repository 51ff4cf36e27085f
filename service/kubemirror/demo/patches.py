"""The three patches kubectl sends: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), strategic merge.

All are pure: they return a new value and leave their arguments alone. A patch that cannot be applied raises
``PatchError``; the API server answers that with one 422 whatever the reason, so its text is for people only.
Strategic merge follows apimachinery pkg/util/strategicpatch/patch.go for the fields of the kinds served here.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from kubemirror.errors import KubemirrorError

JSON = Any


class PatchError(KubemirrorError):
    """The patch does not apply."""


# -- RFC 7386 ---------------------------------------------------------------------------------------------


def merge_patch(target: JSON, patch: JSON) -> JSON:
    """``patch`` merged into ``target``: null removes, an object merges, anything else replaces."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


# -- RFC 6902 ---------------------------------------------------------------------------------------------


def json_patch(target: JSON, operations: JSON) -> JSON:
    """The operations applied one after the other; all or none."""
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations")
    document = deepcopy(target)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise PatchError("an operation needs op and path")
        document = _operate(document, operation)
    return document


def _operate(document: JSON, operation: dict[str, Any]) -> JSON:
    path = _pointer(operation["path"])
    match operation.get("op"):
        case "test":
            if "value" not in operation or _get(document, path) != operation["value"]:
                raise PatchError(f"test failed: {operation['path']}")
            return document
        case "add":
            return _add(document, path, deepcopy(_value(operation)))
        case "replace":
            return _replace(document, path, deepcopy(_value(operation)))
        case "remove":
            return _remove(document, path)
        case "copy":
            return _add(document, path, deepcopy(_get(document, _source(operation))))
        case "move":
            source = _source(operation)
            if path[: len(source)] == source and path != source:
                raise PatchError("a value cannot move into itself")
            value = _get(document, source)
            return _add(_remove(document, source), path, value)
    raise PatchError(f"unknown operation {operation.get('op')!r}")


def _value(operation: dict[str, Any]) -> JSON:
    if "value" not in operation:
        raise PatchError("the operation needs a value")
    return operation["value"]


def _source(operation: dict[str, Any]) -> list[str]:
    if not isinstance(operation.get("from"), str):
        raise PatchError("the operation needs from")
    return _pointer(operation["from"])


def _pointer(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise PatchError(f"not a JSON pointer: {path}")
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _get(document: JSON, path: list[str]) -> JSON:
    for step in path:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list):
            document = document[_index(step, len(document) - 1)]
        else:
            raise PatchError(f"no such path: {step}")
    return document


def _add(document: JSON, path: list[str], value: JSON) -> JSON:
    if not path:
        return value
    parent = _get(document, path[:-1])
    step = path[-1]
    if isinstance(parent, dict):
        parent[step] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if step == "-" else _index(step, len(parent)), value)
    else:
        raise PatchError(f"no such path: {step}")
    return document


def _replace(document: JSON, path: list[str], value: JSON) -> JSON:
    if not path:
        return value
    _get(document, path)
    parent = _get(document, path[:-1])
    parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value
    return document


def _remove(document: JSON, path: list[str]) -> JSON:
    if not path:
        raise PatchError("the whole document cannot be removed")
    parent = _get(document, path[:-1])
    step = path[-1]
    if isinstance(parent, dict) and step in parent:
        del parent[step]
    elif isinstance(parent, list):
        del parent[_index(step, len(parent) - 1)]
    else:
        raise PatchError(f"no such path: {step}")
    return document


def _index(step: str, last: int) -> int:
    if not step.isdigit() or (step != "0" and step.startswith("0")) or int(step) > last:
        raise PatchError(f"no such index: {step}")
    return int(step)
