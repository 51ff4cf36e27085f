"""The serving process holds nothing it does not need: 34 MB of generated Kubernetes classes stay out of it."""

from __future__ import annotations

import pytest

from tests.ship.conftest import DemoMirror

# Generated classes, one module per API group or kind.
UNWANTED = ("kubernetes_asyncio.client.models", "kubernetes_asyncio.client.api.", "kubernetes_asyncio.watch")


@pytest.fixture
def imported(demo_mirror: DemoMirror) -> list[str]:
    """Every module a mirror has imported by the time it has answered its main routes."""
    for path in ("/versions", "/", "/metrics", "/-/status", "/apis", "/resources/deployments"):
        demo_mirror.get(path)
    lines = demo_mirror.log.read_text().splitlines()
    return [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]


def test_the_generated_kubernetes_classes_are_not_imported(imported: list[str]) -> None:
    assert "kubernetes_asyncio.config.kube_config" in imported  # the mirror did read a kubeconfig
    assert [name for name in imported if name.startswith(UNWANTED)] == []


def test_what_only_other_commands_need_is_not_imported(imported: list[str]) -> None:
    tools = {"pytest", "hypothesis", "cryptography", "trustme", "httpx"}

    assert {name for name in imported if name.partition(".")[0] in tools} == set()
