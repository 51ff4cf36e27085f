"""One simulated run: a few hours of a cluster's life and of bad weather, from one seed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from kubemirror.kube.reflector import Reflector, ReflectorOptions
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Apply, Delete, Event, Init, InitDone, PhaseChange
from kubemirror.state.objects import Key
from kubemirror.state.store import Reader, Writer, identity_digest
from tests.simulation import virtual_time
from tests.simulation.cluster import Snapshot, Truth
from tests.simulation.readers import RecordingReader
from tests.simulation.server import BOOKMARK_SECONDS, Kind, Server

AUDIT_SECONDS = 450.0
STORM_SECONDS = 2400.0
# After the weather clears: the longest backoff or retry of a refusal, then two audits at their longest.
CALM_SECONDS = 120.0 + 2 * (AUDIT_SECONDS * 4 / 3 + 80)

THINGS = Resource(
    group="sim.example",
    version="v1",
    plural="things",
    singular="thing",
    kind="Thing",
    namespaced=True,
    versions=(ServedVersion("v1"),),
)


@dataclass
class Outcome:
    """What a run showed."""

    seed: int
    problems: list[str]
    faults: Counter[str]
    relists: Counter[str]
    errors: Counter[str]
    changes: int
    virtual_seconds: float
    requests: int


@dataclass
class Steps:
    """The reflector's own events, checked against the server's true history between lists."""

    server: Server
    problems: list[str] = field(default_factory=list)
    since: int | None = None  # the list's RV; None while nothing is promised
    told: list[int] = field(default_factory=list)
    reader: Reader | None = None

    def take(self, event: Event) -> None:
        match event:
            case InitDone(resource_version):
                self.close()
                self.since, self.told = resource_version, []
                self.installed(resource_version)
            case Apply(changed) | Delete(changed):
                # A deletion told late is the one event that may come out of its order.
                late = isinstance(event, Delete) and changed.resource_version in self.server.lost
                if self.since is not None and not late:
                    self.told.append(changed.resource_version)
            case Init() | PhaseChange():
                pass

    def installed(self, resource_version: int) -> None:
        """A list is what there was at its resourceVersion, changes while it was told included."""
        if self.reader is None or any(resource_version - 100 < rv <= resource_version for rv in self.server.lost):
            return
        held = {(found.uid, found.resource_version) for found in self.reader.snapshot().objects}
        true = self.server.truth.at(resource_version)
        if held != true:
            self.problems.append(f"the list at {resource_version} differs: {sorted(held ^ true)}")

    def restored(self) -> None:
        """Time went back: what is told from here on to the next list is nobody's promise."""
        self.close()
        self.since = None

    def close(self) -> None:
        """No event between two lists may be missing, doubled, out of order or invented."""
        since, told = self.since, self.told
        if since is None or self.server.kind.mirror or not told:
            return
        if told != sorted(set(told)):
            self.problems.append(f"out of order or doubled after {since}: {told}")
        true = [entry.rv for entry in self.server.truth.history if since < entry.rv <= max(told)]
        missing = set(true) - set(told) - self.server.lost
        invented = set(told) - set(true)
        if missing or invented:
            self.problems.append(f"after the list at {since}: missing {missing}, invented {invented}")


def simulate(seed: int) -> Outcome:
    return virtual_time.run(_Run(seed).run())


