"""``--access open`` answers whoever reaches the port, so what reaches it is said: the Service and the policies."""

from __future__ import annotations

from typing import Any

from tests.deploy.manifests import Manifests, selects


def selected(selector: dict[str, Any], manifests: Manifests, name: str = "kubemirror") -> bool:
    """selector: of pods, in the form that policies have it."""
    return selects(selector, manifests.one("Deployment", name)["spec"]["template"]["metadata"]["labels"])


def test_the_service_leads_to_the_pods_from_inside_the_cluster_only(manifests: Manifests) -> None:
    spec = manifests.one("Service")["spec"]

    assert spec.get("type", "ClusterIP") == "ClusterIP"
    assert selected({"matchLabels": spec["selector"]}, manifests)
    assert [port["targetPort"] for port in spec["ports"]] == [manifests.container["ports"][0]["name"]]


def test_every_policy_is_about_the_pods_and_names_its_readers(manifests: Manifests) -> None:
    policies = manifests.of_kind("NetworkPolicy")

    assert "kubemirror" in policies
    for policy in policies.values():
        spec = policy["spec"]
        deployments = manifests.of_kind("Deployment")
        assert sum(selected(spec["podSelector"], manifests, name) for name in deployments) == 1
        assert "Ingress" in spec["policyTypes"]
        for rule in spec["ingress"]:
            assert [port["port"] for port in rule["ports"]] == ["http"]
            assert rule["from"]
            assert [peer for peer in rule["from"] if anyone(peer)] == []


def anyone(peer: dict[str, Any]) -> bool:
    """Whether a peer of a policy is the whole cluster, or beyond."""
    return "ipBlock" in peer or peer.get("namespaceSelector", "unset") == {}


def test_the_pods_reach_the_api_server_and_nothing_else(manifests: Manifests) -> None:
    reader = "kubemirror" if manifests.settings.kubeconfig is None else "kubemirror-root"
    spec = manifests.one("NetworkPolicy", reader)["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [{port["port"] for port in rule["ports"]} for rule in spec["egress"]] == [{443, 6443, 8443}]


def test_leaves_reach_the_root_and_a_name_server_and_nothing_else(renderings: dict[str, Manifests]) -> None:
    tree = renderings["tree"]
    root, names = tree.one("NetworkPolicy")["spec"]["egress"]

    assert selected(root["to"][0]["podSelector"], tree, "kubemirror-root")
    assert [port["port"] for port in root["ports"]] == ["http"]
    assert {(port["protocol"], port["port"]) for port in names["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_leaves_alone_reach_the_root(renderings: dict[str, Manifests]) -> None:
    tree = renderings["tree"]
    (rule,) = tree.one("NetworkPolicy", "kubemirror-root")["spec"]["ingress"]
    (peer,) = rule["from"]

    assert set(peer) == {"podSelector"}
    assert selected(peer["podSelector"], tree)
    assert not selected(peer["podSelector"], tree, "kubemirror-root")


def test_the_namespace_takes_restricted_pods_only(base: Manifests) -> None:
    labels = base.one("Namespace")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
