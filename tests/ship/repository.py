"""The checkout, for tests that read it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_MADE = {"__pycache__", "dist", "build"}


def tracked() -> list[Path]:
    """Every file that a clean clone has; without git, every file that looks like one."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return [path for path in sorted(ROOT.rglob("*")) if path.is_file() and not _is_made(path)]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def close_codes() -> list[int]:
    """Those that docs/protocol.md lists: what a WebSocket at /watch is closed with."""
    _, _, listed = (ROOT / "docs" / "protocol.md").read_text().partition("| close code | why |\n")
    rows, _, _ = listed.partition("\n\n")
    return [int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)]


def texts() -> dict[str, str]:
    """Every tracked text file by its path inside the repository."""
    found = {}
    for path in tracked():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text()
        except UnicodeDecodeError:
            continue
    return found


def _is_made(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in _MADE or (part.startswith(".") and part != ".ci") for part in parts[:-1])
