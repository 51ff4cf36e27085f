"""Cross-origin reads of our own JSON API, /watch and static files (the Fetch standard's CORS).

Origins that --allow-origin names may read with their visitor's rights, as they may open WebSockets. Files of the
page itself tell nothing about a cluster, and whoever embeds the web component needs them: anybody may read those.
"""

from __future__ import annotations

from kubemirror.serve.asked import Asked
from kubemirror.serve.sending import Headers

STATIC = "/-/static/"
# What a page may send: no more than a read needs. What it may see beside the body.
_SENT = b"accept, authorization, if-none-match, last-event-id"
_SEEN = (
    b"age, cache-status, etag, kubemirror-omitted, kubemirror-resource-version, kubemirror-total, link, retry-after, "
    b"warning"
)
# Browsers ask again after this many seconds: a setting that changed is soon seen.
_MAX_AGE_SECONDS = 600
_METHODS = b"GET, HEAD"


def cors_headers(asked: Asked, allowed: tuple[str, ...]) -> Headers:
    """What an answer of ours says to a page of another origin."""
    if asked.path.startswith(STATIC):
        return [(b"access-control-allow-origin", b"*")]
    if not allowed:
        return []
    vary = (b"vary", b"origin")  # else a cache would hand one origin what was said to another
    origin = asked.headers.get("origin", "")
    if origin not in allowed:
        return [vary]
    return [
        vary,
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", _SEEN),
    ]


def preflight(asked: Asked, allowed: tuple[str, ...]) -> Headers | None:
    """The answer's headers where a browser asks whether a page may read; None where it asks nothing, or may not."""
    if asked.method != "OPTIONS" or "access-control-request-method" not in asked.headers:
        return None
    if asked.headers.get("origin", "") not in allowed and not asked.path.startswith(STATIC):
        return None
    return [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", b"%d" % _MAX_AGE_SECONDS),
    ]
