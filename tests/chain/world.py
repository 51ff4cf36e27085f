"""The demo API server, a mirror of it and a mirror of that mirror, in one loop on virtual time and without sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from urllib.parse import urlencode

import orjson

from kubemirror.access.authorizer import AllowAll, NobodyInParticular
from kubemirror.demo.api import demo_app
from kubemirror.demo.cluster import Cluster
from kubemirror.demo.faults import Faults
from kubemirror.kube.mirror import Mirror
from kubemirror.kube.transport import Response, TransportError
from kubemirror.kube.upstream import ApiServer
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes.app import kubernetes_app
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog, Entry
from kubemirror.state.store import Reader
from kubemirror.views.columns import Printer

App = Callable[[Any, Any, Any], Awaitable[None]]

DEPLOYMENTS = "deployments.apps"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
MIRRORED = ("namespaces", "configmaps")
WALL = 1_800_000_000.0


class Body:
    """The body of an answer that an app is still sending."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.left = asyncio.Event()
        self._parts: deque[bytes | TransportError] = deque()
        self._arrived = asyncio.Event()

    def push(self, part: bytes | TransportError) -> None:
        self._parts.append(part)
        self._arrived.set()

    def cut(self) -> None:
        """The connection is gone, and with it what was on its way."""
        self._parts.clear()
        self.push(TransportError("connection reset", kind="reset"))
        self.left.set()

    async def read(self) -> bytes:
        while not self._parts:
            self._arrived.clear()
            await self._arrived.wait()
        part = self._parts[0] if isinstance(self._parts[0], TransportError) else self._parts.popleft()
        if isinstance(part, TransportError):
            raise part
        return part

    async def close(self) -> None:
        self.left.set()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])


class Wire:
    """A Transport to an ASGI app, which may be ``down``. Every answer's head is kept in ``answers``."""

    def __init__(self) -> None:
        self.app: App | None = None
        self.answers: list[tuple[str, dict[str, str], int, Mapping[str, str]]] = []
        self._open: set[Body] = set()

    def cut(self) -> None:
        """Every connection is lost."""
        for body in list(self._open):
            body.cut()
        self._open.clear()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        seconds: float,
    ) -> Response:
        await asyncio.sleep(0.001)
        if self.app is None:
            raise TransportError("connection refused", kind="refused")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(query).encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
        }
        stream = Body()
        started: asyncio.Future[tuple[int, dict[str, str]]] = asyncio.get_running_loop().create_future()
        sent = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if sent:
                return sent.pop()
            await stream.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told = {name.decode(): value.decode() for name, value in message["headers"]}
                started.set_result((message["status"], told))
                return
            if message.get("body"):
                stream.push(message["body"])
            if not message.get("more_body", False):
                stream.push(b"")

        stream.task = asyncio.create_task(self._answer(scope, receive, send, started), name=f"{method} {path}")
        self._open.add(stream)
        stream.task.add_done_callback(lambda _: self._open.discard(stream))
        status, told = await started
        self.answers.append((path, dict(query), status, told))
        return Response(status, told, stream)

    async def _answer(self, scope: Any, receive: Any, send: Any, started: asyncio.Future[Any]) -> None:
        assert self.app is not None
        try:
            await self.app(scope, receive, send)
        except BaseException:
            if not started.done():
                started.set_exception(TransportError("connection reset", kind="reset"))
            raise


class Hop:
    """One mirror: what it follows, what it holds, and the app that it serves to ``wire``."""

    def __init__(self, upstream: Wire, seed: int) -> None:
        self.upstream = upstream
        self.wire = Wire()
        self.catalog = Catalog()
        self._random = Random(seed)
        self._task: asyncio.Task[None] | None = None
        self._api: ApiServer | None = None

    async def start(self) -> None:
        """Begin with nothing."""
        loop = asyncio.get_running_loop()
        settings = Settings(mirror=MIRRORED)
        self.catalog = Catalog()
        mirror = Mirror(self.upstream, settings, self.catalog, loop.time, random=self._random)
        self._api = ApiServer(self.upstream, mirror, clock=loop.time)
        context = Context(
            catalog=self.catalog,
            authorizer=AllowAll(),
            authenticator=NobodyInParticular(),
            upstream=self._api,
            settings=settings,
            clock=loop.time,
            wall=lambda: WALL + loop.time(),
        )
        self._task = asyncio.create_task(mirror.run(), name="mirror")
        self.wire.app = kubernetes_app(context)

    async def stop(self) -> None:
        self.wire.app = None
        self.wire.cut()
        if self._api is not None:
            await self._api.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()
            self._task = None

    def check(self) -> None:
        """Raise what the mirror died of, if it did."""
        if self._task is not None and self._task.done():
            self._task.result()
            raise AssertionError("the mirror ended")

    def reader(self, name: str = DEPLOYMENTS) -> Reader:
        entry = self.catalog.get(name)
        assert entry is not None, name
        assert entry.whole is not None
        return entry.whole

    def names(self, name: str = DEPLOYMENTS) -> set[str]:
        return {held.name for held in self.reader(name).snapshot().objects}


