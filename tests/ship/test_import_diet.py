"""The serving process holds nothing it does not need: 34 MB of generated Kubernetes classes stay out of it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

# Generated classes, one module per API group or kind.
UNWANTED = ("kubernetes_asyncio.client.models", "kubernetes_asyncio.client.api.", "kubernetes_asyncio.watch")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every module a mirror has imported by the time it is ready and has answered its main routes."""
    log = tmp_path_factory.mktemp("imports") / "log"
    command = [sys.executable, "-X", "importtime", "-m", "kubemirror", "serve", "--demo", "--port", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--shutdown-delay-seconds", "0"], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1].rstrip("/")
        answered(url + "/readyz", process)
        for path in ("/versions", "/", "/metrics", "/-/status", "/apis"):
            answered(url + path, process)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
    lines = log.read_text().splitlines()
    return [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]


def answered(url: str, process: subprocess.Popen[str]) -> None:
    """Ask until the answer is 200."""
    for _ in range(600):
        assert process.poll() is None, "the mirror ended"
        try:
            urllib.request.urlopen(url, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{url} did not become 200")


def test_the_generated_kubernetes_classes_are_not_imported(imported: list[str]) -> None:
    assert "kubernetes_asyncio.config.kube_config" in imported  # the mirror did read a kubeconfig
    assert [name for name in imported if name.startswith(UNWANTED)] == []


def test_what_only_other_commands_need_is_not_imported(imported: list[str]) -> None:
    tools = {"pytest", "hypothesis", "cryptography", "trustme", "httpx"}

    assert {name for name in imported if name.partition(".")[0] in tools} == set()
