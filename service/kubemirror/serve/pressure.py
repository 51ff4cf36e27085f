"""Memory pressure: above 80 % of the limit new streams are refused and history is shortened.

The limit is the control group's, or RLIMIT_AS where one is set. What is mirrored is never given up: a
mirror that lost objects would lie.
"""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import Callable
from pathlib import Path

import structlog

from kubemirror.serve.context import Context

CHECK_SECONDS = 2.0
# Above it there is little between us and the OOM killer; below the lower one streams are taken again.
HIGH, LOW = 0.80, 0.70
# History that remains under pressure: enough to resume after a reconnect.
LEAST_JOURNAL_BYTES = 4 * 1024 * 1024

_CGROUP = Path("/sys/fs/cgroup")

log = structlog.get_logger()


def memory_limit(cgroup: Path = _CGROUP) -> int | None:
    """Bytes this process may use; None where nothing limits it."""
    limits: list[int] = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            limits.append(int(text))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits, default=None)


def memory_used() -> int:
    """Bytes counted against the limit: the address space under RLIMIT_AS, else what is resident."""
    pages = Path("/proc/self/statm").read_text().split()
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return int(pages[0 if soft != resource.RLIM_INFINITY else 1]) * resource.getpagesize()


class Pressure:
    """Watches memory and tells ``context.lifecycle``."""

    def __init__(
        self,
        context: Context,
        *,
        limit: Callable[[], int | None] = memory_limit,
        used: Callable[[], int] = memory_used,
    ) -> None:
        """limit, used: bytes, asked at each look: limits of a running process may be changed."""
        self._context = context
        self._limit = limit
        self._used = used

    async def run(self) -> None:
        """Look every two seconds, for ever."""
        while True:
            self.look()
            await asyncio.sleep(CHECK_SECONDS)

    def look(self) -> None:
        """Compare, and enter or leave the state of pressure."""
        lifecycle = self._context.lifecycle
        limit = self._limit()
        share = self._used() / limit if limit is not None else 0.0
        if share > HIGH:
            if not lifecycle.pressed:
                log.warning("memory.pressure", share=round(share, 2), limit_bytes=limit)
                lifecycle.pressed = True
                gc.collect()
            self._shorten_history()
        elif share < LOW and lifecycle.pressed:
            log.info("memory.relieved", share=round(share, 2))
            lifecycle.pressed = False

    def _shorten_history(self) -> None:
        now = self._context.clock()
        for entry in self._context.catalog:
            for store in entry.stores.values():
                store.journal.shorten(LEAST_JOURNAL_BYTES, now)
