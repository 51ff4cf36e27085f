"""/watch over WebSockets: how soon each reader is told, how many there can be, and what it costs to keep them.

The mirror has the measured core; its upstream (the demo server), the writer and all readers have the others. Beside it,
in the same run: a loop that only sends, kube-apiserver's own watch, and version-rs, which can only be asked again.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import clocked, contenders
from bench.cluster import cluster
from bench.contenders import API_SERVER, VERSION_RS, Contender
from bench.generator import Generator, Place, Round, Told, Watches, build, generating
from bench.measures import MB, Row
from bench.mirror import START, Upstream, upstream
from bench.objects import OBJECT_BYTES, encode
from bench.processes import Cores
from bench.raw import sending

_ALL = "/apis/apps/v1/deployments"
_NAMESPACE = "bench"
_TOLD = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments"
_NAME = "told"
_IMAGE = "registry.example/bench/told"
_WATCH = "/watch?resource=deployments&snapshot=false"
_RESUMED = "/watch?resource=deployments&resourceVersion="
_UPSTREAM_WATCH = f"{_ALL}?watch=1&allowWatchBookmarks=true&timeoutSeconds=3600&resourceVersion="
# What the goals are said for (issue and docs/performance.md name them).
_FRAME_BYTES = 1500
_RATE = 20.0
# Each write of a round at saturation follows the one before at once: nobody's upstream is as quick as this.
_SATURATED = 2000.0
_SATURATED_EVENTS = 250  # for each second of a round
# With and without a reader that has stalled, in turns.
_PAIRS = 3
# What fills a reader that takes nothing: 256 kB of the kernel's, 64 kB of the transport's, and as much again.
_FILL_EVENTS = 400
_FILL_RATE = 150.0
# Written while all readers are away.
_MISSED = 20
KIB = 1024


@dataclass(slots=True)
class Run:
    """Where, how long and how many. told: readers of the same events; idle: readers who hear nothing.

    version_rs: its program, where it is to run.
    """

    cores: Cores
    folder: Path
    told: int
    idle: int
    objects: int
    seconds: float
    version_rs: Path | None = None
    rows: list[Row] = field(default_factory=list)
    say: Callable[[str], None] = print

    def row(
        self, name: str, value: float, unit: str, *, goal: float | None = None, least: bool = False, note: str = ""
    ) -> None:
        row = Row(name, value, unit, goal if self.whole else None, least, note)
        self.rows.append(row)
        self.say(f"  {name}: {value:,.2f} {unit}" + (f"  ({note})" if note else ""))

    @property
    def settle_seconds(self) -> float:
        """After which a process has given back what it gives back."""
        return 2.0 if self.whole else 0.2

    @property
    def whole(self) -> bool:
        """Whether it is large enough for the goals to mean something."""
        return self.told >= 1000 and self.idle >= 10_000


def measure(run: Run) -> None:
    """All rows."""
    program = build(run.say)
    with upstream(run.objects, OBJECT_BYTES, cores=run.cores, folder=run.folder) as server:
        config = json.loads(server.kubeconfig.read_text())["clusters"][0]["cluster"]
        authority = contenders.authority_of(config)
        place = Place(server.server, {"Authorization": f"Bearer {server.token}"}, authority)
        _create(server.connect(), dict(place.headers))
        scene = _Scene(run, program, server, place)
        _delays(scene)
        with scene.mirror() as mirror:
            _saturated(scene, mirror)
        with scene.mirror() as mirror:
            _idle(scene, mirror)
    _beside(run, program)


@dataclass(frozen=True, slots=True)
class _Scene:
    """The upstream of a run, and who writes to it."""

    run: Run
    program: Path
    server: Upstream
    written: Place

    @contextlib.contextmanager
    def mirror(self, program: str = START) -> Iterator[Contender]:
        run = self.run
        place = self.server.kubeconfig, run.objects + 1
        with contenders.mirror(*place, cores=run.cores, folder=run.folder, program=program) as start:
            yield start.contender

    def reading(self, url: str, watches: list[Watches]) -> contextlib.AbstractContextManager[Generator]:
        """A generator with these WebSockets."""
        return generating(
            self.program,
            watched=Place(url),
            written=self.written,
            watches=watches,
            cores=self.run.cores,
            sockets=True,
        )


def _create(connection: Any, headers: dict[str, str]) -> None:
    """The object that all rounds write to: small, so that padding makes it as long as it is to be."""
    labels = {"app": _NAME}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": f"{_IMAGE}:r0-0"}]}}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _NAME},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pods},
    }
    for path, body in (("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}}), (_TOLD, made)):
        connection.request("POST", path, encode(body), {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 201:
            raise RuntimeError(f"the API server refused to create what is written to: {said[:500]!r}")
    connection.close()


def _padding(server: Contender) -> int:
    """What makes a frame of _FRAME_BYTES of it: beside the object there are its type, id and cursor."""
    return max(0, _FRAME_BYTES - len(server.get(f"{_TOLD}/{_NAME}")) - 130)


def _asked(run: Run, padding: int, *, seconds: float | None = None) -> Round:
    events = int(_RATE * (run.seconds if seconds is None else seconds))
    return Round(max(events, 5), _RATE, f"{_TOLD}/{_NAME}", run.told, padding)


def _round(generator: Generator, server: str, round_: Round) -> Told:
    """RuntimeError where an event was not heard once by each."""
    told = generator.run(round_)
    _check(server, told, round_.events * round_.expected)
    return told


def _check(server: str, told: Told, wanted: int) -> None:
    if told.delivered != wanted or told.wrong:
        raise RuntimeError(f"{server} told {told.delivered:,} of {wanted:,} events, {told.wrong:,} of them wrongly")


# -- how soon ----------------------------------------------------------------------------------------------------


def _delays(scene: _Scene) -> None:
    """At 20 events a second, with and without a reader who has stalled."""
    run = scene.run
    file = run.folder / "delays.json"
    rounds: dict[bool, list[Told]] = {False: [], True: []}
    spent = 0.0
    with scene.mirror(clocked.program(file)) as mirror:
        padding = _padding(mirror)
        filling = Round(_FILL_EVENTS if run.whole else 10, _FILL_RATE, f"{_TOLD}/{_NAME}", run.told, padding)
        with scene.reading(mirror.url, [Watches(_WATCH, run.told)]) as generator:
            for _ in range(_PAIRS if run.whole else 1):
                for stalled in (False, True):
                    if stalled:
                        generator.stall(_WATCH)
                    _round(generator, mirror.name, filling)
                    time.sleep(0.5)
                    used = mirror.process.cpu_seconds()
                    rounds[stalled].append(_round(generator, mirror.name, _asked(run, padding)))
                    spent += mirror.process.cpu_seconds() - used
                    generator.release()
    delays = clocked.read(file)
    alone, beside = (_Delays.of([delays[each.number] for each in rounds[stalled]]) for stalled in (False, True))
    heard = sum(each.delivered for each in rounds[False])
    if alone.count < heard * 0.95:
        raise RuntimeError(f"of {heard:,} deliveries {alone.count:,} were timed in the mirror")
    readers = f"{run.told:,} WebSockets, {_RATE:.0f} events/s"
    size = sum(each.bytes for each in rounds[False]) / heard
    both = sum(each.delivered for some in rounds.values() for each in some)
    seen = [statistics.median(getattr(each, name) for each in rounds[False]) for name in ("p50", "p99", "last_p99")]
    note = f"{alone.count:,} of {size:,.0f} bytes; 99 of 100 within {alone.p99:.2f}; {spent / both * 1e6:.1f} µs of CPU"
    where = "from upstream's bytes to the write: half within"
    run.row(f"{readers}, {where}", alone.p50, "ms", goal=5.0, note=note)
    run.row(
        f"{readers}, the last of all readers: 99 of 100 events within",
        alone.last_p99,
        "ms",
        goal=25.0,
        note=f"half of them within {alone.last_p50:.2f}",
    )
    run.row(
        f"{readers}, as the reader sees it: half within",
        seen[0],
        "ms",
        note=f"from the write's request; 99 of 100 within {seen[1]:.1f}; the last of all readers {seen[2]:.1f}",
    )
    run.row(
        "one reader more, who takes nothing: 99 of 100 deliveries to the others take longer by",
        max(0.0, (beside.p99 / alone.p99 - 1) * 100),
        "%",
        goal=10.0,
        note=f"{beside.p99:.2f} ms instead of {alone.p99:.2f}, {len(rounds[True])} rounds each in turns",
    )


@dataclass(frozen=True, slots=True)
class _Delays:
    """Milliseconds in the mirror, over all deliveries and over the last one of each event."""

    count: int
    p50: float
    p99: float
    last_p50: float
    last_p99: float

    @classmethod
    def of(cls, rounds: list[dict[int, list[float]]]) -> _Delays:
        every = sorted(taken for round_ in rounds for event in round_.values() for taken in event)
        last = sorted(max(event) for round_ in rounds for event in round_.values())
        return cls(len(every), _part(every, 50), _part(every, 99), _part(last, 50), _part(last, 99))


def _part(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


# -- how many ----------------------------------------------------------------------------------------------------


def _saturated(scene: _Scene, mirror: Contender) -> None:
    """Frames a second where there is always more to tell, beside a loop that sends and does nothing else."""
    run = scene.run
    padding = _padding(mirror)
    with sending(cores=run.cores, folder=run.folder) as raw, scene.reading(raw.url, [Watches("/", run.told)]):
        raw.send(0.3, _FRAME_BYTES)
        before = raw.send(run.seconds / 2, _FRAME_BYTES)
        paced = raw.pace(run.seconds / 2, _FRAME_BYTES, _RATE)
        heard: dict[bool, tuple[Told, float]] = {}
        for batch in (False, True):
            watch = f"{_WATCH}&batch=true" if batch else _WATCH
            with scene.reading(mirror.url, [Watches(watch, run.told)]) as generator:
                _round(generator, mirror.name, _asked(run, padding, seconds=0.5))
                events = int(_SATURATED_EVENTS * run.seconds)
                asked = Round(events, _SATURATED, f"{_TOLD}/{_NAME}", run.told, padding)
                used = mirror.process.cpu_seconds()
                told = _round(generator, mirror.name, asked)
                heard[batch] = told, mirror.process.cpu_seconds() - used
    with sending(cores=run.cores, folder=run.folder) as raw, scene.reading(raw.url, [Watches("/", run.told)]):
        raw.send(0.3, _FRAME_BYTES)
        rate = (before + raw.send(run.seconds / 2, _FRAME_BYTES)) / 2
    readers = f"{run.told:,} WebSockets"
    run.row(
        f"{readers}, a loop of socket.send, {_RATE:.0f} rounds/s: half within",
        _part(paced, 50),
        "ms",
        note=f"from the first of a round; 99 of 100 within {_part(paced, 99):.2f}: what of the above is sending",
    )
    run.row(f"{readers}, a loop of socket.send: frames", rate, "/s", note=f"{_FRAME_BYTES:,} bytes, before and after")
    for batch, (told, spent) in heard.items():
        heard_rate, each = told.delivered / told.seconds, spent / told.delivered
        how = ", batch=true" if batch else ""
        run.row(
            f"{readers}{how}, as many events as there can be: a core's frames, of that loop's",
            1 / each / rate * 100,
            "%",
            goal=60.0,
            least=True,
            note=f"{each * 1e6:.1f} µs each; {heard_rate:,.0f}/s of {told.bytes / told.delivered:,.0f} bytes in "
            f"{told.frames / told.delivered:.2f} messages each, {heard_rate / run.told:,.0f} events/s, by "
            f"{spent / told.seconds:.0%} of the core",
        )


# -- what they cost ----------------------------------------------------------------------------------------------


def _idle(scene: _Scene, mirror: Contender) -> None:
    """Readers to whom nothing happens but heartbeats; then all of them come back at once."""
    run = scene.run
    padding = _padding(mirror)
    with scene.reading(mirror.url, [Watches(_WATCH, 1)]) as generator:
        generator.run(Round(1, _RATE, f"{_TOLD}/{_NAME}", 1, padding))
    before = mirror.process.resident_bytes()
    began = time.perf_counter()
    with scene.reading(mirror.url, [Watches(_WATCH, run.idle)]) as generator:
        opened = time.perf_counter() - began
        time.sleep(run.settle_seconds)
        each = (mirror.process.resident_bytes() - before) / run.idle / KIB
        seconds = max(15.0, run.seconds * 2.5) if run.whole else run.seconds  # a heartbeat comes every 15 s at least
        used, start = mirror.process.cpu_seconds(), time.perf_counter()
        time.sleep(seconds)
        share = (mirror.process.cpu_seconds() - used) / (time.perf_counter() - start)
        readers = f"{run.idle:,} idle WebSockets"
        resident = f"{mirror.process.resident_bytes() / MB:,.0f} MB resident; opened in {opened:.1f} s"
        run.row(f"{readers}: memory each", each, "KiB", goal=40.0, note=resident)
        beats = f"over {seconds:.0f} s, with a heartbeat each 12 to 15 s"
        run.row(f"{readers}: share of the core", share * 100, "%", goal=10.0, note=beats)
        _return(scene, mirror, generator, padding)


def _return(scene: _Scene, mirror: Contender, generator: Generator, padding: int) -> None:
    run = scene.run
    cursor = json.loads(mirror.get(f"{_ALL}?limit=1"))["metadata"]["resourceVersion"]
    generator.leave()
    missed = generator.run(Round(_MISSED, _RATE, f"{_TOLD}/{_NAME}", 0, padding))
    time.sleep(run.settle_seconds)
    used = mirror.process.cpu_seconds()
    with _asking(mirror) as stalls:
        come = generator.come([Watches(_RESUMED + cursor, run.idle)], missed, _MISSED)
    spent = mirror.process.cpu_seconds() - used
    _check(mirror.name, come, _MISSED * run.idle)
    _round(generator, mirror.name, Round(2, 1.0, f"{_TOLD}/{_NAME}", run.idle, padding))
    run.row(
        f"{run.idle:,} WebSockets resume at once: all have heard what they missed within",
        come.seconds,
        "s",
        goal=20.0,
        note=f"{_MISSED} events each, half of it within {come.p50 / 1000:.1f}; {spent:.1f} s of CPU; "
        f"{come.retries:,} came again; /livez meanwhile answered within {max(stalls):.2f} s",
    )


@contextlib.contextmanager
def _asking(mirror: Contender) -> Iterator[list[float]]:
    """Seconds that /livez takes, asked for one after the other on one connection."""
    taken = [0.0]
    done = threading.Event()

    def ask() -> None:
        connection = mirror.connect()
        while not done.is_set():
            start = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            taken.append(time.perf_counter() - start)
            done.wait(0.02)
        connection.close()

    thread = threading.Thread(target=ask, name="livez")
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


# -- beside ------------------------------------------------------------------------------------------------------


def _beside(run: Run, program: Path) -> None:
    """kube-apiserver's own watch, over TLS as it has it, and version-rs asked once a second."""
    with cluster(cores=run.cores, folder=run.folder) as real:
        real.fill(run.objects, run.say)
        server = real.contender
        place = Place(server.url, server.headers, server.authority)
        _create(server.connect(), dict(server.headers))
        padding = max(0, _FRAME_BYTES - len(server.get(f"{_TOLD}/{_NAME}")) - 650)
        asked = _asked(run, padding)
        with _on_the_core(run, server), _watching(run, program, server, run.told) as generator:
            generator.run(_asked(run, padding, seconds=0.5))
            used = server.process.cpu_seconds()
            told = generator.run(asked)
            _tell_upstream(run, told, server.process.cpu_seconds() - used)
        _idle_upstream(run, program, server)
        if run.version_rs is not None:
            polled = contenders.version_rs(
                run.version_rs, real.kubeconfig, run.objects + 1, cores=run.cores, folder=run.folder
            )
            with (
                polled as start,
                generating(
                    program, watched=Place(start.contender.url), written=place, watches=[], cores=run.cores
                ) as generator,
            ):
                _poll(run, start.contender, generator, padding)


