"""Streams and large lists: watches told of the same, and of nothing; first bytes; memory of readers who stall.

The mirror has the measured core; its upstream (the demo server), the writer and all readers have the others.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench import contenders
from bench.cluster import cluster
from bench.contenders import API_SERVER, Contender
from bench.generator import Generator, Place, Round, Told, Watches, build, generating
from bench.measures import MB, Row
from bench.mirror import Upstream, upstream
from bench.objects import OBJECT_BYTES
from bench.processes import Cores

_ALL = "/apis/apps/v1/deployments"
# As client-go's informers ask; no watch ends by itself during a run.
_WATCH = "watch=1&allowWatchBookmarks=true&timeoutSeconds=3600&resourceVersion="
# What an event's line is to be long: a Deployment with its managedFields, which the mirror has cut.
_FRAME_BYTES = 4600
# Of kube-apiserver 1.36 with 200 watches, on the machine where the goal was set: twice that. Its own row below is of
# this run.
_API_SERVER_FRAMES = 32_000
# Of a round in which a thousand are told of each event over TLS: what one core can encrypt, with room.
_TLS_RATE = 20.0
# Where the CPU of one event is asked for, as many as make the figure steady.
_QUIET_RATE = 100.0
# First bytes are asked for so often.
_FIRST_BYTES = 15
# Lists at once, every second of them stalled.
_READERS = 16
_LIST_SECONDS = 5.0
_SAMPLE_SECONDS = 0.02
_LABEL = "app.kubernetes.io/instance"
_TOKEN = {"Authorization": "Bearer of-the-bench"}


@dataclass(slots=True)
class Run:
    """Where, how long and how many. told: watches of the same; apart: watches of something else each."""

    cores: Cores
    folder: Path
    told: int
    apart: int
    objects: int
    seconds: float
    rate: float = 50.0
    rows: list[Row] = field(default_factory=list)
    say: Callable[[str], None] = print

    def row(self, row: Row) -> None:
        self.rows.append(row)
        self.say(f"  {row.name}: {row.value:,.2f} {row.unit}" + (f"  ({row.note})" if row.note else ""))

    @property
    def whole(self) -> bool:
        """Whether it is large enough for the goals to mean something."""
        return self.told >= 1000 and self.apart >= 10_000 and self.objects >= 10_000


def measure(run: Run) -> None:
    """All rows."""
    program = build(run.say)
    with upstream(run.objects, OBJECT_BYTES, cores=run.cores, folder=run.folder) as server:
        scene = _Scene(run, program, server)
        for tls in (False, True):
            with _mirror(run, server, tls=tls) as mirror:
                _fan_out(scene, mirror, tls=tls)
                if not tls:
                    _apart(scene, mirror)
                _first_bytes(scene, mirror, tls=tls)
                _memory(run, mirror, tls=tls)
    _beside(run, program)


@contextlib.contextmanager
def _mirror(run: Run, server: Upstream, *, tls: bool) -> Iterator[Contender]:
    place = server.kubeconfig, run.objects
    with contenders.mirror(*place, cores=run.cores, folder=run.folder, tls=tls) as start:
        yield start.contender


@dataclass(frozen=True, slots=True)
class _Scene:
    """The upstream of a run, and who writes to it."""

    run: Run
    program: Path
    server: Upstream

    @property
    def written(self) -> Place:
        config = json.loads(self.server.kubeconfig.read_text())
        authority = contenders.authority_of(config["clusters"][0]["cluster"])
        return Place(self.server.server, {"Authorization": f"Bearer {self.server.token}"}, authority)

    @contextlib.contextmanager
    def watching(self, mirror: Contender, watches: list[Watches]) -> Iterator[Generator]:
        """A generator with these watches of the mirror's newest state."""
        newest = json.loads(mirror.get(f"{_ALL}?limit=1"))["metadata"]["resourceVersion"]
        place = Place(mirror.url, {**mirror.headers, **_TOKEN}, mirror.authority)
        there = [Watches(each.path + newest, each.count) for each in watches]
        with generating(self.program, watched=place, written=self.written, watches=there, cores=self.run.cores) as made:
            yield made


def _object(server: Contender) -> tuple[str, str, str]:
    """Namespace, name and path of the object that is written."""
    (item,) = json.loads(server.get(f"{_ALL}?limit=1"))["items"]
    namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
    return namespace, name, f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def _round(generator: Generator, server: Contender, round_: Round) -> tuple[Told, float]:
    """What came of it, and the server's CPU seconds meanwhile. RuntimeError where an event was not heard once."""
    used = server.process.cpu_seconds()
    told = generator.run(round_)
    spent = server.process.cpu_seconds() - used
    wanted = round_.events * round_.expected
    if told.delivered != wanted or told.wrong:
        raise RuntimeError(
            f"{server.name} told {told.delivered:,} of {wanted:,} events, {told.wrong:,} of them wrongly"
        )
    return told, spent


