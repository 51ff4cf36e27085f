"""A peer that is gone without a word is noticed by the kernel within the promised 90 seconds (F15)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kubemirror.kube import connection
from kubemirror.kube.connection import keepalive_socket
from tests.connect.conftest import Connect
from tests.connect.stub import CHUNKED, Request, Stub


def test_sockets_are_made_to_notice() -> None:
    with keepalive_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_the_numbers_keep_the_promise() -> None:
    silent = connection.KEEPALIVE_IDLE_SECONDS + connection.KEEPALIVE_PROBES * connection.KEEPALIVE_INTERVAL_SECONDS

    assert silent <= 90
    assert connection.USER_TIMEOUT_MILLISECONDS <= 90_000


async def test_a_watch_runs_on_such_a_socket(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    async def hold(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)

    loop = asyncio.get_running_loop()
    original = loop.sock_connect

    async def remember(sock: socket.socket, address: object) -> None:
        made.append(sock)
        await original(sock, address)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "sock_connect", remember)
    async with Stub(hold) as stub:
        opened = await connect(stub.url)
        watch = await opened.request("GET", "/watch", query=[("watch", "1")], seconds=5)
        assert [sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in made] == [1]
        assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) for sock in made] == [60_000]
        await watch.body.close()
