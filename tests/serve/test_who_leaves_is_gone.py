"""Whoever leaves a stream gives everything back, however they leave: over TLS too, on a process' own loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
import trustme
import uvloop

from kubemirror.access.audit import Audit
from kubemirror.serve.certificate import Certificate, read_pair
from kubemirror.serve.protocol import HttpProtocol
from kubemirror.settings import Settings
from tests.serve.live import Live, running
from tests.serve.world import Store, World

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
STREAMS = {
    "ndjson": ("/watch?resource=deployments", {}),
    "sse": ("/watch?resource=deployments", {"Accept": "text/event-stream"}),
    "table": ("/watch?resource=deployments&output=table", {}),
    "websocket": ("/watch?resource=deployments", UPGRADE),
    "kubernetes": ("/apis/apps/v1/deployments?watch=1", {"Accept": "application/json", "User-Agent": "kubectl/v1.36"}),
    "kubernetes websocket": ("/apis/apps/v1/deployments?watch=1", UPGRADE),
}
CLOSE_FRAME = bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])  # masked with nothing: 1000


@dataclass
class Scene:
    """A mirror, what it has audited, and what asyncio has complained about."""

    live: Live
    store: Store
    lines: list[str]
    tls: ssl.SSLContext | None
    before: int = field(default_factory=lambda: HttpProtocol.open)

    async def reading(self, stream: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A reader of ``stream`` that has heard of the first object."""
        host, _, port = self.live.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=self.tls)
        target, headers = STREAMS[stream]
        fields = {"Host": "127.0.0.1", "X-Forwarded-For": "203.0.113.7", **headers}
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        await asyncio.wait_for(reader.readuntil(b"web"), 5)
        return reader, writer

    def audited(self, event: str) -> list[dict[str, object]]:
        return [told for told in map(orjson.loads, self.lines) if told["audit"] == event]

    async def until_nobody_is_here(self) -> None:
        async with asyncio.timeout(5):
            while not self.empty:  # noqa: ASYNC110 - counters tell nobody that they have changed
                await asyncio.sleep(0.01)

    @property
    def empty(self) -> bool:
        serving = self.live.app.serving
        return (
            HttpProtocol.open == self.before
            and not self.live.server.server_state.connections
            and not self.live.server.server_state.tasks
            and not serving.traffic.open_streams.total()
            and not serving.seats.by_client
        )


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of a process, and the one that tests run on."""
    return uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


async def in_a_scene(act: Callable[[Scene], object], folder: Path, ca: trustme.CA | None) -> None:
    lines: list[str] = []
    certificate, trusting = None, None
    if ca is not None:
        issued = ca.issue_cert("127.0.0.1")
        (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        (folder / "tls.key").write_bytes(issued.private_key_pem.bytes())
        pair = folder / "tls.crt", folder / "tls.key"
        certificate = Certificate(read_pair(*pair), pair)
        trusting = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    world = World(
        settings=Settings(max_streams_per_client=3),
        certificate=certificate,
        audit=Audit(lines.append, wall=time.time),
    )
    store = world.mirror()
    store.sync(store.object(7, "web"))
    async with running(world) as live:
        await act(Scene(live, store, lines, trusting))  # type: ignore[misc]


@contextmanager
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither the loop nor uvicorn has anything to complain about."""
    caplog.clear()
    yield
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def closed(writer: asyncio.StreamWriter) -> None:
    """As libraries do: over TLS with a goodbye."""
    writer.close()


def aborted(writer: asyncio.StreamWriter) -> None:
    """As a process that ends: without one."""
    writer.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    """As a machine that forgets."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def said(writer: asyncio.StreamWriter) -> None:
    """As a WebSocket does: with a frame of its own first."""
    writer.write(CLOSE_FRAME)


@pytest.mark.parametrize("leave", [closed, aborted, reset, said])
@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_ends_with_its_reader(
    stream: str,
    leave: Callable[[asyncio.StreamWriter], None],
    loop: Callable[[], asyncio.AbstractEventLoop],
    tls: bool,
    ca: trustme.CA,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if leave is said and "websocket" not in stream:
        leave = closed

    async def act(scene: Scene) -> None:
        for _ in range(4):  # one more than may be open at a time
            _, writer = await scene.reading(stream)
            leave(writer)
            await scene.until_nobody_is_here()
            writer.close()
        opened, ended = scene.audited("stream opened"), scene.audited("stream closed")
        assert (len(opened), len(ended)) == (4, 4)
        assert all(each["bytes"] for each in ended)

    with quiet(caplog), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(in_a_scene(act, tmp_path, ca if tls else None))


@pytest.mark.parametrize("stream", STREAMS)
def test_what_happens_after_a_reader_has_left_is_written_nowhere(
    stream: str,
    loop: Callable[[], asyncio.AbstractEventLoop],
    ca: trustme.CA,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not to a connection that is over, and not to the log."""

    async def act(scene: Scene) -> None:
        _, writer = await scene.reading(stream)
        aborted(writer)
        for number in range(50):
            scene.store.apply(101 + number, "web", image=f"web:{number}")
            await asyncio.sleep(0.001)
        await scene.until_nobody_is_here()

    with quiet(caplog), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(in_a_scene(act, tmp_path, ca))


def test_what_fails_at_the_end_of_a_connection_keeps_it_from_nothing(
    monkeypatch: pytest.MonkeyPatch, ca: trustme.CA, tmp_path: Path
) -> None:
    """What is counted is not hung on what may fail."""

    def failing(_: object) -> None:
        raise ValueError("negative file descriptor")

    monkeypatch.setattr("kubemirror.serve.sent.Sent.last", failing)

    async def act(scene: Scene) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for stream in STREAMS:
            _, writer = await scene.reading(stream)
            aborted(writer)
            await scene.until_nobody_is_here()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(in_a_scene(act, tmp_path, ca))


def test_a_loop_that_writes_to_what_has_ended_does_not_fill_the_log() -> None:
    """A peer that closes its half and leaves the rest unread is gone for TCP only when its time is over."""
    program = (
        "import logging; from kubemirror.log import Logging; log = Logging(); loop = logging.getLogger('asyncio')\n"
        "for _ in range(99): loop.warning('SSL connection is closed')\n"
        "loop.warning('something else'); log.close()"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert [orjson.loads(line)["event"] for line in told.stderr.splitlines()] == ["something else"]
