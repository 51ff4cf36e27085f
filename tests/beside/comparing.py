"""What two answers to one request must have in common, and the little that may differ.

Compared: status, the headers below, and the body: JSON by value and key order, numbers by their digits; YAML by
its texts; plain text by its bytes. Aside, because a mirror cannot or must not tell the same:

- managedFields and the last-applied annotation, which the mirror cuts;
- cells that tell an age, within what they tell it in;
- the text of continue tokens (they are followed instead), and serverAddressByClientCIDRs;
- the resourceVersion of a LIST whose RV was unset, 0 or only the least that is wanted, which lies between that
  resource's last write and the newest of all;
- in the texts of 410 and 504, the server's own resourceVersion;
- that every answer of the mirror forbids guessing at its type, where the server's plain texts alone do;
- the order of custom resources in the legacy list of their group version, which is none there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import yaml

from tests.beside.pair import Answer

# Scalars as they are written: Python's YAML takes some for other than Go's does, and some for faulty.
TEXTS = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
HEADERS = ("content-type", "cache-control", "vary", "retry-after", "warning", "etag")
GZIP_BYTES = 128 * 1024
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OWN_VERSION = re.compile(r"(too old resource version: \d+ \(|Too large resource version: \d+, current: )\d+")
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS = (365 * 86400, 86400, 3600, 60, 1)
# "3 (5m ago)": the restarts of a Pod.
_AGO = re.compile(r"(.* \()(\S+)( ago\))")


@dataclass(frozen=True)
class Aside:
    """Exceptions that depend on the case. list_version: its LIST did not ask for a state at an exact RV."""

    list_version: bool = False
    etag: bool = True  # compared only where a server makes it from what it serves: documents passed on


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands in the text: its members in their order."""

    def get(self, name: str) -> Any:
        return next((value for key, value in self if key == name), None)

    def without(self, name: str) -> Pairs:
        return Pairs(pair for pair in self if pair[0] != name)

    def put(self, name: str, value: Any) -> Pairs:
        return Pairs((key, value if key == name else held) for key, held in self)


def read(text: bytes) -> Any:
    """JSON with its key order and the digits of its numbers."""
    return json.loads(
        text,
        object_pairs_hook=Pairs,
        parse_float=lambda text: ("number", text),
        parse_int=lambda text: ("number", text),
    )


def compare(theirs: Answer, ours: Answer, aside: Aside = Aside(), *, head: bool = False) -> None:
    """AssertionError that shows the first difference."""
    ours_body = ours.body
    assert ours.headers.get("x-content-type-options") == "nosniff"
    assert ours.status == theirs.status, (
        f"{theirs.status} {theirs.body[:600]!r}\n     ours: {ours.status} {ours.body[:600]!r}"
    )
    for name in HEADERS:
        if name == "etag" and aside.etag:
            continue
        if name == "vary" and theirs.encoding != ours.encoding:
            continue  # checked with the encoding
        assert ours.headers.get(name) == theirs.headers.get(name), (
            f"header {name}: {theirs.headers.get(name)!r} ours: {ours.headers.get(name)!r} with {ours.body[:300]!r}"
        )
    if (len(theirs.body) > GZIP_BYTES) == (len(ours.body) > GZIP_BYTES):
        assert ours.encoding == theirs.encoding, f"Content-Encoding: {theirs.encoding!r} ours: {ours.encoding!r}"
    if head:
        assert not ours_body
        return
    kind = theirs.headers.get("content-type", "")
    if kind.startswith("application/json"):
        assert layout(ours.body) == layout(theirs.body), f"layout: {theirs.body[-100:]!r} ours: {ours.body[-100:]!r}"
        same(normal(cut(read(theirs.body)), aside), normal(read(ours.body), aside))
    elif kind.startswith("application/yaml"):
        mine, other = (_from_yaml(answer.body) for answer in (ours, theirs))
        same(normal(cut(other), aside), normal(mine, aside))
    else:
        assert ours_body == theirs.body


