"""A resource that is being mirrored: its stores, each with the reflector that writes it.

And the two questions that decide its fate when discovery or its definition tells something new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol

from kubemirror.kube.reflector import ReflectorOptions
from kubemirror.kube.selection import Wanted
from kubemirror.kube.transport import Transport
from kubemirror.state.catalog import Entry, Resource
from kubemirror.state.events import Phase, PhaseChange
from kubemirror.state.store import Writer


class Reflecting(Protocol):
    """What the mirror asks of a reflector."""

    async def run(self) -> None:
        """Reflect until cancelled."""

    def refresh(self, reason: str) -> None:
        """List again now."""

    def upstream_is_back(self) -> None:
        """Wait no longer for that."""


class MakeReflector(Protocol):
    """Reflector's constructor; another one in tests."""

    def __call__(
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
    ) -> Reflecting: ...


@dataclass(slots=True, eq=False)
class ReflectedStore:
    """One running reflector and the store it writes."""

    writer: Writer
    reflector: Reflecting
    phase: Phase = Phase.INIT
    listening: list[Callable[[], None]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _hurry: asyncio.Task[None] | None = None

    def task(self, task: asyncio.Task[None]) -> None:
        """A task that lives no longer than this store."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def hurry(self, task: asyncio.Task[None]) -> None:
        self.calm()
        self._hurry = task
        self.task(task)

    def calm(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def deafen(self) -> None:
        """Nobody is told any more how this store moves."""
        for cancel in self.listening:
            cancel()
        self.listening.clear()

    def stop(self) -> None:
        self.deafen()
        for task in list(self._tasks):
            task.cancel()

    def end(self, reason: str) -> None:
        """DELETED for each object that is still held, and the end of its streams."""
        self.stop()
        self.writer.handle(PhaseChange(Phase.GONE, reason))


@dataclass(slots=True, eq=False)
class Mirrored:
    """A resource that is being mirrored. provisional: there at start, required until it has answered once."""

    wanted: Wanted
    entry: Entry
    stores: dict[str, ReflectedStore]
    provisional: bool = False

    @property
    def answered(self) -> bool:
        return all(
            store.writer.reader.synced or store.writer.reader.phase in {Phase.FORBIDDEN, Phase.GONE}
            for store in self.stores.values()
        )


def merged(held: Resource, wanted: Resource) -> Resource:
    """``wanted``, with the hashes told before where now none are: aggregated discovery has none."""
    hashes = {served.name: served.storage_version_hash for served in held.versions}
    versions = tuple(
        served if served.storage_version_hash else replace(served, storage_version_hash=hashes.get(served.name, ""))
        for served in wanted.versions
    )
    return replace(wanted, versions=versions)


def replaced_because(held: Resource, wanted: Resource) -> str:
    """Why the store of ``held`` cannot go on as that of ``wanted``; "" when it can."""
    name = held.name
    if held.uid and wanted.uid and held.uid != wanted.uid:
        return f"{name} was deleted and defined again"
    if held.namespaced != wanted.namespaced:
        return f"the scope of {name} changed"
    if held.kind != wanted.kind:
        return f"{name} is now of kind {wanted.kind}"
    if held.version != wanted.version:
        return f"{name} is now mirrored as {wanted.version}"
    gone = [served.name for served in held.versions if wanted.served(served.name) is None]
    if gone:
        return f"{name} is no longer served as {', '.join(gone)}"
    return ""
