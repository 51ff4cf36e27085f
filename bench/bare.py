"""The least a Python server can do: one finished body from a bare ASGI callable. What our routes are compared with.

``python -m bench.bare FILE`` serves the file's bytes at every path and prints its URL.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from bench.processes import Cores, Process, python, running


@contextlib.contextmanager
def answering(body: bytes, *, cores: Cores, folder: Path) -> Iterator[tuple[Process, str]]:
    """Such a server on the measured core, and its URL."""
    file = folder / "bare.json"
    file.write_bytes(body)
    with running("bare", python("-m", "bench.bare", str(file)), on=cores.measured, folder=folder) as process:
        yield process, process.first_line(seconds=30)


def application(body: bytes) -> object:
    """An ASGI callable that answers ``body`` as JSON to everything."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}", flush=True)


if __name__ == "__main__":
    config = uvicorn.Config(
        application(Path(sys.argv[1]).read_bytes()),  # type: ignore[arg-type]
        port=0,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
    _Server(config).run()
