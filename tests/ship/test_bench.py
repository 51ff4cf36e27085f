"""`make bench` works: a small run measures every row and writes its tables where it was told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.contenders import find_version_rs
from bench.report import BEGIN, END
from tests.ship.repository import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"


def bench(*arguments: str, into: Path) -> dict[str, Any]:
    """What a run measured; the document is left alone."""
    before = DOCUMENT.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--rounds", "1", "--no-document", "--output", str(into), *arguments],
        check=False,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "VERSION_RS"},
        capture_output=True,
        text=True,
        timeout=170,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert DOCUMENT.read_text() == before
    told: dict[str, Any] = json.loads((into / "bench.json").read_text())
    return told | {"said": said}


@pytest.mark.timeout(180)
def test_a_small_run_on_its_own_measures_every_row(tmp_path: Path) -> None:
    told = bench("--only", "alone", "--objects", "1000", into=tmp_path)
    rows = {row["name"]: row for row in told["alone"]}

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


@pytest.mark.timeout(180)
def test_a_small_run_beside_a_real_api_server_measures_every_row(tmp_path: Path) -> None:
    told = bench("--only", "beside", "--sizes", "200", "--seconds", "1", into=tmp_path)
    rows = {row["name"].removeprefix("200: "): row for row in told["beside"]}

    assert {
        "process start to a complete /versions",
        "CPU from start to synced",
        "resident after sync",
        "resident",
        "GET /versions/{ns}/{name}",
        "GET /versions",
        "GET one Deployment, gzip",
        "LIST a namespace, Table, gzip",
        "LIST all, gzip",
    } <= rows.keys()
    assert all(figure > 0 for row in rows.values() for figure in row["ours"]["rounds"])
    assert {row["other"] for row in rows.values() if row["theirs"] is None} == {"version-rs"}
    assert all(row["ratio"] > 0 for row in rows.values() if row["other"] == "kube-apiserver")
    assert "version-rs was not run: let VERSION_RS name" in told["missing"]
    assert told["missing"] in told["said"]


@pytest.mark.timeout(180)
def test_a_small_run_of_streams_hears_every_event_and_measures_every_row(tmp_path: Path) -> None:
    told = bench(
        *("--only", "streams", "--watches", "20", "100", "--objects", "1000", "--seconds", "1"),
        into=tmp_path,
    )
    rows = {row["name"]: row for row in told["streams"]}

    for how in ("plaintext", "TLS"):
        assert rows[f"20 watches, {how}: frames per CPU second"]["value"] > 0
        assert rows[f"20 watches, {how}: 99 of 100 deliveries within"]["value"] > 0
        assert rows[f"LIST of all 1,000, gzip, {how}: first byte of the body"]["value"] > 0
        assert f"16 LISTs of all at once, gzip, {how}, half of them stalled: memory grows by" in rows
    for concerned in (0, 1, 10):
        assert rows[f"100 watches, a label each: CPU of an event that concerns {concerned}"]["value"] > 0
    assert rows["beside it, kube-apiserver: 20 watches, TLS: frames per CPU second"]["value"] > 0


@pytest.mark.timeout(180)
def test_a_small_run_in_a_browser_measures_every_row(tmp_path: Path) -> None:
    told = bench("--only", "pages", "--objects", "600", "--seconds", "0.2", into=tmp_path)
    rows = {row["name"].partition("changes/s")[2] or row["name"]: row["value"] for row in told["pages"]}

    assert rows["page of 500 rows of 600, made anew: first byte"] > 0
    assert rows["the same page at the same version: first byte"] > 0
    assert rows["500 rows painted, from the click on, nothing cached"] > 0
    assert rows[": main thread is busy"] > 0
    assert {" for 4 s: tasks above 50 ms", ": JavaScript heap grows by", ": DOM nodes grow by"} <= rows.keys()


@pytest.mark.timeout(180)
def test_a_small_run_of_push_hears_every_event_and_measures_every_row(tmp_path: Path) -> None:
    told = bench("--only", "push", "--watches", "20", "100", "--seconds", "0.3", into=tmp_path)
    rows = {row["name"]: row for row in told["push"]}

    for name in (
        "20 WebSockets, 20 events/s, from upstream's bytes to the write: half within",
        "20 WebSockets, 20 events/s, the last of all readers: 99 of 100 events within",
        "20 WebSockets, 20 events/s, as the reader sees it: half within",
        "20 WebSockets, a loop of socket.send, 20 rounds/s: half within",
        "20 WebSockets, a loop of socket.send: frames",
        "20 WebSockets, as many events as there can be: a core's frames, of that loop's",
        "20 WebSockets, batch=true, as many events as there can be: a core's frames, of that loop's",
        "100 idle WebSockets: share of the core",
        "100 WebSockets resume at once: all have heard what they missed within",
        "beside it, kube-apiserver: 20 watches, 20 events/s, as the reader sees it: half within",
    ):
        assert rows[name]["value"] > 0, name
    assert "one reader more, who takes nothing: 99 of 100 deliveries to the others take longer by" in rows
    assert "100 idle WebSockets: memory each" in rows
    assert {row["goal"] for row in rows.values()} == {None}
    assert "version-rs was not run: let VERSION_RS name" in told["missing"]


def test_a_run_has_as_many_connections_as_the_limit_allows() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 700));"
        "from bench.processes import descriptors;"
        "print(descriptors(100), resource.getrlimit(resource.RLIMIT_NOFILE)[0], descriptors(1000))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.split() == ["100", "612", "188"]
    assert "1,000 connections take 1,512 descriptors, and the hard limit is 700 here: 188" in done.stderr


def test_version_rs_is_a_program_or_the_checkout_that_it_was_built_in(tmp_path: Path) -> None:
    program = tmp_path / "target" / "release" / "version"
    assert find_version_rs({"VERSION_RS": str(tmp_path)})[0] is None
    program.parent.mkdir(parents=True)
    program.touch(0o755)

    assert find_version_rs({"VERSION_RS": str(tmp_path)}) == (program, "")
    assert find_version_rs({"VERSION_RS": str(program)}) == (program, "")
    assert find_version_rs({})[0] is None


def test_the_document_has_each_table_with_its_rows() -> None:
    text = DOCUMENT.read_text()

    for table, row in (
        ("beside others", "| 10,000: GET /versions/{ns}/{name} |"),
        ("streams", "| 1,000 watches, plaintext: frames per CPU second |"),
        ("push", "| 10,000 idle WebSockets: memory each |"),
        ("alone", "| 100,000 held: resident |"),
        ("pages", "| 500 rows painted, from the click on, nothing cached |"),
    ):
        assert row in text.partition(BEGIN.format(table))[2].partition(END.format(table))[0]
