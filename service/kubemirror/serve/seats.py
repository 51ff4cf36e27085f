"""How many streams are open: in total, for each client address and each user; who is too many is told when to return.

Requests that are being answered are counted for each of them too: one that waits for something newer holds memory.
A seat is taken before anything is opened, so that a burst cannot pass the limit while access is being asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Self

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.problems import try_later
from kubemirror.serve.traffic import Traffic


class Seat:
    """One open stream; ``leave`` it when it ends. A context manager."""

    def __init__(self, seats: Seats, owners: tuple[str, ...], kind: tuple[str, str]) -> None:
        self._seats = seats
        self._owners = owners
        self._kind = kind
        self._taken = True

    def leave(self) -> None:
        """Give it back; idempotent."""
        if self._taken:
            self._taken = False
            self._seats.give_back(self._owners, self._kind)

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
        self.by_client: Counter[str] = Counter()  # addresses, and users as user:NAME
        self.answering: Counter[str] = Counter()  # requests, of the same

    def take(self, client: str, route: str, framing: str, caller: Caller = ANONYMOUS) -> Seat:
        """A seat for one more stream; 429 or 503 with Retry-After where there is none.

        client: its address (see asked.py), "" for one that is not told apart from others.
        """
        settings, traffic = self._context.settings, self._traffic
        if traffic.open_streams.total() >= settings.max_streams:
            message = "as many streams are open as --max-streams allows: retry later"
            raise try_later(429, "TooManyRequests", message, seconds=5)
        owners = _owners(client, caller)
        for owner in owners:
            user = owner.startswith(_USER)
            if self.by_client[owner] >= (settings.max_streams_per_caller if user else settings.max_streams_per_client):
                setting = "--max-streams-per-caller" if user else "--max-streams-per-client"
                message = f"{owner} has as many streams open as {setting} allows: retry later"
                raise try_later(429, "TooManyRequests", message, seconds=5)
        if self._context.lifecycle.pressed:
            message = "memory is nearly used up: no new streams; retry later"
            raise try_later(503, "ServiceUnavailable", message, seconds=10)
        kind = route, framing
        traffic.streams[kind] += 1
        traffic.open_streams[kind] += 1
        self.by_client.update(owners)
        return Seat(self, owners, kind)

    def give_back(self, owners: tuple[str, ...], kind: tuple[str, str]) -> None:
        """What ``Seat.leave`` does."""
        self._traffic.open_streams[kind] -= 1
        _subtract(self.by_client, owners)

    def turn(self, asked: Asked) -> AbstractContextManager[None]:
        """The right to have one more request answered; 429 with Retry-After where there is none."""
        owners = _owners(asked.client, asked.caller)
        for owner in owners:
            if self.answering[owner] >= self._context.settings.max_requests_per_client:
                message = f"{owner} has as many requests waiting as --max-requests-per-client allows: retry later"
                raise try_later(429, "TooManyRequests", message, seconds=1)
        return self._turn(owners) if owners else nullcontext()

    @contextmanager
    def _turn(self, owners: tuple[str, ...]) -> Iterator[None]:
        self.answering.update(owners)
        try:
            yield
        finally:
            _subtract(self.answering, owners)


_USER = "user:"


def _owners(client: str, caller: Caller) -> tuple[str, ...]:
    """Whose account a stream or request is on: its address', and its user's where there is one."""
    users = () if caller.user == ANONYMOUS.user else (f"{_USER}{caller.user}",)
    return (client, *users) if client else users


def _subtract(counts: Counter[str], owners: tuple[str, ...]) -> None:
    for owner in owners:
        counts[owner] -= 1
        if not counts[owner]:
            del counts[owner]
