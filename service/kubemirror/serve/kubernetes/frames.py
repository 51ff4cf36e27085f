"""Watch events encoded once for all readers of one form, and framed once for all that hear the same.

A change is dispatched to its readers within moments, so only the last ones are kept: an entry is dropped when
newer ones need its room, never because it went stale: a change, a form and its printer never change.

An *audience* are the watches that hear the same of each change: those at the same place in the journal are told the
same chunk. It is made of plain changes only; what a watch has to tell in a way of its own (the bookmarks around a
gap) is for the watch itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakValueDictionary

from kubemirror.serve.kubernetes.forms import View
from kubemirror.serve.kubernetes.streams import framed
from kubemirror.state.journal import Change, Journal, Position
from kubemirror.state.objects import Object, with_resource_version
from kubemirror.state.selectors import Selection

# Enough for a burst in a few forms at a few kilobytes each; beyond it events are encoded again, not lost.
_KEPT_BYTES = 8 * 1024 * 1024
# A chunk as large as a transport's usual high-water mark: more would only wait in memory.
CHUNK_BYTES = 64 * 1024
# Changes looked at for one chunk: about 0.1 ms of matching, because a round does so for many.
CHUNK_CHANGES = 64
# Chunks kept while a round lasts. Readers at places of their own share none; they need no more than this.
CHUNKS_BYTES = 1024 * 1024
# An entry's own cost beside its bytes: key, chunk, their places.
ENTRY_BYTES = 256


class Audience:
    """Who hears the same of each change. See ``Frames.audience``."""

    __slots__ = ("__weakref__", "identity", "namespace", "selection", "view")

    def __init__(self, view: View, identity: object, namespace: str | None, selection: Selection) -> None:
        self.view = view
        self.identity = identity
        self.namespace = namespace
        self.selection = selection

    def heard(self, change: Change) -> str | None:
        """The type of event that this change is here, or None."""
        if self.namespace is not None and change.state.namespace != self.namespace:
            return None
        selection = self.selection
        if selection.empty:
            return change.type.value
        new = change.new
        before = change.old is not None and selection.matches(change.old)
        after = new is not None and selection.matches(new)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None


class Chunk(NamedTuple):
    """What is written to an audience at one place in the journal, b"" where it hears nothing of what happened there.

    following: the record after those in it. resource_version: the cursor of the last of them.
    """

    data: bytes
    following: int
    resource_version: int


class Frames:
    """The lines of recent changes, by form, and the chunks of the present round."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[Change, str, object, object, int], bytes] = OrderedDict()
        self._size = 0
        self.encoded = 0  # how many lines were really encoded
        self._audiences: WeakValueDictionary[object, Audience] = WeakValueDictionary()
        self._chunks: dict[tuple[Audience, int], Chunk | None] = {}
        self._chunks_size = 0

    def line(self, type_: str, change: Change, view: View, identity: object, now: float, *, columns: bool) -> bytes:
        """The event of ``change`` that a reader hears as ``type_``. identity: equal for equal views.

        A change that leaves a selection is DELETED with the object as it was, under the change's RV.
        """
        if columns:  # only each Table stream's first event: not worth its room
            return view.event(type_, _told(type_, change), now, columns=True)
        # Ages are of the second in which they are told, also to one who reads of old changes.
        second = int(now) if view.printer is not None and view.printer.ages else 0
        key = (change, type_, identity, view.printer, second)
        line = self._lines.get(key)
        if line is None:
            line = view.event(type_, _told(type_, change), now, columns=False)
            self.encoded += 1
            self._lines[key] = line
            self._size += len(line)
            while self._size > _KEPT_BYTES and len(self._lines) > 1:
                self._size -= len(self._lines.popitem(last=False)[1])
        return line

    def audience(
        self, journal: Journal, view: View, identity: object, namespace: str | None, selection: Selection
    ) -> Audience:
        """The audience of a watch, shared with those that asked for the same. identity: equal for equal views."""
        key = journal, identity, view.printer, namespace, selection
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(view, identity, namespace, selection)
        return audience

    def chunk(self, audience: Audience, position: Position, wall: Callable[[], float]) -> Chunk | None:
        """What comes next at ``position``, at most about CHUNK_BYTES of it; None where it is not plain.

        That is: the outcome of a gap, the journal's end, records that are kept no more. wall: seconds since 1970.
        """
        key = audience, position.next
        try:
            return self._chunks[key]
        except KeyError:
            pass
        chunk = self._make(audience, position, wall())
        if self._chunks_size > CHUNKS_BYTES:
            self.forget()
        self._chunks[key] = chunk
        self._chunks_size += ENTRY_BYTES + (len(chunk.data) if chunk is not None else 0)
        return chunk

    def forget(self) -> None:
        """Keep no chunk: the round is over."""
        self._chunks.clear()
        self._chunks_size = 0

    def _make(self, audience: Audience, position: Position, now: float) -> Chunk | None:
        if position.journal.ended is not None:
            return None
        lines: list[bytes] = []
        size = taken = resource_version = 0
        for change in position.peek(CHUNK_CHANGES):
            if change.gap is not None:
                return None
            taken += 1
            resource_version = change.resource_version
            type_ = audience.heard(change)
            if type_ is None:
                continue
            line = self.line(type_, change, audience.view, audience.identity, now, columns=False)
            lines.append(line)
            size += len(line)
            if size >= CHUNK_BYTES:
                break
        if not taken:
            return None
        return Chunk(framed(lines) if lines else b"", position.next + taken, resource_version)


def _told(type_: str, change: Change) -> Object:
    if type_ == "DELETED" and change.new is not None and change.old is not None:
        return with_resource_version(change.old, change.object.resource_version)
    return change.object
