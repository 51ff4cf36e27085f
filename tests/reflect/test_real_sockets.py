"""The same faults on real sockets, through the real connection: silence, drips and cuts (F15, F16, F17)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubemirror.kube.connection import Connection
from kubemirror.kube.reflector import Reflector, ReflectorOptions
from kubemirror.state.events import Phase
from kubemirror.state.store import Reader, Writer
from tests.reflect.scene import THINGS, added, bookmark

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
Play = Callable[[asyncio.StreamWriter], Any]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class RawServer:
    """Plays one script per connection, byte for byte; the last one again and again."""

    def __init__(self, *scripts: Play) -> None:
        self.scripts = list(scripts)
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request.split(b" ")[1].decode())
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            await script(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def mirrored(server: RawServer, folder: Path, **options: Any) -> AsyncIterator[Reader]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    connection = await Connection.open(kubeconfig=path, env={})
    writer = Writer(clock=asyncio.get_running_loop().time)
    reflector = Reflector(
        transport=connection,
        resource=THINGS,
        writer=writer,
        options=ReflectorOptions(audit_seconds=1e9, **options),
        clock=asyncio.get_running_loop().time,
    )
    task = asyncio.create_task(reflector.run(), name="reflector")
    try:
        yield writer.reader
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.close()
        listening.close()
        await listening.wait_closed()


async def until(reader: Reader, condition: Callable[[], bool]) -> None:
    """Wait until the store says so; the test's own time limit ends what never comes."""
    moved = asyncio.Event()
    stop = reader.on_progress(moved.set)
    try:
        while not condition():
            moved.clear()
            await moved.wait()
    finally:
        stop()


async def synced(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(added("a", 4)) + chunk(bookmark(5, end=True)))
    await writer.drain()


async def resumed(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(added("b", 6)))
    await writer.drain()
    await asyncio.Event().wait()


async def test_f15_a_connection_gone_silent_is_noticed_and_resumed(tmp_path: Path) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await synced(writer)
        await asyncio.Event().wait()

    server = RawServer(silent, resumed)
    async with asyncio.timeout(20), mirrored(server, tmp_path, idle_seconds=0.3) as reader:
        await until(reader, lambda: reader.get("b", "default") is not None)

        assert len(reader) == 2
        assert "resourceVersion=5" in server.requests[1]
        assert reader.statistics.errors["idle"] >= 1
        assert reader.statistics.relists == {"start": 1}


async def test_f16_a_connection_that_drips_is_noticed_too(tmp_path: Path) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        await synced(writer)
        for byte in added("never", 9)[:-1] * 50:
            writer.write(chunk(bytes([byte])))
            await writer.drain()
            await asyncio.sleep(0.01)

    server = RawServer(drip, resumed)
    async with asyncio.timeout(20), mirrored(server, tmp_path, idle_seconds=0.3) as reader:
        await until(reader, lambda: reader.get("b", "default") is not None)

        assert reader.get("never", "default") is None
        assert "resourceVersion=5" in server.requests[1]


async def test_f17_bytes_cut_anywhere_and_a_line_cut_off_are_told_once_and_whole(tmp_path: Path) -> None:
    async def torn(writer: asyncio.StreamWriter) -> None:
        events = added("ü☃", 3).replace(b"\n", b"\r\n") + added("b", 4) + bookmark(5, end=True) + added("c", 6)
        writer.write(HEAD)
        for at in range(0, len(events) - 3, 3):
            writer.write(chunk(events[at : at + 3]))
            await writer.drain()
        writer.transport.abort()

    server = RawServer(torn, resumed)
    async with asyncio.timeout(20), mirrored(server, tmp_path, idle_seconds=5) as reader:
        await until(reader, lambda: reader.resource_version >= 6 and reader.phase is Phase.SYNCED)

        assert [found.name for found in reader.snapshot().objects] == ["b", "ü☃"]
        assert reader.get("b", "default").resource_version in (4, 6)  # type: ignore[union-attr]
        assert "resourceVersion=5" in server.requests[1]
