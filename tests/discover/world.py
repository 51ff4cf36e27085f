"""A mirror with reflectors that do what the test says: everything but the network, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import orjson

from kubemirror.kube.mirror import Mirror
from kubemirror.kube.reflector import ReflectorOptions
from kubemirror.kube.transport import Transport
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog, Entry, Resource
from kubemirror.state.events import Apply, Delete, Init, InitApply, InitDone, Phase, PhaseChange
from kubemirror.state.objects import Ingest, Object
from kubemirror.state.store import Reader, Writer
from tests.discover.scripted import ScriptedApi, ordinary

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Played:
    """A reflector that the test plays: it tells its writer what the test says and notes what it is asked."""

    def __init__(self, resource: Resource, namespace: str, writer: Writer) -> None:
        self.resource = resource
        self.namespace = namespace
        self.writer = writer
        self.asked: list[tuple[float, str]] = []
        self.running = False
        self.death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ingest = Ingest(api_version=resource.api_version, kind=resource.kind)
        self._last = 100

    async def run(self) -> None:
        self.running = True
        try:
            await self.death
        finally:
            self.running = False

    def refresh(self, reason: str) -> None:
        self.asked.append((asyncio.get_running_loop().time(), reason))

    def upstream_is_back(self) -> None:
        self.asked.append((asyncio.get_running_loop().time(), "back"))

    @property
    def reader(self) -> Reader:
        return self.writer.reader

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.asked]

    def _object(self, written: dict[str, Any]) -> Object:
        self._last += 1
        metadata = {**written["metadata"], "resourceVersion": str(self._last)}
        return self._ingest.object(orjson.dumps({**written, "metadata": metadata}))

    def sync(self, *written: dict[str, Any]) -> None:
        """A complete list of these."""
        self.writer.handle(Init())
        for each in written:
            self.writer.handle(InitApply(self._object(each)))
        self.writer.handle(InitDone(self._last))
        self.writer.handle(PhaseChange(Phase.SYNCED))

    def apply(self, written: dict[str, Any]) -> None:
        self.writer.handle(Apply(self._object(written)))

    def delete(self, written: dict[str, Any]) -> None:
        self.writer.handle(Delete(self._object(written)))

    def phase(self, phase: Phase, reason: str = "because") -> None:
        self.writer.handle(PhaseChange(phase, reason))


class World:
    """The mirror, its catalog, and every reflector it ever made."""

    def __init__(self, api: ScriptedApi | None = None, **settings: Any) -> None:
        self.api = api or ScriptedApi(ordinary())
        self.catalog = Catalog()
        self.reflectors: list[Played] = []
        self.random = Random(1)
        self.mirror = Mirror(
            self.api,
            Settings(**settings),
            self.catalog,
            asyncio.get_running_loop().time,
            random=self.random,
            reflector=self._make,
        )

    def _make(
        self,
        *,
        transport: Transport,
        resource: Resource,
        writer: Writer,
        namespace: str,
        options: ReflectorOptions,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> Played:
        played = Played(resource, namespace, writer)
        self.reflectors.append(played)
        return played

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """With the mirror running and discovery read; cancelled at the end."""
        task = asyncio.create_task(self.mirror.run(), name="mirror")
        try:
            await self.settle()
            yield self
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> None:
        """Let everything happen that happens without time passing, and the start's spread of milliseconds."""
        await asyncio.sleep(0.05)

    def reflector(self, name: str, namespace: str = "") -> Played:
        """The newest reflector of that resource."""
        return next(
            each for each in reversed(self.reflectors) if each.resource.name == name and each.namespace == namespace
        )

    @property
    def definitions(self) -> Played:
        return self.reflector(DEFINITIONS)

    @property
    def names(self) -> list[str]:
        return [entry.resource.name for entry in self.catalog]

    @property
    def running_names(self) -> list[str]:
        return sorted(each.resource.name for each in self.reflectors if each.running)

    def entry(self, name: str) -> Entry:
        entry = self.catalog.get(name)
        assert entry is not None
        return entry


def instance(name: str, *, uid: str = "", namespace: str = "default") -> dict[str, Any]:
    """A custom resource's object."""
    return {
        "apiVersion": "clux.dev/v1",
        "kind": "Foo",
        "metadata": {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}"},
    }
