"""A body is read as it comes, and its end is told from its being cut off."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.kube.transport import TransportError
from tests.connect.conftest import Connect
from tests.connect.stub import CHUNKED, Request, Stub, ask, chunk, respond


async def test_an_event_is_read_before_the_next_is_sent(connect: Connect) -> None:
    more = asyncio.Event()

    async def trickle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b'{"type":"ADDED"}\n'))
        await more.wait()
        writer.write(chunk(b'{"type":"MODI') + chunk(b'FIED"}\n') + chunk(b""))

    async with Stub(trickle) as stub:
        connection = await connect(stub.url)
        response = await connection.request("GET", "/watch", query=[("watch", "1")], seconds=5)

        assert response.headers["content-type"] == "application/json"
        assert await response.body.read() == b'{"type":"ADDED"}\n'
        more.set()
        rest = b""
        while part := await response.body.read():
            rest += part
        assert rest == b'{"type":"MODIFIED"}\n'
        assert await response.body.read() == b""
        await response.body.close()


@pytest.mark.parametrize("head", [CHUNKED + chunk(b"half"), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
async def test_a_body_that_stops_short_is_an_error(connect: Connect, head: bytes) -> None:
    async def stop(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()
        writer.close()

    async with Stub(stop) as stub:
        connection = await connect(stub.url)
        response = await connection.request("GET", "/watch", seconds=5)
        assert await response.body.read() == b"half"
        with pytest.raises(TransportError, match="cut off") as caught:
            await response.body.read()
        await response.body.close()

    assert caught.value.kind == "truncated"


async def test_a_reset_is_an_error(connect: Connect) -> None:
    cut = asyncio.Event()

    async def reset(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"half"))
        await cut.wait()
        writer.transport.abort()

    async with Stub(reset) as stub:
        connection = await connect(stub.url)
        response = await connection.request("GET", "/watch", seconds=5)
        assert await response.body.read() == b"half"
        cut.set()
        with pytest.raises(TransportError) as caught:
            await response.body.read()
        await response.body.close()

    assert caught.value.kind in {"reset", "truncated"}


async def test_a_broken_compression_is_an_error(connect: Connect) -> None:
    async def lie(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(body=b"this is not gzip", headers={"Content-Encoding": "gzip"}))

    async with Stub(lie) as stub:
        with pytest.raises(TransportError) as caught:
            await ask(await connect(stub.url))

    assert caught.value.kind == "truncated"


async def test_a_body_read_to_its_end_gives_its_connection_back(connect: Connect) -> None:
    async with Stub() as stub:
        connection = await connect(stub.url)
        for _ in range(3):
            await ask(connection)

    assert (len(stub.requests), stub.connections) == (3, 1)


async def test_a_body_closed_midway_cuts_its_connection(connect: Connect) -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + chunk(b"first"))
        assert await reader.read() == b""
        gone.set()
        writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    async with server:
        connection = await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        response = await connection.request("GET", "/watch", seconds=5)
        await response.body.read()
        await response.body.close()
        await response.body.close()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_cancelled_read_loses_nothing(connect: Connect) -> None:
    more = asyncio.Event()

    async def trickle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        await more.wait()
        writer.write(chunk(b"late") + chunk(b""))

    async with Stub(trickle) as stub:
        connection = await connect(stub.url)
        response = await connection.request("GET", "/watch", seconds=5)
        reading = asyncio.create_task(response.body.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        more.set()

        assert await response.body.read() == b"late"
        await response.body.close()


async def test_closing_the_connection_ends_its_streams(connect: Connect) -> None:
    async def hold(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"first"))

    async with Stub(hold) as stub:
        connection = await connect(stub.url)
        response = await connection.request("GET", "/watch", seconds=5)
        await response.body.read()
        reading = asyncio.create_task(response.body.read())
        await asyncio.sleep(0)
        await connection.close()
        with pytest.raises(TransportError):
            await reading
        await response.body.close()


async def test_a_closed_connection_asks_nothing(connect: Connect) -> None:
    async with Stub() as stub:
        connection = await connect(stub.url)
        await connection.close()
        await connection.close()
        with pytest.raises(TransportError, match="closed"):
            await ask(connection)

    assert stub.requests == []
