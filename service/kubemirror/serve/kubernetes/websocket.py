"""The handshake of a WebSocket watch: the bearer subprotocol, the Origin, and how it is refused.

A browser cannot set headers on a WebSocket, so the token may come as a subprotocol beside another one (apiserver
pkg/authentication/request/websocket/protocol.go); it is taken out before anything is echoed or logged. A page of
another origin is refused unless it brings such a token: cookies and loopback reach would be lent to it
otherwise.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import urlsplit

from kubemirror.errors import UnauthenticatedError
from kubemirror.serve.kubernetes.answer import NO_CACHE, Scope, Send
from kubemirror.serve.status import StatusError, forbidden

BEARER_PREFIX = "base64url.bearer.authorization.k8s.io."


def handshake(scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[str | None, Mapping[bytes, bytes]]:
    """The subprotocol to echo and the headers with the bearer token in place.

    Raises UnauthenticatedError for a token that is malformed, given twice or alone; StatusError for the Origin.
    """
    token = bearer_token(scope)
    headers = {name: value for name, value in headers.items() if name != b"sec-websocket-protocol"}
    if token is not None:
        headers[b"authorization"] = b"Bearer " + token
    elif not same_origin(headers):
        raise forbidden("this Origin may not open a WebSocket here")
    return subprotocol(scope), headers


def bearer_token(scope: Scope) -> bytes | None:
    """The token among the subprotocols. Raises UnauthenticatedError."""
    offered: list[str] = list(scope.get("subprotocols", ()))
    tokens = [name.removeprefix(BEARER_PREFIX) for name in offered if name.startswith(BEARER_PREFIX)]
    if not tokens:
        return None
    if len(tokens) > 1:
        raise UnauthenticatedError("multiple base64.bearer.authorization tokens specified")
    if len(offered) == 1:
        raise UnauthenticatedError("missing additional subprotocol")
    return _decoded(tokens[0])


def subprotocol(scope: Scope) -> str | None:
    """What is agreed on: the first that is no token; browsers end a connection that agrees on none of theirs."""
    return next((name for name in scope.get("subprotocols", ()) if not name.startswith(BEARER_PREFIX)), None)


def with_bearer_token(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers of an upgrade, with the token in its usual place."""
    token = bearer_token(scope)
    headers = [header for header in scope["headers"] if header[0] != b"sec-websocket-protocol"]
    return headers if token is None else [(b"authorization", b"Bearer " + token), *headers]


def same_origin(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the Origin, if there is one, names the host that was asked."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    return urlsplit(origin.decode("latin-1")).netloc.lower() == headers.get(b"host", b"").decode("latin-1").lower()


async def deny(scope: Scope, send: Send, failure: StatusError) -> None:
    """Refuse the upgrade with a Status where the server can, else by closing."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": failure.message[:100]})
        return
    body = failure.body + b"\n"
    headers = [
        NO_CACHE,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *failure.headers,
    ]
    await send({"type": "websocket.http.response.start", "status": failure.code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _decoded(token: str) -> bytes:
    try:
        if "=" in token:
            raise binascii.Error
        value = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        value.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise UnauthenticatedError("invalid base64.bearer.authorization token encoding") from None
    return value
