"""Answers of the server's protocol itself, for connections and requests that no handler shall see.

Whole responses as bytes: what is refused here is refused because there are too many, or too much, of it.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus

from kubemirror.serve.status import status_body

# Whoever is refused closes, or tries again then.
RETRY_SECONDS = 5


@lru_cache(maxsize=64)
def refusal(code: int, reason: str, message: str, *, later: bool = False) -> bytes:
    """A Status, after which the connection is closed. later: with Retry-After."""
    details = {"retryAfterSeconds": RETRY_SECONDS} if later else None
    body = status_body(code, reason, message, details) + b"\n"
    head = [
        f"HTTP/1.1 {code} {HTTPStatus(code).phrase}",
        "content-type: application/json",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        *([f"retry-after: {RETRY_SECONDS}"] if later else []),
        "connection: close",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def too_many() -> bytes:
    """Of connections, in total."""
    return refusal(503, "ServiceUnavailable", "too many connections: retry later", later=True)


def too_many_of_one() -> bytes:
    """Of connections from one address."""
    message = "your address has as many connections open as --max-connections-per-client allows: retry later"
    return refusal(429, "TooManyRequests", message, later=True)


def long_head(limit: int) -> bytes:
    message = f"the request's header fields are beyond {limit} bytes"
    return refusal(431, "RequestHeaderFieldsTooLarge", message)


def long_target(limit: int) -> bytes:
    return refusal(414, "RequestURITooLong", f"the request's target is beyond {limit} bytes: use fewer parameters")


def odd_target() -> bytes:
    """Of a target that is neither a path nor a URL of this server's own scheme."""
    return refusal(400, "BadRequest", "the request's target is neither a path nor an http or https URL without a user")


def large_body(limit: int) -> bytes:
    return refusal(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")