@contextlib.contextmanager
def _on_the_core(run: Run, server: Contender) -> Iterator[None]:
    server.process.move(run.cores.measured)
    try:
        yield
    finally:
        server.process.move(run.cores.others)


@contextlib.contextmanager
def _watching(run: Run, program: Path, server: Contender, count: int) -> Iterator[Generator]:
    newest = json.loads(server.get(f"{_ALL}?limit=1"))["metadata"]["resourceVersion"]
    place = Place(server.url, server.headers, server.authority)
    watches = [Watches(_UPSTREAM_WATCH + newest, count)]
    with generating(program, watched=place, written=place, watches=watches, cores=run.cores) as generator:
        yield generator


def _tell_upstream(run: Run, told: Told, spent: float) -> None:
    _check(API_SERVER, told, told.delivered)
    run.row(
        f"beside it, {API_SERVER}: {run.told:,} watches, {_RATE:.0f} events/s, as the reader sees it: half within",
        told.p50,
        "ms",
        note=f"TLS; {told.bytes / told.delivered:,.0f} bytes; 99 of 100 within {told.p99:.1f}; the last of all "
        f"readers {told.last_p99:.1f}; {spent / told.delivered * 1e6:.1f} µs of CPU",
    )


def _idle_upstream(run: Run, program: Path, server: Contender) -> None:
    before = server.process.resident_bytes()
    with _on_the_core(run, server), _watching(run, program, server, run.idle):
        time.sleep(run.settle_seconds)
        each = (server.process.resident_bytes() - before) / run.idle / KIB
        used, start = server.process.cpu_seconds(), time.perf_counter()
        time.sleep(run.seconds)
        share = (server.process.cpu_seconds() - used) / (time.perf_counter() - start)
    run.row(
        f"beside it, {API_SERVER}: {run.idle:,} idle watches: memory each",
        each,
        "KiB",
        note=f"TLS; {share:.1%} of the core, bookmarks once a minute",
    )


def _poll(run: Run, server: Contender, generator: Generator, padding: int) -> None:
    asked = Round(max(int(_RATE * run.seconds), 5), _RATE, f"{_TOLD}/{_NAME}", 0, padding, image=_IMAGE)
    used, start = server.process.cpu_seconds(), time.perf_counter()
    told = generator.poll(asked, path="/versions", clients=run.told, marker='"version":"r{}-')
    share = (server.process.cpu_seconds() - used) / (time.perf_counter() - start)
    if not told.delivered:
        raise RuntimeError("version-rs never showed what was written")
    run.row(
        f"beside it, {VERSION_RS}: {run.told:,} clients ask for /versions each second: half of the changes seen within",
        told.p50,
        "ms",
        note=f"99 of 100 within {told.p99:,.0f}, states between two answers are not seen; {share:.0%} of the core, "
        f"{run.objects + 1:,} Deployments",
    )
