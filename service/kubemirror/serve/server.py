"""The listening socket and uvicorn on it: what it is told, and how it comes down.

SIGTERM: readiness fails first and requests are still answered, so that whoever balances load can look away;
then streams are told to resume elsewhere, each at a moment of its own; then the rest is closed. The whole
takes at most ``shutdown_seconds``; a second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from functools import partial

import structlog
import uvicorn

from kubemirror.errors import ConfigError
from kubemirror.serve.application import Application
from kubemirror.serve.context import Context
from kubemirror.serve.protocol import HEAD_SECONDS, HttpProtocol, WebSocketProtocol, connection_limit

# What the kernel holds for a reader that does not read: 4 MB without this (Linux doubles the number itself).
SEND_BUFFER_BYTES = 128 * 1024
# A peer that acknowledges nothing, or takes nothing, for this long is gone.
USER_TIMEOUT_MILLISECONDS = 30_000
# A peer that says nothing for so long is asked by the kernel whether it is there, and again in so long; a reader whose
# machine is gone has left when USER_TIMEOUT is over. Routers and proxies forget silent connections after a minute.
KEEPALIVE_IDLE_SECONDS = 45
KEEPALIVE_INTERVAL_SECONDS = 10
# Readers who come back at once: whoever finds no room here tries again after one second, three, seven. The kernel takes
# as many as net.core.somaxconn says, 4096 by default.
BACKLOG = 16_384
# uvloop accepts one connection of a listening socket in one turn of the loop, and while thousands come a turn is long:
# so many descriptors of it are so many connections a turn. Each costs a new connection 0.7 µs.
ACCEPTED_AT_ONCE = 16
# One of them for so many connections that there may be: where descriptors are few, none is spent on this.
CONNECTIONS_PER_LISTENER = 64
# Left of shutdown_seconds for uvicorn to close what is still open after the streams have ended.
CLOSING_SECONDS = 3.0

log = structlog.get_logger()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; ConfigError (one line) where that cannot be."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = infos[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted connections inherit these.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLISECONDS)
            listening.bind(address)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}: choose another with --host or --port") from None
    listening.setblocking(False)
    return listening


def url_of(listening: socket.socket, host: str, *, tls: bool, root_path: str = "") -> str:
    """The URL to open: a wildcard bind is reached by this machine's loopback name."""
    port = listening.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    if ":" in shown and not shown.startswith("["):
        shown = f"[{shown}]"
    return f"{'https' if tls else 'http'}://{shown}:{port}{root_path.rstrip('/')}/"


class Server(uvicorn.Server):
    """uvicorn, coming down in the order above."""

    def __init__(
        self, app: Application, context: Context, listening: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        settings = context.settings
        config = uvicorn.Config(
            app,
            http=partial(HttpProtocol, app.serving.lane),  # type: ignore[arg-type] # called, and that is all
            ws=partial(WebSocketProtocol, settings),  # type: ignore[arg-type] # as above
            ws_max_size=settings.max_frame_bytes,
            ws_max_queue=4,
            ws_per_message_deflate=False,
            ws_ping_interval=None,  # the kernel asks: 10,000 readers' pings and answers are 4 % of a core
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # asked.py reads them, from trusted proxies only
            server_header=False,
            timeout_keep_alive=75,  # above the usual 60 s of a proxy, so that it closes first
            timeout_graceful_shutdown=int(CLOSING_SECONDS),
            backlog=BACKLOG,
            ssl_context_factory=(lambda *_: tls) if tls is not None else None,
        )
        super().__init__(config)
        HttpProtocol.limit = connection_limit()
        self._context = context
        self._settings = settings
        self._listening = listening
        self._asked_to_stop = asyncio.Event()
        self._hurry = False

    async def run_until_stopped(self) -> None:
        """Serve until a signal; returns when everything is closed."""
        stopping = asyncio.create_task(self._stop(), name="shutdown")
        try:
            listeners = max(1, min(ACCEPTED_AT_ONCE, HttpProtocol.limit // CONNECTIONS_PER_LISTENER))
            await self.serve(sockets=[self._listening, *(self._listening.dup() for _ in range(listeners - 1))])
        finally:
            stopping.cancel()

    def stop(self, *, hurry: bool = False) -> None:
        """As SIGTERM does; a second time ends the process at once. hurry: as Ctrl-C does, waiting for nobody."""
        if self._asked_to_stop.is_set():
            os._exit(130)
        self._hurry = hurry
        self._asked_to_stop.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, but that a handshake has no more time than a head: it holds a descriptor too."""
        config, loop = self.config, asyncio.get_running_loop()
        await self.on_tick(0)  # writes the Date that answers carry: some are given before the last listener stands

        def connected() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state={}
            )
            return made

        handshake = HEAD_SECONDS if config.ssl is not None else None
        self.servers = [
            await loop.create_server(
                connected, sock=each, ssl=config.ssl, ssl_handshake_timeout=handshake, backlog=config.backlog
            )
            for each in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGTERM, self.stop)
            loop.add_signal_handler(signal.SIGINT, partial(self.stop, hurry=True))
        except (RuntimeError, ValueError):  # not the main thread: a test's server
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)

    async def _stop(self) -> None:
        await self._asked_to_stop.wait()
        lifecycle, settings = self._context.lifecycle, self._settings
        lifecycle.stop()
        connected = HttpProtocol.open
        delay = spread = 0.0
        if connected and not self._hurry:  # else nobody balances load onto us: there is nobody to wait for
            delay = min(settings.shutdown_delay_seconds, settings.shutdown_seconds / 2)
            spread = max(0.0, settings.shutdown_seconds - delay - CLOSING_SECONDS) / 2
        log.info("shutdown.started", connections=connected, answering_seconds=delay, spread_seconds=spread)
        await asyncio.sleep(delay)
        lifecycle.close(spread_seconds=spread)
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=spread + 1.0)
        self.should_exit = True
