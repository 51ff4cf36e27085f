"""What is counted about requests: by route template and code, never by what was asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# From a finished response (well under a millisecond) to a read that waited for a resourceVersion (3 s).
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Traffic:
    """Counters of one process since it started. Seconds are from request line to last byte handed over."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()  # (route, method, code)
        self.buckets: dict[str, list[int]] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.streams: Counter[tuple[str, str]] = Counter()  # opened, by (route, framing)
        self.open_streams: Counter[tuple[str, str]] = Counter()
        self.stream_ends: Counter[str] = Counter()  # by reason: a closed set of names
        self.stream_events: Counter[str] = Counter()  # frames sent, by event type

    def answered(self, route: str, method: str, code: int, seconds: float | None) -> None:
        """Count a request. seconds: None for a stream, whose length says nothing."""
        self.requests[route, method, code] += 1
        if seconds is None:
            return
        buckets = self.buckets.get(route)
        if buckets is None:
            buckets = self.buckets[route] = [0] * (len(BUCKETS) + 1)
        buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds[route] += seconds

    def told(self, types: Iterable[str]) -> None:
        """Count events handed to a stream."""
        self.stream_events.update(types)

    @contextmanager
    def streaming(self, route: str, framing: str) -> Iterator[None]:
        """Count a stream while it is open."""
        self.streams[route, framing] += 1
        self.open_streams[route, framing] += 1
        try:
            yield
        finally:
            self.open_streams[route, framing] -= 1
