"""Requests that two servers take apart differently, so that what one has checked the other never sees."""

from __future__ import annotations

import pytest

from tests.attacks.wire import connected
from tests.serve.live import Live

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
HIDDEN = b"GET /versions HTTP/1.1\r\nHost: evil.example\r\n\r\n"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
        b"POST /-/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 60\r\n\r\n" + HIDDEN,
        b"POST /-/refresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        b"POST /-/refresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        b"POST /-/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: +0\r\n\r\n" + HIDDEN,
        b"POST /-/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x0\r\n\r\n" + HIDDEN,
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\rHost: evil.example\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"G\x01T /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_can_be_read_in_two_ways_ends_the_connection(live: Live, request_: bytes) -> None:
    async with connected(live) as wire:
        wire.write(request_)
        wire.writer.write_eof()
        said = await wire.rest()

    assert said.count(b"HTTP/1.1 ") <= 1 or b"evil.example" in said  # and if it was seen, it was judged
    assert b"registry.example" not in said
    assert b"HTTP/1.1 5" not in said


async def test_two_hosts_are_none(live: Live) -> None:
    async with connected(live) as wire:
        wire.write(b"GET /versions HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert (await wire.answer()).code in (400, 403)


async def test_the_fast_lane_and_the_parser_end_a_head_at_the_same_byte(live: Live) -> None:
    """What is answered from bytes alone, and what is parsed, must agree where the next request begins."""
    async with connected(live) as wire:
        known = b"GET /versions HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(3):
            wire.write(known)
            assert (await wire.answer()).code == 200
        wire.write(known + b"GET /versions HTTP/1.1\r\nHost: evil.example\r\n\r\n" + known)
        codes = [(await wire.answer()).code for _ in range(3)]

    assert codes == [200, 403, 200]


async def test_an_upgrade_behind_an_unfinished_answer_is_not_taken(live: Live) -> None:
    """Its frames would stand within the answer before it."""
    stream = b"GET /watch?resource=deployments HTTP/1.1\r\nHost: localhost\r\n\r\n"
    upgrade = (
        b"GET /watch?resource=deployments HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with connected(live) as wire:
        wire.write(stream + upgrade)
        said = await wire.rest()

    assert b" 101 " not in said
