"""Finished responses, kept as bytes under what was asked and the version of the stores they were made from.

An entry is never deleted by an event: it is found to be of another version when it is next asked for. The
whole is bounded by bytes, least recently used first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from math import inf

from kubemirror.serve.listing import WHOLE_BYTES, Listing
from kubemirror.state.store import Reader

# Room for the unfiltered /versions of 100,000 Deployments (12 MB) and many small answers beside it.
BUDGET_BYTES = 64 * 1024 * 1024
# Forms that print ages may be this old; ages are told in whole seconds.
AGES_SECONDS = 1.0
# A response's own cost beside its body: key, headers, the objects around them.
_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Validity:
    """When a finished response may be given again.

    current: whether the stores it was made from still stand where they stood; asked before each use, or after
        each move of ``readers`` or of the catalog, whichever its keeper can tell.
    freshness: the headers that tell how fresh the content is, made anew at least once a second.
    until: the event loop's second until which it holds at most: the access decision's, or where ages are told.
    """

    current: Callable[[], bool]
    freshness: Callable[[], list[tuple[bytes, bytes]]]
    until: float = inf
    readers: tuple[Reader, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A finished response: equal content, equal ETag, on every replica.

    route: template of the route it answers, for metrics.
    headers: without those of freshness, which are told anew each time.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | Listing
    etag: bytes
    route: str
    validity: Validity

    @property
    def size(self) -> int:
        return _OVERHEAD_BYTES + (self.body.size if isinstance(self.body, Listing) else len(self.body))


class Answers:
    """The finished responses of one process."""

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self.budget = budget
        self.size = 0
        self.hits = 0
        self.misses = 0
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, asked: Hashable, now: float) -> Answer | None:
        """The finished response to ``asked``, if its stores have not moved since. now: the event loop's second."""
        answer = self._answers.get(asked)
        if answer is None:
            self.misses += 1
            return None
        if now >= answer.validity.until or not answer.validity.current():
            self._drop(asked)
            self.misses += 1
            return None
        self.hits += 1
        self._answers.move_to_end(asked)
        return answer

    def put(self, asked: Hashable, answer: Answer) -> None:
        """Keep ``answer``; not one larger than a quarter of the budget, nor a large one that is not in pieces."""
        self._drop(asked)
        if answer.size > self.budget // 4 or (isinstance(answer.body, bytes) and len(answer.body) > WHOLE_BYTES):
            return
        self._answers[asked] = answer
        self.size += answer.size
        while self.size > self.budget:
            self._drop(next(iter(self._answers)))

    def _drop(self, asked: Hashable) -> None:
        answer = self._answers.pop(asked, None)
        if answer is not None:
            self.size -= answer.size


def etag_of(*parts: bytes | str | int) -> bytes:
    """A weak ETag over ``parts``: the finished bytes, or what decides them."""
    digest = blake2b(digest_size=12)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return b'W/"%s"' % digest.hexdigest().encode()


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.2, by weak comparison."""
    if if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix(b"W/")
    return any(tag.strip().removeprefix(b"W/") == wanted for tag in if_none_match.split(b","))


def etag_of_body(body: bytes | Listing, media_type: str) -> bytes:
    """A weak ETag over a body, whole or in pieces, and what it is."""
    if isinstance(body, bytes):
        return etag_of(body, media_type)
    digest = blake2b(digest_size=12)
    for piece in body.chunks():
        digest.update(piece)
    return etag_of(body.size, digest.digest(), media_type)
