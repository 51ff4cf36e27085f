"""What the overlays add, and that they can be joined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.manifests import DEPLOY, Manifests, read, rendered


def test_the_base_is_applied_as_it_is_written(renderings: dict[str, Manifests], base: Manifests) -> None:
    def by_name(manifests: Manifests) -> dict[tuple[str, str], object]:
        return {(each["kind"], each["metadata"]["name"]): each for each in manifests.documents}

    assert by_name(renderings["base"]) == by_name(base)


def test_many_replicas_move_a_few_at_a_time(renderings: dict[str, Manifests]) -> None:
    many, few = (renderings[name].one("Deployment")["spec"] for name in ("replicas", "base"))

    assert many["replicas"] > few["replicas"]
    assert renderings["replicas"].container["args"] == renderings["base"].container["args"]
    assert renderings["replicas"].one("PodDisruptionBudget")["spec"]["maxUnavailable"] < many["replicas"] / 2


def test_a_tree_is_the_base_as_its_root_and_leaves_that_follow_it(renderings: dict[str, Manifests]) -> None:
    tree, base = renderings["tree"], renderings["base"]
    root, leaf = tree.one("Deployment", "kubemirror-root")["spec"], tree.one("Deployment")["spec"]

    assert root["replicas"] == 1 < leaf["replicas"]
    assert tree.one("PodDisruptionBudget")["spec"]["maxUnavailable"] < leaf["replicas"] / 2
    assert without_labels(root["template"]["spec"]) == without_labels(base.pod)
    assert [each for each in tree.documents if each["kind"].startswith("ClusterRole")] == [
        each for each in base.documents if each["kind"].startswith("ClusterRole")
    ]


def without_labels(pod: dict[str, Any]) -> dict[str, Any]:
    """A pod, but for the label by which replicas know each other."""
    spread = [{**each, "labelSelector": None} for each in pod["topologySpreadConstraints"]]
    return {**pod, "topologySpreadConstraints": spread}


def test_leaves_find_the_root_by_its_service(renderings: dict[str, Manifests]) -> None:
    tree = renderings["tree"]
    (volume,), (mount,) = tree.pod["volumes"], tree.container["volumeMounts"]
    (name,) = [name for name in tree.of_kind("ConfigMap") if name == volume["configMap"]["name"]]
    path = tree.settings.kubeconfig
    assert path is not None
    configuration = yaml.safe_load(tree.one("ConfigMap", name)["data"][path.name])
    service = tree.one("Service", "kubemirror-root")

    assert str(path.parent) == mount["mountPath"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    assert [each["cluster"]["server"] for each in configuration["clusters"]] == ["http://kubemirror-root"]
    assert [port["port"] for port in service["spec"]["ports"]] == [80]
    assert service["metadata"]["namespace"] == tree.one("Deployment")["metadata"]["namespace"]
    labels = tree.one("Deployment", "kubemirror-root")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_prometheus_finds_the_metrics_where_they_are(renderings: dict[str, Manifests]) -> None:
    monitoring = renderings["monitoring"]
    (endpoint,) = monitoring.one("ServiceMonitor")["spec"]["endpoints"]
    service = monitoring.one("Service")

    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"
    selector = monitoring.one("ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    # Alerts and dashboard ask for job="kubemirror": this label of the Service is what makes it so.
    label = monitoring.one("ServiceMonitor")["spec"]["jobLabel"]
    assert service["metadata"]["labels"][label] == "kubemirror"


def test_the_dashboard_is_where_grafana_looks_for_it(renderings: dict[str, Manifests]) -> None:
    dashboard = renderings["monitoring"].one("ConfigMap", "kubemirror-dashboard")

    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["kubemirror.json"])["uid"] == "kubemirror"


def test_overlays_are_components_that_can_be_joined(kubectl: str, tmp_path: Path) -> None:
    for overlay in (DEPLOY / "overlays").iterdir():
        (kustomization,) = read(overlay / "kustomization.yaml")
        assert kustomization["resources"] == ["../../base"]
        assert kustomization["components"] == [f"../../components/{overlay.name}"]
    joined = {
        "resources": [f"{up(tmp_path)}/base"],
        "components": [f"{up(tmp_path)}/components/{name}" for name in ("monitoring", "replicas")],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(joined))

    both = rendered(kubectl, tmp_path)

    assert both.one("Deployment")["spec"]["replicas"] == 6
    assert both.one("PrometheusRule")


def up(folder: Path) -> str:
    """The way from ``folder`` to deploy/: kustomize takes relative paths only."""
    return "/".join([".."] * (len(folder.resolve().parts) - 1)) + str(DEPLOY)
