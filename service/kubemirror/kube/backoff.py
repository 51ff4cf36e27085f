"""How long to wait before asking an API server again that did not answer well.

client-go's reflector: 0.8 s doubling up to 30 s, each with up to as much again at random, so that a sick API
server hears at most 0.22 requests a second from one reflector and a thousand of them do not come in step.
The series starts over only after progress that lasted: an answer alone is none, because a server that
accepts and then fails would be asked at the first step's pace for ever.
"""

from __future__ import annotations

from random import Random

FIRST_SECONDS = 0.8
CAP_SECONDS = 30.0
FACTOR = 2.0
JITTER = 1.0  # up to this share of a step is added to it
HEALTHY_SECONDS = 120.0  # progress must have lasted this long before the series starts over


class Backoff:
    """One reflector's own series; sharing one lets a healthy stream reset a sick one's."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._step = FIRST_SECONDS
        self._healthy_since: float | None = None

    def progress(self, now: float) -> None:
        """Upstream told something that moved us on, at ``now`` (monotonic seconds)."""
        if self._healthy_since is None:
            self._healthy_since = now

    def reset(self) -> None:
        """What failed is known to be mended: the next failure is another matter."""
        self._step = FIRST_SECONDS

    def next(self, now: float) -> float:
        """Something failed at ``now``: the seconds to wait."""
        if self._healthy_since is not None and now - self._healthy_since >= HEALTHY_SECONDS:
            self._step = FIRST_SECONDS
        self._healthy_since = None
        step = self._step
        self._step = min(step * FACTOR, CAP_SECONDS)
        return step * (1.0 + JITTER * self._random.random())