def compare_lines(theirs: Answer, ours: Answer, *, head: bool = False) -> None:
    """The same for a stream that has ended: each of its lines, after as many."""
    if theirs.status != 200 or head:
        compare(theirs, ours, head=head)
        return
    expected, own = ([*answer.body.splitlines(keepends=True)] for answer in (theirs, ours))
    empty = b"{}"
    compare(replace(theirs, body=empty), replace(ours, body=empty))
    assert len(own) == len(expected), f"{theirs.body[:600]!r}\n     ours: {ours.body[:600]!r}"
    for line, mine in zip(expected, own, strict=True):
        event, own_event = read(line), read(mine)
        same(event.put("object", normal(event.get("object"))), own_event.put("object", normal(own_event.get("object"))))


def layout(text: bytes) -> str:
    """How a JSON text is written: on one line, indented, with an end of line."""
    lines = text.rstrip(b"\n").count(b"\n")
    end = len(text) - len(text.rstrip(b"\n"))
    if not lines:
        return f"one line, {end} ends"
    assert (
        text.rstrip(b"\n") == json.dumps(json.loads(text), indent=2, ensure_ascii=False).encode() or b"\\u" in text
    ), text[:300]
    return f"indented, {end} ends"


def _from_yaml(text: bytes) -> Any:
    return read(json.dumps(yaml.load(text, Loader=TEXTS), default=str).encode())


# -- what stands aside ------------------------------------------------------------------------------------


def normal(document: Any, aside: Aside = Aside()) -> Any:
    """The document without what may differ."""
    if not isinstance(document, Pairs):
        return document
    kind = document.get("kind")
    if kind == "Status":
        message = document.get("message")
        if isinstance(message, str):
            document = document.put("message", _OWN_VERSION.sub(r"\1#", message))
        return document.put("metadata", _list_metadata(document.get("metadata"), aside))
    if kind == "Table":
        return _table(document, aside)
    items = document.get("items")
    if (
        isinstance(kind, str)
        and "items" in dict(document)
        and document.get("metadata") is not None
        and kind != "APIGroupDiscoveryList"
    ):
        document = document.put("metadata", _list_metadata(document.get("metadata"), aside))
        return document.put("items", items and [_object(item) for item in items])
    if kind == "APIVersions":
        return document.put("serverAddressByClientCIDRs", None)
    return _object(document)


def _list_metadata(metadata: Any, aside: Aside) -> Any:
    if not isinstance(metadata, Pairs):
        return metadata
    if metadata.get("continue"):
        metadata = metadata.put("continue", "#")
    return metadata.put("resourceVersion", "#") if aside.list_version else metadata


def _object(document: Any) -> Any:
    if not isinstance(document, Pairs) or not isinstance(document.get("metadata"), Pairs):
        return document
    metadata = document.get("metadata").without("managedFields")
    annotations = metadata.get("annotations")
    if isinstance(annotations, Pairs):
        kept = annotations.without(LAST_APPLIED)
        metadata = metadata.put("annotations", kept) if kept else metadata.without("annotations")
    return document.put("metadata", metadata)


def _table(table: Pairs, aside: Aside) -> Pairs:
    rows = table.get("rows")
    if rows is not None:
        rows = [row.put("object", _object(row.get("object"))) for row in rows]
        table = table.put("rows", rows)
    return table.put("metadata", _list_metadata(table.get("metadata"), aside))


# -- what is not mirrored -----------------------------------------------------------------------------------

READ_VERBS = ("get", "list", "watch")


def cut(document: Any) -> Any:
    """A discovery document as a mirror of all but Secrets tells it: what can be watched, and its reading verbs."""
    if not isinstance(document, Pairs):
        return document
    match document.get("kind"):
        case "APIResourceList":
            resources = document.get("resources")
            kept = {each.get("name") for each in resources if _mirrored(each, "name")}
            if custom(document.get("groupVersion")):
                resources = sorted(resources, key=_by_name)
            return document.put(
                "resources",
                [
                    each.put("verbs", [verb for verb in each.get("verbs") if verb in READ_VERBS])
                    for each in resources
                    if each.get("name") in kept or each.get("name").removesuffix("/status") in kept
                ],
            )
        case "APIGroupList":
            return document.put("groups", [_group(group) for group in document.get("groups") if _versions(group)])
        case "APIGroup":
            return _group(document)
        case "APIGroupDiscoveryList":
            items = [item.put("versions", _aggregated(item)) for item in document.get("items")]
            return document.put("items", [item for item in items if item.get("versions")])
    return document


