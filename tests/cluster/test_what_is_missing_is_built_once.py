"""What is missing is built into the cache, one build at a time, and whoever waits sees that something goes on."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from tests.cluster import programs, stubs
from tests.cluster.programs import CLIENTS, EARLIER, PROGRAMS, ProgramError, build_missing, programs_folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path / "path")}


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return stubs.go(tmp_path / "path" / "go")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe: whoever reads a line of it waits until one is written."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def built(go: Path) -> list[str]:
    """The packages that were built, in order."""
    return [line.rpartition(" ")[2] for line in stubs.lines(go)]


def packages(*sets: dict[str, programs.Program]) -> list[str]:
    return [program.package for each in sets for program in each.values()]


def test_nothing_is_built_twice(env: dict[str, str], go: Path) -> None:
    build_missing(print, env)
    build_missing(print, env)

    assert built(go) == packages({**PROGRAMS}, {**CLIENTS})
    assert (programs_folder(PROGRAMS, env) / "etcd").read_text() == "built\n"


def test_what_assets_have_is_not_built(env: dict[str, str], go: Path, tmp_path: Path) -> None:
    env["KUBEBUILDER_ASSETS"] = str(tmp_path / "assets")
    for name in ("etcd", "kubectl"):
        stubs.script(tmp_path / "assets" / name, "")
    build_missing(print, env)

    missing = {name: program for name, program in PROGRAMS.items() if name not in ("etcd", "kubectl")}
    assert built(go) == packages(missing, {**CLIENTS})


def test_earlier_clients_are_built_on_demand(env: dict[str, str], go: Path) -> None:
    build_missing(print, env, earlier=True)

    assert built(go) == packages({**PROGRAMS}, {**CLIENTS}, {**EARLIER})


def test_a_failed_build_shows_what_go_said_and_leaves_nothing(env: dict[str, str], tmp_path: Path) -> None:
    go = stubs.go(tmp_path / "path" / "go", building="echo undefined: everything; exit 1")

    with pytest.raises(ProgramError, match=rf"etcd could not be built with {go}:\nundefined: everything"):
        build_missing(print, env)
    assert [file.name for file in programs_folder(PROGRAMS, env).iterdir()] == [".lock"]


def test_progress_is_told_while_a_program_compiles(
    env: dict[str, str], gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "PROGRESS_SECONDS", 0.01)
    # The API server compiles until progress was told.
    building = f'case "$*" in */kube-apiserver) read -r line <"{gate}";; esac'
    stubs.go(tmp_path / "path" / "go", building=building)
    said: list[str] = []
    opened = False

    def say(line: str) -> None:
        nonlocal opened
        said.append(line)
        if not opened and re.fullmatch(r"\[2/6\] kube-apiserver \.\.\. \d+ s", line):
            opened = True
            gate.write_text("go on\n")

    build_missing(say, env)
    assert said[0] == f"For the tests, this once: {', '.join(PROGRAMS)} into {programs_folder(PROGRAMS, env)}"
    assert said[1] == "[1/6] etcd ..."
    assert opened
    told = [line for line in said if line.startswith("[2/6]")]
    assert told[0] == "[2/6] kube-apiserver ..."
    assert re.fullmatch(r"\[2/6\] kube-apiserver built in \d+ s", told[-1])
    assert said[-1].startswith("[1/1] informers built in ")


def test_a_second_build_waits_for_the_first_and_finds_everything(
    env: dict[str, str], gate: Path, tmp_path: Path
) -> None:
    go = stubs.go(tmp_path / "path" / "go", building=f'case "$*" in *etcd*) read -r line <"{gate}";; esac')
    compiling, waiting = threading.Event(), threading.Event()
    said: tuple[list[str], list[str]] = ([], [])

    def first(line: str) -> None:
        said[0].append(line)
        compiling.set()

    def second(line: str) -> None:
        said[1].append(line)
        waiting.set()

    threads = [threading.Thread(target=build_missing, args=(say, env), daemon=True) for say in (first, second)]
    threads[0].start()
    assert compiling.wait(10)
    threads[1].start()
    assert waiting.wait(10)
    gate.write_text("go on\n")
    for thread in threads:
        thread.join()

    assert said[1][0] == "Another build of the control plane is under way; waiting for it ..."
    assert built(go) == packages({**PROGRAMS}, {**CLIENTS})
