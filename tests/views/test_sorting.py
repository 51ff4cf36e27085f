"""Columns sort as they are typed, by several keys, and what is missing comes last whichever way."""

from __future__ import annotations

import itertools
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubemirror.views.computed import Said
from kubemirror.views.conditions import Tone
from kubemirror.views.grouping import Counts, parse_group
from kubemirror.views.order import parse_sort, told
from kubemirror.views.quantity import quantity
from kubemirror.views.semver import version_key
from kubemirror.views.table import ColumnError
from kubemirror.views.values import Kind, order_of
from kubemirror.views.verdicts import Verdict
from tests.views.table import NOW, ordered, pod, table


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("Ready", ["0/3", "1/3", "1/2", "2/3", "3/3", "10/10"]),
        ("Memory", ["100m", "0.5", "1", "1k", "1Ki", "900Mi", "1G", "1Gi"]),
        ("Version", ["1.9.0", "1.10.0-alpha", "1.10.0-rc.2", "1.10.0-rc.10", "v1.10.0", "1.10.1", "2.0", "latest"]),
        ("Duration", ["59s", "2m5s", "3h20m", "47h", "7d3h", "2y10d"]),
        ("Node", ["node-1", "Node-2", "node-10", "other"]),
        ("Failures", [0, "3 (5m ago)", 12, "100 (2d ago)"]),
    ],
)
def test_values_follow_each_other_as_people_count(column: str, cells: list[object]) -> None:
    held = [pod(f"p{index}", cell) for index, cell in enumerate(cells)]
    missing = [pod("x", None), pod("y", "<none>")]
    names = [each.name for each in held]

    assert ordered([*missing, *held[::-1]], table(column), column) == [*names, "x", "y"]
    assert ordered([*missing, *held], table(column), f"-{column}") == [*names[::-1], "x", "y"]


def test_what_is_told_of_an_image_and_of_endless_digits_is_json() -> None:
    """A page writes it into its rows, and places those that come by it."""
    held = [pod("a", "web:2-rc.1"), pod("b", "web:latest"), pod("c", "db@sha256:1"), pod("d", "1" * 5000 + "x:1")]
    (key,) = parse_sort("Images", shown := table("Images"))
    keys = [told(key.of(shown.line(each, NOW))) for each in held]

    assert orjson.loads(orjson.dumps(keys)) == keys
    assert sorted(keys) == [keys[3], keys[2], keys[1], keys[0]]
    assert told(order_of("9e999", Kind.ANY)) == [0, sys.float_info.max]


def test_a_verdict_is_sorted_by_how_bad_it_is_and_then_by_its_word() -> None:
    said = [
        Said.of(Verdict(word, tone, sentence, ""))
        for word, tone, sentence in (
            ("Complete", Tone.GOOD, "a"),
            ("Paused", Tone.REST, "a"),
            ("Failed", Tone.BAD, "z"),
            ("Degraded", Tone.BAD, "b"),
            ("Failed", Tone.BAD, "a"),
        )
    ]
    values = [order_of(each, Kind.ANY) for each in said]

    assert sorted(range(5), key=lambda at: values[at]) == [3, 2, 4, 0, 1]  # type: ignore[arg-type, return-value]


def test_several_keys_and_equals_stay_as_they_are() -> None:
    held = [pod("a", "Running", 2), pod("b", "Pending", 1), pod("c", "Running", 1), pod("d", "Running", 2)]
    shown = table("Status", "Restarts")

    assert ordered(held, shown, "Status,-Restarts") == ["b", "a", "d", "c"]
    assert ordered(held, shown, "Restarts:desc,Name:desc") == ["d", "a", "c", "b"]


def test_the_youngest_comes_first_by_age() -> None:
    held = [pod("old", "1h", created="2020-01-01T00:00:00Z"), pod("young", "1h"), pod("never", "1h", created=None)]

    assert ordered(held, table("Age"), "Age") == ["young", "old", "never"]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ColumnError, match='no column "Redy"'):
        parse_sort("Redy", table("Ready"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 30), st.sampled_from(["1/2", "2Gi", "v1.2.3", "True", "web-10"]))))
def test_what_is_told_of_an_order_is_that_order(cells: list[object]) -> None:
    held = [pod(f"p{index}", cell) for index, cell in enumerate(cells)]
    shown = table("X")
    (key,) = parse_sort("X", shown)
    keys = {each.name: orjson.loads(orjson.dumps(told(key.of(shown.line(each, NOW))))) for each in held}
    names = ordered(held, shown, "X")
    present = [keys[name] for name in names if keys[name] is not None]

    assert present == sorted(present)
    assert [keys[name] for name in names][: len(present)] == present
    assert sorted(names) == sorted(keys)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=3, max_size=3), st.lists(st.integers(0, 12), min_size=3, max_size=3))
def test_versions_compare_number_by_number(one: list[int], other: list[int]) -> None:
    first, second = (version_key(".".join(map(str, each))) for each in (one, other))
    assert first is not None
    assert second is not None
    assert (first < second, first == second) == (one < other, one == other)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_a_quantity_is_its_number_in_every_unit(number: int) -> None:
    assert quantity(str(number)) == number
    assert quantity(f"{number}k") == number * 1000
    assert quantity(f"{number}Ki") == number * 1024
    assert quantity(f"{number}m") == number / 1000
    assert quantity(f"{number}e3") == number * 1000
    assert quantity(f"{number}x") is None


def test_counts_are_the_largest_first_or_sorted_by_a_column() -> None:
    shown = table("Version")
    counts = Counts(parse_group("Version", shown))
    for cell in ["1.9", "1.10", "1.10", None, "1.2", "1.2", "1.2"]:
        counts.add(shown.line(pod("p", cell), NOW))

    assert counts.found() == [(("1.2",), 3), (("1.10",), 2), (("1.9",), 1), (("<none>",), 1)]
    assert [group for (group,), _ in counts.found("Version")] == ["1.2", "1.9", "1.10", "<none>"]
    assert [count for _, count in counts.found("Count,-Version")] == [1, 1, 2, 3]
    with pytest.raises(ColumnError):
        counts.found("Ready")
    with pytest.raises(ColumnError, match="tells ages"):
        parse_group("Age", table("Age"))


def test_families_of_one_column_can_always_be_compared() -> None:
    cells = [1, 2.5, True, "1/2", "5m", "1.2.3", "x", ["a", "b"], "1h30m", "10.0.0.1", "reg:5000/x@sha256:1"]
    shown = table("X")
    column = shown.column("X")
    values = [order_of(cell, column.kind) for cell in cells]

    for one, other in itertools.combinations(values, 2):
        assert one is not None
        assert other is not None
        assert (one < other) or (other < one) or one == other
