"""A whole mirror of a server: connection, reflectors, stores, and the read API over them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from kubemirror.access.authorizer import AllowAll, NobodyInParticular
from kubemirror.kube.connection import Connection
from kubemirror.kube.mirror import Mirror
from kubemirror.kube.upstream import ApiServer
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes.app import kubernetes_app
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog
from kubemirror.state.store import Reader, identity_digest
from tests.api.cluster import Stream
from tests.contract.servers import Server

# What is not timed by a promise may take this long on two shared cores; everything is waited for by events.
PATIENCE_SECONDS = 30.0
MIRROR_TOKEN = "mirror-token"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Mirrored:
    def __init__(self, server: Server, mirror: Mirror, context: Context) -> None:
        self.server = server
        self.mirror = mirror
        self.context = context
        self.catalog = context.catalog
        self._app = kubernetes_app(context)

    # -- stores -----------------------------------------------------------------------------------------

    def reader(self, name: str) -> Reader | None:
        entry = self.catalog.get(name)
        return entry.whole if entry is not None else None

    def held(self, name: str) -> Reader:
        reader = self.reader(name)
        assert reader is not None, f"{name} is not mirrored"
        return reader

    def synced(self, name: str) -> bool:
        reader = self.reader(name)
        return reader is not None and reader.synced

    def complete(self) -> bool:
        """Whether everything that is defined is there."""
        definitions = self.catalog.get(DEFINITIONS)
        if definitions is None or not all(entry.synced for entry in self.catalog):
            return False
        return all(held.name in self.catalog for held in definitions.stores[""].snapshot().objects)

    async def until(self, condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for ``condition``, asked again whenever the catalog or any store in it moves."""
        moved = asyncio.Event()
        async with asyncio.timeout(seconds):
            while not condition():
                moved.clear()
                cancels = [self.catalog.on_change(moved.set)]
                cancels += [reader.on_progress(moved.set) for entry in self.catalog for reader in entry.stores.values()]
                try:
                    await moved.wait()
                finally:
                    for cancel in cancels:
                        cancel()

    async def reaches(self, name: str, resource_version: str, *, seconds: float = PATIENCE_SECONDS) -> Reader:
        """Wait until the store knows of a write that was answered with ``resource_version``."""
        wanted = int(resource_version)
        await self.until(lambda: self.held(name).resource_version >= wanted, seconds=seconds)
        return self.held(name)

    async def equals(self, name: str, listed: Mapping[str, Any], namespace: str | None = None) -> Reader:
        """Wait until the store (or its ``namespace``) holds what was listed.

        Not by the list's resourceVersion: that is the newest of all resources, which a store hears of in a bookmark.
        """
        wanted = digest_of(listed)
        await self.until(lambda: self.held(name).digest(namespace) == wanted)
        return self.held(name)

    # -- what is served ---------------------------------------------------------------------------------

    async def get(self, path: str, *, accept: str = "application/json", **query: str) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://mirror") as client:
            headers = {"accept": accept, "accept-encoding": "identity"}
            return await client.get(path, params=query or None, headers=headers)

    @asynccontextmanager
    async def watch(self, path: str, **more: Any) -> AsyncIterator[Stream]:
        stream = Stream(self._app, path, **more)
        try:
            await stream.started()
            yield stream
        finally:
            await stream.leave()


@asynccontextmanager
async def mirror_of(
    server: Server, *, token: str = MIRROR_TOKEN, clock: Callable[[], float] = time.monotonic, **settings: Any
) -> AsyncIterator[Mirrored]:
    """A mirror of ``server`` that has synced once; the mirror's death is the test's."""
    catalog = Catalog()
    chosen = Settings(**settings)
    async with await Connection.open(kubeconfig=server.kubeconfig(token), env={}) as connection:
        mirror = Mirror(connection, chosen, catalog, clock)
        context = Context(
            catalog=catalog,
            authorizer=AllowAll(),
            authenticator=NobodyInParticular(),
            upstream=ApiServer(connection, mirror),
            settings=chosen,
            clock=clock,
            wall=time.time,
        )
        task = asyncio.create_task(mirror.run(), name="mirror")
        mirrored = Mirrored(server, mirror, context)
        try:
            await mirrored.until(mirrored.complete)
            yield mirrored
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def digest_of(listed: Mapping[str, Any]) -> int:
    """The digest a store must have that holds the items of this LIST."""
    items = [item["metadata"] for item in listed["items"]]
    return sum(identity_digest(item["uid"], int(item["resourceVersion"])) for item in items) % (1 << 128)
