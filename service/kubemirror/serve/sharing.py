"""What many subscriptions of /watch hear alike, encoded once and written to all of them in one round.

A change that concerns thousands of readers is one message for all that asked for the same under the same id: making it
costs once, and waking each one's task and sending through ASGI would cost several times what writing the finished bytes
to a transport costs. So a subscription at rest is told by the round (kubernetes/round.py) from the shared chunk of its
*audience*. Only what is plain is told so: no snapshot, no outcome of a relist, no journal's end; all else is for the
subscription's own task, which goes on from the same position, so that neither leaves out, repeats or reorders what
the other has told.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from kubemirror.serve.frame import Frame
from kubemirror.serve.kubernetes.frames import CHUNK_BYTES, CHUNK_CHANGES, CHUNKS_BYTES, ENTRY_BYTES
from kubemirror.serve.kubernetes.round import Round
from kubemirror.serve.kubernetes.streams import Outlet
from kubemirror.state.journal import Change, Journal, Position


class Wire(NamedTuple):
    """Where a subscription's frames may be written past ASGI, and how. kind: equal for equal framings."""

    outlet: Outlet
    kind: str
    encode: Callable[[Sequence[Frame]], bytes]


class Audience:
    """Subscriptions that hear the same of each change of one journal. See ``Sharing.audience``."""

    __slots__ = ("__weakref__", "encode", "frame", "journal")

    def __init__(
        self,
        journal: Journal,
        frame: Callable[[Change], Frame | None],
        encode: Callable[[Sequence[Frame]], bytes],
    ) -> None:
        self.journal = journal
        self.frame = frame
        self.encode = encode


class Chunk(NamedTuple):
    """What is written to an audience at one place in the journal, b"" where it hears nothing of what happened there.

    following: the record after those in it. resource_version: the cursor of the last of them. types: of its events.
    """

    data: bytes
    following: int
    resource_version: int
    types: tuple[str, ...]


class Sharing:
    """The chunks of the present round of one process."""

    def __init__(self) -> None:
        self.round = Round(done=self.forget)
        self.made = 0  # chunks that were really made
        self._audiences: WeakValueDictionary[Hashable, Audience] = WeakValueDictionary()
        self._chunks: dict[tuple[Audience, int], Chunk | None] = {}
        self._size = 0

    def audience(self, key: Hashable, make: Callable[[], Audience]) -> Audience:
        """The audience of that key, shared by all who ask while one of them holds it."""
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = make()
        return audience

    def chunk(self, audience: Audience, position: Position) -> Chunk | None:
        """What comes next at ``position``, at most about CHUNK_BYTES of it; None where it is not plain."""
        key = audience, position.next
        try:
            return self._chunks[key]
        except KeyError:
            pass
        chunk = self._make(audience, position)
        if self._size > CHUNKS_BYTES:
            self.forget()
        self._chunks[key] = chunk
        self._size += ENTRY_BYTES + (len(chunk.data) if chunk is not None else 0)
        return chunk

    def forget(self) -> None:
        """Keep no chunk: the round is over."""
        self._chunks.clear()
        self._size = 0

    def _make(self, audience: Audience, position: Position) -> Chunk | None:
        if position.journal.ended is not None:
            return None
        frames: list[Frame] = []
        size = taken = resource_version = 0
        for change in position.peek(CHUNK_CHANGES):
            if change.gap is not None:
                return None
            taken += 1
            resource_version = change.resource_version
            frame = audience.frame(change)
            if frame is not None:
                frames.append(frame)
                size += len(frame.data)
                if size >= CHUNK_BYTES:
                    break
        if not taken:
            return None
        self.made += 1
        types = tuple(kind for frame in frames for kind in frame.types)
        data = audience.encode(frames) if frames else b""
        return Chunk(data, position.next + taken, resource_version, types)
