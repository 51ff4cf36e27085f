"""One object as the mirror holds it: a parsed header beside raw JSON bytes.

Nothing keeps a decoded dict: a 3.8 kB Deployment is 12.7 kB as a dict and 3.9 kB as bytes
copied to size. The header holds what lists, selectors and journals need on every event.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import orjson

from kubemirror.state.managers import Managers
from kubemirror.state.redact import CUT, NO_REDACTION, Redaction

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Key(NamedTuple):
    """Where an object lives within its resource; ``namespace`` is "" when cluster-scoped."""

    namespace: str
    name: str


class Blank(NamedTuple):
    """A kind's object with nothing in it and its cells, as upstream's bookmarks carry them; b"" while none came."""

    raw: bytes = b""
    cells: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """One version of one object. Immutable: a change is a new Object.

    raw: the object as JSON, ``apiVersion`` and ``kind`` always inside, cut and redacted.
    cells: JSON array of the cells upstream printed for it (Table), or b"" where upstream has no Tables.
        Cells that tell an age are as old as the object's last event: views/columns.py computes them anew.
    created: creationTimestamp in seconds since 1970, 0 where absent.
    error: not empty for a stub: the object itself was beyond the size cap and only its header is held.
    """

    namespace: str
    name: str
    uid: str
    resource_version: int
    labels: Mapping[str, str]
    raw: bytes
    cells: bytes
    created: int
    managers: Managers | None
    error: str = ""

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)

    @property
    def size(self) -> int:
        """Bytes of content held for this object (raw JSON and cells)."""
        return len(self.raw) + len(self.cells)


class _Header(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    labels: dict[str, str] | None = None
    creation_timestamp: str | None = msgspec.field(name="creationTimestamp", default=None)


class _Identity(msgspec.Struct):
    """What a stub needs, of an object whose other header fields may be of any type."""

    name: str
    uid: str
    resource_version: str = msgspec.field(name="resourceVersion")
    namespace: str = ""


class _OnlyIdentity(msgspec.Struct):
    metadata: _Identity


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_header = msgspec.json.Decoder(_Header).decode
_only_identity = msgspec.json.Decoder(_OnlyIdentity).decode
_encode = msgspec.json.Encoder().encode


class Ingest:
    """Turns one object's bytes, as upstream sent them, into what a store may hold.

    Decodes one level deep once: managedFields and the last-applied annotation are cut, the redaction is
    applied to object and cells, missing ``kind`` and ``apiVersion`` are put in front (upstream leaves them
    out of the items of built-in lists), and the result is copied to size. Labels and namespaces are shared
    between the objects of one Ingest. Raises ValueError when the bytes are not a Kubernetes object.
    """

    def __init__(
        self,
        *,
        api_version: str,
        kind: str,
        redaction: Redaction = CUT,
        replace_type: bool = False,
    ) -> None:
        self._type_fields = {
            "kind": msgspec.Raw(orjson.dumps(kind)),
            "apiVersion": msgspec.Raw(orjson.dumps(api_version)),
        }
        self._redaction = redaction
        self._replace_type = replace_type  # metadata-only upstreams call every object PartialObjectMetadata
        self._labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def object(self, raw: bytes | memoryview | msgspec.Raw, cells: bytes = b"", *, cap: int | None = None) -> Object:
        """The Object of ``raw``; ``cap`` is the size in bytes beyond which only a stub is held.

        An object of which no more than its identity can be read becomes a stub too, with the error inside.
        """
        try:
            fields = _fields(raw)
            metadata = fields["metadata"]
            header = _header(metadata)
            if not header.name:
                raise ValueError("not a Kubernetes object: no metadata.name")
            resource_version = int(header.resource_version or 0)
            if cap is not None and len(raw) > cap:
                return self._stub(header, _beyond(len(raw), cap))
            redaction = self._redaction
            managers, metadata = redaction.cut(metadata)
            fields["metadata"] = metadata
            if self._replace_type:  # whatever came beside what was asked for
                fields = {name: fields[name] for name in ("kind", "apiVersion", "metadata") if name in fields}
            if self._replace_type or "kind" not in fields or "apiVersion" not in fields:
                rest = {name: value for name, value in fields.items() if name not in self._type_fields}
                fields = {**self._type_fields, **rest}
            body, cells = redaction.mask(fields, cells)
        except RecursionError:  # masking decodes all of it, and someone may nest a custom resource as deep as they like
            return self._unreadable(raw, ValueError("it is nested too deep"))
        except (KeyError, ValueError, TypeError) as error:  # msgspec's errors are ValueErrors
            return self._unreadable(raw, error)
        return Object(
            namespace=sys.intern(header.namespace),
            name=header.name,
            uid=header.uid,
            resource_version=resource_version,
            labels=self._share(header.labels, header.name),
            raw=bytes(memoryview(body)),  # encoders over-allocate: the copy is what keeps memory near the bytes
            cells=bytes(cells),
            created=epoch(header.creation_timestamp),
            managers=managers,
        )

    def stub(self, header: Mapping[str, str], *, size: int, cap: int) -> Object:
        """A stub of an object of which only the header was read, because its ``size`` is beyond ``cap`` (bytes).

        header: metadata's name, namespace, uid, resourceVersion, creationTimestamp. ValueError where the name
        or the resourceVersion is none.
        """
        if not header.get("name"):
            raise ValueError("not a Kubernetes object: no metadata.name")
        return self._stub(
            _Header(
                name=header["name"],
                namespace=header.get("namespace", ""),
                uid=header.get("uid", ""),
                resource_version=header.get("resourceVersion", ""),
                creation_timestamp=header.get("creationTimestamp"),
            ),
            _beyond(size, cap),
        )

    def _unreadable(self, raw: bytes | memoryview | msgspec.Raw, error: Exception) -> Object:
        try:
            identity = _only_identity(raw).metadata
            header = _Header(
                name=identity.name,
                namespace=identity.namespace,
                uid=identity.uid,
                resource_version=identity.resource_version,
            )
            int(identity.resource_version)
        except (ValueError, RecursionError):
            raise ValueError(f"not a Kubernetes object: {error}") from error
        if not header.name:
            raise ValueError("not a Kubernetes object: no metadata.name") from error
        return self._stub(header, f"the object could not be read ({error}); only its header is held")

    def _stub(self, header: _Header, error: str) -> Object:
        metadata = {
            "name": header.name,
            **({"namespace": header.namespace} if header.namespace else {}),
            "uid": header.uid,
            "resourceVersion": header.resource_version,
            "creationTimestamp": header.creation_timestamp,
            "annotations": {"kubemirror/error": error},
        }
        return Object(
            namespace=sys.intern(header.namespace),
            name=header.name,
            uid=header.uid,
            resource_version=int(header.resource_version or 0),
            labels=_NO_LABELS,
            raw=_encode({**self._type_fields, "metadata": metadata}),
            cells=b"",
            created=epoch(header.creation_timestamp),
            managers=None,
            error=error,
        )

    def _share(self, labels: dict[str, str] | None, name: str) -> Mapping[str, str]:
        if not labels:
            return _NO_LABELS
        identity = tuple(labels.items())
        shared = self._labels.get(identity)
        if shared is None:
            # Labels often repeat the object's name: one string then, and nothing interned that is there once.
            shared = {sys.intern(key): name if value == name else sys.intern(value) for key, value in identity}
            if name in labels.values():
                return shared  # no other object has these
            if len(self._labels) >= 1024:  # pods of one owner share; labels unique to one object must not pile up
                self._labels.clear()
            self._labels[identity] = shared
        return shared


def _beyond(size: int, cap: int) -> str:
    return f"object of {size} bytes is beyond the cap of {cap} bytes (--max-object-bytes); only its header is held"


def plain(*, api_version: str, kind: str) -> Ingest:
    """An Ingest that cuts and masks nothing: for a store that is itself the authority (the demo's)."""
    return Ingest(api_version=api_version, kind=kind, redaction=NO_REDACTION)


def with_resource_version(held: Object, resource_version: int) -> Object:
    """``held`` as it was, under another resourceVersion (a deletion's, or a selector's DELETED)."""
    if held.resource_version == resource_version:
        return held
    fields = _fields(held.raw)
    metadata = _fields(fields["metadata"])
    metadata["resourceVersion"] = msgspec.Raw(b'"%d"' % resource_version)
    fields["metadata"] = msgspec.Raw(_encode(metadata))
    return Object(
        namespace=held.namespace,
        name=held.name,
        uid=held.uid,
        resource_version=resource_version,
        labels=held.labels,
        raw=bytes(memoryview(_encode(fields))),
        cells=held.cells,
        created=held.created,
        managers=held.managers,
        error=held.error,
    )


def epoch(timestamp: str | None) -> int:
    """Seconds since 1970 of an RFC 3339 timestamp; 0 for None or what is none."""
    if not timestamp:
        return 0
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return 0
