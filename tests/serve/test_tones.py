"""Colour repeats what a cell says: what is wrong stands out, what ended well does not."""

from __future__ import annotations

import pytest

from kubemirror.serve.resource_view import ShownColumn
from kubemirror.serve.tones import tones


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2/2", "Running"], ["", ""]),
        (["1/2", "Running"], ["warn", ""]),
        (["0/2", "CrashLoopBackOff"], ["bad", "bad"]),
        (["0/1", "Init:0/2"], ["bad", "warn"]),
        (["0/1", "Completed"], ["", ""]),
        (["0/0", None], ["", ""]),
        (["False", "Failed"], ["bad", "bad"]),
        (["Unknown", "Terminating"], ["warn", "warn"]),
        ([True, 7], ["", ""]),
    ],
)
def test_a_cell_says_how_its_object_is(cells: list[object], expected: list[str]) -> None:
    assert tones([ShownColumn("Ready"), ShownColumn("Status")], cells) == expected


def test_ages_go_on_by_themselves() -> None:
    columns = [ShownColumn("Age"), ShownColumn("Last Run", type="date"), ShownColumn("Type")]

    assert tones(columns, ["3d", "5m", "Warning"]) == ["age", "age", "warn"]
