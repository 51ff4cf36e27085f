"""The mirror beside version-rs and beside kube-apiserver, on one real cluster: rounds alternate, ratios count."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import contenders
from bench.cluster import DEPLOYMENTS, Cluster, cluster
from bench.contenders import API_SERVER, VERSION_RS, Contender, Start
from bench.figures import Figure
from bench.load import load
from bench.processes import Cores

MB = 1_000_000
# After which a process that has synced has given back what it gives back.
_SETTLE_SECONDS = 2.0
_ALL = "/apis/apps/v1/deployments"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
# What client-go sends with each request.
_GZIP = {"Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of two servers; theirs: None for one that could not run.

    goal: of the ratio, mirror to other; the most that is wanted, or with ``at_least`` the least.
    """

    name: str
    unit: str
    ours: Figure
    other: str
    theirs: Figure | None
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours.median / self.theirs.median if self.theirs is not None else None

    @property
    def reached(self) -> bool | None:
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal


@dataclass(frozen=True, slots=True)
class Question:
    """One request of the load rows. other: who is asked it beside the mirror.

    tls: over TLS, as the other has it. seconds: a round's length at least, where an answer takes long.
    """

    name: str
    path: str
    other: str
    connections: int
    goal: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class Run:
    """Where, how long and how often. version_rs: its program, where it is to run."""

    cores: Cores
    folder: Path
    version_rs: Path | None
    rounds: int
    seconds: float
    rows: list[Row] = field(default_factory=list)
    say: Callable[[str], None] = print

    def row(self, row: Row) -> None:
        self.rows.append(row)
        theirs = f"{row.theirs.median:,.2f}" if row.theirs is not None else "not run"
        ratio = f", ratio {row.ratio:.2f}" if row.ratio is not None else ""
        self.say(f"  {row.name}: {row.ours.median:,.2f} {row.unit}, {row.other} {theirs}{ratio}")


def measure(run: Run, sizes: list[int]) -> None:
    """All rows, at each number of Deployments; the smaller first."""
    with cluster(cores=run.cores, folder=run.folder) as upstream:
        for objects in sorted(sizes):
            upstream.fill(objects, run.say)
            _starts(run, upstream)
            _loads(run, upstream)


def _mirror(run: Run, upstream: Cluster, *, tls: bool = False) -> contextlib.AbstractContextManager[Start]:
    return contenders.mirror(upstream.kubeconfig, upstream.objects, cores=run.cores, folder=run.folder, tls=tls)


def _version_rs(run: Run, upstream: Cluster) -> contextlib.AbstractContextManager[Start]:
    assert run.version_rs is not None
    place = run.version_rs, upstream.kubeconfig, upstream.objects
    return contenders.version_rs(*place, cores=run.cores, folder=run.folder)


def _starts(run: Run, upstream: Cluster) -> None:
    """From nothing to a complete /versions: seconds, CPU, and what is resident two seconds later."""
    taken: dict[str, list[tuple[float, float, float]]] = {contenders.MIRROR: [], VERSION_RS: []}
    for _ in range(run.rounds):
        for start in (_mirror, _version_rs) if run.version_rs is not None else (_mirror,):
            with start(run, upstream) as started:
                time.sleep(_SETTLE_SECONDS)
                resident = started.contender.process.resident_bytes() / MB
                taken[started.contender.name].append((started.seconds, started.cpu_seconds, resident))
    ours = [Figure.of(column) for column in zip(*taken[contenders.MIRROR], strict=True)]
    columns = zip(*taken[VERSION_RS], strict=True)
    theirs: list[Figure | None] = [Figure.of(column) for column in columns] or [None, None, None]
    size = f"{upstream.objects:,}"
    for name, unit, goal, our, their in zip(
        ("process start to a complete /versions", "CPU from start to synced", "resident after sync"),
        ("s", "s", "MB"),
        (1.0, 1.0, 0.30),
        ours,
        theirs,
        strict=True,
    ):
        wanted = goal if upstream.objects >= _GOALS_FROM else None
        run.row(Row(f"{size}: {name}", unit, our, VERSION_RS, their, goal=wanted))


# What is to be reached is said for 10,000 Deployments; below, a row is there to be compared.
_GOALS_FROM = 10_000


