"""The rights that are granted: what ``kubemirror rbac`` asks for, what anyone may view, and nothing beyond."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kubemirror.kube.rbac import AGGREGATED, NAME, role
from tests.deploy.manifests import Manifests
from tests.discover.scripted import ScriptedApi, ordinary

ACCOUNT = {"kind": "ServiceAccount", "name": "kubemirror"}


class WithoutCustomResources(ScriptedApi):
    """A cluster on which nobody has defined anything."""

    async def request(self, method: str, path: str, **more: Any) -> Any:
        if path.endswith("/customresourcedefinitions"):
            path = "/empty"
        return await super().request(method, path, **more)

    def _legacy(self, path: str) -> dict[str, Any]:
        return {"items": [], "metadata": {}} if path == "/empty" else super()._legacy(path)


async def printed(manifests: Manifests) -> list[dict[str, Any]]:
    """What ``kubemirror rbac`` prints, told what the Deployment tells the mirror."""
    return list(yaml.safe_load_all(await role(WithoutCustomResources(ordinary()), manifests.settings)))


def rules(manifests: Manifests) -> list[dict[str, Any]]:
    roles = [*manifests.of_kind("ClusterRole").values(), *manifests.of_kind("Role").values()]
    return [rule for each in roles for rule in each.get("rules", [])]


# A proxy's mirror asks what users may do; see test_modes.py.
REVIEWS = {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}


def test_nothing_is_granted_but_to_read_what_is_named(manifests: Manifests) -> None:
    assert rules(manifests)
    for rule in rules(manifests):
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        if rule == REVIEWS:
            continue
        assert rule["verbs"] == ["get", "list", "watch"]
        assert not {"*", "secrets"} & {*rule["apiGroups"], *rule["resources"]}
        assert not [name for name in rule["resources"] if "/" in name]


async def test_the_cluster_role_is_what_kubemirror_rbac_prints(base: Manifests) -> None:
    (asked_for,) = await printed(base)

    assert base.one("ClusterRole")["rules"] == asked_for["rules"]


async def test_what_kubemirror_rbac_prints_is_no_part_of_the_manifests(manifests: Manifests) -> None:
    """Whichever of the two is applied last, neither takes from the other."""
    names = {each["metadata"]["name"] for each in await printed(manifests)}

    assert names == {NAME}
    assert not names & {name for kind in ("ClusterRole", "Role") for name in manifests.of_kind(kind)}


async def test_the_role_in_a_namespace_is_what_kubemirror_rbac_prints(renderings: dict[str, Manifests]) -> None:
    namespaced = renderings["namespaced"]
    (asked_for,) = await printed(namespaced)
    granted = namespaced.one("Role")

    assert asked_for["kind"] == "Role"
    assert granted["metadata"]["namespace"] == asked_for["metadata"]["namespace"] == "team-a"
    assert granted["rules"] == asked_for["rules"]


async def test_custom_resources_come_by_aggregation_and_nothing_else_does(base: Manifests) -> None:
    aggregated = base.one("ClusterRole", "kubemirror-view")

    assert "rules" not in aggregated  # the control plane's to fill in: applying again must not empty it
    assert aggregated["aggregationRule"] == {
        "clusterRoleSelectors": [
            {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
            {"matchLabels": {AGGREGATED: "true"}},
        ]
    }
    (printed_role,) = await printed(base)
    assert printed_role["metadata"]["labels"] == {AGGREGATED: "true"}  # and not the label of everyone's `view`


def test_both_cluster_roles_are_bound_to_the_pods_account(base: Manifests) -> None:
    bindings = base.of_kind("ClusterRoleBinding")

    assert {each["roleRef"]["name"] for each in bindings.values()} == set(base.of_kind("ClusterRole"))
    assert all(each["subjects"] == [{**ACCOUNT, "namespace": "kubemirror"}] for each in bindings.values())


def test_in_a_namespace_nothing_of_the_whole_cluster_is_granted(renderings: dict[str, Manifests]) -> None:
    namespaced = renderings["namespaced"]
    bindings = namespaced.of_kind("RoleBinding")
    kinds = {each["kind"] for each in namespaced.documents}

    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "Namespace"}
    assert {each["metadata"]["namespace"] for each in namespaced.documents} == {"team-a"}
    assert {(each["roleRef"]["kind"], each["roleRef"]["name"]) for each in bindings.values()} == {
        ("Role", "kubemirror"),
        ("ClusterRole", "view"),
    }
    assert all(each["subjects"] == [{**ACCOUNT, "namespace": "team-a"}] for each in bindings.values())


def test_in_a_namespace_only_it_is_mirrored(renderings: dict[str, Manifests]) -> None:
    settings = renderings["namespaced"].settings

    assert settings.namespace == ("team-a",)
    assert settings.exclude == ("customresourcedefinitions.apiextensions.k8s.io",)
    assert settings.mirror == ()


@pytest.mark.parametrize("overlay", ["monitoring", "replicas"])
def test_other_overlays_grant_what_the_base_grants(renderings: dict[str, Manifests], overlay: str) -> None:
    for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
        assert renderings[overlay].of_kind(kind) == renderings["base"].of_kind(kind)
