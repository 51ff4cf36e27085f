"""An API server filled with Deployments, and the real mirror of it on a core of its own."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.processes import Cores, Process, python, running, wait_until

# Filling 100,000 objects takes the demo server about a minute on a slow core.
_FILL_SECONDS = 300.0
_SYNC_SECONDS = 120.0
# What only the development lock brings stays out, as in the image: structlog loads rich where it finds it.
START = "import sys; sys.modules['rich'] = None; from kubemirror.__main__ import main; sys.exit(main())"
# Often enough for 1 % of a second's sync, seldom enough to cost the mirror less than 1 % of its core.
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Upstream:
    """A demo API server in a process of its own, without a life of its own."""

    process: Process
    kubeconfig: Path
    server: str
    token: str
    tls: ssl.SSLContext

    def connect(self) -> http.client.HTTPSConnection:
        parts = urlsplit(self.server)
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, context=self.tls, timeout=30)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A running ``kubemirror serve``, synced; what it took to get there."""

    process: Process
    url: str
    seconds: float  # from the start of the process until it was ready
    cpu_seconds: float  # used until then

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def status(self) -> dict[str, Any]:
        """/-/status."""
        told: dict[str, Any] = json.loads(self.get("/-/status"))
        return told


@contextlib.contextmanager
def upstream(objects: int, object_bytes: int, *, cores: Cores, folder: Path) -> Iterator[Upstream]:
    """A filled API server that speaks TLS, on the cores beside the measured one."""
    kubeconfig = folder / f"upstream-{objects}.kubeconfig"
    command = python("-m", "bench.upstream", str(objects), str(object_bytes), str(kubeconfig))
    with running(f"upstream-{objects}", command, on=cores.others, folder=folder) as process:
        process.first_line(seconds=_FILL_SECONDS)
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        yield Upstream(process, kubeconfig, cluster["server"], user["token"], tls)


@contextlib.contextmanager
def mirror(of: Upstream, *, cores: Cores, folder: Path, name: str = "mirror", wait: bool = True) -> Iterator[Mirror]:
    """The mirror of ``of``. wait: until it is ready; otherwise seconds and CPU are those until it listened."""
    command = python(
        *("-c", START, "serve", "--kubeconfig", str(of.kubeconfig), "--port", "0", "--log-level", "warning"),
        *("--shutdown-delay-seconds", "0"),
    )
    start = time.perf_counter()
    with running(name, command, on=cores.measured, folder=folder) as process:
        url = process.first_line(seconds=60).split()[-1].rstrip("/")
        if wait:
            wait_until("readiness", lambda: ready(url), seconds=_SYNC_SECONDS, every=_POLL_SECONDS, process=process)
        yield Mirror(process, url, time.perf_counter() - start, process.cpu_seconds())


def ready(url: str) -> bool:
    """Whether /readyz says so."""
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:  # HTTPError among them: not ready
        return False
