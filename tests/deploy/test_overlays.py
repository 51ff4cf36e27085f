"""What the overlays add, and that they can be joined."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import DEPLOY, OVERLAYS, Manifests, read, rendered, selects


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
    assert selects(monitoring.one("ServiceMonitor")["spec"]["selector"], service["metadata"]["labels"])
    # Alerts and dashboard ask for job="kubemirror": this label of the Service is what makes it so.
    label = monitoring.one("ServiceMonitor")["spec"]["jobLabel"]
    assert service["metadata"]["labels"][label] == "kubemirror"


def test_the_dashboard_is_where_grafana_looks_for_it(renderings: dict[str, Manifests]) -> None:
    dashboard = renderings["monitoring"].one("ConfigMap", "kubemirror-dashboard")

    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["kubemirror.json"])["uid"] == "kubemirror"


def test_each_overlay_is_the_base_and_one_component() -> None:
    assert sorted(folder.name for folder in (DEPLOY / "overlays").iterdir()) == list(OVERLAYS)
    for name in OVERLAYS:
        (kustomization,) = read(Path("overlays") / name / "kustomization.yaml")
        assert kustomization["resources"] == ["../../base"]
        assert kustomization["components"] == [f"../../components/{name}"]


JOINED = [
    ("delegated", "monitoring"),
    ("delegated", "replicas"),
    ("monitoring", "namespaced"),
    ("monitoring", "open"),
    ("monitoring", "proxy"),
    ("monitoring", "replicas"),
    ("monitoring", "tree"),
    ("namespaced", "replicas"),
    ("open", "replicas"),
    ("proxy", "replicas"),
    ("replicas", "tree"),
]
# Two that say what the same pods are told; and a mode that needs a right in the cluster where there is none.
APART = [
    ("delegated", "namespaced"),
    ("delegated", "open"),
    ("delegated", "proxy"),
    ("delegated", "tree"),
    ("namespaced", "open"),
    ("namespaced", "proxy"),
    ("namespaced", "tree"),
    ("open", "proxy"),
    ("open", "tree"),
    ("proxy", "tree"),
]


@pytest.mark.parametrize("pair", JOINED, ids="+".join)
def test_joined_overlays_each_do_what_they_do_alone(join: Joining, pair: tuple[str, str]) -> None:
    """In either order, and nothing beyond: what neither changes is the base's."""
    one, other = pair
    namespace = "team-a" if "namespaced" in pair else None
    alone = [join([name], namespace) for name in pair]

    expected = both(join([], namespace), *alone)

    assert join([one, other], namespace) == expected
    assert join([other, one], namespace) == expected


def test_two_that_say_what_the_same_pods_are_told_do_not_join(join: Joining) -> None:
    assert join(["namespaced", "tree"], "team-a") != join(["tree", "namespaced"], "team-a")


def test_operations_tells_which_join() -> None:
    told = (DEPLOY.parent / "docs" / "operations.md").read_text()

    assert sorted(set(itertools.combinations(OVERLAYS, 2)) - set(JOINED)) == APART
    assert "`namespaced` and `tree` do not join" in told
    assert "`delegated`, `proxy` and `open` join neither of these two, nor each other" in told


def test_replicas_of_a_tree_are_leaves(join: Joining) -> None:
    alone, joined = (at(join(names, None), "Deployment") for names in (["tree"], ["tree", "replicas"]))

    assert joined["kubemirror-root"] == alone["kubemirror-root"]
    assert joined["kubemirror"]["spec.replicas"] == 6
    assert joined["kubemirror"]["spec.template.spec.containers.0.resources.requests.cpu"] == "1"


def test_prometheus_scrapes_a_trees_root_too(kubectl: str, tmp_path: Path) -> None:
    seen = rendered(kubectl, joining(tmp_path, ["tree", "monitoring"], None))
    monitor, policy = seen.one("ServiceMonitor")["spec"], seen.one("NetworkPolicy", "kubemirror-metrics")["spec"]
    services, deployments = seen.of_kind("Service"), seen.of_kind("Deployment")

    assert services.keys() == deployments.keys() == {"kubemirror", "kubemirror-root"}
    for name in services:
        assert selects(monitor["selector"], services[name]["metadata"]["labels"])
        assert services[name]["metadata"]["labels"][monitor["jobLabel"]] == name
        assert selects(policy["podSelector"], deployments[name]["spec"]["template"]["metadata"]["labels"])


# Kind and name of each object, and all that it says: each value by the way there.
Said = dict[tuple[str, str], dict[str, object]]
Joining = Callable[[list[str], str | None], Said]


@pytest.fixture(scope="module")
def join(kubectl: str, tmp_path_factory: pytest.TempPathFactory) -> Joining:
    """Renders the base with these components, in this order; once each."""

    @functools.cache
    def once(components: tuple[str, ...], namespace: str | None) -> Said:
        folder = joining(tmp_path_factory.mktemp("joined"), [*components], namespace)
        documents = rendered(kubectl, folder).documents
        return {(each["kind"], each["metadata"]["name"]): dict(flat(each)) for each in documents}

    return lambda components, namespace: once(tuple(components), namespace)


def joining(folder: Path, components: list[str], namespace: str | None) -> Path:
    """The folder with a kustomization of its own, as a user writes one."""
    written: dict[str, object] = {
        "resources": [f"{up(folder)}/base"],
        "components": [f"{up(folder)}/components/{name}" for name in components],
    }
    if namespace is not None:
        written["namespace"] = namespace
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return folder


def flat(value: object, way: str = "") -> Iterator[tuple[str, object]]:
    """Every value that holds no others, by the way there: its keys and places, with dots between."""
    if not isinstance(value, dict | list) or not value:
        yield way.removeprefix("."), value
        return
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from flat(each, f"{way}.{key}")


def both(base: Said, one: Said, other: Said) -> Said:
    """The base with what each changes; where both change a value they must agree."""
    gone = {key for changed in (one, other) for key in base.keys() - changed.keys()}
    return {
        key: merged(base.get(key, {}), [each[key] for each in (one, other) if key in each])
        for key in base.keys() | one.keys() | other.keys()
        if key not in gone
    }


def merged(base: dict[str, object], changed: list[dict[str, object]]) -> dict[str, object]:
    result = dict(base)
    settled: dict[str, object] = {}
    for each in changed:
        news = {way: value for way, value in each.items() if way not in base or base[way] != value}
        assert {way: value for way, value in news.items() if settled.get(way, value) != value} == {}
        settled |= news
        for way in base.keys() - each.keys():
            result.pop(way, None)
    return result | settled


def at(said: Said, kind: str) -> dict[str, dict[str, object]]:
    return {name: values for (each, name), values in said.items() if each == kind}


def up(folder: Path) -> str:
    """The way from ``folder`` to deploy/: kustomize takes relative paths only."""
    return "/".join([".."] * (len(folder.resolve().parts) - 1)) + str(DEPLOY)
