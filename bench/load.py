"""Keep-alive GET load from one core: ``python -m bench.load URL CONNECTIONS SECONDS`` prints one JSON line.

wrk is used in its place where it is on PATH: it costs the load's core less. Both keep one request in flight
per connection and read every byte of every answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: answers with status 200, others, body bytes, seconds measured."""

    answers: int
    failures: int
    received: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = self.failures = self.received = 0
        self.ended = asyncio.get_running_loop().create_future()
        self.stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by behaviour only
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() == 200:
            self.answers += 1
        else:
            self.failures += 1
        if self.stopping:
            self.transport.close()
        else:
            self.transport.write(self.request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.stopping:
            self.failures += 1
        if not self.ended.done():
            self.ended.set_result(None)


async def generate(url: str, connections: int, seconds: float) -> Load:
    """Load ``url`` from this process for ``seconds``."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    opened = [(await loop.create_connection(lambda: _Connection(request), host, port))[1] for _ in range(connections)]
    before = [(one.answers, one.received) for one in opened]
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - start
    answers = sum(one.answers - was for one, (was, _) in zip(opened, before, strict=True))
    received = sum(one.received - was for one, (_, was) in zip(opened, before, strict=True))
    failures = sum(one.failures for one in opened)
    for one in opened:
        one.stopping = True
    async with asyncio.timeout(10):  # the answers in flight
        await asyncio.gather(*(one.ended for one in opened))
    return Load(answers, failures, received, elapsed)


def load(url: str, *, connections: int, seconds: float) -> Load:
    """Load ``url`` from a process on the caller's cores (inherited), with wrk where there is one."""
    wrk = shutil.which("wrk")
    if wrk is not None:
        return _wrk(wrk, url, connections=connections, seconds=seconds)
    command = [sys.executable, "-m", "bench.load", url, str(connections), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60)
    return Load(**json.loads(done.stdout))


def _wrk(wrk: str, url: str, *, connections: int, seconds: float) -> Load:
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-H", "Accept: application/json", url]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    counted = re.search(r"(\d+) requests in ([\d.]+)s, ([\d.]+)([KMGT]?)B read", told)
    if counted is None:
        raise RuntimeError(f"wrk said something else than expected:\n{told}")
    requests, elapsed, size, unit = counted.groups()
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    failures = int(refused.group(1)) if refused else 0
    received = float(size) * 1024 ** " KMGT".index(unit or " ")
    return Load(int(requests) - failures, failures, int(received), float(elapsed))


if __name__ == "__main__":
    result = uvloop.run(generate(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    print(
        json.dumps(
            {
                "answers": result.answers,
                "failures": result.failures,
                "received": result.received,
                "seconds": result.seconds,
            }
        )
    )
