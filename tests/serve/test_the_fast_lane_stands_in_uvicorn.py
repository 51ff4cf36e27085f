"""The fast lane uses uvicorn's inside: what it counts on there, and every way in which a connection can be odd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from websockets.asyncio.client import connect

from kubemirror.serve.protocol import HttpProtocol
from tests.serve.live import Live, running
from tests.serve.world import Store, World

ONE, ALL = "/versions/blue/web", "/versions"
NOT_YET = "/apis/apps/v1/deployments?resourceVersion=200"


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"), store.object(8, "api", "blue"))
    return store


class Connection:
    """One connection, written to and read from byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader, self.writer, self.host = reader, writer, host

    def request(self, target: str, *fields: str, method: str = "GET", protocol: str = "HTTP/1.1") -> bytes:
        lines = [f"{method} {target} {protocol}", f"Host: {self.host}", *fields, "", ""]
        return "\r\n".join(lines).encode()

    def write(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        lines = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        bodiless = head or lines[0].split()[1] == "304"
        body = b"" if bodiless else await self.reader.readexactly(int(fields["content-length"]))
        return int(lines[0].split()[1]), fields, body

    async def get(self, target: str, *fields: str) -> bytes:
        """The body of one answer of 200."""
        self.write(self.request(target, *fields))
        code, _, body = await self.answer()
        assert code == 200
        return body

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""


@pytest.fixture
async def connection(live: Live) -> AsyncIterator[Connection]:
    host, _, port = live.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    yield Connection(reader, writer, live.address)
    writer.close()
    await writer.wait_closed()


def fast(live: Live) -> int:
    """How many requests the fast lane has answered."""
    return live.app.serving.traffic.fast


def protocol_of(live: Live) -> HttpProtocol:
    (protocol,) = live.server.server_state.connections
    assert isinstance(protocol, HttpProtocol)
    return protocol


async def test_uvicorn_is_the_one_whose_inside_is_known(live: Live, connection: Connection) -> None:
    await connection.get(ONE)
    protocol = protocol_of(live)

    assert version("uvicorn").startswith("0.54.")
    assert isinstance(protocol.cycle, RequestResponseCycle)
    assert protocol.cycle.response_complete is True
    assert protocol.flow.write_paused is False
    assert protocol.timeout_keep_alive_task is not None
    assert protocol.url == ONE.encode()
    assert (b"host", live.address.encode()) in protocol.headers
    assert [name for name, _ in live.server.server_state.default_headers] == [b"date"]
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    inherited = ("data_received", "on_message_begin", "on_headers_complete", "on_message_complete", "_get_upgrade")
    assert all(callable(getattr(HttpToolsProtocol, name)) for name in (*inherited, "timeout_keep_alive_handler"))


async def test_requests_are_counted_where_uvicorn_counts(live: Live, connection: Connection) -> None:
    for _ in range(3):
        await connection.get(ONE)

    assert (live.server.server_state.total_requests, fast(live)) == (3, 2)


async def test_pipelined_requests_are_answered_in_their_order(live: Live, connection: Connection) -> None:
    bodies = [await connection.get(ONE), await connection.get("/versions/blue/api"), await connection.get(ALL)]
    targets = [ONE, ALL, ONE, "/versions/blue/api?wide=true", ONE, ALL]
    connection.write(*(connection.request(target) for target in targets))
    answers = [(await connection.answer())[2] for _ in targets]

    assert [answers[0], answers[2], answers[4]] == [bodies[0]] * 3
    assert [answers[1], answers[5]] == [bodies[2]] * 2
    assert b"digest" in answers[3]
    assert fast(live) >= 3


async def test_a_fast_answer_waits_for_the_slow_one_before_it(live: Live, connection: Connection, store: Store) -> None:
    body = await connection.get(ONE)
    connection.write(connection.request(NOT_YET))
    while not live.server.server_state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0)
    connection.write(connection.request(ONE), connection.request(ONE))
    while len(protocol_of(live).pipeline) < 2:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0)
    store.bookmark(200)
    first, second, third = [await connection.answer() for _ in range(3)]

    assert b'"resourceVersion":"200"' in first[2]
    assert second[2] == third[2] == body


