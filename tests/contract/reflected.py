"""One resource reflected by itself, as a user of the library does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kubemirror.kube.connection import Connection
from kubemirror.kube.discovery import discover
from kubemirror.kube.reflector import Reflector, ReflectorOptions
from kubemirror.state.catalog import Resource
from kubemirror.state.events import Event, Phase, PhaseChange
from kubemirror.state.store import Reader, Writer
from tests.contract.mirrored import MIRROR_TOKEN
from tests.contract.servers import PATIENCE_SECONDS, Server

# Backoffs are the reflector's own and tested on virtual time: here they only have to pass.
FASTER = 100.0


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / FASTER)


@dataclass
class Reflected:
    reader: Reader
    reflector: Reflector
    events: list[Event] = field(default_factory=list)

    @property
    def phases(self) -> list[Phase]:
        return [event.phase for event in self.events if isinstance(event, PhaseChange)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for ``condition``, asked again whenever the store moves."""
        moved = asyncio.Event()
        stop = self.reader.on_progress(moved.set)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    moved.clear()
                    await moved.wait()
        finally:
            stop()

    async def synced(self) -> Reader:
        await self.until(lambda: self.reader.synced)
        return self.reader


@asynccontextmanager
async def reflected(
    server: Server,
    resource: str | Resource,
    *,
    namespace: str = "",
    token: str = MIRROR_TOKEN,
    url: str = "",
    **options: Any,
) -> AsyncIterator[Reflected]:
    """url: of a line to the server."""
    writer = Writer(clock=time.monotonic)
    events: list[Event] = []
    async with await Connection.open(kubeconfig=server.kubeconfig(token, url=url), env={}) as connection:
        reflector = Reflector(
            transport=connection,
            resource=await discover(connection, resource) if isinstance(resource, str) else resource,
            writer=writer,
            namespace=namespace,
            options=ReflectorOptions(**options),
            clock=time.monotonic,
            sleep=_sleep,
            sink=events.append,
        )
        task = asyncio.create_task(reflector.run(), name="reflector")
        try:
            yield Reflected(writer.reader, reflector, events)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
