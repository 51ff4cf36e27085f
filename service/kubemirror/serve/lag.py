"""How late the event loop is, seen from inside (a beat) and from outside (a thread).

A stalled loop cannot say so itself: the thread does, with the stack that holds it up. Liveness fails only
when a stall lasts longer than 30 s: a shorter one passes by itself, and a restart would cost a relist.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

import structlog

BEAT_SECONDS = 0.25
# Long enough that a full garbage collection or one large list is not reported as a stall.
REPORT_SECONDS = 2.0
FATAL_SECONDS = 30.0
# Fine enough to see the 50 ms and 100 ms promises, wide enough for the 30 s one.
BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WINDOW_SECONDS = 60.0

log = structlog.get_logger()


class LoopLag:
    """The lag of one event loop, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_beat = clock()
        self._recent: deque[tuple[float, float]] = deque()
        self._thread_of_loop: int | None = None
        self._ended = threading.Event()
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        self.stalls = 0
        self.beating = False

    @property
    def current(self) -> float:
        """Seconds by which the beat is overdue now; 0 while no loop is watched."""
        return max(0.0, self._clock() - self._last_beat - BEAT_SECONDS) if self.beating else 0.0

    @property
    def alive(self) -> bool:
        return self.current <= FATAL_SECONDS

    @property
    def worst(self) -> float:
        """The greatest lag of the last minute."""
        return max((lag for _, lag in self._recent), default=0.0)

    def observe(self, lag: float) -> None:
        """Count one beat that came ``lag`` seconds late."""
        now = self._clock()
        self._last_beat = now
        self.sum += lag
        for index, bound in enumerate(BUCKETS):
            if lag <= bound:
                self.counts[index] += 1
                break
        else:
            self.counts[-1] += 1
        self._recent.append((now, lag))
        while self._recent[0][0] < now - _WINDOW_SECONDS:
            self._recent.popleft()

    async def run(self) -> None:
        """Beat for ever; watch the beat from a thread meanwhile."""
        self._thread_of_loop = threading.get_ident()
        self._last_beat = self._clock()
        self.beating = True
        thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)
        thread.start()
        try:
            while True:
                before = self._clock()
                await asyncio.sleep(BEAT_SECONDS)
                self.observe(max(0.0, self._clock() - before - BEAT_SECONDS))
        finally:
            self.beating = False
            self._ended.set()

    def _watch(self) -> None:
        reported = False
        while not self._ended.wait(0.5):
            lag = self.current
            if lag < REPORT_SECONDS:
                reported = False
            elif not reported:
                reported = True
                self.stalls += 1
                frame = sys._current_frames().get(self._thread_of_loop or 0)
                stack = traceback.format_stack(frame) if frame is not None else []
                log.warning("loop.stalled", seconds=round(lag, 1), at="".join(stack[-3:]))
