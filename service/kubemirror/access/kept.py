"""Answers about access that are kept for seconds: bounded, one question at a time for each key.

A key names everything that the answer depends on. A failure to ask is never kept: whoever asks next asks again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from kubemirror.errors import UpstreamUnavailableError
from kubemirror.flight import Flights

T = TypeVar("T")


class Kept(Generic[T]):
    """Answers of one kind. until: the event loop's second up to which an answer holds."""

    def __init__(self, name: str, most: int, until: Callable[[T], float]) -> None:
        self._most = most
        self._until = until
        self._answers: OrderedDict[Hashable, T] = OrderedDict()
        self._asking = Flights[T](name, ended=_ended)

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for if none is kept."""
        answer = self._answers.get(key)
        if answer is not None:
            if asyncio.get_running_loop().time() < self._until(answer):
                return answer
            del self._answers[key]
        return await self.anew(key, ask)

    async def anew(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question that is asked now, or by somebody else just now; kept for others."""

        async def asked() -> T:
            answer = await ask()
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
            return answer

        return await self._asking.join(key, asked)

    def forget(self) -> None:
        """Keep nothing of what was answered so far."""
        self._answers.clear()

    async def close(self) -> None:
        await self._asking.close()


def _ended() -> UpstreamUnavailableError:
    return UpstreamUnavailableError("access is not asked about any more: stopping")
