"""Requests that two servers take apart differently, so that what one has checked the other never sees."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import a_world
from tests.attacks.wire import connected
from tests.serve.live import Live, running

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
HIDDEN = b"GET /versions HTTP/1.1\r\nHost: evil.example\r\n\r\n"
CRLF = "\r\n"
UPGRADE = (
    b"GET /watch?resource=deployments HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

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


FOUR = ("/versions", "/apis/apps/v1/deployments", "/livez", "/watch?resource=deployments")


@pytest.mark.parametrize("target", FOUR)
@pytest.mark.parametrize(
    "hosts", [("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "localhost"), ()]
)
async def test_two_hosts_are_none(live: Live, target: str, hosts: tuple[str, ...]) -> None:
    """RFC 9112, 3.2: more than one Host is 400, and so is none."""
    async with connected(live) as wire:
        for _ in range(2):  # nor is one kept for the fast lane
            wire.write(f"GET {target} HTTP/1.1\r\n{''.join(f'Host: {each}{CRLF}' for each in hosts)}\r\n".encode())
            answer = await wire.answer()
            assert (answer.code, "Host" in answer.message) == (400, True)


async def test_before_http_1_1_there_was_no_host() -> None:
    """Old load balancers ask for health so; where no name is checked, nothing is missing."""
    async with running(a_world(host="0.0.0.0", access="open")) as live, connected(live) as wire:
        wire.write(b"GET /livez HTTP/1.0\r\n\r\n")
        assert (await wire.answer()).code == 200


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Origin", ("https://evil.example", "http://localhost")),
        ("Origin", ("http://localhost", "https://evil.example")),
        ("Sec-Fetch-Site", ("cross-site", "none")),
        ("Sec-Fetch-Mode", ("no-cors", "navigate")),
        ("Authorization", ("Bearer a", "Bearer b")),
        ("Impersonate-User", ("jane", "root")),
        ("Impersonate-Uid", ("1", "2")),
        ("X-Remote-User", ("jane", "root")),
        ("X-Remote-Uid", ("1", "2")),
        ("Kubemirror-Proxy-Secret", ("a", "b")),
        ("Upgrade", ("websocket", "h2c")),
        ("Last-Event-Id", ("1", "2")),
    ],
)
@pytest.mark.parametrize("target", FOUR)
async def test_a_field_that_decides_is_sent_once(live: Live, target: str, name: str, values: tuple[str, str]) -> None:
    """A proxy in front may have judged the other one."""
    async with connected(live) as wire:
        fields = "".join(f"{name}: {value}\r\n" for value in values)
        wire.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
        answer = await wire.answer()

    assert (answer.code, f"the {name} field is sent twice" in answer.message) == (400, True)


async def test_an_upgrade_with_two_origins_is_refused(live: Live) -> None:
    origins = "Origin: https://evil.example\r\nOrigin: http://localhost\r\n"
    async with connected(live) as wire:
        wire.write(UPGRADE.replace(b"Connection", origins.encode() + b"Connection"))
        answer = await wire.answer()

    assert (answer.code, b"Origin" in answer.body) == (400, True)


async def test_what_may_be_repeated_is(live: Live) -> None:
    """Fields that are lists, and those of proxies in a row."""
    fields = (
        b"Accept: text/plain\r\nAccept: application/json\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 1.2.3.5\r\n"
    )
    fields += b"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: http\r\nCookie: a=b\r\nCookie: c=d\r\n"
    async with connected(live) as wire:
        wire.write(b"GET /versions HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n")
        assert (await wire.answer()).code == 200


@pytest.mark.parametrize("path", ["/versions", "/apis/apps/v1/deployments", "/watch?resource=deployments", ""])
async def test_a_target_with_a_host_is_asked_of_that_host(live: Live, path: str) -> None:
    """RFC 9112, 3.2.2: what Host says then is not looked at."""
    for _ in range(2):
        async with connected(live) as wire:
            wire.write(f"GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert (await wire.answer()).code == 403
        async with connected(live) as wire:
            wire.write(f"GET HTTP://localhost{path} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
            assert (await wire.answer()).code == 200
    async with connected(live) as wire:
        wire.write(f"GET http://localhost{path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".encode())
        assert (await wire.answer()).code == 400


async def test_an_upgrade_of_a_target_with_a_host_is_asked_of_that_host(live: Live) -> None:
    for host, code in (("evil.example", 403), ("localhost", 101)):
        async with connected(live) as wire:
            wire.write(UPGRADE.replace(b"GET /", f"GET http://{host}/".encode()))
            assert (await wire.answer()).code == code


@pytest.mark.parametrize(
    "target", ["http://jane:secret@localhost/versions", "ftp://localhost/versions", "http:///versions", "versions", "*"]
)
async def test_a_target_that_is_no_path_and_no_url_is_400(live: Live, target: str) -> None:
    async with connected(live) as wire:
        wire.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert (await wire.answer()).code == 400


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
    async with connected(live) as wire:
        wire.write(stream + UPGRADE)
        said = await wire.rest()

    assert b" 101 " not in said
