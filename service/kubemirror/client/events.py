"""What a watch tells: five kinds of events.

``resource_version`` is the cursor: a watch from it tells everything after the event, and nothing before. It is ""
while the first snapshot is not complete, because there is nothing yet to go on from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """Something about one object; ``object`` is it, in the form that was asked for."""

    object: dict[str, Any]
    resource_version: str = ""

    @property
    def name(self) -> str:
        name: str = self._metadata.get("name", "")
        return name

    @property
    def namespace(self) -> str:
        """ "" where the object is in none."""
        namespace: str = self._metadata.get("namespace", "")
        return namespace

    @property
    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.object.get("metadata", {})
        return metadata


@dataclass(frozen=True, slots=True)
class Added(ObjectEvent):
    """It is there: since before the watch (in a snapshot), or from now on."""

    type: ClassVar[str] = "ADDED"


@dataclass(frozen=True, slots=True)
class Modified(ObjectEvent):
    """It has changed. changed: what that means, and diff: old and new values, where they were asked for."""

    type: ClassVar[str] = "MODIFIED"

    changed: tuple[str, ...] = ()
    diff: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted(ObjectEvent):
    """It is gone, or no longer what was asked for.

    deduced: nobody told; it was missing from a snapshot, and ``object`` is the last state that was heard of.
    """

    type: ClassVar[str] = "DELETED"

    deduced: bool = False


@dataclass(frozen=True, slots=True)
class Bookmark:
    """All up to here has been told; comes at least every 15 s.

    initial_events_end: a snapshot is complete with it, or what was missed since the cursor that the watch began with.
    state: of the mirror's store, SYNCED or STALE. stale_since: since when the mirror has lost its upstream.
    upstream_age_seconds: since it last heard of it. behind: this replica has not come as far as the cursor yet.
    """

    type: ClassVar[str] = "BOOKMARK"

    resource_version: str = ""
    initial_events_end: bool = False
    state: str = ""
    stale_since: datetime | None = None
    upstream_age_seconds: float | None = None
    behind: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The way from the last event to the present is not known any more: a snapshot follows.

    complete: what it tells is the difference to what was told before, deletions included. Otherwise this watch never
    had a snapshot: forget what you hold (of ``namespace``, where that is named), it is told anew.
    """

    type: ClassVar[str] = "RESET"

    message: str
    complete: bool
    namespace: str = ""


Event = Added | Modified | Deleted | Bookmark | Reset
