"""What is committed works anywhere: nothing names a machine, an index, or a file that is not there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.ship.repository import ROOT, texts

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text()
    return {canonical(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)}


def names(requirements: list[object]) -> set[str]:
    return {canonical(re.split(r"[<>=!~;\[ ]", item)[0]) for item in requirements if isinstance(item, str)}


def test_no_file_names_the_folder_it_was_written_in() -> None:
    places = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 2]

    found = {(name, place) for name, text in texts().items() for place in places if place + "/" in text}

    assert not found


def test_locks_name_no_index_and_no_host() -> None:
    for lock in (ROOT / "requirements").iterdir():
        lines = [line for line in lock.read_text().splitlines() if "://" in line or line.lstrip().startswith("-")]

        assert all(line.lstrip().startswith("--hash=sha256:") for line in lines), lock.name


def test_every_locked_package_is_pinned_and_hashed() -> None:
    for lock in (ROOT / "requirements").iterdir():
        entries = re.split(r"^(?=[A-Za-z])", lock.read_text(), flags=re.MULTILINE)

        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries if entry.strip()), lock.name


def test_locks_hold_what_pyproject_asks_for() -> None:
    groups = PYPROJECT["dependency-groups"]
    runtime = names(PYPROJECT["project"]["dependencies"])

    assert runtime <= pins("runtime.txt").keys()
    assert names(groups["build"]) <= pins("build.txt").keys()
    assert runtime | names(groups["test"]) | names(groups["lint"]) | names(groups["build"]) <= pins("dev.txt").keys()


def test_what_is_tested_is_what_is_shipped() -> None:
    tested = pins("dev.txt")

    assert {name: tested[name] for name in pins("runtime.txt")} == pins("runtime.txt")


def test_every_runtime_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.partition("dependencies = [\n")[2].partition("\n]")[0]

    assert all(re.search(r'",\s+# \S', line) for line in block.splitlines())


def test_links_in_documents_lead_to_files() -> None:
    links = {
        (name, target)
        for name, text in texts().items()
        if name.endswith(".md")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in target
    }

    assert {(name, target) for name, target in links if not ((ROOT / name).parent / target).exists()} == set()


def test_commands_that_documents_tell_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {
        (name, target)
        for name, text in texts().items()
        if name.endswith((".md", ".py", ".sh", "run"))
        for target in re.findall(r"(?:`|exec )make ([a-z]+)`?", text)
    }

    assert {target for _, target in told} >= {"run", "test", "lint", "bench"}
    assert {(name, target) for name, target in told if target not in targets} == set()


def test_continuous_integration_runs_what_a_desk_runs() -> None:
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert script.read_text().rstrip().endswith("exec make test")
