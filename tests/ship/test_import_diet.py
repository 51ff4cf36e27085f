"""The serving process holds nothing it does not need: 34 MB of generated Kubernetes classes stay out of it."""

from __future__ import annotations

import subprocess
import sys

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


def test_a_mirror_of_a_real_cluster_holds_neither_demo_nor_client() -> None:
    program = "import sys, kubemirror.__main__, kubemirror.app, kubemirror.front; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()

    assert "kubemirror.serve.fastlane" in loaded
    assert [name for name in loaded if name.startswith(("kubemirror.demo", "kubemirror.client"))] == []
    assert [name for name in loaded if name.startswith(UNWANTED)] == []


def test_the_mirror_starts_before_what_answers_is_imported() -> None:
    """FastAPI and all above it take as long to import as 10,000 objects take to come."""
    program = "import sys, kubemirror.__main__, kubemirror.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()

    assert "kubemirror.kube.mirror" in loaded
    assert [name for name in loaded if name.partition(".")[0] in ("fastapi", "uvicorn", "jinja2")] == []
    assert [name for name in loaded if name.startswith("kubemirror.serve")] == []
