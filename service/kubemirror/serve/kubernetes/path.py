"""The path of a Kubernetes request, taken apart once; everything later trusts this and never looks again.

The rules are upstream's (apiserver pkg/endpoints/request/requestinfo.go); path tricks have read other
resources elsewhere (CVE-2019-11247, CVE-2022-3162), so the raw bytes are split first and each segment is
decoded alone: an encoded slash can never become a separator. What the path *claims* is authorised; whether
the resource exists and has that scope is checked against the catalog afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from kubemirror.serve.status import StatusError, bad_request

# Namespaces have subresources of their own; every other third segment is a resource inside the namespace.
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """A path that names a collection or an object.

    namespace: None where the path names none. watch: the deprecated /watch/ prefix.
    trailing: segments after the subresource (a proxy's path), or a doubled slash before the name.
    """

    group: str
    version: str
    resource: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    watch: bool = False
    trailing: bool = False


@dataclass(frozen=True, slots=True)
class GroupPath:
    """/apis/{group} (``version`` is "") or the resource list of one group version."""

    group: str
    version: str


@dataclass(frozen=True, slots=True)
class PlainPath:
    """Everything else: /api, /apis, /version, /openapi/..., and what does not exist."""

    path: str


Path = ResourcePath | GroupPath | PlainPath


def segments_of(raw_path: bytes) -> list[str]:
    """The decoded segments of a raw path, trailing slashes left out.

    Raises StatusError (400) for bytes that are no UTF-8 and for control characters.
    """
    segments: list[str] = []
    for part in raw_path.split(b"/"):
        try:
            segment = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise bad_request("the path of the request is not UTF-8") from None
        if any(character < " " or character == "\x7f" for character in segment):
            raise bad_request("the path of the request holds control characters")
        segments.append(segment)
    if segments and segments[0] == "":
        del segments[0]
    while segments and segments[-1] == "":
        segments.pop()
    return segments


def parse_path(raw_path: bytes) -> Path:
    """What a raw path (no query) names. Raises StatusError for a path that is refused outright."""
    segments = segments_of(raw_path)
    plain = PlainPath("/" + "/".join(segments))
    match segments:
        case ["api", version, *rest] if version:
            group = ""
        case ["apis", group, version, *rest] if group and version:
            pass
        case ["apis", group] if group:
            return GroupPath(group, "")
        case _:
            return plain
    if not rest:
        return GroupPath(group, version)
    return _resource(group, version, rest) or plain


def _resource(group: str, version: str, rest: list[str]) -> ResourcePath | None:
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 1:
        if rest[1] == "" and len(rest) > 2:
            rest = rest[2:]  # upstream reads an empty namespace as all of them
        elif (len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES) or (len(rest) > 3):
            namespace = rest[1]
            rest = rest[2:]
        # else: the namespace itself, or its status
    resource, *rest = rest
    if not resource:
        return None
    name = rest[0] if rest else ""
    if rest and not name:  # a doubled slash before the name: known to nobody, but below a known resource
        return ResourcePath(group, version, resource, namespace, watch=watch, trailing=True)
    subresource = rest[1] if len(rest) > 1 else ""
    if namespace is not None:
        check_segment("Namespace", namespace)
    if name:
        check_segment("Name", name)
    return ResourcePath(group, version, resource, namespace, name, subresource, watch, trailing=len(rest) > 2)


def check_segment(what: str, segment: str) -> None:
    """Refuse what could never be a name: apimachinery pkg/api/validation/path."""
    if segment in (".", ".."):
        raise _invalid(what, segment, f"may not be '{segment}'")
    faults = [f"may not contain '{character}'" for character in "/%" if character in segment]
    if faults:
        raise _invalid(what, segment, ";".join(faults))


def _invalid(what: str, segment: str, fault: str) -> StatusError:
    return bad_request(f'{what} parameter invalid: "{segment}": {fault}')
