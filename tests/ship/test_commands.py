"""Every command says what it does, and what it cannot do it refuses in one line with the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubemirror.settings import Settings


def kubemirror(*arguments: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself, in a home without any cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "XDG"))}
    return subprocess.run(
        [sys.executable, "-m", "kubemirror", *arguments],
        check=False,
        cwd=home,
        env={**kept, "HOME": str(home), "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=40,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command refused; not a traceback."""
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("command", ["serve", "demo-server", "rbac", "kubeconfig", "watch", "embed"])
def test_each_command_explains_itself(command: str, tmp_path: Path) -> None:
    done = kubemirror(command, "--help", home=tmp_path)

    assert done.returncode == 0, done.stderr
    assert command in done.stdout


def test_the_overview_names_each_command(tmp_path: Path) -> None:
    done = kubemirror("--help", home=tmp_path)

    assert done.returncode == 0, done.stderr
    assert [name for name in ("serve", "demo-server", "rbac", "kubeconfig", "watch") if name not in done.stdout] == []


def test_serve_has_a_flag_for_every_setting(tmp_path: Path) -> None:
    told = kubemirror("serve", "--help", home=tmp_path).stdout
    flags = {"--" + name.replace("_", "-") for name in Settings.model_fields}

    assert {flag for flag in flags if flag not in told} == set()


def test_without_any_cluster_the_demo_is_named(tmp_path: Path) -> None:
    assert "--demo" in refused(kubemirror("serve", "--port", "0", home=tmp_path))


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: here, context: {cluster: c, user: u}}]\n"
    )

    said = refused(kubemirror("serve", "--kubeconfig", str(config), "--context", "there", "--port", "0", home=tmp_path))

    assert "there" in said
    assert "here" in said


def test_more_than_one_worker_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert "replica" in refused(kubemirror("serve", "--demo", "--workers", "2", "--port", "0", home=tmp_path))


def test_a_bind_beyond_loopback_wants_access_said(tmp_path: Path) -> None:
    said = refused(kubemirror("serve", "--demo", "--host", "0.0.0.0", "--port", "0", home=tmp_path))

    assert "--access open" in said


def test_an_unknown_flag_is_refused(tmp_path: Path) -> None:
    done = kubemirror("serve", "--prot", "0", home=tmp_path)

    assert done.returncode != 0
    assert "--prot" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    done = kubemirror("serve", "--demo", home=tmp_path, KUBEMIRROR_PORT="many")

    assert done.returncode != 0
    assert "port" in done.stderr.lower()
    assert "Traceback" not in done.stderr
