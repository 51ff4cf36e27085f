"""Who wrote an object: its managedFields without the fields, so that two versions of it tell who wrote between them.

The API server moves an entry's time whenever its manager sets something: the entry that moved is the writer's. Times
have no fractions, and entries of the scale subresource none at all: where no entry moved, what changed has to tell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

_STATUS, _SCALE = "status", "scale"
# What four bytes hold: until 2106.
_LATEST = 2**32 - 1


class Manager(NamedTuple):
    """A field manager, its operation (Apply, Update), and the subresource through which it wrote ("" for none)."""

    name: str
    operation: str
    subresource: str = ""


class Managers(NamedTuple):
    """Those of one version of an object. times: four bytes each.

    Some 120 bytes where nobody shares them: ``who`` is one for all objects that were written alike.
    """

    who: tuple[Manager, ...]
    times: bytes

    @property
    def newest(self) -> tuple[Manager, int]:
        """Who wrote last, as far as times tell. Within one second: not its status, where somebody wrote more."""
        time, _, who = max((time, who.subresource != _STATUS, who) for who, time in self._entries)
        return who, time

    def writer(
        self, before: Managers | None, *, status: bool = False, scale: bool = False, removed: bool = False
    ) -> str:
        """Who made this of the version that had ``before``; "" where that cannot be known.

        status, scale: only its status, or how many are wanted, changed. removed: fields went, and none was set: whoever
        only removes is written down nowhere.
        """
        held = set(before._entries) if before is not None else set()
        moved = [each for each in self._entries if each not in held]
        if moved:
            return _suited(moved, status=status)
        if scale and (found := [each for each in self._entries if each[0].subresource == _SCALE]):
            return _suited(found, status=False)
        return "" if removed else _suited(self._entries, status=status)  # again within the second

    @property
    def _entries(self) -> list[tuple[Manager, int]]:
        """Each, and when it wrote last, in seconds since 1970; 0 where that is not told."""
        return list(zip(self.who, memoryview(self.times).cast("I"), strict=True))


def _suited(entries: Iterable[tuple[Manager, int]], *, status: bool) -> str:
    """The newest, of those that wrote the status or of the others, where there are such."""
    return max(((who.subresource == _STATUS) is status, time, who) for who, time in entries)[2].name


class _Entry(msgspec.Struct):
    manager: str = ""
    operation: str = ""
    time: str | None = None
    subresource: str = ""


_decoded = msgspec.json.Decoder(list[_Entry]).decode


def managers_of(managed_fields: msgspec.Raw) -> Managers | None:
    """Those of metadata.managedFields; None where it is empty. ValueError where it is none."""
    entries = _decoded(managed_fields)
    if not entries:
        return None
    return _managers(tuple([(each.manager, each.operation, each.subresource, each.time) for each in entries]))


# A controller writes many objects within a second: they share all of it, and its time is parsed once.
@lru_cache(maxsize=4096)
def _managers(entries: tuple[tuple[str, str, str, str | None], ...]) -> Managers:
    times = b"".join([_seconds(each[3]).to_bytes(4, sys.byteorder) for each in entries])
    return Managers(_who(tuple([each[:3] for each in entries])), times)


@lru_cache(maxsize=4096)
def _who(entries: tuple[tuple[str, str, str], ...]) -> tuple[Manager, ...]:
    return tuple([Manager(*map(sys.intern, each)) for each in entries])


@lru_cache(maxsize=4096)
def _seconds(time: str | None) -> int:
    return min(max(int(datetime.fromisoformat(time).timestamp()), 0), _LATEST) if time else 0
