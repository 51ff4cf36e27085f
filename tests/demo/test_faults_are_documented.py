"""docs/demo.md names every fault that the control routes take, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import kubemirror.demo.control as control

DOCUMENT = Path(__file__).parents[2] / "docs" / "demo.md"


def taken() -> set[str]:
    """The names that ``_switch`` matches."""
    tree = ast.parse(Path(control.__file__).read_text())
    return {
        pattern.value.value
        for pattern in ast.walk(tree)
        if isinstance(pattern, ast.MatchValue) and isinstance(pattern.value, ast.Constant)
    }


def test_every_fault_is_documented() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])}

    assert documented == taken()
    assert "rollback" in documented
