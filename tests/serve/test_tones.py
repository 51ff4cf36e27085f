"""Colour repeats what a cell says: what is wrong stands out, what ended well does not."""

from __future__ import annotations

import pytest

from kubemirror.serve.tones import tones
from kubemirror.views.table import TableColumn
from kubemirror.views.values import Kind


def column(name: str, type_: str = "string", *, ages: bool = False) -> TableColumn:
    return TableColumn(name, type_, "", 0, Kind.ANY, lambda line: None, ages=ages)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2/2", "Running"], ["", ""]),
        (["1/2", "Running"], ["warn", ""]),
        (["0/2", "CrashLoopBackOff"], ["bad", "bad"]),
        (["0/1", "Init:0/2"], ["bad", "busy"]),
        (["0/1", "Completed"], ["", ""]),
        (["0/0", None], ["", ""]),
        (["False", "Failed"], ["bad", "bad"]),
        (["Unknown", "Terminating"], ["warn", "busy"]),
        (["0/1", "Progressing"], ["bad", "busy"]),
        (["0/1", "Unknown"], ["bad", "warn"]),
        ([True, 7], ["", ""]),
    ],
)
def test_a_cell_says_how_its_object_is(cells: list[object], expected: list[str]) -> None:
    assert tones([column("Ready"), column("Status")], cells) == expected


def test_ages_go_on_by_themselves() -> None:
    columns = [column("Age", ages=True), column("Last Run", "date"), column("Type")]

    assert tones(columns, ["3d", "5m", "Warning"]) == ["age", "age", "warn"]
