"""A namespace with some life behind it on the real control plane, a mirror of it with TLS, and kubectl for both."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from kubemirror.demo.users import ADMIN_TOKEN
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ProgramError, require
from tests.kubectl.kubectl import Kubectl, Said
from tests.serve.process import Process, serving

HERE = Path(__file__).parent
OBJECTS = HERE / "objects.yaml"
MIRRORED = (
    "nodes,namespaces,pods,events,services,configmaps,serviceaccounts,resourcequotas,limitranges,persistentvolumes,"
    "persistentvolumeclaims,replicationcontrollers,endpoints,*.apps,*.batch,*.networking.k8s.io,*.policy,"
    "*.rbac.authorization.k8s.io,*.coordination.k8s.io,*.discovery.k8s.io,*.events.k8s.io,*.storage.k8s.io,"
    "*.autoscaling,*.scheduling.k8s.io"
)
# Further kubectls, by the names of programs.py: what `make soak` compares beside the one of today.
EARLIER = os.environ.get("KUBEMIRROR_EARLIER", "").split()
collect_ignore = [] if EARLIER else ["test_an_earlier_kubectl_prints_the_same.py"]
# Controllers act within a second; two crowded cores may be many times as slow.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Books:
    """The namespace books: kubectl of the server's administrator, and of the mirror."""

    plane: ControlPlane
    mirror: Process
    server: Kubectl
    mirrored: Kubectl

    def typed(self, kubectl: Kubectl, line: str) -> Said:
        """What ``line`` prints, with names for what it leaves open."""
        return kubectl.line(self._named(line))

    def both(self, line: str) -> tuple[Said, Said]:
        """What ``line`` prints at the server and at the mirror, asked at the same moment."""
        line = self._named(line)
        with ThreadPoolExecutor(2) as pool:
            server, mirror = pool.map(lambda kubectl: kubectl.line(line), (self.server, self.mirrored))
        return server, mirror

    def _named(self, line: str) -> str:
        for what in ("pod", "replicaset"):
            if f"{{{what}}}" in line:
                names = self.server.done("get", what, "-n", "books", "-l", "app=web", "-o", "name").split()
                line = line.replace(f"{{{what}}}", names[0])
        return line.replace("{objects}", str(OBJECTS))


@pytest.fixture(scope="package")
def kubectl() -> Path:
    try:
        return require("kubectl")
    except ProgramError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="package")
def books(kubectl: Path, full_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    folder = tmp_path_factory.mktemp("books")
    server = Kubectl(kubectl, full_control_plane.kubeconfig, folder / "server")
    try:
        fill(server)
        certificate, key = folder / "tls.crt", folder / "tls.key"
        flags = ["--kubeconfig", str(full_control_plane.kubeconfig), "--shutdown-delay-seconds", "0"]
        flags += [flag for each in MIRRORED.split(",") for flag in ("--mirror", each)]
        if EARLIER:  # they print managedFields where those of today leave them out
            flags.append("--keep-managed-fields")
        flags += ["--tls-self-signed", "--tls-cert", str(certificate), "--tls-key", str(key)]
        with serving(folder, *flags) as mirror:
            mirror.verify = ssl.create_default_context(cafile=str(certificate))
            mirrored = Kubectl(kubectl, printed_kubeconfig(folder, mirror, certificate), folder / "mirrored")
            mirror.until_ready()
            until_quiet(full_control_plane, mirror)
            yield Books(full_control_plane, mirror, server, mirrored)
    finally:
        for file in (OBJECTS, HERE / "definition.yaml"):
            server("delete", "--ignore-not-found", "--wait=false", "-f", str(file))


def fill(server: Kubectl) -> None:
    """Objects, and a history: two rollouts, one of them undone, and a scaling."""
    definition = str(HERE / "definition.yaml")
    server.done("create", "-f", definition)
    server.done("wait", "--for=condition=established", "-f", definition, f"--timeout={PATIENCE_SECONDS:.0f}s")
    until(
        lambda: server("create", "--dry-run=server", "-f", str(OBJECTS)).err.count("no matches for kind") == 0, server
    )
    server.done("create", "-f", str(OBJECTS))
    web = ("-n", "books", "deploy/web")
    rolled_out = ("rollout", "status", *web, f"--timeout={PATIENCE_SECONDS:.0f}s")
    server.done(*rolled_out)
    server.done("set", "image", *web, "web=registry.example.com:5000/web:1.1")
    server.done("annotate", *web, "kubernetes.io/change-cause=the <second>", "--overwrite")
    server.done(*rolled_out)
    server.done("scale", *web, "--replicas=3")
    server.done("set", "image", *web, "web=registry.example.com:5000/web:1.2")
    server.done(*rolled_out)
    server.done("rollout", "undo", *web)
    server.done(*rolled_out)
    ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    server.done("patch", "book", "emma", "-n", "books", "--subresource=status", "--type=merge", "-p", ready)


def printed_kubeconfig(folder: Path, mirror: Process, certificate: Path) -> Path:
    """What ``kubemirror kubeconfig`` prints for the mirror."""
    command = [sys.executable, "-m", "kubemirror", "kubeconfig", "--server", mirror.url, "--ca", str(certificate)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    path = folder / "mirror.kubeconfig"
    path.write_text(printed)
    return path


def until_quiet(plane: ControlPlane, mirror: Process) -> None:
    """Until nothing changes any more, and the mirror has it: other tests may have left something that still ends."""
    context = ssl.create_default_context(cafile=str(plane.certificate))
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    with (
        httpx.Client(base_url=plane.url, verify=context, headers=headers, timeout=30) as server,
        httpx.Client(base_url=mirror.url, verify=mirror.verify, timeout=30) as mirrored,
    ):
        paths = [path_of(each) for each in mirrored.get("/-/status").json()["resources"]]
        paths = [path for path in paths if not path.endswith("/leases")]  # renewed all the time

        def state(client: httpx.Client) -> Any:
            return {path: identities(client.get(path).raise_for_status().json()) for path in paths}

        def quiet() -> bool:
            before = state(server)
            return state(mirrored) == before == state(server) and "Terminating" not in str(before)

        until(quiet, paths)


def path_of(resource: dict[str, Any]) -> str:
    group = resource["group"]
    prefix = f"/apis/{group}" if group else "/api"
    return f"{prefix}/{resource['version']}/{resource['resource'].partition('.')[0]}"


def identities(listed: dict[str, Any]) -> set[tuple[str, str, str]]:
    """What is there, and in which phase."""
    return {
        (each["metadata"]["uid"], each["metadata"]["resourceVersion"], str(each.get("status", {}).get("phase")))
        for each in listed["items"]
    }


def until(condition: Callable[[], bool], told: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
