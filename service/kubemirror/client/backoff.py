"""How long to wait before the next attempt: longer each time, never the same for two readers, and as was asked."""

from __future__ import annotations

import random
from collections.abc import Callable

# A mirror that restarts is back within seconds; one that is away is asked twice a minute.
FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0


class Backoff:
    """Pauses between attempts. random: from 0 to 1, for tests."""

    def __init__(self, random: Callable[[], float] = random.random) -> None:
        self._random = random
        self._attempts = 0

    def succeeded(self) -> None:
        self._attempts = 0

    def next(self, asked: float | None = None) -> float:
        """Seconds to wait now. asked: what the other side said, which is the least."""
        pause: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**self._attempts) * (0.5 + self._random())
        self._attempts = min(self._attempts + 1, 10)
        if asked is None:
            return pause
        return max(pause, asked * (1 + self._random() / 2))