async def test_connection_close_is_obeyed(live: Live, connection: Connection) -> None:
    body = await connection.get(ONE)
    connection.write(connection.request(ONE, "Connection: close"))
    code, fields, again = await connection.answer()

    assert (code, again, fields["connection"]) == (200, body, "close")
    assert await connection.ended()
    assert fast(live) == 0


async def test_http_1_0_is_closed_after_its_answer(live: Live, connection: Connection) -> None:
    body = await connection.get(ONE)
    connection.write(connection.request(ONE, protocol="HTTP/1.0"))
    code, fields, again = await connection.answer()

    assert (code, again, fields["connection"]) == (200, body, "close")
    assert await connection.ended()


async def test_keep_alive_said_aloud_changes_nothing(live: Live, connection: Connection) -> None:
    for _ in range(3):
        await connection.get(ONE, "Connection: Keep-Alive")

    assert fast(live) == 2


async def test_bytes_may_come_one_by_one(live: Live, connection: Connection) -> None:
    body = await connection.get(ONE)
    for _ in range(2):
        for byte in connection.request(ONE):
            connection.write(bytes([byte]))
            await connection.writer.drain()
            await asyncio.sleep(0)
        assert (await connection.answer())[2] == body

    assert fast(live) == 2  # by the entrance behind the parser


async def test_a_head_cut_in_two_after_fast_answers(live: Live, connection: Connection) -> None:
    body = await connection.get(ONE)
    request = connection.request(ONE)
    connection.write(request, request[:20])
    assert (await connection.answer())[2] == body
    connection.write(request[20:], request)

    assert [(await connection.answer())[2] for _ in range(2)] == [body, body]
    assert fast(live) == 3


async def test_a_body_that_looks_like_a_request_is_a_body(live: Live, connection: Connection) -> None:
    body = await connection.get(ONE)
    inside = connection.request(ONE)
    length = f"Content-Length: {len(inside)}"
    for method in ("POST", "GET"):
        connection.write(connection.request(ONE, length, method=method), inside, connection.request(ALL))
        codes = [(await connection.answer())[0] for _ in range(2)]
        assert codes == [405 if method == "POST" else 200, 200]
    connection.write(connection.request(ONE, length, method="POST"))
    assert (await connection.answer())[0] == 405  # before the body has come
    answered = fast(live)
    connection.write(inside)
    everything = await connection.get(ALL)

    assert everything.startswith(b"[")
    assert everything != body
    assert fast(live) == answered + 1


async def test_a_chunked_body_that_looks_like_a_request_is_a_body(live: Live, connection: Connection) -> None:
    body = await connection.get(ONE)
    inside = connection.request(ONE)
    head = connection.request(ONE, "Transfer-Encoding: chunked", method="POST")
    connection.write(head, b"%x\r\n" % len(inside), inside)
    connection.write(inside[:0], b"\r\n0\r\n\r\n")

    assert (await connection.answer())[0] == 405
    assert await connection.get(ONE) == body


@pytest.mark.parametrize(
    "field",
    ["Content-Length: 0", "Range: bytes=0-1", "Expect: 100-continue", "TE: trailers", "X-Twice: a\r\nX-Twice: b"],
)
async def test_what_is_no_plain_read_is_left_to_the_application(live: Live, connection: Connection, field: str) -> None:
    body = await connection.get(ONE)
    for _ in range(3):
        assert await connection.get(ONE, field) == body

    assert fast(live) == 0


async def test_nonsense_is_a_400_after_fast_answers_too(live: Live, connection: Connection) -> None:
    await connection.get(ONE)
    connection.write(connection.request(ONE), b"NONSENSE\r\n\r\n")

    assert [(await connection.answer())[0] for _ in range(2)] == [200, 400]
    assert await connection.ended()


@pytest.mark.parametrize(
    "head", ["GET {} HTTP/1.1\nHost: {}\n\n", "GET {} HTTP/1.1\r\nHost: {}\r\nX-A: b\r\n c\r\n\r\n"]
)
async def test_a_head_that_others_would_end_elsewhere_is_never_learned(
    live: Live, connection: Connection, head: str
) -> None:
    await connection.get(ONE)
    protocol = protocol_of(live)
    known = set(protocol._heads)
    odd = head.format(ONE, live.address).encode()
    connection.write(odd, connection.request(ONE))
    await connection.reader.readuntil(b"\r\n\r\n")

    assert set(protocol._heads) == known


