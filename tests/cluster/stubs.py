"""Stand-ins for Go, pip and what they make: scripts that answer at once and write down what they were asked."""

from __future__ import annotations

from pathlib import Path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def go(path: Path, *, version: str = "go1.26.3", building: str = "") -> Path:
    """A go that tells ``version``. building: what it does before what it builds is there."""
    return script(
        path,
        f'[ "$1" = env ] && {{ echo {version}; exit; }}\n'
        f'echo "$*" >>"{asked(path)}"\n'
        f'{building}\nwhile [ "$1" != -o ]; do shift; done\necho built >"$2"',
    )


def asked(path: Path) -> Path:
    """Where a stub writes down what it was asked, a line each time."""
    return path.with_name(f"{path.name}.asked")


def lines(path: Path) -> list[str]:
    """What a stub was asked."""
    return asked(path).read_text().splitlines() if asked(path).exists() else []
