"""``kubemirror demo-server``: the demo cluster in a process of its own, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from kubemirror.demo.server import serve_demo
from kubemirror.errors import ConfigError


def demo_server(*, port: int = 0, objects: int = 0, seed: int = 0, life: bool = True) -> int:
    """Serve until SIGINT or SIGTERM; 0. ConfigError when the port is taken."""
    try:
        asyncio.run(_until_told(port=port, objects=objects, seed=seed, life=life))
    except OSError as error:
        raise ConfigError(f"--port {port}: {error.strerror}; --port 0 takes a free one") from error
    return 0


async def _until_told(*, port: int, objects: int, seed: int, life: bool) -> None:
    serving = asyncio.create_task(
        serve_demo(port=port, objects=objects, seed=seed, life=life), name="demo server until told"
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
