"""A mirror made by hand: stores written through Writers, no network, and drivers for the app over them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from kubemirror.access.authorizer import AllowAll, Authorizer, NobodyInParticular
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes.app import kubernetes_app
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog, Column, Entry, Resource, ServedVersion
from kubemirror.state.events import (
    Apply,
    Bookmark,
    Columns,
    Delete,
    Init,
    InitApply,
    InitDone,
    Phase,
    PhaseChange,
)
from kubemirror.state.objects import Ingest, Object
from kubemirror.state.store import Writer
from kubemirror.state.upstream import Document

DEPLOYMENTS = Resource(
    group="apps",
    version="v1",
    plural="deployments",
    singular="deployment",
    kind="Deployment",
    namespaced=True,
    versions=(ServedVersion("v1", storage_version_hash="8aSe+NMegvE="),),
    short_names=("deploy",),
    categories=("all",),
    subresources=("scale", "status"),
)
PODS = Resource(
    group="", version="v1", plural="pods", singular="pod", kind="Pod", namespaced=True, versions=(ServedVersion("v1"),),
    short_names=("po",), categories=("all",), subresources=("status", "log", "exec"),
)  # fmt: skip
NAMESPACES = Resource(
    group="", version="v1", plural="namespaces", singular="namespace", kind="Namespace", namespaced=False,
    versions=(ServedVersion("v1"),), short_names=("ns",), subresources=("status",),
)  # fmt: skip
WIDGETS = Resource(
    group="example.com",
    version="v1",
    plural="widgets",
    singular="widget",
    kind="Widget",
    namespaced=True,
    versions=(
        ServedVersion(
            "v1",
            columns=(Column("Color", "string", ".spec.color"), Column("Size", "integer", ".spec.size")),
            selectable_fields=(".spec.color",),
            subresources=("status",),
        ),
        ServedVersion("v1beta1", deprecation_warning="use v1", subresources=()),
    ),
    list_kind="WidgetList",
    subresources=("status",),
    custom=True,
    uid="definition",
)

DEFINITIONS = orjson.dumps(
    [
        {"name": "Name", "type": "string", "format": "name", "description": "its name", "priority": 0},
        {"name": "Ready", "type": "string", "format": "", "description": "how many are", "priority": 0},
    ]
)


@dataclass
class Upstream:
    """Counts what is asked; answers from a table."""

    documents: dict[str, Document] = field(default_factory=dict)
    version: int = 0
    sum: int = 0
    asked: list[str] = field(default_factory=list)

    async def fetch(self, path: str, *, query: str = "", accept: str = "application/json") -> Document:
        self.asked.append(path)
        return self.documents[path]

    async def create(self, group: str, kind: str, spec: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        raise AssertionError("no review goes upstream")

    async def current(self, resource: Resource, namespace: str = "") -> int:
        self.asked.append(f"{resource.name} {namespace}".strip())
        return self.version

    async def digest(self, resource: Resource, namespace: str = "") -> int:
        self.asked.append(f"digest of {resource.name} {namespace}".strip())
        return self.sum

    async def refresh(self, name: str | None) -> list[str]:
        raise AssertionError("nothing is refreshed")


class Store:
    """One resource's Writer, spoken to in objects."""

    def __init__(self, resource: Resource, clock: Callable[[], float], namespace: str = "") -> None:
        self.resource = resource
        self.namespace = namespace
        self.writer = Writer(clock=clock)
        self.reader = self.writer.reader
        self._ingest = Ingest(api_version=resource.api_version, kind=resource.kind)

    def object(
        self,
        name: str,
        resource_version: int,
        *,
        namespace: str = "shop",
        labels: dict[str, str] | None = None,
        cells: list[Any] | None = None,
        uid: str = "",
        **content: Any,
    ) -> Object:
        metadata: dict[str, Any] = {
            "name": name,
            **({"namespace": namespace} if self.resource.namespaced else {}),
            "uid": uid or f"uid-{namespace}-{name}",
            "resourceVersion": str(resource_version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **({"labels": labels} if labels else {}),
        }
        identity = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        body = {**identity, "metadata": metadata, **content}
        if self.resource.custom:
            body = dict(sorted(body.items()))
        return self._ingest.object(orjson.dumps(body), orjson.dumps(cells if cells is not None else [name, "1/1"]))

    def sync(self, resource_version: int, *objects: Object, rollback: bool = False) -> None:
        """A complete list; a second one is a relist."""
        self.writer.handle(Init())
        if not self.resource.custom:
            self.writer.handle(Columns(DEFINITIONS))
        for held in objects:
            self.writer.handle(InitApply(held))
        self.writer.handle(InitDone(resource_version, rollback=rollback))
        self.writer.handle(PhaseChange(Phase.SYNCED))

    def apply(self, name: str, resource_version: int, **content: Any) -> Object:
        held = self.object(name, resource_version, **content)
        self.writer.handle(Apply(held))
        return held

    def delete(self, name: str, resource_version: int, **content: Any) -> None:
        self.writer.handle(Delete(self.object(name, resource_version, **content)))

    def bookmark(self, resource_version: int) -> None:
        self.writer.handle(Bookmark(resource_version))

    def phase(self, phase: Phase, reason: str = "") -> None:
        self.writer.handle(PhaseChange(phase, reason))


class Cluster:
    """A catalog, its stores, and the app over them."""

    def __init__(self, *, authorizer: Authorizer | None = None, **settings: Any) -> None:
        self.now = 1000.0
        self.wall = 1767225600.0 + 3600  # an hour after every object's creation
        self.upstream = Upstream()
        self.catalog = Catalog()
        self.context = Context(
            catalog=self.catalog,
            authorizer=authorizer or AllowAll(),
            authenticator=NobodyInParticular(),
            upstream=self.upstream,
            settings=Settings(**settings),
            clock=lambda: self.now,
            wall=lambda: self.wall,
        )
        self.app = kubernetes_app(self.context)
        self.lanes: httpx.AsyncBaseTransport | None = None

    def add(self, resource: Resource, *namespaces: str) -> Store:
        """A store for the resource; with namespaces, one each (the first is returned)."""
        stores = [Store(resource, lambda: self.now, namespace) for namespace in namespaces or ("",)]
        self.catalog.put(Entry(resource, {store.namespace: store.reader for store in stores}))
        return stores[0]

    async def get(self, path: str, *, accept: str = "application/json", method: str = "GET", **more: Any) -> Any:
        headers = {"accept": accept, "user-agent": "test", "accept-encoding": "identity", **more.pop("headers", {})}
        if self.lanes is not None:
            url = f"http://localhost{path}"
            return await self.lanes.handle_async_request(httpx.Request(method, url, headers=headers, **more))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://mirror") as client:
            return await client.request(method, path, headers=headers, **more)

    @asynccontextmanager
    async def watch(self, path: str, **more: Any) -> AsyncIterator[Stream]:
        stream = Stream(self.app, path, **more)
        try:
            yield stream
        finally:
            await stream.leave()


class Stream:
    """A client of one streamed answer that reads only when asked: what it has not taken blocks the sender."""

    def __init__(self, app: Any, path: str, *, accept: str = "application/json", room: int = 1) -> None:
        path, _, query = path.partition("?")
        self.status = 0
        self.headers: dict[str, str] = {}
        self._bodies: asyncio.Queue[bytes | None] = asyncio.Queue(room)
        self._lines: list[bytes] = []
        self._left = asyncio.Event()
        self._started = asyncio.Event()
        self.aborted = False
        self.taken = 0
        self.sent = 0
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"accept", accept.encode())],
            "client": ("127.0.0.1", 1),
            "extensions": {"kubemirror.abort": self._abort},
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self._started.set()
            return
        body = message.get("body", b"")
        if body:
            self.sent += len(body)
            await self._bodies.put(body)
        if not message.get("more_body", False):
            await self._bodies.put(None)

    def _abort(self) -> None:
        self.aborted = True

    async def started(self) -> None:
        await self._started.wait()

    async def next(self) -> dict[str, Any] | None:
        """The next event; None at the clean end of the stream."""
        line = await self.line()
        return None if line is None else json.loads(line)

    async def line(self) -> bytes | None:
        while not self._lines:
            body = await self._bodies.get()
            if body is None:
                return None
            assert body.endswith(b"\n"), "whole lines only"
            self._lines = body.splitlines()
        self.taken += 1
        return self._lines.pop(0)

    async def take(self, count: int) -> list[tuple[str, str, str]]:
        """Type, name and resourceVersion of the next events."""
        return [brief(await self.next()) for _ in range(count)]

    async def quiet(self) -> bool:
        """Whether nothing more comes while everything that can run has run."""
        for _ in range(50):
            await asyncio.sleep(0)
        return self._bodies.empty() and not self._lines

    async def leave(self) -> None:
        self._left.set()
        while not self.task.done():
            while not self._bodies.empty():
                self._bodies.get_nowait()
            await asyncio.sleep(0)
        self.task.result()


def brief(event: dict[str, Any] | None) -> tuple[str, str, str]:
    assert event is not None, "the stream has ended"
    metadata = event["object"]["metadata"]
    return event["type"], metadata.get("name", ""), metadata["resourceVersion"]


def names(answer: httpx.Response) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json()["items"]]
