"""What is counted about requests: by route template and code, never by what was asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# From a finished response (well under a millisecond) to a read that waited for a resourceVersion (3 s).
SHORT_SECONDS = 0.0005
BUCKETS = (SHORT_SECONDS, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Tally:
    """Requests of one route, method and code that the fast lane answered since they were last added up.

    seconds: of all of them, each below SHORT_SECONDS; a longer one is told to ``longer``.
    """

    longer: Callable[[float], None]
    count: int = 0
    seconds: float = 0.0


class Traffic:
    """Counters of one process since it started. Seconds are from request line to last byte handed over."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()  # (route, method, code)
        self._buckets: dict[str, list[int]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._fast = 0
        self.streams: Counter[tuple[str, str]] = Counter()  # opened, by (route, framing)
        self.open_streams: Counter[tuple[str, str]] = Counter()
        self.stream_ends: Counter[str] = Counter()  # by reason: a closed set of names
        self.stream_events: Counter[str] = Counter()  # frames sent, by event type

    def answered(self, route: str, method: str, code: int, seconds: float | None) -> None:
        """Count a request. seconds: None for a stream, whose length says nothing."""
        self._requests[route, method, code] += 1
        if seconds is None:
            return
        self._buckets_of(route)[bisect_left(BUCKETS, seconds)] += 1
        self._seconds[route] += seconds

    def tally(self, route: str, method: str, code: int) -> Tally:
        """Where the fast lane counts: adding to it costs less than ``answered``."""
        tally = self._tallies.get((route, method, code))
        if tally is None:

            def longer(seconds: float) -> None:
                self._fast += 1
                self.answered(route, method, code, seconds)

            tally = self._tallies[route, method, code] = Tally(longer)
        return tally

    @property
    def requests(self) -> Counter[tuple[str, str, int]]:
        """Requests by (route, method, code), in both lanes."""
        self._add_up()
        return self._requests

    @property
    def buckets(self) -> dict[str, list[int]]:
        """By route, how many requests took up to each of BUCKETS seconds (and longer), not cumulated."""
        self._add_up()
        return self._buckets

    @property
    def seconds(self) -> defaultdict[str, float]:
        """By route, the seconds of all requests."""
        self._add_up()
        return self._seconds

    @property
    def fast(self) -> int:
        """Requests that the fast lane answered."""
        self._add_up()
        return self._fast

    def _add_up(self) -> None:
        for (route, method, code), tally in self._tallies.items():
            if tally.count:
                self._requests[route, method, code] += tally.count
                self._buckets_of(route)[0] += tally.count
                self._seconds[route] += tally.seconds
                self._fast += tally.count
                tally.count, tally.seconds = 0, 0.0

    def _buckets_of(self, route: str) -> list[int]:
        buckets = self._buckets.get(route)
        if buckets is None:
            buckets = self._buckets[route] = [0] * (len(BUCKETS) + 1)
        return buckets

    def told(self, types: Iterable[str]) -> None:
        """Count events handed to a stream."""
        self.stream_events.update(types)
