"""A client that stops reading fills its socket and then only its own place in the journal."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from tests.api.cluster import Cluster, Store

PATH = "/apis/apps/v1/namespaces/shop/deployments?watch=1&resourceVersion=100"


@asynccontextmanager
async def served(cluster: Cluster) -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    # Small buffers, so that the test needs megabytes and not hundreds of them to fill what the kernel holds.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    config = uvicorn.Config(cluster.app, http="httptools", ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(0)
    try:
        yield listening.getsockname()[1]
    finally:
        cluster.context.lifecycle.close()
        server.should_exit = True
        await task
        listening.close()


async def test_a_stalled_reader_costs_its_socket_and_hears_everything_when_it_reads_again(
    cluster: Cluster, deployments: Store
) -> None:
    async with served(cluster) as port:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=client, limit=64 * 1024)
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head

        last = 100 + 4000
        for version in range(101, last + 1):
            deployments.apply("web", version, spec={"filling": "x" * 4000})
            if version % 50 == 0:
                await asyncio.sleep(0)
        (position,) = [p for readers in deployments.reader.journal._readers.values() for p in readers]
        for _ in range(500):
            await asyncio.sleep(0)
        waiting = position.behind
        assert waiting > 2000, "16 MB were written to a reader that takes nothing: most of it must still be here"

        heard = []
        while len(heard) < 4000:
            size = int((await reader.readuntil(b"\r\n")).strip(), 16)
            body = await reader.readexactly(size + 2)
            heard += [json.loads(line)["object"]["metadata"]["resourceVersion"] for line in body.splitlines() if line]
        assert heard == [str(version) for version in range(101, last + 1)]
        writer.close()
        await writer.wait_closed()