def _fan_out(scene: _Scene, mirror: Contender, *, tls: bool) -> None:
    run = scene.run
    _, _, path = _object(mirror)
    padding = max(0, _FRAME_BYTES - len(mirror.get(path)) - 100)
    rate = min(_TLS_RATE, run.rate) if tls else run.rate
    asked = Round(int(rate * run.seconds), rate, path, run.told, padding)
    with scene.watching(mirror, [Watches(f"{_ALL}?{_WATCH}", run.told)]) as generator:
        _round(generator, mirror, Round(5, rate, path, run.told, padding))
        told, spent = _round(generator, mirror, asked)
    how = "TLS" if tls else "plaintext"
    _tell_fan_out(run, f"{run.told:,} watches, {how}", told, spent, rate, goals=not tls)


def _tell_fan_out(run: Run, who: str, told: Told, spent: float, rate: float, *, goals: bool) -> None:
    goals = goals and run.whole
    size = told.bytes / told.delivered
    run.row(
        Row(
            f"{who}: frames per CPU second",
            told.delivered / spent,
            "/s",
            goal=2.0 * _API_SERVER_FRAMES if goals else None,
            at_least=True,
            note=f"{told.delivered:,} of {size:,.0f} bytes, {rate:,.0f} events/s; "
            f"{spent / told.delivered * 1e6:.1f} µs each",
        )
    )
    run.row(
        Row(
            f"{who}: 99 of 100 deliveries within",
            told.p99,
            "ms",
            goal=100.0 if goals else None,
            note=f"from the write's request to the reader; half within {told.p50:.1f}, all within {told.max:.1f}",
        )
    )


