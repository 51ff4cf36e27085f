"""Who owns whom: metadata.ownerReferences, read without decoding the rest of an object."""

from __future__ import annotations

import msgspec

from kubemirror.state.objects import Object


class Reference(msgspec.Struct):
    """One owner of an object, in the same namespace or cluster-scoped."""

    api_version: str = msgspec.field(name="apiVersion", default="")
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct):
    owner_references: list[Reference] | None = msgspec.field(name="ownerReferences", default=None)


class _Owned(msgspec.Struct):
    metadata: _Metadata


_decode = msgspec.json.Decoder(_Owned).decode


def references(held: Object) -> list[Reference]:
    """The owners of ``held``, the controller first."""
    if b'"ownerReferences"' not in held.raw:
        return []
    try:
        found = _decode(held.raw).metadata.owner_references or []
    except msgspec.ValidationError:  # no API server takes such a reference: it names nobody
        return []
    return sorted(found, key=lambda each: not each.controller)
