"""On a real API server: deploy/ is accepted, its pods run, and the mirror reads with its account's rights alone.

The base is applied by the commands that docs/operations.md tells, to the letter; every overlay is tried so too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kubemirror.kube.rbac import AGGREGATED, NAME
from tests.cluster.control_plane import Audited, ControlPlane
from tests.deploy.manifests import DEPLOY, OVERLAYS, ROOT, Manifests
from tests.serve.process import Process, serving

ACCOUNT = "system:serviceaccount:kubemirror:kubemirror"
GRANTED = ("deployments.apps", "customresourcedefinitions.apiextensions.k8s.io", "namespaces")
# Controllers act within a second; two crowded cores may be ten times as slow, and more.
PATIENCE_SECONDS = 40.0
# What is asked each minute and each few minutes, in a mirror that lives for seconds.
OFTEN = ("--rights-seconds", "1", "--audit-seconds", "1")
APPLY_BASE = "kubectl apply -k deploy/base"
APPLY_RIGHTS = "kubemirror rbac | kubectl apply -f -"
APPLY_NAMESPACED = "kubectl apply -k deploy/overlays/namespaced"

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
# Who may do in one namespace what the built-in ClusterRole `admin` lets do.
CAROL = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "carol", "namespace": "team-a"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"}],
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

    def type(self, command: str, *, kubeconfig: Path | None = None) -> str:
        """A line of a document, typed into a shell in the checkout, by the administrator or whose kubeconfig it is."""
        programs = [str(Path(self.kubectl).parent), str(Path(sys.executable).parent)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            check=False,
            cwd=ROOT,
            env={
                **kept,
                "PATH": os.pathsep.join([*programs, os.environ["PATH"]]),
                "PYTHONPATH": str(ROOT / "service"),
                "KUBECONFIG": str(kubeconfig or self.plane.kubeconfig),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def get(self, *what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", *what, "-o", "json"))
        return found

    def create(self, *objects: dict[str, Any]) -> None:
        self.run("apply", "--server-side", "-f", "-", given=yaml.safe_dump_all(objects))

    def delete(self, *objects: dict[str, Any]) -> None:
        self.run("delete", "--ignore-not-found", "-f", "-", given=yaml.safe_dump_all(objects))

    def requests(self, account: str) -> list[Audited]:
        """What an account has asked so far."""
        return [each for each in self.plane.requests() if each.user == account]

    @contextmanager
    def mirror(self, folder: Path, arguments: list[str], namespace: str) -> Iterator[Process]:
        """A mirror with the token of a namespace's account, told what the pods are, but for where it listens."""
        token = self.run("-n", namespace, "create", "token", "kubemirror").strip()
        kubeconfig = folder / "kubeconfig"
        self.plane.write_kubeconfig(kubeconfig, token=token)
        here = ("--host", "--port", "--log-format", "serve")
        told = [each.replace("$(POD_NAMESPACE)", namespace) for each in arguments if not each.startswith(here)]
        with serving(folder, *told, *OFTEN, "--kubeconfig", str(kubeconfig)) as mirror:
            yield mirror


@pytest.fixture(scope="module")
def cluster(kubectl: str, full_control_plane: ControlPlane) -> Iterator[Cluster]:
    """A cluster with the base applied, and left as it was."""
    cluster = Cluster(kubectl, full_control_plane)
    cluster.create(*NEEDED, definition("covereds", "Covered"), definition("closeds", "Closed"), VIEWERS)
    cluster.type(APPLY_BASE)
    try:
        yield cluster
    finally:
        cluster.run("delete", "-k", str(DEPLOY / "base"), "--ignore-not-found")
        cluster.run("delete", "clusterrole", NAME, "--ignore-not-found")
        cluster.delete(*NEEDED, definition("covereds", "Covered"), definition("closeds", "Closed"), VIEWERS)


