"""Writes the settings table of docs/operations.md from kubemirror.settings: ``make docs``.

``--check`` changes nothing and fails when the document is not what would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from kubemirror.settings import Settings

DOCUMENT = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN, END = "<!-- settings: begin, written by `make docs` -->", "<!-- settings: end -->"


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    match value:
        case None | () | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case tuple():
            return "`" + ",".join(map(str, value)) + "`"
        case float() if value.is_integer():
            return f"`{int(value)}`"
        case _:
            return f"`{value}`"


def table() -> str:
    """Every setting: flag, variable, default, description."""
    lines = ["| flag | variable | default | what |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        description = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{flag(name)}` | `KUBEMIRROR_{name.upper()}` | {_default(field)} | {description} |")
    return "\n".join(lines)


def written(document: str) -> str:
    """``document`` with the table of today between its markers."""
    before, _, rest = document.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{DOCUMENT.name} has lost the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    text = DOCUMENT.read_text()
    wanted = written(text)
    if "--check" not in sys.argv:
        DOCUMENT.write_text(wanted)
    elif text != wanted:
        print("docs/operations.md does not tell the settings as they are: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
