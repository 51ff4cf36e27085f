"""What access costs, beside a real kube-apiserver whose audit log counts: a known caller's reads, and open streams.

Two mirrors of the same API server, one in local mode and one that delegates, are asked the same with the same headers
in alternate rounds: what a decision costs a caller who is known is the difference. Then streams are opened for accounts
of their own, and what the API server is asked about them is counted for a few turns.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.load import load
from bench.measures import Row
from bench.mirror import START, ready
from bench.processes import Cores, Process, python, running, starting_on, wait_until
from kubemirror.demo.users import ADMIN_TOKEN
from tests.cluster.control_plane import ControlPlane

NAMESPACE = "access"
DEPLOYMENTS = 50
IDENTITIES = 50
# Of what a known caller gets through the fast lane otherwise.
LOSS_PERCENT = 10.0
REVIEWS_A_SECOND = 2.0
# Until every stream has been asked about once, after the ten seconds for which its first review holds.
SETTLE_SECONDS = 45.0
_ROLE = "/apis/rbac.authorization.k8s.io/v1"
_SYNC_SECONDS = 60.0


@dataclass(slots=True)
class Run:
    """Where and how long. seconds: for which reviews are counted; at least one turn of half a minute."""

    cores: Cores
    folder: Path
    streams: int = 1000
    rounds: int = 5
    load_seconds: float = 3.0
    seconds: float = 90.0
    rows: list[Row] = field(default_factory=list)

    def row(self, name: str, value: float, unit: str, *, goal: float | None = None, note: str = "") -> None:
        self.rows.append(Row(name, value, unit, goal, note=note))
        print(f"  {name}: {value:,.2f} {unit}" + (f"  ({note})" if note else ""))


def measure(run: Run) -> None:
    """Every row."""
    with starting_on(run.cores.others), ControlPlane(folder=run.folder / "cluster") as plane:
        tokens = accounts(plane, IDENTITIES)
        with mirror(run, plane, "local") as local, mirror(run, plane, "delegated") as delegated:
            fast_lane(run, local, delegated)
            asyncio.run(streams(run, plane, delegated, tokens))


def accounts(plane: ControlPlane, count: int) -> list[str]:
    """Tokens of so many accounts, which may all read Deployments in one namespace."""
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]}]
    plane.request("POST", f"{_ROLE}/namespaces/{NAMESPACE}/roles", {"metadata": {"name": "readers"}, "rules": rules})
    binding = {
        "metadata": {"name": "readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "readers"},
        "subjects": [{"kind": "Group", "name": f"system:serviceaccounts:{NAMESPACE}"}],
    }
    plane.request("POST", f"{_ROLE}/namespaces/{NAMESPACE}/rolebindings", binding)
    for index in range(DEPLOYMENTS):
        plane.request("POST", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", _deployment(f"web-{index}"))
    made = []
    for index in range(count):
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        plane.request("POST", path, {"metadata": {"name": f"reader-{index}"}})
        told = plane.request("POST", f"{path}/reader-{index}/token", {"spec": {"expirationSeconds": 3600}})
        made.append(str(told["status"]["token"]))
    return made


def _deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example.com/web:1.0"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": pod}}


@contextmanager
def mirror(run: Run, plane: ControlPlane, access: str) -> Iterator[tuple[Process, str]]:
    """One in that mode, synced."""
    command = python(
        *("-c", START, "serve", "--kubeconfig", str(plane.kubeconfig), "--port", "0", "--log-level", "warning"),
        *("--access", access, "--shutdown-delay-seconds", "0", "--shutdown-seconds", "5"),
    )
    with running(f"mirror-{access}", command, on=run.cores.measured, folder=run.folder) as process:
        url = process.first_line(seconds=60).split()[-1].rstrip("/")
        wait_until("readiness", lambda: ready(url), seconds=_SYNC_SECONDS, every=0.05, process=process)
        yield process, url


def fast_lane(run: Run, local: tuple[Process, str], delegated: tuple[Process, str]) -> None:
    """The same requests of one known caller, in both modes."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    for name, path in (
        ("GET /versions (one)", f"/versions/{NAMESPACE}/web-0"),
        ("GET of an object", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web-0"),
    ):
        spent: dict[str, list[float]] = {"local": [], "delegated": []}
        for _ in range(run.rounds):
            for mode, (process, url) in (("local", local), ("delegated", delegated)):
                load(url + path, connections=16, seconds=0.5, headers=headers)
                used = process.cpu_seconds()
                done = load(url + path, connections=16, seconds=run.load_seconds, headers=headers)
                if done.failures:
                    raise RuntimeError(f"{done.failures} requests of {path} failed in {mode} mode")
                spent[mode].append((process.cpu_seconds() - used) / max(1, done.answers) * 1e6)
        plain, known = (statistics.median(spent[mode]) for mode in ("local", "delegated"))
        note = f"a core's time for each answer: {known:.1f} µs of a known caller, {plain:.1f} µs in local mode"
        run.row(f"{name}: lost to access", (1 - plain / known) * 100, "%", goal=LOSS_PERCENT, note=note)


async def streams(run: Run, plane: ControlPlane, delegated: tuple[Process, str], tokens: list[str]) -> None:
    """Streams of some identities, one tuple each, and what the API server is asked because of them."""
    process, url = delegated
    parts = urlsplit(url)
    path = f"/watch?resource=deployments&namespace={NAMESPACE}&as=key&snapshot=false"
    opened = [
        await _stream(parts.hostname or "", parts.port or 0, path, tokens[index % len(tokens)])
        for index in range(run.streams)
    ]
    drains = [asyncio.create_task(_drain(reader)) for reader, _ in opened]
    await asyncio.sleep(SETTLE_SECONDS)
    began, used = time.time(), process.cpu_seconds()
    await asyncio.sleep(run.seconds)
    ended, spent = time.time(), process.cpu_seconds() - used
    if any(each.done() for each in drains):
        raise RuntimeError("streams ended while they were counted")
    asked = Counter(
        each.resource
        for each in plane.requests()
        if each.stage == "RequestReceived" and each.verb == "create" and began <= each.received < ended
    )
    for each in drains:
        each.cancel()
    for _, writer in opened:
        writer.close()
    seconds = ended - began
    what = f"{run.streams:,} streams of {len(tokens)} identities"
    note = f"counted in the audit log of kube-apiserver for {seconds:.0f} s"
    for resource, kind in (
        ("subjectaccessreviews.authorization.k8s.io", "SubjectAccessReviews"),
        ("tokenreviews.authentication.k8s.io", "TokenReviews"),
    ):
        run.row(f"{what}: {kind}", asked[resource] / seconds, "/s", goal=REVIEWS_A_SECOND, note=note)
    run.row(f"{what}: CPU", spent / seconds * 100, "%", note="of one core, heartbeats among it")


async def _stream(host: str, port: int, path: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a stream was refused: {head[:200]!r}")
    return reader, writer


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
