"""A body that is a frame around items joined by commas: held as the items, joined on the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kubemirror.serve.compressed import Gzip, Run

# A body up to this is one bytes object; above, it is joined piece by piece while it is sent, so that it is
# never held whole, and a TLS or asyncio transport, which copies what it cannot write at once, copies a piece.
WHOLE_BYTES = 2 * 1024 * 1024
PIECE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Listing:
    """``size``: bytes of the whole, as far as it is known (``listing`` knows it exactly).

    items: made anew each time they are asked for, so that a body can be written twice. runs: they and their
    separators in compressed runs, where these are kept.
    """

    head: bytes
    items: Callable[[], Iterable[bytes]]
    tail: bytes
    size: int
    separator: bytes = b","
    runs: Callable[[], Iterator[Run]] | None = None

    def whole(self) -> bytes:
        return self.head + self.separator.join(self.items()) + self.tail

    def chunks(self) -> Iterator[bytes]:
        """The same bytes in pieces of about PIECE_BYTES, each item made only when its piece is."""
        pending, size = [self.head], len(self.head)
        separator = b""
        for item in self.items():
            pending += (separator, item)
            separator = self.separator
            size += len(item) + 1
            if size >= PIECE_BYTES:
                yield b"".join(pending)
                pending, size = [], 0
        pending.append(self.tail)
        yield b"".join(pending)

    def compressed(self, stream: Gzip, end: bytes) -> Iterator[bytes]:
        """The same bytes and ``end`` as ``stream``, in the pieces that are made one after the other."""
        yield stream.begin
        if self.runs is not None:
            yield stream.add(Run.of(self.head))
            yield from map(stream.add, self.runs())
            yield stream.add(Run.of(self.tail))
        else:
            yield from map(stream.add, map(Run.of, self.chunks()))
        yield stream.add(Run.of(end)) + stream.end()


def listing(head: bytes, items: list[bytes], tail: bytes, separator: bytes = b",") -> bytes | Listing:
    """The body of items that exist already: one bytes object, or above WHOLE_BYTES the items as they are."""
    size = len(head) + sum(map(len, items)) + len(separator) * max(0, len(items) - 1) + len(tail)
    made = Listing(head, lambda: items, tail, size, separator)
    return made.whole() if size <= WHOLE_BYTES else made