def _questions(upstream: Cluster) -> list[Question]:
    first = json.loads(upstream.contender.get(f"{_ALL}?limit=1"))["items"][0]["metadata"]
    namespace, name = first["namespace"], first["name"]
    inside = DEPLOYMENTS.format(namespace)
    table = {"Accept": _TABLE}
    asked = [
        Question("GET /versions/{ns}/{name}", f"/versions/{namespace}/{name}", VERSION_RS, 32, goal=1.1),
        Question("GET /versions", "/versions", VERSION_RS, 8, goal=30),
    ]
    for name_, path, headers, goal, connections, least in (
        ("GET one Deployment", f"{inside}/{name}", {}, 8.0, 32, 0.0),
        ("LIST a namespace, objects", inside, {}, 20.0, 8, 0.0),
        ("LIST a namespace, Table", inside, table, 20.0, 8, 0.0),
        # The API server takes about a second for one of these.
        ("LIST all", _ALL, {}, 20.0, 2, upstream.objects / 1000),
    ):
        asked.append(Question(f"{name_}, gzip", path, API_SERVER, connections, goal, headers | _GZIP, True, least))
        asked.append(Question(f"{name_}, not compressed", path, API_SERVER, connections, None, headers, True, least))
    return asked


def _loads(run: Run, upstream: Cluster) -> None:
    """Requests per second, asked of everybody in turn; whoever is asked has the measured core to itself."""
    with _running(run, upstream) as servers:
        for question in _questions(upstream):
            _load(run, upstream, question, servers)
        ours, theirs = (
            Figure.of([servers[name, True].process.resident_bytes() / MB]) for name in (contenders.MIRROR, API_SERVER)
        )
        wanted = 0.07 if upstream.objects >= _GOALS_FROM else None
        name, note = f"{upstream.objects:,}: resident", "holding the same, and having answered the same over TLS"
        run.row(Row(name, "MB", ours, API_SERVER, theirs, goal=wanted, note=note))


@contextlib.contextmanager
def _running(run: Run, upstream: Cluster) -> Iterator[dict[tuple[str, bool], Contender]]:
    """Everybody, by name and whether over TLS."""
    with contextlib.ExitStack() as stack:
        servers = {(API_SERVER, True): upstream.contender}
        for tls in (False, True):
            servers[contenders.MIRROR, tls] = stack.enter_context(_mirror(run, upstream, tls=tls)).contender
        if run.version_rs is not None:
            servers[VERSION_RS, False] = stack.enter_context(_version_rs(run, upstream)).contender
        yield servers


def _load(run: Run, upstream: Cluster, question: Question, servers: dict[tuple[str, bool], Contender]) -> None:
    sides = [(contenders.MIRROR, question.tls), (question.other, question.tls)]
    if question.tls:
        sides.append((contenders.MIRROR, False))
    sides = [side for side in sides if side in servers]
    rates: dict[tuple[str, bool], list[float]] = {side: [] for side in sides}
    costs: list[float] = []
    size = 0
    for _ in range(run.rounds):
        for side in sides:
            rate, cost, size = _round(run, servers[side], question)
            rates[side].append(rate)
            if side == sides[0]:
                costs.append(cost)
    figures = {side: Figure.of(taken) for side, taken in rates.items()}
    note = f"{size:,} bytes, {question.connections} connections; {Figure.of(costs).median:,.1f} µs of CPU"
    if question.tls:
        note += f"; in plaintext {figures[contenders.MIRROR, False].median:,.0f}/s"
    run.row(
        Row(
            f"{upstream.objects:,}: {question.name}",
            "/s",
            figures[sides[0]],
            question.other,
            figures.get((question.other, question.tls)),
            goal=question.goal if upstream.objects >= _GOALS_FROM else None,
            at_least=True,
            note=note,
        )
    )


def _round(run: Run, server: Contender, question: Question) -> tuple[float, float, int]:
    """Answers per second, microseconds of the server's CPU per answer, bytes per answer."""
    headers = {**server.headers, **question.headers}
    url = server.url + question.path
    moved = server.name == API_SERVER
    if moved:
        server.process.move(run.cores.measured)
    try:
        server.get(question.path, question.headers)  # what is made once is made
        used = server.process.cpu_seconds()
        seconds = max(run.seconds, question.seconds)
        result = load(url, connections=question.connections, seconds=seconds, headers=headers)
        spent = server.process.cpu_seconds() - used
    finally:
        if moved:
            server.process.move(run.cores.others)
    if result.failures:
        raise RuntimeError(f"{result.failures} of {server.name}'s answers to {question.path} failed")
    if not result.answers:
        raise RuntimeError(f"{server.name} did not answer {question.path} within {seconds:.0f} s")
    return result.rate, spent / result.answers * 1e6, result.received // result.answers