class World:
    """The chain. ``root`` is the wire to the demo API server."""

    def __init__(self, seed: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self.cluster = Cluster(clock=loop.time, wall=lambda: WALL + loop.time(), seed=seed)
        self.faults = Faults(self.cluster)
        self.root = Wire()
        self.root.app = demo_app(self.cluster, self.faults)
        self.first = Hop(self.root, seed + 1)
        self.second = Hop(self.first.wire, seed + 2)

    async def play(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for hop in (self.first, self.second):
            hop.check()

    async def progress(self) -> None:
        """What the demo server's own task does: quiet resources hear bookmarks too."""
        while True:
            await asyncio.sleep(1.0)
            self.cluster.progress()

    def deploy(self, name: str, image: str = "nginx:1", **labels: str) -> None:
        self.cluster.create(DEPLOYMENTS, deployment(name, image, labels))

    def roll(self, name: str, image: str) -> None:
        containers = [{"name": "main", "image": image}]
        self.cluster.patch(DEPLOYMENTS, name, {"spec": {"template": {"spec": {"containers": containers}}}})

    def delete(self, name: str) -> None:
        self.cluster.delete(DEPLOYMENTS, name)

    @asynccontextmanager
    async def root_is_lost(self) -> AsyncIterator[None]:
        """The first mirror hears nothing of the root meanwhile, and cannot go on from where it was afterwards."""
        app, self.root.app = self.root.app, None
        self.root.cut()
        try:
            yield
        finally:
            self.cluster.compact()
            self.root.app = app

    def equal(self) -> bool:
        """Whether both mirrors show what there is, the second one byte for byte what the first one does."""
        return not self.differences()

    def differences(self) -> list[str]:
        different = []
        wanted = {name for name in self.cluster.shelves if _mirrored(self.cluster, name)}
        for hop, called in ((self.first, "first"), (self.second, "second")):
            names = {entry.resource.name for entry in hop.catalog}
            if names != wanted:
                different.append(f"{called} mirrors {sorted(names ^ wanted)} or does not")
        if different:
            return different
        for name in sorted(wanted):
            there = {
                (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj["metadata"]["resourceVersion"]
                for obj in self.cluster.objects(name)
            }
            first, second = self.first.catalog.get(name), self.second.catalog.get(name)
            assert first is not None
            assert second is not None
            if {key: shown[1] for key, shown in _shown(first).items()} != there:
                different.append(f"first: {name}")
            if _shown(first) != _shown(second):
                different.append(f"second: {name}")
            if first.resource.versions != second.resource.versions:
                different.append(f"versions: {name}")
        return different


def _mirrored(cluster: Cluster, name: str) -> bool:
    return name in (DEPLOYMENTS, DEFINITIONS, *MIRRORED) or cluster.shelves[name].resource.custom


def _shown(entry: Entry) -> dict[tuple[str, str], tuple[str, str, bytes, object]]:
    """By key: uid, resourceVersion, raw bytes and cells as they are printed at one moment."""
    reader = entry.whole
    assert reader is not None
    printer = Printer(entry.resource, entry.resource.version, reader.columns)
    return {
        tuple(held.key): (held.uid, str(held.resource_version), held.raw, printer.cells(held, WALL))  # type: ignore[misc]
        for held in reader.snapshot().objects
    }


def deployment(name: str, image: str, labels: Mapping[str, str]) -> dict[str, Any]:
    selected = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": {**selected, **labels}},
        "spec": {
            "selector": {"matchLabels": selected},
            "template": {
                "metadata": {"labels": selected},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


@asynccontextmanager
async def chain(seed: int = 0) -> AsyncIterator[World]:
    """A world whose mirrors have seen three Deployments."""
    world = World(seed)
    for name in ("a", "b", "c"):
        world.deploy(name)
    progress = asyncio.create_task(world.progress(), name="progress")
    await world.first.start()
    await world.second.start()
    try:
        await world.play(10)
        yield world
    finally:
        await world.second.stop()
        await world.first.stop()
        progress.cancel()
        await asyncio.wait([progress])


async def told(wire: Wire, path: str, **query: str) -> list[dict[str, Any]]:
    """The events of a watch for as long as ``timeoutSeconds`` asks for."""
    response = await wire.request("GET", path, query=[("watch", "1"), *query.items()], seconds=5)
    received = b""
    while part := await response.body.read():
        received += part
    return [orjson.loads(line) for line in received.splitlines()]


async def listed(wire: Wire, path: str, **query: str) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    response = await wire.request("GET", path, query=list(query.items()), seconds=5)
    received = b""
    while part := await response.body.read():
        received += part
    return response.status, response.headers, orjson.loads(received)