async def test_what_is_not_there_is_asked_about_each_time(live: Live, connection: Connection, store: Store) -> None:
    codes = []
    for step in range(3):
        connection.write(connection.request("/versions/blue/new"))
        codes.append((await connection.answer())[0])
        if step == 1:
            store.apply(101, "new", "blue")

    assert codes == [404, 404, 200]


async def test_a_websocket_may_follow_on_the_same_connection(live: Live, connection: Connection) -> None:
    for _ in range(3):
        await connection.get(ONE)
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    connection.write(connection.request("/watch?resource=deploy&as=key", *upgrade))
    head = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 10)
    frame = await asyncio.wait_for(connection.reader.readexactly(2), 10)

    assert head.startswith(b"HTTP/1.1 101")
    assert frame[0] == 0x81
    assert fast(live) == 2


async def test_a_websocket_to_a_kept_target_is_no_read(live: Live, connection: Connection) -> None:
    await connection.get(ONE)
    with pytest.raises(Exception, match="404"):
        await connect(f"ws://{live.address}{ONE}").__aenter__()


async def test_head_has_the_headers_of_get_and_no_body(live: Live, connection: Connection) -> None:
    answers = []
    for method in ("GET", "HEAD", "HEAD", "GET"):
        connection.write(connection.request(ONE, method=method))
        answers.append(await connection.answer(head=method == "HEAD"))

    assert [{**fields, "date": ""} for _, fields, _ in answers] == [{**answers[0][1], "date": ""}] * 4
    assert [bool(body) for _, _, body in answers] == [True, False, False, True]
    assert fast(live) == 2


async def test_a_reader_that_does_not_read_costs_one_answer_and_not_all(world: World) -> None:
    store = world.mirror()
    store.sync(*(store.object(number, f"web-{number}", "blue", image="x" * 1000) for number in range(1, 1000)))
    requests = 300
    async with running(world) as live:
        host, _, port = live.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=64 * 1024)
        connection = Connection(reader, writer, live.address)
        size = len(await connection.get(ALL))
        connection.write(*(connection.request(ALL) for _ in range(requests)))
        protocol = protocol_of(live)
        while not protocol.flow.write_paused:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)
        for _ in range(200):  # everything that can go on has gone on
            await asyncio.sleep(0)
        waiting = protocol.transport.get_write_buffer_size()
        before = fast(live)
        for _ in range(requests):
            assert len((await connection.answer())[2]) == size
        await connection.get(ALL)
        writer.close()

    assert size > 1_000_000
    assert waiting < 2 * size
    assert 0 < before < requests


async def test_an_idle_connection_is_closed_however_it_was_answered(live: Live, connection: Connection) -> None:
    for _ in range(3):
        await connection.get(ONE)
    protocol = protocol_of(live)
    assert protocol.timeout_keep_alive_task is not None
    protocol.timeout_keep_alive_task.cancel()
    protocol.timeout_keep_alive_handler()  # as if it had been armed long before the last answer
    armed = protocol.timeout_keep_alive_task
    await connection.get(ONE)
    armed.cancel()
    protocol._answered_at -= protocol.timeout_keep_alive + 1
    protocol.timeout_keep_alive_handler()

    assert 0 < armed.when() - protocol.loop.time() <= protocol.timeout_keep_alive
    assert await connection.ended()


async def test_the_date_is_that_of_this_second(live: Live, connection: Connection) -> None:
    await connection.get(ONE)
    await connection.get(ONE)
    live.server.server_state.default_headers = [(b"date", b"Sun, 01 Jan 2040 00:00:00 GMT")]
    connection.write(connection.request(ONE))
    _, fields, _ = await connection.answer()

    assert fields["date"] == "Sun, 01 Jan 2040 00:00:00 GMT"
    assert fast(live) == 2


async def test_a_head_that_changes_each_time_is_answered_behind_the_parser(live: Live, connection: Connection) -> None:
    for number in range(5):
        await connection.get(ONE, f"Traceparent: 00-{number}")

    assert fast(live) == 4
