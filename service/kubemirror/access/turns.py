"""What open streams ask again: each question once a turn, for all streams that hang on its answer.

A stream asks when the answer that it goes by has run out; the first one to ask in a turn asks for all. The turns of
different questions lie apart by jitter. While the API server cannot be asked, streams go on by the last answer, but no
longer than ``outage_seconds`` after it; new requests are refused from the first moment, elsewhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubemirror.errors import UpstreamUnavailableError
from kubemirror.flight import Flights

T = TypeVar("T")

# Of a turn's length, both ways: 27 to 33 s. With the review's own limit of 10 s that is within the 45 s promised, and
# 50 questions are 1.7 reviews a second.
JITTER = 0.1
# After a review that could not be had, while streams still go on: client-go's waits begin at about a second.
RETRY_SECONDS = 5.0
# Timers may fire a moment early: what is due within this is due now.
CLOCK_SLACK_SECONDS = 0.001
# A question that no stream has asked for so many turns is forgotten.
FORGOTTEN_TURNS = 3


@dataclass(slots=True)
class Turn(Generic[T]):
    """An answer. until: the loop's second at which it is asked for again. confirmed: when it was really given."""

    answer: T
    until: float
    confirmed: float


class Turns(Generic[T]):
    """Questions of one kind."""

    def __init__(self, name: str, *, seconds: float, outage_seconds: float) -> None:
        self._seconds = seconds
        self._outage_seconds = outage_seconds
        self._turns: dict[Hashable, Turn[T]] = {}
        self._asking = Flights[Turn[T]](name, ended=_ended)
        self._swept = 0.0

    def __len__(self) -> int:
        return len(self._turns)

    async def ask(self, key: Hashable, ask: Callable[[], Awaitable[T]], held: T) -> Turn[T]:
        """This turn's answer. held: what the stream goes by, should there be no other while nobody can be asked.

        Raises UpstreamUnavailableError when that has lasted too long.
        """
        turn = self._turns.get(key)
        if turn is not None and asyncio.get_running_loop().time() + CLOCK_SLACK_SECONDS < turn.until:
            return turn
        return await self._asking.join(key, lambda: self._next(key, ask, held))

    async def _next(self, key: Hashable, ask: Callable[[], Awaitable[T]], held: T) -> Turn[T]:
        loop = asyncio.get_running_loop()
        before = self._turns.get(key)
        try:
            answer = await ask()
        except UpstreamUnavailableError as error:
            now = loop.time()
            if before is None:
                before = Turn(held, now, now)
            left = before.confirmed + self._outage_seconds - now
            if left <= 0:
                self._turns.pop(key, None)
                message = f"access could not be confirmed for {self._outage_seconds:.0f} s: {error}"
                raise UpstreamUnavailableError(message) from None
            wait = min(RETRY_SECONDS * random.uniform(0.5, 1.0), left)  # noqa: S311 - not all at once
            turn = Turn(before.answer, now + wait, before.confirmed)
        else:
            now = loop.time()
            turn = Turn(answer, now + self._seconds * random.uniform(1 - JITTER, 1 + JITTER), now)  # noqa: S311
        self._sweep(now)
        self._turns[key] = turn
        return turn

    def _sweep(self, now: float) -> None:
        if now < self._swept:
            return
        self._swept = now + self._seconds
        old = now - FORGOTTEN_TURNS * self._seconds
        for key in [key for key, turn in self._turns.items() if turn.until < old]:
            del self._turns[key]

    async def close(self) -> None:
        await self._asking.close()


def _ended() -> UpstreamUnavailableError:
    return UpstreamUnavailableError("access is not asked about any more: stopping")
