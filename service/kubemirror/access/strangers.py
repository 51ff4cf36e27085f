"""Tokens that nobody has vouched for yet, by the address that they come from.

Anyone can make up tokens, and each is a question to the API server. So one address has some of them asked about at a
time, and when too many did not hold, no others for a while. A token that held lately is no stranger: whoever shares an
address with a guesser goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

from kubemirror.access.allowance import Allowance
from kubemirror.errors import TooManyReviewsError, UpstreamUnavailableError

T = TypeVar("T")

# Whoever waits longer for a turn than a review itself may take is told so.
WAIT_SECONDS = 10.0


class Strangers:
    """See the module."""

    def __init__(self, *, at_once: int, failures: int) -> None:
        """at_once: questions of one address. failures: tokens that may not hold at once; a quarter more each second."""
        self._at_once = at_once
        self._failures = Allowance(burst=failures, per_second=failures / 4)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def ask(self, address: str, ask: Callable[[], Awaitable[T]], *, held: Callable[[T], bool]) -> T:
        """The answer to ``ask``. held: whether it says that the token holds. Raises TooManyReviewsError."""
        turn = self._turns.get(address)
        if turn is None:
            turn = self._turns[address] = asyncio.Semaphore(self._at_once)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn.acquire()
        except TimeoutError:
            raise UpstreamUnavailableError(f"a token was not asked about within {WAIT_SECONDS:g} s") from None
        try:
            if not self._failures.holds(address):
                raise TooManyReviewsError(
                    f"too many bearer tokens from {address or 'your address'} did not hold: retry with one that does;"
                    " behind a proxy name it in --trusted-proxies, so that its clients are told apart, or raise"
                    " --max-token-failures"
                )
            answer = await ask()
            if not held(answer):
                self._failures.take(address)
            return answer
        finally:
            turn.release()
