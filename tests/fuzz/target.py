"""A real server in a process of its own, and what must still be true of it after anything was sent to it."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.serve.process import Process

# Each kind of fuzzing lasts about this long; make soak asks for minutes.
SECONDS = float(os.environ.get("KUBEMIRROR_FUZZ_SECONDS", "6"))
# A loop that is stalled longer than this by one request is one that others notice; what is measured from here has the
# machine's own pauses in it, and the mirror counts its loop's itself.
STALL_SECONDS = 4.0
# What a process may have more of afterwards: caches that are bounded fill up while it is asked for the first time.
GROWN_BYTES = 64 * 1024 * 1024
_BAD = re.compile(r"Traceback|exception|Exception|\"level\": ?\"(?:error|critical)\"")


@dataclass
class Target:
    """The server, and how it was at rest before."""

    process: Process
    descriptors: int = 0
    resident: int = 0

    def __post_init__(self) -> None:
        url = httpx.URL(self.process.url)
        self.address = (url.host, url.port or 80)
        self.client = httpx.Client(base_url=self.process.url, timeout=5)
        self.client.get("/livez")
        self.descriptors, self.resident = self._descriptors(), self._resident()

    def sent(self, pieces: Sequence[bytes], *, seconds: float = 0.5) -> bytes:
        """Write the pieces one by one on a new connection; what comes back until it is closed or silent."""
        said = b""
        with socket.create_connection(self.address, timeout=seconds) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(65536):
                    said += data
                    if len(said) > 1_000_000:
                        break
            except OSError:  # closed by the other side, or silent
                pass
        return said

    def answers(self) -> None:
        """It is not stalled: a probe is answered at once."""
        began = time.monotonic()
        assert self.client.get("/livez").status_code == 200
        assert time.monotonic() - began < STALL_SECONDS

    def unharmed(self) -> None:
        """Nothing is left of what was sent: no stream, no descriptor, no memory, and no word of it in the log."""
        deadline = time.monotonic() + 30
        while self._streams() or self._descriptors() > self.descriptors + 2:
            assert time.monotonic() < deadline, f"{self._streams()} streams, {self._descriptors()} descriptors are left"
            time.sleep(0.1)
        assert self._resident() < self.resident + GROWN_BYTES
        assert self.client.get("/-/status").json()["process"]["loopStalls"] == 0
        log = self.process.log.read_text()
        found = _BAD.search(log)
        assert found is None, log[max(0, found.start() - 2000) : found.end() + 2000]

    def _streams(self) -> float:
        text = self.client.get("/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(_OPEN_STREAMS))

    def _descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _resident(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


_OPEN_STREAMS = "kubemirror_streams{"
