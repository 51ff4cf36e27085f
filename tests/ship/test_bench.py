"""`make bench` works: a small run measures every row and writes its table where it was told to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import BEGIN, END
from tests.ship.repository import ROOT


@pytest.mark.timeout(180)
def test_a_small_run_measures_every_row(tmp_path: Path) -> None:
    before = (ROOT / "docs" / "performance.md").read_text()
    command = [sys.executable, "-m", "bench", "--objects", "1000", "--rounds", "1", "--seconds", "0.3"]

    done = subprocess.run(
        [*command, "--no-document", "--output", str(tmp_path)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
    )

    told = done.stdout + done.stderr
    assert "Traceback" not in told, told
    rows = {row["name"]: row for row in json.loads((tmp_path / "bench.json").read_text())["rows"]}
    assert {name.partition(":")[0] for name in rows} >= {
        "json pass",
        "empty mirror",
        "sync of 1,000",
        "1,000 held",
        "watch event",
        "GET /versions (one)",
        "GET /versions (all)",
    }
    # The difference of two runs is noise at this size; everything else is there to be measured.
    assert {name for name, row in rows.items() if not row["value"] > 0} <= {"sync of 1,000: CPU per object"}
    assert (ROOT / "docs" / "performance.md").read_text() == before


def test_the_document_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()

    assert 0 < text.index(BEGIN) < text.index(END)
