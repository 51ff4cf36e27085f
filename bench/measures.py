"""What is measured, row by row. Each function says how."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.bare import answering
from bench.load import load
from bench.mirror import Mirror, Upstream, mirror, ready, upstream
from bench.objects import OBJECT_BYTES, deployment, encode
from bench.processes import Cores, wait_until

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. goal: the most (or, with ``at_least``, the least) that is wanted; None: no goal."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass(slots=True)
class Run:
    """Where and how long."""

    cores: Cores
    folder: Path
    detailed: int  # the size at which events and requests are measured too
    rounds: int = 3
    load_seconds: float = 4.0
    rows: list[Row] = field(default_factory=list)
    say: Callable[[str], None] = print

    def row(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        goal: float | None = None,
        at_least: bool = False,
        note: str = "",
    ) -> None:
        self.rows.append(Row(name, value, unit, goal, at_least, note))
        self.say(f"  {name}: {value:,.1f} {unit}" + (f"  ({note})" if note else ""))


def json_pass(run: Run) -> float:
    """Microseconds of json.loads + json.dumps of one 4.6 kB Deployment: what the machine is good for."""
    raws = [encode(deployment(index)) for index in range(2000)]
    taken = []
    for _ in range(run.rounds):
        start = time.process_time()
        for raw in raws:
            json.dumps(json.loads(raw))
        taken.append((time.process_time() - start) / len(raws) * 1e6)
    return statistics.median(taken)


def sync(run: Run, objects: int, object_bytes: int, empty: tuple[float, float], *, unit: float) -> None:
    """CPU from start to ready, less that of a mirror of an empty server; memory two seconds later.

    Two mirrors one after the other: the first is only watched from outside for stalls, the second is
    measured undisturbed. unit: the json pass, microseconds.
    """
    base_cpu, base_resident = empty
    with upstream(objects, object_bytes, cores=run.cores, folder=run.folder) as server:
        sent = sum(len(encode(item)) for item in _sample(server)) / _SAMPLE
        with mirror(server, cores=run.cores, folder=run.folder, name=f"stalls-{objects}", wait=False) as watched:
            stall = longest_stall(watched)
        with mirror(server, cores=run.cores, folder=run.folder, name=f"sync-{objects}") as synced:
            time.sleep(2)
            resident, peak = synced.process.resident_bytes(), synced.process.peak_bytes()
            held, count = held_bytes(synced)
            per_object = (synced.cpu_seconds - base_cpu) / count * 1e6
            big = f"{objects:,}"
            run.row(
                f"sync of {big}: CPU per object",
                per_object,
                "µs",
                goal=100 if objects == 10_000 else None,
                note=f"TLS and HTTP included; {sent:,.0f} bytes as sent; {per_object / unit:.2f} json passes",
            )
            run.row(f"sync of {big}: start to ready", synced.seconds, "s", note="the API server is the limit")
            run.row(
                f"sync of {big}: longest stall of the loop",
                stall * 1000,
                "ms",
                goal=100 if objects == 100_000 else None,
            )
            run.row(
                f"{big} held: resident",
                resident / MB,
                "MB",
                goal={10_000: (1.4 * held + 70 * MB) / MB, 100_000: 500}.get(objects),
                note=f"peak {peak / MB:,.0f}; {held / MB:,.0f} MB of bytes held",
            )
            run.row(
                f"{big} held: resident per byte held",
                (resident - base_resident) / held,
                "",
                note=f"above an empty mirror's {base_resident / MB:,.0f} MB; {held / count:,.0f} bytes an object",
            )
            if objects == run.detailed:
                events(run, server, synced, unit=unit)
                requests(run, synced)


def empty_mirror(run: Run) -> tuple[float, float]:
    """CPU seconds and resident bytes, two seconds after it was ready, of a mirror of a server not filled."""
    with (
        upstream(0, OBJECT_BYTES, cores=run.cores, folder=run.folder) as server,
        mirror(server, cores=run.cores, folder=run.folder, name="empty") as idle,
    ):
        time.sleep(2)
        cpu, resident = idle.process.cpu_seconds(), idle.process.resident_bytes()
    run.row("empty mirror: start to ready", idle.seconds, "s")
    run.row("empty mirror: CPU until ready", idle.cpu_seconds, "s")
    run.row("empty mirror: resident", resident / MB, "MB")
    return cpu, resident


def longest_stall(watched: Mirror) -> float:
    """Seconds that /livez took at most while the mirror synced, asked every 5 ms on one connection."""
    longest = 0.0
    done = threading.Event()

    def ask() -> None:
        nonlocal longest
        host, _, port = watched.url.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        while not done.is_set():
            start = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            longest = max(longest, time.perf_counter() - start)
            time.sleep(0.005)
        connection.close()

    thread = threading.Thread(target=ask, name="livez")
    thread.start()
    try:
        wait_until("readiness", lambda: ready(watched.url), seconds=300, every=0.1, process=watched.process)
        time.sleep(1)  # what follows a sync (collection, freezing) may stall too
    finally:
        done.set()
        thread.join()
    return longest


_EVENTS = 3000  # at most: one of each object
_SAMPLE = 50


def events(run: Run, server: Upstream, synced: Mirror, *, unit: float) -> None:
    """CPU per watch event: merge patches of as many Deployments, until the mirror shows the last."""
    names = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in _sample(server, _EVENTS)]
    connection = server.connect()
    before, start = synced.process.cpu_seconds(), time.perf_counter()
    body = ""
    for index, (namespace, name) in enumerate(names):
        body = json.dumps({"metadata": {"annotations": {"example.com/round": str(index)}}})
        headers = {"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {server.token}"}
        connection.request("PATCH", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", body, headers)
        answer = connection.getresponse()
        last = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"the demo server refused a patch: {last.get('message')}")
    wanted = last["metadata"]["resourceVersion"]
    namespace, name = names[-1]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    wait_until(
        "the last event",
        lambda: json.loads(synced.get(path))["metadata"]["resourceVersion"] == wanted,
        seconds=30,
        every=0.05,
        process=synced.process,
    )
    taken = (synced.process.cpu_seconds() - before) / len(names) * 1e6
    rate = len(names) / (time.perf_counter() - start)
    run.row("watch event: CPU", taken, "µs", note=f"{rate:,.0f} events/s; {taken / unit:.2f} json passes")


def requests(run: Run, synced: Mirror) -> None:
    """/versions of one and of all, beside a bare ASGI answer of the same bytes; rounds alternate."""
    first = json.loads(synced.get("/versions"))[0]
    one = f"/versions/{first['namespace']}/{first['name']}"
    for name, path, connections in (("one", one, 32), ("all", "/versions", 8)):
        body = synced.get(path)
        ours: list[tuple[float, float]] = []
        bare: list[tuple[float, float]] = []
        with bare_server(run, body) as plain:
            for _ in range(run.rounds):
                for server, path_, into in ((synced, path, ours), (plain, "/", bare)):
                    load(server.url + path_, connections=connections, seconds=0.5)
                    used = server.process.cpu_seconds()
                    result = load(server.url + path_, connections=connections, seconds=run.load_seconds)
                    if result.failures:
                        raise RuntimeError(f"{result.failures} requests of {path_} failed")
                    spent = server.process.cpu_seconds() - used
                    into.append((result.rate, spent / max(1, result.answers) * 1e6))
        rate, cpu = (statistics.median(column) for column in zip(*ours, strict=True))
        bare_rate, bare_cpu = (statistics.median(column) for column in zip(*bare, strict=True))
        run.row(
            f"GET /versions ({name}): rate",
            rate,
            "/s",
            note=f"{len(body):,} bytes, {connections} connections; {rate / bare_rate:.2f} of a bare ASGI answer",
        )
        run.row(f"GET /versions ({name}): CPU", cpu, "µs", note=f"bare ASGI {bare_cpu:,.1f}")


@contextmanager
def bare_server(run: Run, body: bytes) -> Iterator[Mirror]:
    """The bare answer on the measured core."""
    with answering(body, cores=run.cores, folder=run.folder) as (process, url):
        yield Mirror(process, url, 0.0, 0.0)


def held_bytes(synced: Mirror) -> tuple[int, int]:
    """Bytes of raw objects and cells held, and objects, over all stores."""
    with urllib.request.urlopen(synced.url + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()

    def total(metric: str) -> int:
        samples = (line.rsplit(" ", 1) for line in lines if line.startswith(metric + "{"))
        return int(sum(float(value) for _, value in samples))

    held, count = total("kubemirror_object_bytes"), total("kubemirror_objects")
    if not held or not count:
        raise RuntimeError("/metrics tells no bytes or objects held")
    return held, count


def _sample(server: Upstream, count: int = _SAMPLE) -> list[dict[str, dict[str, str]]]:
    connection = server.connect()
    connection.request(
        "GET", f"/apis/apps/v1/deployments?limit={count}", headers={"Authorization": f"Bearer {server.token}"}
    )
    answer = connection.getresponse()
    items: list[dict[str, dict[str, str]]] = json.loads(answer.read())["items"]
    connection.close()
    return items
