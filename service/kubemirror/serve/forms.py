"""What an event carries: the whole object, its metadata only, just what identifies it, or that and what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import assert_never

import msgspec
import orjson

from kubemirror.state.objects import Object

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class As(StrEnum):
    """The parameter ``as`` of /watch."""

    OBJECT = "object"
    METADATA = "metadata"
    KEY = "key"
    DIFF = "diff"  # the whole object when it comes, then its key and what changed
    ROW = "row"  # its printed cells (row.py)
    VERSION = "version"  # which version of what runs in it (versions.py)


def carried(form: As) -> Callable[[Object], bytes]:
    """The function that writes an object in that form, as one line of JSON; of a row or version only its key."""
    match form:
        case As.OBJECT | As.DIFF:
            return whole
        case As.METADATA:
            return metadata
        case As.KEY | As.ROW | As.VERSION:
            return key
        case _:
            assert_never(form)


def whole(held: Object) -> bytes:
    """The object as held; on one line, since a line is an event."""
    raw = held.raw
    return orjson.dumps(orjson.loads(raw)) if b"\n" in raw else raw


def metadata(held: Object) -> bytes:
    """A PartialObjectMetadata, as upstream calls it."""
    line = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":%s}'
    return line % bytes(_fields(whole(held))["metadata"])


def key(held: Object, more: Mapping[str, object] | None = None) -> bytes:
    """Only what identifies the object and its version, and ``more``."""
    fields = _fields(held.raw)
    named = {"namespace": held.namespace, "name": held.name, "uid": held.uid}
    return _encode(
        {
            "kind": fields["kind"],
            "apiVersion": fields["apiVersion"],
            "metadata": {
                **{name: value for name, value in named.items() if value},
                "resourceVersion": str(held.resource_version),
            },
            **(more or {}),
        }
    )