class _Run:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self.truth = Truth(Random(random.random()))
        for _ in range(random.choice([0, 1, 30, 80])):
            self.truth.write()
        self.kind = Kind(tables=random.random() < 0.75, watch_list=random.random() < 0.7, mirror=random.random() < 0.25)
        self.server = Server(self.truth, Random(random.random()), self.kind)
        self.steps = Steps(self.server)
        self.problems: list[str] = []
        self.readers: list[RecordingReader] = []

    async def run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        random = self.random
        writer = Writer(
            clock=loop.time,
            journal_window=random.choice([60.0, 300.0]),
            journal_least_bytes=random.choice([20_000, 1 << 24]),
        )
        self.steps.reader = writer.reader
        reflector = Reflector(
            transport=self.server,
            resource=THINGS,
            writer=writer,
            options=ReflectorOptions(page_size=random.choice([1, 7, 500]), audit_seconds=AUDIT_SECONDS),
            clock=loop.time,
            random=Random(random.random()),
            sink=self.steps.take,
        )
        readers = self.readers = [
            RecordingReader(writer.reader, Random(random.random()), color=color, namespace=namespace)
            for color, namespace in ((None, None), ("red", None), (None, "ns1"), ("blue", "ns2"))
        ]
        tasks = [
            asyncio.create_task(reflector.run(), name="reflector"),
            asyncio.create_task(self._bookmarks(), name="bookmarks"),
            *(asyncio.create_task(reader.run(), name="reader") for reader in readers),
        ]
        with _cancelled(tasks):
            await self._storm()
            await self._calm()
            for task in tasks:
                if task.done():
                    task.result()
        for reader in readers:
            if reader._position is None:
                with contextlib.suppress(Exception):
                    reader._start()
            reader.drain()
        self._judge(writer, reflector, readers)
        await asyncio.gather(*tasks, return_exceptions=True)
        statistics = writer.statistics
        return Outcome(
            self.seed,
            self.problems,
            self.server.faults,
            statistics.relists,
            statistics.errors,
            sum(reader.changes for reader in readers),
            loop.time(),
            len(self.server.requests),
        )

    async def _bookmarks(self) -> None:
        while True:
            await asyncio.sleep(BOOKMARK_SECONDS)
            self.server.bookmark()

    async def _storm(self) -> None:
        loop, random, server = asyncio.get_running_loop(), self.random, self.server
        badness = random.choice([0.0, 0.3, 1.0, 2.0])
        snapshot = self.truth.snapshot()
        while loop.time() < STORM_SECONDS:
            server.weather = badness if random.random() < 0.7 else 0.0
            await self._life(random.choice([5.0, 60.0, 300.0]))
            match random.randint(0, 40) if badness else -1:
                case 0 | 1 | 2:
                    server.restart()
                case 3 | 4 | 5:
                    server.faults["compaction"] += 1
                    self.truth.compact(self.truth.rv - random.choice([0, 0, 30]))
                case 6 if self.truth.timeline < 5:
                    self._restore(snapshot)
                case 7:
                    snapshot = self.truth.snapshot()
                case 8:
                    server.columns = random.randint(1, 3)
                    server.faults["columns"] += 1
                    for stream in server.watches():  # upstream ends a definition's watches when it changes
                        server._cut_off(stream)
                case 9:
                    await self._during("forbidden", random.choice([2.0, 200.0]))
                case 10 | 11:
                    await self._during("refusing", random.choice([10.0, 600.0]))
                case 12:
                    await self._during("hanging_up", 30.0)
                case 13 | 14:
                    await self._lag(random.choice([2.0, 90.0]))
                case _:
                    pass

    async def _during(self, fault: str, seconds: float) -> None:
        server = self.server
        server.faults[fault] += 1
        setattr(server, fault, True)
        for stream in server.watches():
            server._cut_off(stream)
        await self._life(seconds)
        setattr(server, fault, False)

    async def _lag(self, seconds: float) -> None:
        """The server (or the mirror in front of it) stops hearing; a mirror then tells only the outcome."""
        server = self.server
        server.faults["lag"] += 1
        server.cache.frozen = True
        await self._life(seconds)
        server.cache.frozen = False
        if self.kind.mirror and self.random.random() < 0.5:
            server.leap()
        else:
            server.advance()

    def _restore(self, snapshot: Snapshot) -> None:
        self.server.faults["rollback"] += 1
        self.steps.restored()
        self.truth.restore(snapshot)
        self.server.rebuild()
        for reader in self.readers:
            reader.time_went_back = True

    async def _life(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self.random.choice([0.0, 0.3, 10.0, 50.0]))
            if self.random.random() < 0.3:
                self.truth.elsewhere()
            else:
                self.truth.write()
            self.server.advance()

    async def _calm(self) -> None:
        server = self.server
        server.weather = 0.0
        server.forbidden = server.refusing = server.hanging_up = server.cache.frozen = False
        for stream in server.watches():
            if stream.held_back is not None:
                stream.push(stream.held_back)
        server.advance()
        await self._life(300.0)
        await asyncio.sleep(CALM_SECONDS)

    def _judge(self, writer: Writer, reflector: Reflector, readers: list[RecordingReader]) -> None:
        reader, truth = writer.reader, self.truth
        self.steps.close()
        self.problems += self.steps.problems
        digest = sum(identity_digest(found.uid, found.rv) for found in truth.objects.values()) % (1 << 128)
        if reader.digest() != digest:
            ours = {found.uid: found.resource_version for found in reader.snapshot().objects}
            true = {found.uid: found.rv for found in truth.objects.values()}
            self.problems.append(f"differs ({reflector.state}): {sorted(ours.items() ^ true.items())}")
        if reader.phase != "SYNCED":
            self.problems.append(f"{reader.phase}: {reader.reason}")
        for true_ in truth.objects.values():
            held = reader.get(true_.name, true_.namespace)
            if held is None:
                continue
            if held.raw != true_.held.encode():
                self.problems.append(f"{held.key} differs in its bytes: {held.raw[:300]!r}")
            cells = true_.cells(self.server.columns).encode() if self.kind.tables else b""
            if held.cells != cells:
                self.problems.append(f"{held.key} differs in its cells: {held.cells!r}, not {cells!r}")
        for recorded in readers:
            self.problems += recorded.problems
            view = {key: (held.uid, held.resource_version) for key, held in recorded.view.items()}
            if view != recorded.expected:
                name = f"the reader of {recorded.color}, {recorded.namespace}"
                self.problems.append(f"{name} sees {sorted(view.items() ^ recorded.expected.items())}")


@contextlib.contextmanager
def _cancelled(tasks: list[asyncio.Task[None]]) -> Iterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


__all__ = ["Key", "Outcome", "simulate"]
