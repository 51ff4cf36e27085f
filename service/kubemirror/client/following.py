"""Frames in, events out: what one watch has told so far, and what is to be told next. No I/O.

A watch outlives its connections. Each of them goes on after the cursor or, where there is none any more, begins with
a snapshot; then the difference to what was told before is worked out here, so that nothing is told twice, nothing
that vanished is left out, and no object goes back to an earlier state. For that a watch that began with a snapshot
holds the objects it has told, as the bytes they came as.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from kubemirror.client.errors import RefusedError, refused
from kubemirror.client.events import Added, Bookmark, Deleted, Event, Modified, Reset
from kubemirror.client.frames import Column, Frame, frames_of, status_of

_Key = tuple[str, str]  # namespace and name


class _Held(NamedTuple):
    uid: str
    version: int
    raw: bytes


class Expired(Exception):  # noqa: N818 - not an error: what to do next
    """The cursor is of no use any more: connect anew, to a snapshot."""


class Following:
    """See the module. ``opened`` once per connection, then ``told`` for each of its messages."""

    def __init__(self, *, resource_version: str = "", snapshot: bool = True) -> None:
        self.columns: list[Column] = []  # of rows, where those are told
        self._snapshot = snapshot
        self._held: dict[_Key, _Held] = {}
        self._unseen: set[_Key] = set()  # of what is held, what the present snapshot has not shown yet
        self._whole = snapshot and not resource_version  # what is held is all that there is
        self._initial = True  # that the snapshot, if there is one, is complete has still to be told
        self._telling = False  # a snapshot is being told: nothing can be resumed before its end
        self._said_reset = False
        self.cursor = "" if resource_version == "0" else resource_version
        self._last = self.cursor  # the last one there was
        self._newest = 0  # of what a snapshot has told that has not come to its end

    @property
    def wants_snapshot(self) -> bool:
        """Whether the next connection should begin with what is there now."""
        return self._snapshot and not self.cursor

    @property
    def least(self) -> str:
        """How new a snapshot must be, so that it shows nothing older than what was told. "" where nothing was.

        What a snapshot that was cut off has told was there at that snapshot's moment, which is not known; but it was at
        least as new as the newest of it, and what is missing from one that is so too has really gone.
        """
        if not self._newest or "=" in self._last:
            return self._last
        return str(max(self._newest, *(int(each or "0") for each in self._last.split("~"))))

    def opened(self) -> None:
        """A connection was opened: from the cursor, or with a snapshot."""
        self._telling = self.wants_snapshot
        self._unseen = set(self._held) if self._telling else set()
        self._initial = self._initial or self._telling

    def expired(self, message: str) -> Iterator[Event]:
        """The cursor cannot be resumed from: whoever connects next asks for a snapshot."""
        self.cursor = ""
        self._snapshot = True
        if not self._said_reset:
            self._said_reset = True
            yield Reset(message, self._whole)
        self._whole = True

    def told(self, message: bytes | str) -> Iterator[Event]:
        """The events of one message. Raises Expired after the last one, or the RefusedError that ends the stream."""
        for frame in frames_of(message):
            match frame.type:
                case "ADDED" | "MODIFIED":
                    yield from self._there(frame)
                case "DELETED":
                    yield from self._gone(frame)
                case "BOOKMARK":
                    yield from self._bookmark(frame)
                case "RESET":
                    yield from self._reset(frame)
                case "ERROR":
                    status = status_of(frame.object)
                    if status.code == 409:  # about the use of an id: what is told under it goes on
                        continue
                    self._moved(frame)
                    if status.code == 410:
                        yield from self.expired(status.message)
                        raise Expired
                    raise _refused(frame)
                case "SUBSCRIBED":
                    self.columns = next(iter(frame.columns.values()), self.columns)
                case _:  # PONG, and what later versions may say
                    pass

    # -- objects --------------------------------------------------------------------------------------

    def _there(self, frame: Frame) -> Iterator[Event]:
        metadata = frame.metadata
        key = (metadata.namespace, metadata.name)
        held = self._held.get(key)
        self._unseen.discard(key)
        cursor = self._moved(frame)
        if held is not None and held.uid != metadata.uid:
            yield Deleted(_decoded(held.raw), cursor, deduced=True)
            held = None
        if held is not None:
            if held.version == metadata.version or (held.version > metadata.version and not self._said_reset):
                return  # told already, or by a replica that is behind
            kind = "MODIFIED"
        else:
            kind = "ADDED" if self._whole else frame.type
        if self._telling:
            self._newest = max(self._newest, metadata.version)
        if self._whole:
            self._held[key] = _Held(metadata.uid, metadata.version, bytes(frame.object))
        shown = _decoded(frame.object)
        if kind == "ADDED":
            yield Added(shown, cursor)
        else:
            yield Modified(shown, cursor, frame.changed, tuple(_decoded(frame.diff)))

    def _gone(self, frame: Frame) -> Iterator[Event]:
        metadata = frame.metadata
        key = (metadata.namespace, metadata.name)
        held = self._held.get(key)
        cursor = self._moved(frame)
        if self._whole and (held is None or metadata.uid not in ("", held.uid)):
            return  # a reader that was cut off among the deletions of a relist hears them again
        self._held.pop(key, None)
        self._unseen.discard(key)
        yield Deleted(_decoded(frame.object), cursor)

    def _vanished(self) -> Iterator[Event]:
        for key in sorted(self._unseen):
            yield Deleted(_decoded(self._held.pop(key).raw), self.cursor, deduced=True)
        self._unseen = set()

    # -- what is about none ---------------------------------------------------------------------------

    def _bookmark(self, frame: Frame) -> Iterator[Event]:
        ends = frame.ends_snapshot
        if ends:
            self._telling = False
            self._newest = 0
        cursor = self._moved(frame)
        first = ends and self._initial
        if ends:
            yield from self._vanished()
            self._initial = self._said_reset = False
        yield Bookmark(
            cursor,
            initial_events_end=first,
            state=frame.state,
            stale_since=frame.staleSince,
            upstream_age_seconds=frame.upstreamAgeSeconds,
            behind=frame.behind,
        )

    def _reset(self, frame: Frame) -> Iterator[Event]:
        """A snapshot follows on this very connection: of one namespace, where each has a store of its own."""
        self._initial = self._telling = self._snapshot = self._said_reset = True
        if not frame.namespace:
            self.cursor = ""
        self._unseen |= {key for key in self._held if frame.namespace in ("", key[0])}
        yield Reset(status_of(frame.object).message, self._whole, frame.namespace)
        self._whole = self._whole or not frame.namespace

    def _moved(self, frame: Frame) -> str:
        if not self._telling:
            self.cursor = frame.resourceVersion or self.cursor
            self._last = self.cursor or self._last
        return self.cursor


def _decoded(raw: Any) -> Any:
    return orjson.loads(bytes(raw))


def _refused(frame: Frame) -> RefusedError:
    status = _decoded(frame.object)
    return refused(status_of(frame.object).code, {"kind": "Status", **status})
