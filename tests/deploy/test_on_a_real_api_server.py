"""On a real API server: deploy/ is accepted, its pods run, and the mirror reads with its account's rights alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.deploy.manifests import DEPLOY, OVERLAYS, Manifests
from tests.serve.process import Process, serving

ACCOUNT = "system:serviceaccount:kubemirror:kubemirror"
GRANTED = ("deployments.apps", "customresourcedefinitions.apiextensions.k8s.io", "namespaces")
# Controllers act within a second; two crowded cores may be ten times as slow, and more.
PATIENCE_SECONDS = 40.0

pytestmark = pytest.mark.timeout(240)


def definition(plural: str, kind: str, group: str = "deploy.example.com") -> dict[str, Any]:
    """A CustomResourceDefinition that takes anything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [version],
        },
    }


VIEWERS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "covereds-view", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
    "rules": [{"apiGroups": ["deploy.example.com"], "resources": ["covereds"], "verbs": ["get", "list", "watch"]}],
}
# What must be there before the overlays can be: the operator's definitions, and the namespace that one is for.
NEEDED = [
    definition("servicemonitors", "ServiceMonitor", "monitoring.coreos.com"),
    definition("prometheusrules", "PrometheusRule", "monitoring.coreos.com"),
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}},
]


@dataclass(frozen=True, slots=True)
class Cluster:
    """kubectl, as the administrator."""

    kubectl: str
    plane: ControlPlane

    def run(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            [self.kubectl, "--kubeconfig", str(self.plane.kubeconfig), *arguments],
            check=False,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", *what, "-o", "json"))
        return found

    def apply(self, folder: Path, *flags: str) -> str:
        return self.run("apply", "-k", str(folder), "--server-side", "--validate=strict", *flags)

    def create(self, *objects: dict[str, Any]) -> None:
        self.run("apply", "--server-side", "-f", "-", given=yaml.safe_dump_all(objects))

    def delete(self, *objects: dict[str, Any]) -> None:
        self.run("delete", "--ignore-not-found", "-f", "-", given=yaml.safe_dump_all(objects))


@pytest.fixture(scope="module")
def cluster(kubectl: str, full_control_plane: ControlPlane) -> Iterator[Cluster]:
    """A cluster with the base applied, once really and once more, and left as it was."""
    cluster = Cluster(kubectl, full_control_plane)
    cluster.create(*NEEDED, definition("covereds", "Covered"), definition("closeds", "Closed"), VIEWERS)
    cluster.apply(DEPLOY / "base")
    try:
        yield cluster
    finally:
        cluster.run("delete", "-k", str(DEPLOY / "base"), "--ignore-not-found")
        cluster.delete(*NEEDED, definition("covereds", "Covered"), definition("closeds", "Closed"), VIEWERS)


def until(condition: Callable[[], bool], told: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def aggregated(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.get("clusterrole", "kubemirror-view").get("rules") or []


def test_every_object_is_accepted_strictly(cluster: Cluster, renderings: dict[str, Manifests]) -> None:
    for name in ("base", *OVERLAYS):
        folder = DEPLOY / "base" if name == "base" else DEPLOY / "overlays" / name
        said = cluster.apply(folder, "--dry-run=server")

        assert said.count("serverside-applied (server dry run)") == len(renderings[name].documents), said


def test_its_pods_run_under_the_restricted_standard(cluster: Cluster) -> None:
    cluster.run("-n", "kubemirror", "rollout", "status", "deployment/kubemirror", f"--timeout={PATIENCE_SECONDS:.0f}s")

    assert cluster.get("-n", "kubemirror", "deployment", "kubemirror")["status"]["readyReplicas"] == 2


def test_what_anyone_may_view_is_filled_in_and_kept(cluster: Cluster) -> None:
    until(lambda: VIEWERS["rules"][0] in aggregated(cluster), lambda: aggregated(cluster))
    rules = aggregated(cluster)
    cluster.apply(DEPLOY / "base")

    assert aggregated(cluster) == rules
    assert not {"secrets", "*"} & {name for rule in rules for name in rule["resources"]}


def test_its_token_reads_what_is_granted_and_is_told_what_is_not(
    cluster: Cluster, base: Manifests, tmp_path: Path
) -> None:
    until(lambda: VIEWERS["rules"][0] in aggregated(cluster), lambda: aggregated(cluster))
    token = cluster.run("-n", "kubemirror", "create", "token", "kubemirror").strip()
    kubeconfig = tmp_path / "kubeconfig"
    cluster.plane.write_kubeconfig(kubeconfig, token=token)
    # As the Deployment says, but for where it listens.
    told = [each for each in base.container["args"][1:] if not each.startswith(("--host", "--port", "--log-format"))]
    with serving(tmp_path, *told, "--kubeconfig", str(kubeconfig)) as mirror:
        phases = settled(mirror)
        uncovered = {"closeds.deploy.example.com", *(each["metadata"]["name"] for each in NEEDED[:2])}
        synced = {name for name, phase in phases.items() if phase == "SYNCED"}
        assert synced == {*GRANTED, "covereds.deploy.example.com"}
        assert {name: phases.get(name) for name in uncovered} == dict.fromkeys(uncovered, "FORBIDDEN")
        assert deployments(mirror) == cluster.run("get", "deployments", "-A", "--no-headers", "-o", "name").split()
        refused = asked(mirror, "/apis/deploy.example.com/v1/closeds")
        assert refused.status_code == 403
        assert "kubemirror rbac" in refused.json()["message"]

        role = printed_role(cluster, *told)
        cluster.run("apply", "--server-side", "--force-conflicts", "-f", "-", given=role)
        mirror.until(lambda client: client.post("/-/refresh").status_code in (202, 429))
        mirror.until(lambda client: set(phases_told(client).values()) == {"SYNCED"})

    requests = [each for each in cluster.plane.requests() if each.user == ACCOUNT]
    assert {each.verb for each in requests} <= {"get", "list", "watch"}
    assert {each.resource for each in requests if each.code == 403} == phases.keys() - synced
    assert {each.resource for each in requests if each.verb == "watch"} >= phases.keys()


def settled(mirror: Process) -> dict[str, str]:
    """The phase of each resource, once none is INIT and the custom ones are among them."""

    def ready(client: httpx.Client) -> bool:
        phases = phases_told(client)
        return "INIT" not in phases.values() and any("deploy.example.com" in name for name in phases)

    mirror.until(ready)
    with httpx.Client(base_url=mirror.url) as client:
        return phases_told(client)


def phases_told(client: httpx.Client) -> dict[str, str]:
    return {each["resource"]: each["stores"][0]["phase"] for each in client.get("/-/status").json()["resources"]}


def asked(mirror: Process, path: str) -> httpx.Response:
    return httpx.get(mirror.url + path, timeout=10)


def deployments(mirror: Process) -> list[str]:
    items = asked(mirror, "/apis/apps/v1/deployments").json()["items"]
    return [f"deployment.apps/{each['metadata']['name']}" for each in items]


def printed_role(cluster: Cluster, *flags: str) -> str:
    """What ``kubemirror rbac`` prints for the administrator, told what the mirror is told."""
    command = [sys.executable, "-m", "kubemirror", "rbac", "--kubeconfig", str(cluster.plane.kubeconfig), *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
