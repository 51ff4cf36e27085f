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

# Room for the unfiltered /versions of 100,000 Deployments (12 MB) and many small answers beside it.
BUDGET_BYTES = 64 * 1024 * 1024
# A response's own cost beside its body: key, headers, the objects around them.
_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A finished response: equal content, equal ETag, on every replica.

    route: template of the route it answers, for metrics.
    current: whether the stores it was made from still stand where they stood, and the access decision
        holds; asked before each use. headers: without those of freshness, which are told anew each time.
    freshness: headers that tell how fresh the content is, made anew for each use.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    etag: bytes
    route: str
    current: Callable[[], bool]
    freshness: Callable[[], list[tuple[bytes, bytes]]]

    @property
    def size(self) -> int:
        return len(self.body) + _OVERHEAD_BYTES


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

    def get(self, asked: Hashable) -> Answer | None:
        """The finished response to ``asked``, if its stores have not moved since."""
        answer = self._answers.get(asked)
        if answer is None:
            self.misses += 1
            return None
        if not answer.current():
            self._drop(asked)
            self.misses += 1
            return None
        self.hits += 1
        self._answers.move_to_end(asked)
        return answer

    def put(self, asked: Hashable, answer: Answer) -> None:
        """Keep ``answer``; one larger than a quarter of the budget is not kept."""
        self._drop(asked)
        if answer.size > self.budget // 4:
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


def before(until: float, clock: Callable[[], float]) -> Callable[[], bool]:
    """Whether an access decision still holds."""
    return (lambda: True) if until == inf else (lambda: clock() < until)
