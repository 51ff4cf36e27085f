"""Whoever speaks HTTP/1.0 (old proxies, `ab`) knows no chunks: a body of unknown size ends by closing."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.serve.live import Live
from tests.serve.world import Store, World


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(*(store.object(7 + number, f"web-{number}", "blue") for number in range(4000)))
    return store


async def asked(live: Live, target: str, *fields: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, list[str]]:
    """The head of the answer, and where the body comes from."""
    reader, writer = await asyncio.open_connection(*live.address.split(":"))
    writer.write("\r\n".join([f"GET {target} HTTP/1.0", "Host: localhost", *fields, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    return reader, writer, head.decode().lower().split("\r\n")[:-2]


@pytest.mark.parametrize(
    "target",
    [
        "/watch?resource=deployments&as=key",
        "/watch?resource=deployments&as=key&output=sse",
        "/apis/apps/v1/deployments?watch=true",
    ],
)
async def test_a_stream_is_its_events_and_nothing_else(world: World, live: Live, store: Store, target: str) -> None:
    reader, writer, head = await asked(live, target)
    store.apply(5001, "web-1", "blue", image="web:2")
    bodies = b""
    while b'"5001"' not in bodies:
        bodies += await asyncio.wait_for(reader.readline(), 10)
    world.context.lifecycle.close()
    bodies += await asyncio.wait_for(reader.read(), 10)
    writer.close()

    assert "connection: close" in head
    assert not [field for field in head if field.startswith(("transfer-encoding", "content-length"))]
    lines = [line.removeprefix(b"data: ") for line in bodies.splitlines()]
    assert [
        line for line in lines if line and line[:1] != b"{" and not line.startswith((b"retry:", b"id:", b":"))
    ] == []


async def test_a_list_that_is_compressed_as_it_goes_ends_by_closing(live: Live, store: Store) -> None:
    plain, writer, head = await asked(live, "/apis/apps/v1/deployments", "Accept: application/json")
    body = await asyncio.wait_for(plain.read(), 10)
    writer.close()

    assert not [field for field in head if field.startswith("transfer-encoding")]
    assert len(json.loads(body)["items"]) == 4000
