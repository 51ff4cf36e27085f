"""The mirror with real reflectors over a real socket: definitions and instances as the demo cluster lives them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kubemirror.demo.server import DemoServer
from kubemirror.kube.connection import Connection
from kubemirror.kube.mirror import Mirror
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog
from kubemirror.state.events import Phase
from kubemirror.state.store import Reader
from tests.discover.scripted import crd

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
# The promise, of a definition that is Established; the rest of what is waited for is not timed so closely.
PROMISED_SECONDS = 2.0
PATIENCE_SECONDS = 15.0

OPEN = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
V1 = {"name": "v1", "served": True, "storage": True, "schema": OPEN}
V2 = {"name": "v2", "served": True, "storage": False, "schema": OPEN}
COLOR = {"name": "Color", "type": "string", "jsonPath": ".spec.color"}


class Followed:
    """A demo cluster and a mirror of it."""

    def __init__(self, demo: DemoServer, mirror: Mirror, catalog: Catalog) -> None:
        self.demo = demo
        self.mirror = mirror
        self.catalog = catalog

    def reader(self, name: str) -> Reader | None:
        entry = self.catalog.get(name)
        return entry.whole if entry is not None else None

    def held(self, name: str) -> Reader:
        reader = self.reader(name)
        assert reader is not None
        return reader

    def synced(self, name: str) -> bool:
        reader = self.reader(name)
        return reader is not None and reader.synced

    async def until(self, condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for ``condition``, asked again whenever the catalog or any store in it moves."""
        moved = asyncio.Event()
        async with asyncio.timeout(seconds):
            while not condition():
                moved.clear()
                cancels = [self.catalog.on_change(moved.set)]
                cancels += [reader.on_progress(moved.set) for entry in self.catalog for reader in entry.stores.values()]
                await moved.wait()
                for cancel in cancels:
                    cancel()

    def define(self, written: dict[str, Any]) -> None:
        self.demo.cluster.create(DEFINITIONS, written)

    def redefine(self, patch: dict[str, Any], name: str = "bars.clux.dev") -> None:
        self.demo.cluster.patch(DEFINITIONS, name, patch)

    def create(self, name: str, color: str = "red") -> None:
        bar = {"apiVersion": "clux.dev/v1", "kind": "Bar", "metadata": {"name": name}, "spec": {"color": color}}
        self.demo.cluster.create("bars.clux.dev", bar)


def bars(*versions: dict[str, Any]) -> dict[str, Any]:
    written = crd("bars", kind="Bar", versions=versions or (V1,))
    del written["status"], written["metadata"]["uid"], written["metadata"]["resourceVersion"]
    return written


@asynccontextmanager
async def following(demo: DemoServer, kubeconfig: Path | None = None) -> AsyncIterator[Followed]:
    """A mirror of ``demo`` that has synced once."""
    catalog = Catalog()
    async with await Connection.open(kubeconfig=kubeconfig or demo.kubeconfig) as connection:
        mirror = Mirror(connection, Settings(), catalog, time.monotonic)
        task = asyncio.create_task(mirror.run(), name="mirror")
        followed = Followed(demo, mirror, catalog)
        try:
            await followed.until(lambda: len(catalog) > 2 and all(entry.synced for entry in catalog))
            yield followed
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def demo() -> AsyncIterator[DemoServer]:
    async with DemoServer(life=False) as demo:
        yield demo


@pytest.fixture
async def followed(demo: DemoServer) -> AsyncIterator[Followed]:
    async with following(demo) as followed:
        yield followed


async def test_everything_is_mirrored_as_it_is_there(followed: Followed) -> None:
    names = {entry.resource.name for entry in followed.catalog}
    assert {"deployments.apps", DEFINITIONS, "foos.clux.dev", "documents.kube.rs"} <= names
    assert "previewenvironments.platform9.com" in names
    for name in names:
        assert len(followed.held(name)) == len(followed.demo.cluster.objects(name)), name
    assert followed.held("deployments.apps").phase is Phase.SYNCED


async def test_two_hundred_definitions_at_start(demo: DemoServer) -> None:
    for at in range(200):
        written = crd(f"r{at}s", "many.dev", kind=f"R{at}", versions=(V1,))
        del written["status"], written["metadata"]["uid"], written["metadata"]["resourceVersion"]
        demo.cluster.create(DEFINITIONS, written)

    async with following(demo) as followed:
        many = [entry for entry in followed.catalog if entry.resource.group == "many.dev"]

        assert len(many) == 200
        assert all(entry.synced for entry in many)
        assert sum(reader.statistics.lists for entry in many for reader in entry.stores.values()) == 200
