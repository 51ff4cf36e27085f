"""Header fields that have one value: where there are two, nobody knows which one the last reader has believed.

A proxy looks at the first Host and passes both on, a guard looks at the last, a handler at the first again: whoever can
send two is then somebody else, or somewhere else, for each of them. kube-apiserver takes the first of two credentials;
here both are refused. Of repeated X-Forwarded-* the last is taken, which the nearest proxy wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SINGLE = frozenset(
    {
        b"authorization",
        b"content-type",
        b"host",
        b"impersonate-uid",
        b"impersonate-user",
        b"kubemirror-proxy-secret",
        b"last-event-id",
        b"origin",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"upgrade",
        b"x-remote-uid",
        b"x-remote-user",
    }
)
# RFC 3986's, but for the comma, with which proxies join what was sent twice.
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=:%\[\]-]*")


def ambiguity(scope: Mapping[str, Any]) -> str:
    """What cannot be told of a request from its head, in words; "" where all can."""
    seen: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in SINGLE:
            if name in seen:
                return f"the {_shown(name)} field is sent twice: which one is meant cannot be told"
            seen[name] = value
    host = seen.get(b"host")
    if host is None:
        needed = scope.get("http_version", "1.1") != "1.0"
        return "the Host field is missing: HTTP/1.1 requires it" if needed else ""
    return "" if _HOST.fullmatch(host) else "the Host field is malformed"


def _shown(name: bytes) -> str:
    return name.decode().title()
