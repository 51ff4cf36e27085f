"""CustomResourceDefinitions: what one makes of a resource, and how its names are accepted.

Follows apiextensions-apiserver's naming and establishing controllers, without their delay: a definition is
Established by the write that creates it, as a second revision of the object.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from kubemirror.state.catalog import Column, Resource, ServedVersion

Fields = dict[str, Any]

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_STAGE = {"": 3, "beta": 2, "alpha": 1}
_NAMES = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def version_order(name: str) -> tuple[int, int, int, str]:
    """A sort key that puts the preferred version first: GA over beta over alpha, higher first, others last.

    apimachinery pkg/version/helpers.go CompareKubeAwareVersionStrings.
    """
    match = re.fullmatch(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", name)
    if match is None:
        return 0, 0, 0, name
    major, stage, minor = match.groups(default="")
    return -_STAGE[stage], -int(major), -int(minor or 0), name


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """As discovery prints it: base64 of the first 8 bytes of sha256("group/version/kind")."""
    return b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def storage_version(definition: Fields) -> Fields:
    """The one version marked as storage."""
    versions: list[Fields] = definition["spec"]["versions"]
    return next(version for version in versions if version.get("storage"))


def established(definition: Fields) -> bool:
    return _condition(definition, "Established") == "True"


def resource_of(definition: Fields) -> Resource:
    """The resource a definition stands for, by its accepted names."""
    spec = definition["spec"]
    names = definition["status"]["acceptedNames"]
    storage = storage_version(definition)
    hash_ = storage_version_hash(spec["group"], storage["name"], names["kind"])
    served = sorted((version for version in spec["versions"] if version.get("served")), key=_order)
    return Resource(
        group=spec["group"],
        version=storage["name"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        versions=tuple(
            _served(version, hash_, _deprecation(version, served, spec["group"], names["kind"])) for version in served
        ),
        list_kind=names.get("listKind") or f"{names['kind']}List",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(sorted(storage.get("subresources") or {})),
        custom=True,
        uid=definition["metadata"]["uid"],
    )


def accept_names(definition: Fields, others: Iterable[Resource], now: str) -> bool:
    """Write acceptedNames and the conditions into ``definition``'s status; whether anything changed.

    others: the other resources of the same group; a name taken by one of them is not accepted, the rest of them are.
    """
    status = definition["status"]
    before = (status.get("acceptedNames"), status.get("conditions"))
    names = definition["spec"]["names"]
    taken = {name for other in others for name in (other.plural, other.singular, *other.short_names)}
    kinds = {name for other in others for name in (other.kind, other.effective_list_kind)}
    conditions: list[Fields] = [dict(condition) for condition in status.get("conditions") or ()]
    accepted: Fields = dict(status.get("acceptedNames") or {})
    clash: tuple[str, str] | None = None
    for field, reason, used in (
        ("plural", "PluralConflict", taken),
        ("singular", "SingularConflict", taken),
        ("shortNames", "ShortNamesConflict", taken),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        value = names.get(field)
        if not value:
            accepted.pop(field, None)
            continue
        clashes = [name for name in (value if isinstance(value, list) else [value]) if name in used]
        if not clashes:
            accepted[field] = value
            continue
        told = [f'"{name}" is already in use' for name in clashes]
        clash = reason, told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    if names.get("categories"):
        accepted["categories"] = names["categories"]
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    status["acceptedNames"] = {field: accepted[field] for field in _NAMES if field in accepted}
    if clash is not None:
        _set(conditions, now, "NamesAccepted", "False", *clash)
        if _condition(definition, "Established") != "True":
            _set(conditions, now, "Established", "False", "NotAccepted", "not all names are accepted")
    else:
        _set(conditions, now, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
        message = "the initial names have been accepted"
        _set(conditions, now, "Established", "True", "InitialNamesAccepted", message)
    status["conditions"] = conditions
    storage = storage_version(definition)["name"]
    stored = list(status.get("storedVersions") or ())
    if storage not in stored:
        stored.append(storage)
        status["storedVersions"] = stored
        return True
    return before != (status["acceptedNames"], conditions)


def mark_terminating(definition: Fields, now: str, reason: str, message: str) -> None:
    conditions: list[Fields] = [dict(condition) for condition in definition["status"].get("conditions") or ()]
    _set(conditions, now, "Terminating", "True", reason, message)
    definition["status"]["conditions"] = conditions


def _condition(definition: Fields, type_: str) -> str:
    for condition in (definition.get("status") or {}).get("conditions") or ():
        if condition["type"] == type_:
            status: str = condition["status"]
            return status
    return ""


def _set(conditions: list[Fields], now: str, type_: str, status: str, reason: str, message: str) -> None:
    wanted = {"type": type_, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
    for place, held in enumerate(conditions):
        if held["type"] == type_:
            if held["status"] == status:
                wanted["lastTransitionTime"] = held["lastTransitionTime"]
            conditions[place] = wanted
            return
    conditions.append(wanted)


def _order(version: Fields) -> tuple[int, int, int, str]:
    return version_order(version["name"])


def _deprecation(version: Fields, served: list[Fields], group: str, kind: str) -> str:
    """The Warning header of a deprecated version: its own text, else the best version to use instead."""
    if not version.get("deprecated"):
        return ""
    own: str | None = version.get("deprecationWarning")
    if own is not None:
        return own
    warning = f"{group}/{version['name']} {kind} is deprecated"
    better = [other["name"] for other in served if not other.get("deprecated") and _order(other) < _order(version)]
    return f"{warning}; use {group}/{better[0]} {kind}" if better else warning


def _served(version: Fields, hash_: str, warning: str) -> ServedVersion:
    return ServedVersion(
        name=version["name"],
        columns=tuple(
            Column(
                name=column["name"],
                type=column.get("type", "string"),
                json_path=column["jsonPath"],
                format=column.get("format", ""),
                description=column.get("description", ""),
                priority=column.get("priority", 0),
            )
            for column in version.get("additionalPrinterColumns") or ()
        ),
        selectable_fields=tuple(field["jsonPath"] for field in version.get("selectableFields") or ()),
        storage_version_hash=hash_,
        deprecation_warning=warning,
        subresources=tuple(sorted(version.get("subresources") or {})),
    )