# Versions of the API server's own groups that hold nothing that is mirrored: another version does, or nothing.
_UNMIRRORED = {
    "authentication.k8s.io/v1",
    "authorization.k8s.io/v1",
    "autoscaling/v1",
    "other.example.dev/v1",
}


def custom(group_version: str) -> bool:
    return group_version.partition("/")[0].endswith("example.dev")


def _by_name(resource: Pairs) -> tuple[str, int]:
    """Definitions of one group stand in no order in the API server's list, and in another one each time."""
    name, _, below = resource.get("name").partition("/")
    return name, ("", "status", "scale").index(below)


def _mirrored(resource: Pairs, name: str) -> bool:
    return "watch" in resource.get("verbs") and resource.get(name) != "secrets"


def _versions(group: Pairs) -> list[Pairs]:
    return [version for version in group.get("versions") if version.get("groupVersion") not in _UNMIRRORED]


def _group(group: Pairs) -> Pairs:
    return group.put("versions", _versions(group))


def _aggregated(group: Pairs) -> list[Pairs]:
    kept = []
    for version in group.get("versions"):
        if f"{group.get('metadata').get('name')}/{version.get('version')}" in _UNMIRRORED:
            continue
        resources = [_aggregated_resource(each) for each in version.get("resources") if _mirrored(each, "resource")]
        kept.append(version.put("resources", resources))
    return kept


def _aggregated_resource(resource: Pairs) -> Pairs:
    resource = resource.put("verbs", [verb for verb in resource.get("verbs") if verb in READ_VERBS])
    below = resource.get("subresources")
    if below is None:
        return resource
    kept = [
        each.put("verbs", [verb for verb in each.get("verbs") if verb in READ_VERBS])
        for each in below
        if each.get("subresource") == "status"
    ]
    return resource.put("subresources", kept) if kept else resource.without("subresources")


# -- differences ------------------------------------------------------------------------------------------


def same(theirs: Any, ours: Any, at: str = "") -> None:
    """AssertionError that names the first place where they differ."""
    if isinstance(theirs, Pairs) and isinstance(ours, Pairs):
        names, own = [key for key, _ in theirs], [key for key, _ in ours]
        assert own == names, f"{at or '.'} has {names}\n     ours: {own}"
        for (name, value), (_, mine) in zip(theirs, ours, strict=True):
            same(value, mine, f"{at}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and not isinstance(theirs, Pairs):
        assert len(ours) == len(theirs), (
            f"{at or '.'} has {len(theirs)}: {shown(theirs)}\n     ours {len(ours)}: {shown(ours)}"
        )
        for index, (value, mine) in enumerate(zip(theirs, ours, strict=True)):
            same(value, mine, f"{at}[{index}]")
    elif ours != theirs and not (".cells[" in at and _same_age(theirs, ours)):
        raise AssertionError(f"{at or '.'} is {shown(theirs)}\n     ours: {shown(ours)}")


def shown(value: Any) -> str:
    return repr(value)[:1500]


def _same_age(theirs: Any, ours: Any) -> bool:
    """Whether both tell an age, and within a second or what they are told in the same one."""
    if not (isinstance(theirs, str) and isinstance(ours, str)):
        return False
    first, second = _AGO.fullmatch(theirs), _AGO.fullmatch(ours)
    if first is not None and second is not None:
        return first.group(1) == second.group(1) and _same_age(first.group(2), second.group(2))
    ages = [_seconds(theirs), _seconds(ours)]
    if None in ages:
        return False
    (one, unit), (two, other) = ages  # type: ignore[misc]
    return abs(one - two) <= max(unit, other, 2)


def _seconds(text: str) -> tuple[int, int] | None:
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    parts: Iterable[tuple[str | None, int]] = list(zip(match.groups(), _UNITS, strict=True))
    told = [(int(part), unit) for part, unit in parts if part is not None]
    return sum(part * unit for part, unit in told), min(unit for _, unit in told)
