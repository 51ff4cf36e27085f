"""The least that telling many sockets the same can be: ``socket.send`` of one frame in a loop. What push is held to.

``python -m bench.raw`` prints its URL, takes as many WebSockets as come, and for each line of standard input, a number
of seconds, a frame's size and a rate, sends that long, so many frames a second to each (0: as many as can be); it
answers how many frames were sent, in how many seconds, and the milliseconds from a frame's first send to each.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from time import perf_counter, sleep

from bench.processes import Cores, Observed, python, starting_on

_ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Raw(Observed):
    """The running loop."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        super().__init__("raw", child.pid)
        self._child = child
        self.url = self._line()

    def send(self, seconds: float, size: int) -> float:
        """Frames of ``size`` bytes that were sent in a second."""
        frames, taken, _ = self._ask(seconds, size, 0.0)
        return float(frames / taken)

    def pace(self, seconds: float, size: int, rate: float) -> list[float]:
        """Milliseconds until each was sent, in order, at so many frames a second to everyone."""
        return sorted(self._ask(seconds, size, rate)[2])

    def _ask(self, seconds: float, size: int, rate: float) -> tuple[int, float, list[float]]:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([seconds, size, rate]) + "\n")
        self._child.stdin.flush()
        frames, taken, delays = json.loads(self._line())
        return frames, taken, delays

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the raw loop has ended")
        return line.strip()


@contextlib.contextmanager
def sending(*, cores: Cores, folder: Path) -> Iterator[Raw]:
    """Such a loop, on the measured core."""
    with starting_on(cores.measured), (folder / "raw.log").open("wb") as log:
        child = subprocess.Popen(
            python("-m", "bench.raw"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        yield Raw(child)
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _serve() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    readers: list[socket.socket] = []
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listening:
                reader, _ = listening.accept()
                while not reader.recv(4096).endswith(b"\r\n\r\n"):
                    pass
                reader.sendall(_ACCEPT)
                readers.append(reader)
                continue
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps(_send(readers, *json.loads(line))), flush=True)


def _send(readers: list[socket.socket], seconds: float, size: int, rate: float) -> tuple[int, float, list[float]]:
    frame = pack("!BBH", 0x81, 126, size) + b"x" * size
    sends = [reader.send for reader in readers]
    began = perf_counter()
    rounds = 0
    delays: list[float] = []
    while perf_counter() - began < seconds:
        if rate:
            sleep(max(0.0, began + rounds / rate - perf_counter()))
            start = perf_counter()
            for send in sends:
                send(frame)
                delays.append((perf_counter() - start) * 1000)
        else:
            for send in sends:
                send(frame)  # it blocks: a reader that is full is waited for
        rounds += 1
    return rounds * len(sends), perf_counter() - began, delays


if __name__ == "__main__":
    _serve()
