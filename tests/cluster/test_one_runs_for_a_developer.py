"""``python -m tests.cluster`` leaves a control plane running, tells about it, and ends it."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.processes import LOOK_SECONDS, runs
from tests.cluster.programs import CLIENTS, PROGRAMS, require

ROOT = Path(__file__).parents[2]

# Five seconds of start on an idle machine, and ten interpreters.
pytestmark = pytest.mark.timeout(120)


class Command:
    """The command, with a cache of its own: whatever this user has running is left alone."""

    def __init__(self, folder: Path) -> None:
        assets = folder / "assets"
        assets.mkdir()
        for name in (*PROGRAMS, *CLIENTS):
            (assets / name).symlink_to(require(name))
        self._env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "KUBEBUILDER_ASSETS": str(assets)}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.cluster", *arguments]
        return subprocess.run(command, check=False, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    assert command("down").returncode == 0


def test_up_status_and_down(command: Command, tmp_path: Path) -> None:
    nothing = command("status")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "nothing runs; start one with: python -m tests.cluster up" in nothing.stderr

    up = command("up")
    assert up.returncode == 0, up.stderr
    kubeconfig = Path(up.stdout.removesuffix("\n"))
    assert kubeconfig.is_relative_to(tmp_path)
    assert readyz(kubeconfig) == "ok"

    status = command("status")
    assert status.returncode == 0
    *processes, told = status.stdout.splitlines()
    assert told == str(kubeconfig)
    running = {name: int(pid) for name, pid in map(str.split, processes)}
    assert set(running) == {"etcd", "kube-apiserver"}
    assert all(runs(pid, name) for name, pid in running.items())

    again = command("up")
    assert (again.returncode, again.stdout) == (0, up.stdout)
    full = command("up", "--full")
    assert (full.returncode, full.stdout) == (1, "")
    assert "running without kube-controller-manager, kube-scheduler, kwok; end it first" in full.stderr
    assert command("status").stdout == status.stdout

    os.kill(running["kube-apiserver"], signal.SIGKILL)
    while runs(running["kube-apiserver"], "kube-apiserver"):
        time.sleep(LOOK_SECONDS)
    half = command("up")
    assert (half.returncode, half.stdout) == (1, "")
    assert "running without kube-apiserver; end it first: python -m tests.cluster down" in half.stderr

    assert command("down").returncode == 0
    assert not any(runs(pid, name) for name, pid in running.items())
    assert not kubeconfig.exists()
    assert command("status").returncode == 1


def readyz(kubeconfig: Path) -> str:
    """What the API server of a kubeconfig says when its user asks whether it is ready."""
    told = yaml.safe_load(kubeconfig.read_text())
    cluster, user = told["clusters"][0]["cluster"], told["users"][0]["user"]
    asked = urllib.request.Request(f"{cluster['server']}/readyz", headers={"Authorization": f"Bearer {user['token']}"})
    trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
    with urllib.request.urlopen(asked, context=trust, timeout=10) as answer:
        content: bytes = answer.read()
    return content.decode()
