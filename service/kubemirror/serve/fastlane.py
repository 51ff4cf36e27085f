"""Finished responses kept as bytes, and given again before any framework runs (protocol.py is who gives them).

A response is kept under its request line (method and target) and its variant (variant.py: everything else that
a handler may read). It came out of the application once, with every check made; it is given again while what it
was made from stands still. Nothing is deleted by an event: each move of a store or of the catalog makes every
entry prove itself anew at its next use, and so does each second, with which Date, Age and what else tells a time
are rendered again. The whole is bounded by bytes; what was not used goes first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from weakref import WeakSet, WeakValueDictionary

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from kubemirror.serve.answers import Validity
from kubemirror.serve.context import Context
from kubemirror.serve.listing import WHOLE_BYTES
from kubemirror.serve.traffic import Tally, Traffic
from kubemirror.serve.variant import Header, variant_of
from kubemirror.state.store import Reader

# Half of what finished answers may take beside: bodies are shared with those where both hold them.
BUDGET_BYTES = 32 * 1024 * 1024
# Heads (all of a request but method and target) whose variant is known without parsing. Clients send the same
# head with each request; of those who do not, each one would push a useful one out.
HEADS = 1024
# Larger heads are parsed each time: 1,024 of these are 4 MB.
HEAD_BYTES = 4096
# Up to here head and body are one write of joined bytes; above, copying costs more than a second buffer.
JOINED_BYTES = 4096
# An entry's own cost beside its bytes: objects, keys, closures.
_OVERHEAD_BYTES = 2048


class Variant:
    """Requests that differ in nothing but method and target, and what they were answered, by request line."""

    __slots__ = ("__weakref__", "entries")

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}


class Entry:
    """One finished response."""

    __slots__ = (
        "after", "before", "body", "defaults", "head", "line", "moves", "size", "status", "tally", "until", "used",
        "validity", "variant",
    )  # fmt: skip

    def __init__(
        self,
        line: bytes,
        variant: Variant,
        validity: Validity,
        status: int,
        headers: list[Header],
        body: bytes,
        tally: Tally,
    ) -> None:
        self.line = line
        self.variant = variant
        self.validity = validity
        self.until = validity.until
        self.status = status
        told = {name for name, _ in validity.freshness()}
        place = next((index for index, header in enumerate(headers) if header[0] in told), len(headers))
        self.before = _lines(headers[:place])
        self.after = _lines(header for header in headers[place:] if header[0] not in told)
        self.body = body
        self.tally = tally
        self.used = False
        self.size = _OVERHEAD_BYTES + len(line) + len(self.before) + len(self.after) + len(body)
        self.size += len(body) if len(body) <= JOINED_BYTES else 0
        # What ``head`` was rendered from; it holds the body too, up to JOINED_BYTES.
        self.head = b""
        self.moves = -1
        self.defaults: list[Header] | None = None


class Lane:
    """The finished responses of one process. moves: counts what may have changed any of them."""

    def __init__(self, context: Context, traffic: Traffic, budget: int = BUDGET_BYTES) -> None:
        self.settings = context.settings
        self.budget = budget
        self.size = 0
        self.moves = 0
        self._traffic = traffic
        self._lifecycle = context.lifecycle
        self._entries: dict[Entry, None] = {}  # in the order in which they are looked at for room
        self._variants: WeakValueDictionary[Hashable, Variant] = WeakValueDictionary()
        self._heads: dict[Hashable, dict[bytes, Variant]] = {}
        self._followed: WeakSet[Reader] = WeakSet()
        context.catalog.on_change(self._moved)

    def __len__(self) -> int:
        return len(self._entries)

    def heads(self, connection: Hashable) -> dict[bytes, Variant]:
        """The known heads of connections of one kind."""
        return self._heads.setdefault(connection, {})

    def variant(self, connection: Hashable, headers: Iterable[Header]) -> Variant | None:
        """The variant of a parsed head; None for one that only the application may answer."""
        facts = variant_of(connection, headers)
        if facts is None:
            return None
        variant = self._variants.get(facts)
        if variant is None:
            variant = self._variants[facts] = Variant()
        return variant

    @staticmethod
    def learn(heads: dict[bytes, Variant], head: bytes, fields: int, variant: Variant) -> None:
        """Know ``head`` from now on. fields: how many the parser found in it.

        Only where each line holds one field and ends as it should: a parser that ends a head elsewhere than
        the next one does must not be outrun.
        """
        lines = head.count(b"\r\n")
        if len(head) > HEAD_BYTES or lines != fields + 2 or head.count(b"\n") != lines or head.count(b"\r") != lines:
            return
        if not head.startswith(b" HTTP/1.1\r\n"):
            return
        while len(heads) >= HEADS:
            del heads[next(iter(heads))]
        heads[head] = variant

    def keep(
        self,
        line: bytes,
        variant: Variant,
        validity: Validity,
        *,
        status: int,
        headers: list[Header],
        body: bytes,
        route: str,
    ) -> None:
        """Keep what the application has just answered. line: method, a space, target."""
        if len(body) > WHOLE_BYTES or self._lifecycle.pressed:
            return
        method = line.partition(b" ")[0].decode()
        entry = Entry(line, variant, validity, status, headers, body, self._traffic.tally(route, method, status))
        if entry.size > self.budget // 4:
            return
        for reader in validity.readers:
            if reader not in self._followed:
                self._followed.add(reader)
                reader.on_progress(self._moved)
        before = variant.entries.get(line)
        if before is not None:
            self._drop(before)
        variant.entries[line] = entry
        self._entries[entry] = None
        self.size += entry.size
        self._make_room()

    def renew(self, entry: Entry, defaults: list[Header], now: float) -> bool:
        """Whether ``entry`` still holds; rendered for this second and state if so, dropped if not.

        defaults: the server's own headers. now: the event loop's second.
        """
        validity = entry.validity
        if now >= validity.until or not validity.current():
            self._drop(entry)
            return False
        told = _lines(validity.freshness())
        head = b"".join((STATUS_LINE[entry.status], _lines(defaults), entry.before, told, entry.after, b"\r\n"))
        entry.head = head + entry.body if len(entry.body) <= JOINED_BYTES else head
        entry.moves = self.moves
        entry.defaults = defaults
        return True

    def clear(self) -> None:
        """Give up everything kept."""
        for entry in list(self._entries):
            self._drop(entry)

    def _moved(self) -> None:
        self.moves += 1

    def _make_room(self) -> None:
        while self.size > self.budget:
            entry = next(iter(self._entries))
            if entry.used:  # once more: what is asked for stays
                entry.used = False
                del self._entries[entry]
                self._entries[entry] = None
            else:
                self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        if entry in self._entries:
            del self._entries[entry]
            self.size -= entry.size
            if entry.variant.entries.get(entry.line) is entry:
                del entry.variant.entries[entry.line]


def _lines(headers: Iterable[Header]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)
