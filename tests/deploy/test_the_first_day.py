"""The commands that the components tell, typed on a cluster where nothing of this is yet."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.cluster.control_plane import ControlPlane
from tests.deploy.manifests import DEPLOY
from tests.deploy.test_on_a_real_api_server import Cluster
from tests.deploy.test_overlays import joining

pytestmark = pytest.mark.timeout(240)
APPLIED = "Once this is applied"


def commands(component: str) -> tuple[list[str], list[str]]:
    """What its comments say to type before it is applied, and once it is."""
    text = (DEPLOY / "components" / component / "kustomization.yaml").read_text().partition("apiVersion:")[0]
    before, _, after = text.partition(APPLIED)
    first, then = (
        [line.removeprefix("#   ") for line in part.splitlines() if line.startswith("#   ")] for part in (before, after)
    )
    return first, then


@pytest.mark.parametrize(("overlay", "tls"), [("delegated", False), ("proxy", True)])
def test_what_is_told_is_enough_and_in_order(
    kubectl: str, full_control_plane: ControlPlane, tmp_path: Path, overlay: str, tls: bool
) -> None:
    cluster = Cluster(kubectl, full_control_plane)
    pair = trustme.CA().issue_cert("kubemirror.kubemirror.svc")
    pair.private_key_pem.write_to_path(tmp_path / "tls.key")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    first, then = commands(overlay)
    if tls:
        first += commands("tls")[0]
    folder = DEPLOY / "overlays" / overlay if not tls else joining(tmp_path, [overlay, "tls"], None)
    ingress = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ingress-nginx"}}
    cluster.create(ingress)
    try:
        for command in first:
            cluster.type(command.replace("=tls.", f"={tmp_path}/tls."))
        cluster.type(f"kubectl apply -k {folder}")
        for command in then:
            cluster.type(command)
        cluster.type(f"kubectl apply -k {folder}")  # what was set stays
        deployment = cluster.get("-n", "kubemirror", "deployment", "kubemirror")
        cluster.run("-n", "kubemirror", "rollout", "status", "deployment/kubemirror", "--timeout=60s")
        secrets = {each["metadata"]["name"] for each in cluster.get("-n", "kubemirror", "secrets")["items"]}
    finally:
        cluster.run("delete", "-k", str(folder), "--ignore-not-found")
        cluster.delete(ingress)

    pod = deployment["spec"]["template"]["spec"]
    variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert {each["secret"]["secretName"] for each in pod["volumes"]} <= secrets
    assert variables["KUBEMIRROR_TRUSTED_PROXIES"] == "10.244.0.0/16"
    assert variables["KUBEMIRROR_ACCESS"] == overlay
