"""The run as a text table, as JSON, and as the part of docs/performance.md between its two markers."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.measures import Row

BEGIN, END = "<!-- measured by `make bench`: begin -->", "<!-- end -->"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"{'≥' if row.at_least else '≤'} {_number(row.goal)} {'reached' if row.reached else 'MISSED'}"


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.name, f"{_number(row.value)} {row.unit}".rstrip(), _goal(row), row.note


def text(rows: list[Row]) -> str:
    """Aligned columns for a terminal."""
    table = [("what", "measured", "goal", "beside it"), *map(_cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
    )


def markdown(rows: list[Row]) -> str:
    """The same as a Markdown table, with where and when it was taken."""
    lines = [f"Taken {datetime.now(UTC):%Y-%m-%d} on {machine()}.", "", "| what | measured | goal | beside it |"]
    lines += ["| --- | --- | --- | --- |", *("| " + " | ".join(_cells(row)) + " |" for row in rows)]
    return "\n".join(lines)


def machine() -> str:
    """What the figures belong to."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "aiohttp", "msgspec"))
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({platform.machine()}), CPython {platform.python_version()}, {libraries}"


def write(rows: list[Row], *, folder: Path, document: Path | None) -> None:
    """bench.json into ``folder``, and the table into ``document`` between its markers."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"machine": machine(), "rows": [asdict(row) | {"reached": row.reached} for row in rows]}
    (folder / "bench.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    if document is not None:
        before, _, rest = document.read_text().partition(BEGIN)
        _, found, after = rest.partition(END)
        if not found:
            raise RuntimeError(f"{document} has lost the markers {BEGIN} and {END}")
        document.write_text(f"{before}{BEGIN}\n{markdown(rows)}\n{END}{after}")