def until(condition: Callable[[], bool], told: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def aggregated(cluster: Cluster, role: str = "kubemirror-view") -> list[dict[str, Any]]:
    return cluster.get("clusterrole", role).get("rules") or []


def test_the_commands_are_those_of_the_documents() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()

    assert [each for each in (APPLY_BASE, APPLY_RIGHTS) if each not in told] == []
    assert f"# {APPLY_NAMESPACED}\n" in (DEPLOY / "overlays" / "namespaced" / "kustomization.yaml").read_text()


# Who applies on the server's side instead takes the fields over from who did not.
@pytest.mark.parametrize("side", [[], ["--server-side", "--force-conflicts"]], ids=["client", "server"])
def test_every_object_is_accepted_strictly(cluster: Cluster, renderings: dict[str, Manifests], side: list[str]) -> None:
    for name in ("base", *OVERLAYS):
        folder = DEPLOY / "base" if name == "base" else DEPLOY / "overlays" / name
        said = cluster.run("apply", "-k", str(folder), "--validate=strict", "--dry-run=server", *side)

        assert said.count("(server dry run)") == len(renderings[name].documents), said


def test_its_pods_run_under_the_restricted_standard(cluster: Cluster) -> None:
    cluster.run("-n", "kubemirror", "rollout", "status", "deployment/kubemirror", f"--timeout={PATIENCE_SECONDS:.0f}s")

    assert cluster.get("-n", "kubemirror", "deployment", "kubemirror")["status"]["readyReplicas"] == 2


def test_what_anyone_may_view_is_filled_in_and_kept(cluster: Cluster) -> None:
    until(lambda: VIEWERS["rules"][0] in aggregated(cluster), lambda: aggregated(cluster))
    rules = aggregated(cluster)
    cluster.type(APPLY_BASE)

    assert aggregated(cluster) == rules
    assert not {"secrets", "*"} & {name for rule in rules for name in rule["resources"]}


def test_its_token_reads_what_is_granted_and_is_told_what_is_not(
    cluster: Cluster, base: Manifests, tmp_path: Path
) -> None:
    until(lambda: VIEWERS["rules"][0] in aggregated(cluster), lambda: aggregated(cluster))
    with cluster.mirror(tmp_path, [*base.told, "--open-resource=closeds.deploy.example.com"], "kubemirror") as mirror:
        phases = settled(mirror)
        uncovered = {"closeds.deploy.example.com", *(each["metadata"]["name"] for each in NEEDED[:2])}
        synced = {name for name, phase in phases.items() if phase == "SYNCED"}
        assert synced == {*GRANTED, "covereds.deploy.example.com"}
        assert {name: phases.get(name) for name in uncovered} == dict.fromkeys(uncovered, "FORBIDDEN")
        assert deployments(mirror) == cluster.run("get", "deployments", "-A", "--no-headers", "-o", "name").split()
        refused = asked(mirror, "/apis/deploy.example.com/v1/closeds")
        assert refused.status_code == 403
        assert APPLY_RIGHTS in refused.json()["message"]

        cluster.type(APPLY_RIGHTS)
        mirror.until(lambda client: set(phases_told(client).values()) == {"SYNCED"}, seconds=PATIENCE_SECONDS)
        until_asked_for_everything(cluster, mirror, ACCOUNT, phases.keys())

        before = len(cluster.requests(ACCOUNT))
        cluster.type(APPLY_BASE)
        until_asked_for_everything(cluster, mirror, ACCOUNT, phases.keys())
        assert [each for each in cluster.requests(ACCOUNT)[before:] if each.code == 403] == []

    requests = cluster.requests(ACCOUNT)
    assert {each.verb for each in requests} == {"get", "list", "watch"}
    assert {each.resource for each in requests if each.code == 403} == phases.keys() - synced
    assert {each.resource for each in requests if each.verb == "watch"} == phases.keys()
    # A right is asked for by using it: the question is a watch of a second, and nothing that is created.
    assert {each.verb for each in requests if is_question(each)} == {"watch"}


def test_what_kubemirror_rbac_adds_is_the_mirrors_alone(cluster: Cluster) -> None:
    """Nobody's `view` is widened, and what is taken back is gone."""
    covered = "closeds"
    cluster.type(APPLY_RIGHTS)
    until(lambda: covered in names_in(aggregated(cluster)), lambda: aggregated(cluster))
    assert covered not in names_in(aggregated(cluster, "view"))
    assert "secrets" not in names_in(aggregated(cluster))
    assert cluster.get("clusterrole", NAME)["metadata"]["labels"] == {AGGREGATED: "true"}

    cluster.run("delete", "clusterrole", NAME)
    until(lambda: covered not in names_in(aggregated(cluster)), lambda: aggregated(cluster))


def test_in_a_namespace_its_administrator_applies_it_and_nothing_else_is_asked_for(
    cluster: Cluster, renderings: dict[str, Manifests], tmp_path: Path
) -> None:
    """Where operators let anyone view each custom resource, nothing at all is refused."""
    names = ["covereds", "closeds", "servicemonitors", "prometheusrules"]
    groups = ["deploy.example.com", "monitoring.coreos.com"]
    rule = {"apiGroups": groups, "resources": names, "verbs": ["get", "list", "watch"]}
    operators = {**VIEWERS, "metadata": {**VIEWERS["metadata"], "name": "all-view"}, "rules": [rule]}
    carols = tmp_path / "carol"
    cluster.plane.write_kubeconfig(carols)
    configuration = json.loads(carols.read_text())
    configuration["users"][0]["user"]["as"] = "carol"
    carols.write_text(json.dumps(configuration))
    account = "system:serviceaccount:team-a:kubemirror"
    cluster.create(operators, CAROL)
    try:
        # From view by way of edit: nobody may bind a role that lets do more than they may.
        until(lambda: rule in aggregated(cluster, "admin"), lambda: aggregated(cluster, "admin"))
        cluster.type(APPLY_NAMESPACED, kubeconfig=carols)
        with cluster.mirror(tmp_path, renderings["namespaced"].told, "team-a") as mirror:
            wanted = dict.fromkeys(
                ("deployments.apps", *(f"{name}.{groups[at // 2]}" for at, name in enumerate(names))), "SYNCED"
            )
            mirror.until(lambda client: phases_told(client) == wanted)
            until_asked_for_everything(cluster, mirror, account, wanted)
            listed = asked(mirror, "/apis/apps/v1/namespaces/team-a/deployments").json()["items"]
    finally:
        cluster.run("delete", "-k", str(DEPLOY / "overlays" / "namespaced"), "--ignore-not-found")
        cluster.delete(operators, CAROL)
        until(
            lambda: rule not in aggregated(cluster) + aggregated(cluster, "view"), lambda: cluster.get("clusterroles")
        )

    requests = cluster.requests(account)
    assert [each["metadata"]["name"] for each in listed] == ["kubemirror"]
    assert [each for each in requests if each.code >= 400] == []
    assert {each.verb for each in requests} == {"get", "list", "watch"}
    assert {each.resource for each in requests if each.resource} == wanted.keys()
    assert [each for each in requests if each.resource and "/namespaces/team-a/" not in each.uri] == []


def names_in(rules: list[dict[str, Any]]) -> set[str]:
    return {name for rule in rules for name in rule.get("resources", ())}


def is_question(request: Audited) -> bool:
    """Whether it asks for a right, which the mirror's own watches never look like: those last for minutes."""
    return "timeoutSeconds=1&" in request.uri + "&"


def until_asked_for_everything(cluster: Cluster, mirror: Process, account: str, resources: Iterable[str]) -> None:
    """Until from now on each resource was audited, and the right to it asked for and answered."""
    wanted = set(resources)
    before, counted = len(cluster.requests(account)), audits(mirror)

    def questions() -> set[str]:
        new = cluster.requests(account)[before:]
        return {each.resource for each in new if is_question(each) and each.stage == "ResponseComplete"}

    def unaudited() -> set[str]:
        now = audits(mirror)
        return {name for name in wanted if now.get(name, 0) <= counted.get(name, 0)}

    until(lambda: questions() >= wanted and not unaudited(), lambda: (wanted - questions(), unaudited()))


def audits(mirror: Process) -> dict[str, float]:
    """How often each resource was compared with upstream."""
    found = re.findall(r'^kubemirror_audits_total\{resource="([^"]+)"\} (\S+)$', asked(mirror, "/metrics").text, re.M)
    return {name: float(count) for name, count in found}


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
