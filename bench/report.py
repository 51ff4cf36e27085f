"""The run as text tables, as JSON, and as the parts of docs/performance.md between their markers."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import beside, measures
from bench.figures import Figure, number

BEGIN, END = "<!-- {} measured by `make bench`: begin -->", "<!-- {} end -->"
_BESIDE = ("what", "kubemirror", "beside it", "ratio", "goal", "how")
_BESIDE_VERSION_RS = ("beside others", "push")
_ALONE = ("what", "measured", "goal", "beside it")


@dataclass(slots=True)
class Report:
    """The rows of one run; a table that was not taken is None, and its old figures stay.

    missing: who could not run, and why.
    """

    beside: list[beside.Row] | None = None
    alone: list[measures.Row] | None = None
    streams: list[measures.Row] | None = None
    access: list[measures.Row] | None = None
    pages: list[measures.Row] | None = None
    push: list[measures.Row] | None = None
    missing: str = ""

    def _tables(self) -> dict[str, list[tuple[str, ...]]]:
        tables: dict[str, list[tuple[str, ...]]] = {}
        if self.beside is not None:
            tables["beside others"] = [_BESIDE, *map(_beside, self.beside)]
        if self.alone is not None:
            tables["alone"] = [_ALONE, *map(_alone, self.alone)]
        if self.streams is not None:
            tables["streams"] = [_ALONE, *map(_alone, self.streams)]
        if self.access is not None:
            tables["access"] = [_ALONE, *map(_alone, self.access)]
        if self.pages is not None:
            tables["pages"] = [_ALONE, *map(_alone, self.pages)]
        if self.push is not None:
            tables["push"] = [_ALONE, *map(_alone, self.push)]
        return tables

    def text(self) -> str:
        """Aligned columns for a terminal."""
        tables = ["\n".join(_aligned(table)) for table in self._tables().values()]
        return "\n\n".join([*tables, self.missing] if self.missing else tables)

    def write(self, *, folder: Path, document: Path | None) -> None:
        """bench.json into ``folder``, and each table into ``document`` between its markers."""
        folder.mkdir(parents=True, exist_ok=True)
        told: dict[str, Any] = {"machine": machine()}
        if self.beside is not None:
            told["beside"] = [_json(row) | {"ratio": row.ratio} for row in self.beside]
        if self.missing:
            told["missing"] = self.missing
        if self.alone is not None:
            told["alone"] = [_json(row) for row in self.alone]
        if self.streams is not None:
            told["streams"] = [_json(row) for row in self.streams]
        if self.access is not None:
            told["access"] = [_json(row) for row in self.access]
        if self.pages is not None:
            told["pages"] = [_json(row) for row in self.pages]
        if self.push is not None:
            told["push"] = [_json(row) for row in self.push]
        (folder / "bench.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        if document is not None:
            text = document.read_text()
            for name, table in self._tables().items():
                text = _placed(text, name, _markdown(table, self.missing if name in _BESIDE_VERSION_RS else ""))
            document.write_text(text)


def machine() -> str:
    """What the figures belong to."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "aiohttp", "msgspec"))
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({platform.machine()}), CPython {platform.python_version()}, {libraries}"


def _beside(row: beside.Row) -> tuple[str, ...]:
    theirs = f"{row.other}: {_spread(row.theirs, row.unit) if row.theirs is not None else 'not run'}"
    ratio = number(row.ratio) if row.ratio is not None else ""
    return row.name, _spread(row.ours, row.unit), theirs, ratio, _goal(row), row.note


def _alone(row: measures.Row) -> tuple[str, ...]:
    return row.name, f"{number(row.value)} {row.unit}".rstrip(), _goal(row), row.note


def _spread(figure: Figure, unit: str) -> str:
    spread = f" ±{figure.spread:.0%}" if len(figure.rounds) > 1 else ""
    return f"{number(figure.median)} {unit}{spread}"


def _goal(row: beside.Row | measures.Row) -> str:
    if row.goal is None:
        return ""
    said = "" if row.reached is None else " reached" if row.reached else " MISSED"
    return f"{'≥' if row.at_least else '≤'} {number(row.goal)}{said}"


def _json(row: beside.Row | measures.Row) -> dict[str, Any]:
    return asdict(row) | {"reached": row.reached}


def _aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def _markdown(table: Sequence[tuple[str, ...]], missing: str) -> str:
    head, *rows = ("| " + " | ".join(line) + " |" for line in table)
    taken = f"Taken {datetime.now(UTC):%Y-%m-%d} on {machine()}."
    said = ["", missing] if missing else []
    return "\n".join([taken, "", head, "|" + " --- |" * len(table[0]), *rows, *said])


def _placed(text: str, name: str, table: str) -> str:
    begin, end = BEGIN.format(name), END.format(name)
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise RuntimeError(f"the document has lost the markers {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"
