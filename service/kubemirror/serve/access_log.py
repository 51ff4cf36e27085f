"""A line for each answered request, in both lanes, where --access-log asks for it.

Off by default: whoever stands in front writes one already, /metrics counts all of them, and at the fast lane's rate
lines cost more than answers. Lines go through the log's bounded queue: a blocked pipe costs lines, never requests.
"""

from __future__ import annotations

import structlog

from kubemirror.serve.paths import scrubbed

log = structlog.get_logger("kubemirror.access")


def told(peer: tuple[str, int] | None, method: str, target: str, status: int, seconds: float, *, lane: str) -> None:
    """One request. seconds: to its last byte, of a stream to its end. lane: fast, application or websocket."""
    log.info(
        "request",
        peer=peer[0] if peer else "",
        method=method,
        target=scrubbed(target),
        status=status,
        seconds=round(seconds, 6),
        lane=lane,
    )
