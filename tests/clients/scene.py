"""An API server that is written to all the time, a mirror of it with TLS, and restarts of both."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx

from kubemirror.demo.users import ADMIN_TOKEN
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_ports
from tests.serve.process import Process, serving

MIRRORED = ("namespaces", "pods", "configmaps")
BOOKS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "books.clients.example.com"},
    "spec": {
        "group": "clients.example.com",
        "scope": "Namespaced",
        "names": {"plural": "books", "singular": "book", "kind": "Book"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
NAMESPACES = ("clients-a", "clients-b")
PATHS = {
    "configmaps": "/api/v1/namespaces/{}/configmaps",
    "pods": "/api/v1/namespaces/{}/pods",
    "deployments": "/apis/apps/v1/namespaces/{}/deployments",
    "books": "/apis/clients.example.com/v1/namespaces/{}/books",
}
NAMES = 15  # of each kind in each namespace, at most
# About as many writes a second as a busy cluster of some thousand pods has.
BETWEEN_WRITES_SECONDS = 0.02


class Scene:
    """The API server, and the mirror at one address through all its lives."""

    def __init__(self, plane: ControlPlane, folder: Path, seed: int) -> None:
        self.plane = plane
        self.random = Random(seed)
        self.written = 0
        self._folder = folder
        self._port = free_ports(1)[0]
        self._lives = 0
        self._living = ExitStack()
        self._mirror: Process | None = None

    # -- the mirror -------------------------------------------------------------------------------------

    @property
    def mirror(self) -> Process:
        assert self._mirror is not None
        return self._mirror

    @property
    def kubeconfig(self) -> Path:
        """Of the mirror, as the mirror's own command prints it."""
        path = self._folder / "kubeconfig"
        if not path.exists():
            url, ca = f"https://127.0.0.1:{self._port}", str(self._folder / "tls.crt")
            command = [sys.executable, "-m", "kubemirror", "kubeconfig", "--server", url, "--ca", ca]
            path.write_text(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)
        return path

    def start_mirror(self) -> None:
        self._lives += 1
        pair = "--tls-self-signed", "--tls-cert", str(self._folder / "tls.crt"), "--tls-key"
        flags = [*pair, str(self._folder / "tls.key"), "--port", str(self._port)]
        flags += ["--kubeconfig", str(self.plane.kubeconfig), "--shutdown-delay-seconds", "0"]
        flags += [flag for each in MIRRORED for flag in ("--mirror", each)]
        self._mirror = self._living.enter_context(serving(self._folder, *flags, name=f"life-{self._lives}"))
        self._mirror.verify = ssl.create_default_context(cafile=str(self._folder / "tls.crt"))

    def end_mirror(self) -> None:
        self._living.close()

    # -- writes -----------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Until cancelled, whether the API server is there or not."""
        context = ssl.create_default_context(cafile=str(self.plane.certificate))
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx.AsyncClient(base_url=self.plane.url, verify=context, headers=headers, timeout=10) as client:
            while True:
                with suppress(httpx.TransportError):  # it is being restarted
                    self.written += (await self._write_once(client)).is_success
                await asyncio.sleep(BETWEEN_WRITES_SECONDS)

    async def _write_once(self, client: httpx.AsyncClient) -> httpx.Response:
        random = self.random
        kind = random.choice(list(PATHS))
        path = PATHS[kind].format(random.choice(NAMESPACES))
        name = f"n{random.randrange(NAMES)}"
        match random.randrange(10):
            case 0 | 1 | 2:
                return await client.post(path, json=an_object(kind, name, random))
            case 3:
                return await client.request("DELETE", f"{path}/{name}", json={"gracePeriodSeconds": 0})
            case _:
                patch = {"metadata": {"labels": {"changed": str(random.randrange(1000))}}}
                merge = {"content-type": "application/merge-patch+json"}
                return await client.patch(f"{path}/{name}", json=patch, headers=merge)


def an_object(kind: str, name: str, random: Random) -> dict[str, Any]:
    body: dict[str, Any] = {"metadata": {"name": name, "labels": {"number": str(random.randrange(3))}}}
    container = {"name": "c", "image": f"registry.example.com/c:{random.randrange(9)}", "env": [{"name": "EMPTY"}]}
    match kind:
        case "configmaps":
            body["data"] = {"key": "value <&> " * random.randrange(40)}
        case "pods":
            body["spec"] = {"containers": [container], "automountServiceAccountToken": False}
        case "deployments":
            template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
            body["spec"] = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
        case _:
            body |= {"apiVersion": "clients.example.com/v1", "kind": "Book", "spec": {"pages": random.random()}}
    return body


@contextmanager
def scene(folder: Path, seed: int) -> Iterator[Scene]:
    """An API server of its own, which is restarted here, with a definition and namespaces."""
    with ControlPlane() as plane:
        plane.apply(BOOKS)
        for name in NAMESPACES:
            plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            account = {"name": "default", "namespace": name}  # without one no pod is let in
            plane.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        made = Scene(plane, folder, seed)
        try:
            made.start_mirror()
            yield made
        finally:
            made.end_mirror()
