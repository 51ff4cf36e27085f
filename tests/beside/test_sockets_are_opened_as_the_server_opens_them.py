"""The WebSocket handshake of a watch: which subprotocol is chosen, and what is refused with which code."""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from kubemirror.demo.users import ADMIN_TOKEN
from tests.beside.comparing import normal, read
from tests.beside.corpus import DEPLOYMENTS, WIDGETS, A
from tests.beside.pair import Pair

BEARER = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(ADMIN_TOKEN.encode()).decode().rstrip("=")
BINARY = "base64.binary.k8s.io"
WATCH = f"{DEPLOYMENTS}?watch=1&resourceVersion=0"


async def opened(url: str, target: str, offered: list[str], certificate: str = "") -> tuple[Any, ...]:
    """The code, or the chosen subprotocol and the first frame."""
    options: dict[str, Any] = {"origin": url, "proxy": None, "max_size": None}
    if certificate:
        options["ssl"] = ssl.create_default_context(cafile=certificate)
    if not any(name.startswith("base64url.bearer") for name in offered):
        options["additional_headers"] = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    try:
        async with connect(url.replace("http", "ws", 1) + target, subprotocols=offered or None, **options) as socket:
            frame = await asyncio.wait_for(socket.recv(), 10)
            assert isinstance(frame, str)
            event = read(frame.encode())
            return socket.subprotocol, event.put("object", normal(event.get("object")))
    except InvalidStatus as refused:
        return (refused.response.status_code,)


@pytest.mark.parametrize(
    ("target", "offered"),
    [
        (WATCH, []),
        (WATCH, [BEARER, BINARY]),
        (WATCH, [BINARY, BEARER]),
        (WATCH, [BINARY]),
        (WATCH, [BEARER]),
        (WATCH, [BEARER, BEARER, BINARY]),
        (WATCH, ["base64url.bearer.authorization.k8s.io.!!", BINARY]),
        (f"{WIDGETS}{A}/widgets?watch=1&resourceVersion=0", [BEARER, BINARY]),
        (f"{DEPLOYMENTS}?watch=1&resourceVersion=abc", []),
        (f"{DEPLOYMENTS}?watch=1&resourceVersion=1", []),
        (f"{DEPLOYMENTS}?watch=1&labelSelector=%2C%2C", []),
        (f"{DEPLOYMENTS}/nobody", []),
    ],
)
def test_a_handshake_ends_as_the_servers(pair: Pair, target: str, offered: list[str]) -> None:
    plane = pair.world.plane

    theirs = asyncio.run(opened(plane.url, target, offered, str(plane.certificate)))
    ours = asyncio.run(opened(pair.mirroring.url, target, offered))

    assert ours == theirs
