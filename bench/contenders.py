"""Who is measured beside whom: the mirror, version-rs, and the API server that both read from."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from bench.mirror import START
from bench.processes import Cores, Observed, Process, python, running, wait_until

MIRROR, VERSION_RS, API_SERVER = "kubemirror", "version-rs", "kube-apiserver"
# Nobody takes longer to list 10,000 objects, whatever else runs.
_SYNC_SECONDS = 120.0
# Often enough for 1 % of a second's sync; asking costs both alike, for neither has anything to tell before the end.
_POLL_SECONDS = 0.02
# version-rs listens there on all addresses, and it is nowhere to be set (version.rs).
_VERSION_RS_PORT = 8000


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server. tls: what its certificate is checked against, None where it speaks plain HTTP.

    authority: the same as PEM, for programs of others.
    """

    name: str
    process: Observed
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    authority: str = ""

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        parts = urlsplit(self.url)
        if self.tls is None:
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=60, context=self.tls)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer, as sent. RuntimeError for a status but 200."""
        connection = self.connect()
        try:
            connection.request("GET", path, headers={**self.headers, **(headers or {})})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answered {path} with {answer.status}: {body[:300]!r}")
        return body


@dataclass(frozen=True, slots=True)
class Start:
    """From a process' first instruction to a complete /versions."""

    contender: Contender
    seconds: float
    cpu_seconds: float


@contextlib.contextmanager
def mirror(
    kubeconfig: Path, objects: int, *, cores: Cores, folder: Path, tls: bool = False, program: str = START
) -> Iterator[Start]:
    """``kubemirror serve`` of the cluster, complete. program: what Python is to run for it."""
    flags = ["--kubeconfig", str(kubeconfig), "--port", "0", "--log-level", "warning", "--shutdown-delay-seconds", "0"]
    trusted, pem_of = None, ""
    if tls:
        authority = trustme.CA()
        pem = folder / "mirror.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
        pem_of = authority.cert_pem.bytes().decode()
        trusted = ssl.create_default_context(cadata=pem_of)
        flags += ["--tls-cert", str(pem), "--tls-key", str(pem)]
    began = time.perf_counter()
    name = f"{MIRROR}-tls" if tls else MIRROR
    with running(name, python("-c", program, "serve", *flags), on=cores.measured, folder=folder) as process:
        url = process.first_line(seconds=60).split()[-1].rstrip("/")
        yield _complete(Contender(MIRROR, process, url, tls=trusted, authority=pem_of), process, objects, began)


@contextlib.contextmanager
def version_rs(binary: Path, kubeconfig: Path, objects: int, *, cores: Cores, folder: Path) -> Iterator[Start]:
    """version-rs of the cluster, complete. The caller has seen to it that nobody else can reach it."""
    began = time.perf_counter()
    environment = {"KUBECONFIG": str(kubeconfig)}
    with running(VERSION_RS, [str(binary)], on=cores.measured, folder=folder, environment=environment) as process:
        contender = Contender(VERSION_RS, process, f"http://127.0.0.1:{_VERSION_RS_PORT}")
        yield _complete(contender, process, objects, began)


def _complete(contender: Contender, process: Process, objects: int, began: float) -> Start:
    def complete() -> bool:
        try:
            return len(json.loads(contender.get("/versions"))) == objects
        except (OSError, RuntimeError):
            return False  # not listening yet, or not ready

    what = f"a complete /versions of {contender.name}"
    wait_until(what, complete, seconds=_SYNC_SECONDS, every=_POLL_SECONDS, process=process)
    return Start(contender, time.perf_counter() - began, process.cpu_seconds())


def authority_of(cluster: Mapping[str, str]) -> str:
    """The authority that a kubeconfig's cluster trusts, as PEM."""
    return base64.b64decode(cluster["certificate-authority-data"]).decode()


def find_version_rs(variables: Mapping[str, str] = os.environ) -> tuple[Path | None, str]:
    """What VERSION_RS names: the program, or a checkout in which it was built for release; else None and the remedy."""
    named = variables.get("VERSION_RS")
    if not named:
        return None, "version-rs was not run: let VERSION_RS name its release binary, or the checkout it was built in"
    for place in (Path(named), Path(named) / "target" / "release" / "version"):
        if place.is_file() and os.access(place, os.X_OK):
            return place.resolve(), ""
    return None, f"version-rs was not run: VERSION_RS={named} is no program, and has none at target/release/version"
