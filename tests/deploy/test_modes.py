"""An overlay for each mode of access, with the rights that this mode needs and no others."""

from __future__ import annotations

from typing import Any

import pytest

from kubemirror.access.modes import check
from kubemirror.settings import Access, Redact
from tests.deploy.manifests import OVERLAYS, Manifests

MODES = {"delegated": Access.DELEGATED, "proxy": Access.PROXY, "open": Access.OPEN}
DELEGATOR = "system:auth-delegator"


def roles_bound(manifests: Manifests) -> set[str]:
    return {each["roleRef"]["name"] for each in manifests.of_kind("ClusterRoleBinding").values()}


def rules_that_write(manifests: Manifests) -> list[dict[str, Any]]:
    roles = [*manifests.of_kind("ClusterRole").values(), *manifests.of_kind("Role").values()]
    rules = [rule for role in roles for rule in role.get("rules", ())]
    return [rule for rule in rules if not set(rule["verbs"]) <= {"get", "list", "watch"}]


@pytest.mark.parametrize("name", MODES)
def test_each_mode_has_an_overlay_that_starts(renderings: dict[str, Manifests], name: str) -> None:
    """Local needs none: it answers the machine that it runs on, and a pod is nobody's machine."""
    settings = renderings[name].settings

    assert settings.access is MODES[name]
    assert settings.redaction is Redact.PATTERN
    assert settings.audit_target == "-"
    check(settings)
    assert set(MODES.values()) | {Access.LOCAL} == set(Access)


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_only_delegated_reviews_tokens(renderings: dict[str, Manifests], name: str) -> None:
    assert (DELEGATOR in roles_bound(renderings[name])) is (name == "delegated")


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_only_proxy_may_create_anything_beside_and_that_is_reviews(renderings: dict[str, Manifests], name: str) -> None:
    reviews = {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}

    assert rules_that_write(renderings[name]) == ([reviews] if name == "proxy" else [])


@pytest.mark.parametrize("name", ["delegated", "proxy"])
def test_what_replicas_share_is_a_secret_that_only_the_pod_reads(renderings: dict[str, Manifests], name: str) -> None:
    manifests = renderings[name]
    settings = manifests.settings
    file = settings.session_key_file if name == "delegated" else settings.proxy_secret_file
    (volume,), (mount,) = manifests.pod["volumes"], manifests.container["volumeMounts"]

    assert file is not None
    assert str(file.parent) == mount["mountPath"]
    assert mount["readOnly"]
    assert volume["name"] == mount["name"]
    assert volume["secret"]["secretName"] not in manifests.of_kind("Secret")  # made by hand: it is in no repository


def test_open_lists_what_it_opens(renderings: dict[str, Manifests]) -> None:
    for name in ("base", "open"):
        settings = renderings[name].settings
        assert settings.open_resource
        assert not any("secret" in each for each in settings.open_resource)
