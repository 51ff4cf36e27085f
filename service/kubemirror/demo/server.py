"""The demo cluster on a loopback socket: an API server that needs nothing, for ``make run``, tests and kubectl."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import uvicorn

from kubemirror.demo.api import demo_app
from kubemirror.demo.cluster import Cluster
from kubemirror.demo.examples import furnish
from kubemirror.demo.faults import Faults
from kubemirror.demo.life import Life
from kubemirror.demo.populate import populate
from kubemirror.demo.users import ADMIN_TOKEN

HOST = "127.0.0.1"
# Of kubeconfigs that are locked by those who use them; those of earlier versions, which were not, have another.
_SUFFIX = ".demo.kubeconfig"
# How often quiet stores are told the cluster's resourceVersion: what their bookmarks and waiting reads go by.
_PROGRESS_SECONDS = 1.0
# More than a demo is ever written to, being filled included.
_WRITES_A_SECOND = 10_000
# A server that was told to stop drops what is still open after this long.
_STOP_SECONDS = 1.0


class SocketListener:
    """Owns the sockets: one uvicorn server at a time, on one port, that can go away and come back."""

    def __init__(self, app: Any, *, port: int) -> None:
        self._app = app
        self._wanted_port = port
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self._wanted_port

    async def listen(self) -> None:
        """Bind and serve; on the port served before, if there was one. OSError when it is taken."""
        if self._server is not None:
            return
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, self._wanted_port))
        except OSError:
            bound.close()
            raise
        self._wanted_port = bound.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=int(_STOP_SECONDS),
            server_header=False,
            log_level="critical",  # a fault that breaks a response would be logged as an error of the application
        )
        self._server = _Quiet(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]), name="demo server")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError(f"the demo server could not start on port {self._wanted_port}")
            await asyncio.sleep(0)

    def abort(self, client: object = None) -> None:
        if self._server is not None:
            _abort(self._server, client)

    async def refuse(self) -> None:
        server, task = self._server, self._task
        self._server = self._task = None
        if server is None or task is None:
            return
        for listening in server.servers:
            listening.close()
        _abort(server)
        server.should_exit = True
        server.force_exit = True
        await task
        _abort(server)  # what was accepted before the listener closed, and told of after it


def _abort(server: uvicorn.Server, client: object = None) -> None:
    """Lose the connections there are; client: only the one from this address."""
    for connection in list(server.server_state.connections):
        transport = getattr(connection, "transport", None)
        if transport is None:
            continue
        if client is None or transport.get_extra_info("peername") == tuple(client):  # type: ignore[arg-type]
            transport.abort()


class _Quiet(uvicorn.Server):
    """Leaves signals to the process it is embedded in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class DemoServer:
    """A running demo cluster: ``async with DemoServer(...) as demo``.

    objects: fill up to this many Deployments. life: whether deployments roll out by themselves. port: 0 for a free
    one. seed: of names and of life. resource_version: before the first write. ``url``, ``kubeconfig`` (a file that only
    its owner can read, removed on exit), ``cluster`` and ``faults`` are there once it runs.
    """

    def __init__(
        self,
        *,
        objects: int = 0,
        life: bool = True,
        port: int = 0,
        seed: int = 0,
        object_bytes: int = 4600,
        resource_version: int = 1,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.cluster = Cluster(clock=clock, wall=wall, seed=seed, resource_version=resource_version)
        self.faults = Faults(self.cluster)
        self._objects = objects
        self._object_bytes = object_bytes
        self._life = Life(self.cluster, random=random.Random(seed)) if life else None  # noqa: S311 - a demo's dice
        self._listener = SocketListener(demo_app(self.cluster, self.faults), port=port)
        self._tasks: list[asyncio.Task[None]] = []
        self._kubeconfig: Kubeconfig | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._listener.port}"

    @property
    def kubeconfig(self) -> Path:
        """RuntimeError before the server runs."""
        if self._kubeconfig is None:
            raise RuntimeError("the demo server does not run")
        return self._kubeconfig.path

    async def __aenter__(self) -> Self:
        furnish(self.cluster)
        if self._objects:
            populate(self.cluster, self._objects, object_bytes=self._object_bytes)
        self.faults.listener = self._listener
        await self._listener.listen()
        self._kubeconfig = Kubeconfig(self.url)
        self._tasks.append(asyncio.create_task(self._progress(), name="demo progress"))
        if self._life is not None:
            self._tasks.append(asyncio.create_task(self._life.run(), name="demo life"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self.faults.thaw()
        await self._listener.refuse()
        if self._kubeconfig is not None:
            self._kubeconfig.remove()
            self._kubeconfig = None
        died = [result for result in results if isinstance(result, Exception)]
        if died and error is None:
            raise died[0]

    async def run(self) -> None:
        """Until one of its tasks dies, whose exception is raised; they never end otherwise."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            self.cluster.progress()


def after_earlier_ones(wall: float) -> int:
    """A resourceVersion above all of those that a demo had here before.

    Else a reader that comes back with a cursor of the last one may find it among those of the next, and would be told
    what follows there: a lie that nobody could find out. wall: seconds since 1970.
    """
    return int(wall * _WRITES_A_SECOND)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the command is asked for


def kubeconfig_of(url: str, *, token: str = ADMIN_TOKEN) -> str:
    """A kubeconfig for the demo server, as JSON (which is YAML). kubectl sends its token over TLS only."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": {"server": url}}],
        "users": [{"name": "demo-admin", "user": {"token": token}}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo-admin"}}],
    }
    return orjson.dumps(config, option=orjson.OPT_INDENT_2).decode() + "\n"


class Kubeconfig:
    """A temporary file that only its owner can read, locked while its server runs.

    A process that was killed leaves its file and no lock: the next one takes such files away.
    """

    def __init__(self, url: str) -> None:
        _sweep()
        descriptor, name = tempfile.mkstemp(prefix="kubemirror-demo-", suffix=".tmp")  # made with mode 0600
        self._file = os.fdopen(descriptor, "w")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._file.write(kubeconfig_of(url))
        self._file.flush()
        self.path = Path(name).with_suffix(_SUFFIX)
        Path(name).rename(self.path)  # under the name that is swept it is locked from the beginning

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._file.close()


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"kubemirror-demo-*{_SUFFIX}"):
        with contextlib.suppress(OSError), path.open("r+") as file:  # another user's, locked, or gone meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


async def serve_demo(
    *,
    port: int = 0,
    objects: int = 0,
    seed: int = 0,
    object_bytes: int = 4600,
    life: bool = True,
    announce: Callable[[str], None] = _say,
) -> None:
    """``kubemirror demo-server``: serve until cancelled, having announced the URL and the kubeconfig.

    The server's tasks are watched: one that dies ends this with its exception.
    """
    begins = after_earlier_ones(time.time())
    async with DemoServer(
        port=port, objects=objects, seed=seed, object_bytes=object_bytes, life=life, resource_version=begins
    ) as demo:
        announce(f"demo cluster on {demo.url}")
        announce(f"export KUBECONFIG={demo.kubeconfig}")
        announce(kubeconfig_of(demo.url).rstrip())
        await demo.run()
