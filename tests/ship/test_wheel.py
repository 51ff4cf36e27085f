"""The wheel is whole: it runs from a folder of its own, with its pages and its types."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.ship.repository import ROOT, tracked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content alone, away from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, timeout=60)
    return folder


def test_it_holds_every_tracked_file_of_service_and_web(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"kubemirror/{path.relative_to(ROOT)}" if path.is_relative_to(ROOT / "web") else str(path.relative_to(base))
        for path in tracked()
        for base in [ROOT / "service"]
        if path.is_relative_to(base) or path.is_relative_to(ROOT / "web")
    }

    assert {name for name in wanted if name not in inside} == set()
    assert "kubemirror/py.typed" in inside


def test_it_holds_nothing_but_the_package(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"kubemirror"}


def test_it_installs_the_command_and_names_its_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())

    assert "kubemirror = kubemirror.__main__:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def run_installed(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    start = f"import sys; sys.path.insert(0, {str(installed)!r}); "
    command = [sys.executable, "-c", start + arguments[0], *arguments[1:]]
    return subprocess.run(command, check=False, cwd=installed, capture_output=True, text=True, timeout=60)


def test_its_command_runs_away_from_the_checkout(installed: Path) -> None:
    done = run_installed(installed, "from kubemirror.__main__ import main; sys.exit(main())", "--help")

    assert done.returncode == 0, done.stderr
    assert "demo-server" in done.stdout


def test_its_pages_are_found_inside_it(installed: Path) -> None:
    code = "from kubemirror.serve.assets import web; print(web())"

    done = run_installed(installed, code)

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed)
