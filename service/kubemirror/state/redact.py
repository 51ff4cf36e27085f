"""What must never be held, cut before an object or a cell enters a store.

Two different things. *Cutting* removes whole fields: managedFields (its newest entry survives in the
header) and the last-applied annotation, which repeats the object and has leaked Secrets out of five
products (CVE-2019-10223, CVE-2023-40029, ...). It is on by default, always. *Masking* replaces string values
and belongs to the access modes; the hook stands here so that no later caller can forget it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

import msgspec

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Manager(NamedTuple):
    """Who wrote an object last: field manager, operation (Apply, Update) and time in seconds since 1970.

    status: who wrote its status last, where that was in the same second: times have no fractions.
    """

    name: str
    operation: str
    time: int
    status: str = ""


class Redaction(Protocol):
    """What Ingest asks about every object before it may be stored."""

    def cut(self, metadata: msgspec.Raw) -> tuple[Manager | None, msgspec.Raw]:
        """The newest field manager, and ``metadata`` without the fields that are never held."""

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        """The object's top-level ``fields`` encoded, and its cells, with what must be masked masked."""


class _Managed(msgspec.Struct):
    manager: str = ""
    operation: str = ""
    time: str | None = None
    subresource: str = ""


_managed = msgspec.json.Decoder(list[_Managed]).decode


@dataclass(frozen=True, slots=True)
class Cut:
    """The default: whole fields go, values stay. Keeping a field is a setting."""

    keep_managed_fields: bool = False
    keep_last_applied: bool = False

    def cut(self, metadata: msgspec.Raw) -> tuple[Manager | None, msgspec.Raw]:
        fields = _fields(metadata)
        managed = fields.get("managedFields")
        manager = _newest(managed) if managed is not None else None
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
        return manager, msgspec.Raw(_encode(fields)) if changed else metadata

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        return _encode(fields), cells


@dataclass(frozen=True, slots=True)
class NoRedaction:
    """For a store that is itself the authority and must give back what was written to it."""

    def cut(self, metadata: msgspec.Raw) -> tuple[Manager | None, msgspec.Raw]:
        return None, metadata

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        return _encode(fields), cells


CUT = Cut()
NO_REDACTION = NoRedaction()


def without_last_applied(redaction: Redaction) -> Redaction:
    """``redaction``, which keeps no last-applied annotation whatever it was told."""
    return replace(redaction, keep_last_applied=False) if isinstance(redaction, Cut) else CUT


def _newest(managed_fields: msgspec.Raw) -> Manager | None:
    entries = _managed(managed_fields)
    if not entries:
        return None
    newest = max(entries, key=_time)
    if len(entries) == 1:
        return _manager(newest.manager, newest.operation, newest.time)
    same = [each for each in entries if each.time == newest.time]
    wider = next((each for each in same if each.subresource != "status"), newest)
    status = next((each.manager for each in same if each is not wider and each.subresource == "status"), "")
    return _manager(wider.manager, wider.operation, wider.time, status)


def _time(entry: _Managed) -> str:
    return entry.time or ""


# A controller writes many objects within a second: they share one Manager, and its time is parsed once.
@lru_cache(maxsize=4096)
def _manager(name: str, operation: str, time: str | None, status: str = "") -> Manager:
    seconds = int(datetime.fromisoformat(time).timestamp()) if time else 0
    return Manager(sys.intern(name), sys.intern(operation), seconds, sys.intern(status))
