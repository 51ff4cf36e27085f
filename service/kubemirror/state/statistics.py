"""What a reflector counts: plain numbers in memory, read by metrics and status at scrape time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ReflectorStatistics:
    """Counters since the process started, and where the backoff stands. Seconds are the store clock's.

    lists, watches: attempts begun. list_seconds, list_items: sums over completed lists (WatchList too).
    watch_seconds, watch_items: sums over ended watches; short_watches: under 1 s without one event.
    events: by type as upstream sent it (ADDED, MODIFIED, DELETED, BOOKMARK, ERROR, and "unknown").
    relists: by reason (start, expired, error, too_large, audit, rollback, refresh, forbidden, columns, ...); each
        once, however many attempts it took.
    errors: by class (refused, timeout, http_503, bad_line, expired, ...): a closed set of names.
    out_of_order: events at or below the RV reached, ignored.
    audits, audit_mismatches: digest audits done, and those that found a loss.
    upstream_bytes: bytes of bodies read.
    """

    lists: int = 0
    list_seconds: float = 0.0
    list_items: int = 0
    watches: int = 0
    short_watches: int = 0
    watch_seconds: float = 0.0
    watch_items: int = 0
    events: Counter[str] = field(default_factory=Counter)
    relists: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    out_of_order: int = 0
    audits: int = 0
    audit_mismatches: int = 0
    upstream_bytes: int = 0
    backoff_seconds: float = 0.0
    last_error: str = ""
    last_error_at: float = 0.0