def _apart(scene: _Scene, mirror: Contender) -> None:
    """CPU of an event by how many it concerns, among many that it does not."""
    run = scene.run
    namespace, name, path = _object(mirror)
    inside = "/apis/apps/v1/namespaces/{}/deployments?" + _WATCH
    by_namespace = inside.format("elsewhere-{}"), inside.format(namespace)
    label = f"{_ALL}?labelSelector={_LABEL}%3D{{}}&{_WATCH}"
    by_label = label.replace("{}", "other-{}"), label.replace("{}", name)
    many = max(1, run.apart // 10)
    none = _cpu_of_an_event(scene, mirror, path, [], 0)
    run.row(Row("CPU of an event, nobody watching", none * 1e6, "µs"))
    for how, (elsewhere, here) in (("namespace", by_namespace), ("label", by_label)):
        for concerned in (0, 1, many):
            watches = [Watches(elsewhere, run.apart - concerned), Watches(here, concerned)]
            spent = _cpu_of_an_event(scene, mirror, path, watches, concerned)
            limit = {0: 2 * none * 1e6, 1: 2 * none * 1e6}.get(concerned)
            each = f"; {(spent - none) / concerned * 1e6:.1f} for each it concerns" if concerned > 1 else ""
            run.row(
                Row(
                    f"{run.apart:,} watches, a {how} each: CPU of an event that concerns {concerned:,}",
                    spent * 1e6,
                    "µs",
                    goal=limit if run.whole else None,
                    note=f"nobody watching: {none * 1e6:,.0f}{each}",
                )
            )


def _cpu_of_an_event(scene: _Scene, mirror: Contender, path: str, watches: list[Watches], concerned: int) -> float:
    run = scene.run
    rate = _QUIET_RATE if concerned <= 1 else 20.0
    asked = Round(int(rate * run.seconds), rate, path, concerned)
    with scene.watching(mirror, [each for each in watches if each.count]) as generator:
        _round(generator, mirror, Round(5, rate, path, concerned))
        _, spent = _round(generator, mirror, asked)
    return spent / asked.events


# -- lists -------------------------------------------------------------------------------------------------------


class _Client:
    """One connection, over which a list of all is asked for and read, or not."""

    def __init__(self, server: Contender, *, gzip: bool, receive_buffer: int = 0) -> None:
        parts = urlsplit(server.url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect((parts.hostname or "", parts.port or 0))
        if server.tls is not None:
            self.socket = server.tls.wrap_socket(self.socket, server_hostname=parts.hostname)
        fields = {"Host": parts.netloc, "Accept": "application/json", "User-Agent": "bench", **server.headers, **_TOKEN}
        fields["Accept-Encoding"] = "gzip" if gzip else "identity"
        self._request = "".join(
            [f"GET {_ALL} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"]
        ).encode()
        self._buffer = bytearray(1 << 18)

    def ask(self) -> None:
        self.socket.sendall(self._request)

    def read(self) -> tuple[float, int]:
        """Ask and read all: seconds until the body's first byte, and how many bytes the body was sent in."""
        start = time.perf_counter()
        self.ask()
        head = b""
        while not head.partition(b"\r\n\r\n")[2]:
            head += self._take()
        first = time.perf_counter() - start
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a list was answered {head[:100]!r}")
        fields, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", fields, re.IGNORECASE)
        size, end = len(body), body[-5:]
        while size < int(length[1]) if length else end != b"0\r\n\r\n":
            taken = self._take()
            size, end = size + len(taken), (end + taken[-5:])[-5:]
        return first, size

    def _take(self) -> bytes:
        count = self.socket.recv_into(self._buffer)
        if not count:
            raise RuntimeError("the connection ended inside a list")
        return bytes(self._buffer[:count])

    def close(self) -> None:
        self.socket.close()


def _first_bytes(scene: _Scene, mirror: Contender, *, tls: bool) -> None:
    """Of lists of all, each after a write, so that none is the same as the one before."""
    run = scene.run
    _, _, path = _object(mirror)
    with scene.watching(mirror, []) as generator:
        for gzip in (True, False):
            client = _Client(mirror, gzip=gzip)
            _, size = client.read()
            taken = []
            for _ in range(_FIRST_BYTES):
                generator.run(Round(1, 100.0, path, 0))
                taken.append(client.read()[0] * 1000)
            client.close()
            run.row(
                Row(
                    f"LIST of all {run.objects:,}, {_form(gzip=gzip, tls=tls)}: first byte of the body",
                    statistics.median(taken),
                    "ms",
                    goal=20.0 if run.whole else None,
                    note=f"{size / MB:,.1f} MB as sent; the worst of {len(taken)}, each after a change: "
                    f"{max(taken):.1f}",
                )
            )


def _memory(run: Run, mirror: Contender, *, tls: bool) -> None:
    """Growth of what is resident while some read lists one after the other and as many read nothing."""
    for gzip in (True, False):
        warm = _Client(mirror, gzip=gzip)
        _, size = warm.read()
        warm.read()
        warm.close()
        plain = size if not gzip else _plain_bytes(mirror)
        before = mirror.process.resident_bytes()
        grown, lists = _read_together(run, mirror, gzip=gzip)
        run.row(
            Row(
                f"{_READERS} LISTs of all at once, {_form(gzip=gzip, tls=tls)}, half of them stalled: memory grows by",
                (grown - before) / MB,
                "MB",
                goal=2 * plain / MB if run.whole else None,
                note=f"two bodies of {plain / MB:,.1f} MB ({size / MB:,.1f} as sent); {lists} lists read meanwhile",
            )
        )


def _plain_bytes(mirror: Contender) -> int:
    client = _Client(mirror, gzip=False)
    _, size = client.read()
    client.close()
    return size


def _read_together(run: Run, mirror: Contender, *, gzip: bool) -> tuple[int, int]:
    """The most that was resident, and how many lists were read."""
    clients = [_Client(mirror, gzip=gzip) for _ in range(_READERS)]
    ends = time.perf_counter() + min(_LIST_SECONDS, run.seconds)
    counts = [0] * _READERS
    failures: list[BaseException] = []

    def read(number: int) -> None:
        try:
            while time.perf_counter() < ends:
                clients[number].read()
                counts[number] += 1
        except (OSError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(0, _READERS, 2)]
    for stalled in clients[1::2]:
        stalled.ask()
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, mirror.process.resident_bytes())
        time.sleep(_SAMPLE_SECONDS)
    for client in clients:
        client.close()
    if failures:
        raise failures[0]
    return most, sum(counts)


def _form(*, gzip: bool, tls: bool) -> str:
    return f"{'gzip' if gzip else 'not compressed'}, {'TLS' if tls else 'plaintext'}"


# -- beside ------------------------------------------------------------------------------------------------------


def _beside(run: Run, program: Path) -> None:
    """kube-apiserver, asked the same by the same program; it speaks TLS only."""
    with cluster(cores=run.cores, folder=run.folder) as real:
        real.fill(1, run.say)
        server = real.contender
        _, _, path = _object(server)
        newest = json.loads(server.get(f"{_ALL}?limit=1"))["metadata"]["resourceVersion"]
        place = Place(server.url, server.headers, server.authority)
        watches = [Watches(f"{_ALL}?{_WATCH}{newest}", run.told)]
        rate = min(_TLS_RATE, run.rate)
        padding = max(0, _FRAME_BYTES - len(server.get(path)) - 100)
        server.process.move(run.cores.measured)
        with generating(program, watched=place, written=place, watches=watches, cores=run.cores) as generator:
            _round(generator, server, Round(5, rate, path, run.told, padding))
            told, spent = _round(generator, server, Round(int(rate * run.seconds), rate, path, run.told, padding))
        server.process.move(run.cores.others)
    _tell_fan_out(run, f"beside it, {API_SERVER}: {run.told:,} watches, TLS", told, spent, rate, goals=False)
