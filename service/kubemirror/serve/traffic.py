"""What is counted about requests: by route template and code, never by what was asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

# From a finished response (well under a millisecond) to a read that waited for a resourceVersion (3 s).
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Traffic:
    """Counters of one process since it started. Seconds are from request line to last byte handed over."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()  # (route, method, code)
        self.buckets: dict[str, list[int]] = {}
        self.seconds: Counter[str] = Counter()
        self.sent_bytes = 0
        self.streams: Counter[tuple[str, str]] = Counter()  # opened, by (route, framing)
        self.open_streams: Counter[tuple[str, str]] = Counter()
        self.stream_ends: Counter[str] = Counter()  # by reason: a closed set of names
        self.stream_events: Counter[str] = Counter()  # frames sent, by event type

    def answered(self, route: str, method: str, code: int, seconds: float) -> None:
        """Count a request that is not a stream."""
        self.requests[route, method, code] += 1
        buckets = self.buckets.get(route)
        if buckets is None:
            buckets = self.buckets[route] = [0] * (len(BUCKETS) + 1)
        buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds[route] += seconds  # type: ignore[assignment]  # Counter's values need not be whole
