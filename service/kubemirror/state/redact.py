"""What must never be held, cut before an object or a cell enters a store.

Two different things. *Cutting* removes whole fields: managedFields (who wrote when survives in the
header) and the last-applied annotation, which repeats the object and has leaked Secrets out of five
products (CVE-2019-10223, CVE-2023-40029, ...). It is on by default, always. *Masking* replaces string values
and belongs to the access modes; the hook stands here so that no later caller can forget it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from kubemirror.state.managers import Managers, managers_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Redaction(Protocol):
    """What Ingest asks about every object before it may be stored."""

    def cut(self, metadata: msgspec.Raw) -> tuple[Managers | None, msgspec.Raw]:
        """Its field managers, and ``metadata`` without the fields that are never held."""

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        """The object's top-level ``fields`` encoded, and its cells, with what must be masked masked."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The default: whole fields go, values stay. Keeping a field is a setting."""

    keep_managed_fields: bool = False
    keep_last_applied: bool = False

    def cut(self, metadata: msgspec.Raw) -> tuple[Managers | None, msgspec.Raw]:
        fields = _fields(metadata)
        managed = fields.get("managedFields")
        managers = managers_of(managed) if managed is not None else None
        changed = False
        if managed is not None and not self.keep_managed_fields:
            del fields["managedFields"]
            changed = True
        annotations = fields.get("annotations")
        if annotations is not None and not self.keep_last_applied:
            kept = _fields(annotations)
            if kept.pop(LAST_APPLIED, None) is not None:
                changed = True
                if kept:
                    fields["annotations"] = msgspec.Raw(_encode(kept))
                else:
                    del fields["annotations"]
        return managers, msgspec.Raw(_encode(fields)) if changed else metadata

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        return _encode(fields), cells


@dataclass(frozen=True, slots=True)
class NoRedaction:
    """For a store that is itself the authority and must give back what was written to it."""

    def cut(self, metadata: msgspec.Raw) -> tuple[Managers | None, msgspec.Raw]:
        return None, metadata

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        return _encode(fields), cells


CUT = Cut()
NO_REDACTION = NoRedaction()


def without_last_applied(redaction: Redaction) -> Redaction:
    """``redaction``, which keeps no last-applied annotation whatever it was told."""
    return replace(redaction, keep_last_applied=False) if isinstance(redaction, Cut) else CUT
