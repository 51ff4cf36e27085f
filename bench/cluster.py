"""A real kube-apiserver with its etcd, filled with Deployments: upstream of those who are measured, and one of them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.contenders import API_SERVER, Contender
from bench.objects import NAMESPACES, deployment, encode
from bench.processes import Cores, Observed, starting_on
from kubemirror.demo.users import ADMIN_TOKEN
from tests.cluster.control_plane import ControlPlane

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
# Enough in flight to keep the API server busy; Python's own share grows with more.
_WRITERS = 16
# Loopback is no address to advertise, and there is no other: nobody dials this one (RFC 5737, TEST-NET-1).
_ADVERTISED = "192.0.2.1"
_PROGRESS_EVERY = 2500


class Cluster:
    """Such a server. kubeconfig: the administrator's."""

    def __init__(self, plane: ControlPlane) -> None:
        self.kubeconfig = plane.kubeconfig
        authority = plane.certificate.read_text()
        tls = ssl.create_default_context(cadata=authority)
        process = Observed(API_SERVER, plane.processes[API_SERVER].pid)
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        self.contender = Contender(API_SERVER, process, plane.url, headers, tls=tls, authority=authority)
        self.objects = 0

    def fill(self, objects: int, say: Callable[[str], None]) -> None:
        """Create Deployments of bench.objects' Deployments until there are so many. RuntimeError for one refused."""
        if not self.objects:
            connection = self.contender.connect()
            for number in range(NAMESPACES):
                _send(connection, "POST", "/api/v1/namespaces", {"metadata": {"name": f"team-{number:02}"}})
        connections = threading.local()
        counter = itertools.count(self.objects)

        def create(index: int) -> None:
            if not hasattr(connections, "own"):
                connections.own = self.contender.connect()
            _create(connections.own, index)
            count = next(counter)
            if count and count % _PROGRESS_EVERY == 0:
                say(f"  {count:,} of {objects:,} Deployments created")

        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer") as pool:
            for _ in pool.map(create, range(self.objects, objects)):
                pass
        self.objects = objects


def _create(connection: http.client.HTTPConnection, index: int) -> None:
    """As in life: somebody applies it, and the controller tells how its rollout stands."""
    made = deployment(index)
    metadata = made["metadata"]
    for name in ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"):
        del metadata[name]
    path = DEPLOYMENTS.format(metadata["namespace"])
    _send(connection, "POST", f"{path}?fieldManager=kubectl", made)
    status = {"status": made["status"]}
    _send(connection, "PATCH", f"{path}/{metadata['name']}/status?fieldManager=kube-controller-manager", status)


def _send(connection: http.client.HTTPConnection, method: str, path: str, body: dict[str, Any]) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": kind}
    connection.request(method, path, encode(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in (200, 201):
        raise RuntimeError(f"the API server refused to {method} {path}: {said[:500]!r}")


@contextlib.contextmanager
def cluster(*, cores: Cores, folder: Path) -> Iterator[Cluster]:
    """An empty one, away from the measured core."""
    flags = (f"--advertise-address={_ADVERTISED}", "--endpoint-reconciler-type=none")
    plane = ControlPlane(folder=folder / "cluster", audit=False, flags=flags)
    with starting_on(cores.others):
        plane.start()
    try:
        yield Cluster(plane)
    finally:
        plane.stop()
