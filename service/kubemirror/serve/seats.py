"""How many streams are open, in total and for each client address; whoever is too many is told when to come back.

A seat is taken before anything is opened, so that a burst cannot pass the limit while access is being asked.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from kubemirror.serve.context import Context
from kubemirror.serve.problems import try_later
from kubemirror.serve.traffic import Traffic


class Seat:
    """One open stream; ``leave`` it when it ends. A context manager."""

    def __init__(self, seats: Seats, client: str, kind: tuple[str, str]) -> None:
        self._seats = seats
        self._client = client
        self._kind = kind
        self._taken = True

    def leave(self) -> None:
        """Give it back; idempotent."""
        if self._taken:
            self._taken = False
            self._seats.give_back(self._client, self._kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


class Seats:
    """The streams of one process."""

    def __init__(self, context: Context, traffic: Traffic) -> None:
        self._context = context
        self._traffic = traffic
        self.by_client: Counter[str] = Counter()

    def take(self, client: str, route: str, framing: str) -> Seat:
        """A seat for one more stream; 429 or 503 with Retry-After where there is none.

        client: its address (see asked.py), "" for one that is not told apart from others.
        """
        settings, traffic = self._context.settings, self._traffic
        if traffic.open_streams.total() >= settings.max_streams:
            message = "as many streams are open as --max-streams allows: retry later"
            raise try_later(429, "TooManyRequests", message, seconds=5)
        if client and self.by_client[client] >= settings.max_streams_per_client:
            message = f"{client} has as many streams open as --max-streams-per-client allows: retry later"
            raise try_later(429, "TooManyRequests", message, seconds=5)
        if self._context.lifecycle.pressed:
            message = "memory is nearly used up: no new streams; retry later"
            raise try_later(503, "ServiceUnavailable", message, seconds=10)
        kind = route, framing
        traffic.streams[kind] += 1
        traffic.open_streams[kind] += 1
        if client:
            self.by_client[client] += 1
        return Seat(self, client, kind)

    def give_back(self, client: str, kind: tuple[str, str]) -> None:
        """What ``Seat.leave`` does."""
        self._traffic.open_streams[kind] -= 1
        if client:
            self.by_client[client] -= 1
            if not self.by_client[client]:
                del self.by_client[client]
