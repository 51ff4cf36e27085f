"""A connection that is closed leaves no socket open, whatever the API server does meanwhile."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from kubemirror.kube import connection as module
from kubemirror.kube.connection import keepalive_socket
from tests.connect.conftest import Connect
from tests.connect.stub import server_tls


@contextmanager
def frozen(tls: ssl.SSLContext | None) -> Iterator[tuple[int, threading.Event]]:
    """An API server that takes one request and is then stopped: it answers nothing, TLS's goodbye included."""
    taken, ended = threading.Event(), threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted = listening.accept()[0]
        with accepted if tls is None else tls.wrap_socket(accepted, server_side=True) as reading:
            reading.recv(4096)
            taken.set()
            ended.wait(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1], taken
    finally:
        ended.set()
        thread.join(10)
        listening.close()


@pytest.mark.parametrize("protected", [True, False])
async def test_a_request_that_was_given_up_holds_no_socket(
    connect: Connect, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch, *, protected: bool
) -> None:
    made: list[socket.socket] = []

    def remember(address: Any) -> socket.socket:
        made.append(keepalive_socket(address))
        return made[-1]

    monkeypatch.setattr(module, "keepalive_socket", remember)
    with frozen(server_tls(ca.issue_cert("127.0.0.1")) if protected else None) as (port, taken):
        cluster = {"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()} if protected else {}
        connection = await connect(f"http{'s' * protected}://127.0.0.1:{port}", cluster=cluster)
        asking = asyncio.create_task(connection.request("GET", "/version", seconds=10))
        assert await asyncio.to_thread(taken.wait, 10)
        asking.cancel()
        await asyncio.wait([asking])

        await connection.close()

        assert asking.cancelled()
        assert [each.fileno() for each in made] == [-1]
