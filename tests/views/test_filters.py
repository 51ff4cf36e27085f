"""A filter compares as a column is typed; what is missing is neither less nor more than anything."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubemirror.views.filter import FilterError, parse_filter
from kubemirror.views.split import split
from kubemirror.views.table import ColumnError
from kubemirror.views.values import Pattern
from tests.views.table import found, pod, table

SHOWN = table(
    "Ready", "Status", "Restarts", "Age", "Memory", "Version", "Images", types=["string", "string", "integer"]
)
PODS = [
    pod("a", "0/1", "Pending", 0, "1h", "100Mi", "1.9.0", "reg:5000/team/nginx:1.9"),
    pod("b", "1/2", "Running", 12, "1h", "1Gi", "v1.10.0-rc.1", "nginx:1.25,envoy:1.31"),
    pod("c", "3/3", "Running", 3, "1h", "2G", "1.10.0", "redis@sha256:abc", created="2027-01-01T00:00:00Z"),
    pod("d", "0/0", None, None, "1h", "<none>", "latest", "<none>", metadata={"labels": {"app.kubernetes.io/x": "1"}}),
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ready<1", "ab"),
        ("ready>=1", "cd"),
        ("Ready=1/2", "b"),
        ("Ready<=50%", "ab"),
        ("Status=running", "bc"),
        ("Status!=Running", "ad"),
        ("Status=", "d"),
        ("Status!=", "abc"),
        ("Restarts>3", "b"),
        ("Restarts!=0", "bcd"),
        ("Restarts<100", "abc"),
        ("Age<2h", "abd"),
        ("Age>1d", "c"),
        ("Memory>=1Gi", "bc"),
        ("Memory<1000M", "a"),
        ("Version>1.9", "bc"),
        ("Version>=1.10.0", "c"),
        ("Version=latest", "d"),
        ("Version<1", ""),
        ("Images~nginx", "ab"),
        ("Images!~nginx", "cd"),
        ("Images=nginx", "ab"),
        ("Images=nginx:1.25", "b"),
        ("Images<1.20", "a"),
        ("Images>=envoy:1.31", "b"),
        ("Name~^a", "a"),
        ("Name>b", "cd"),
        ("Namespace=shop, Restarts>0", "bc"),
        ("labels.app.kubernetes.io/x=1", "d"),
        (".metadata.name=b", "b"),
        (".metadata.labels['app']=b", ""),
        ('Images="nginx:1.25,envoy:1.31"', "b"),
        ("Images=nginx:1.25\\,envoy:1.31", "b"),
        ('"Restarts">3', "b"),
        ("Ready==1/2", "b"),
        ("Ready==0.5", ""),
        ("Status==running", ""),
        ("Status==Running", "bc"),
        ("Status==", "d"),
        ("Status==<none>", "d"),
        ("Version==1.10", ""),
        ("Version=1.10", "c"),
        ('Images=="nginx:1.25,envoy:1.31"', "b"),
        ('Name="a"",b"', ""),
        ("", "abcd"),
    ],
)
def test_a_condition_compares_as_the_column_is_typed(text: str, names: str) -> None:
    assert "".join(found(PODS, SHOWN, text)) == names


@pytest.mark.parametrize(
    ("cell", "text", "expected"),
    [
        ("True", "Ready=true", True),
        ("False", "Ready<1", True),
        ("Unknown", "Ready<1", True),
        ("Unknown", "Ready>0", True),
        ("True", "Ready<1", False),
        (True, "Ready=1", True),
    ],
)
def test_a_condition_of_a_custom_resource_is_ready_or_not(cell: object, text: str, expected: bool) -> None:
    assert bool(found([pod("a", cell)], table("Ready"), text)) is expected


def test_an_image_is_found_by_the_containers_of_the_object() -> None:
    spec = {
        "containers": [{"name": "a", "image": "team/nginx:1.25"}],
        "initContainers": [{"name": "b", "image": "x:2"}],
    }

    assert found([pod("a", spec=spec), pod("b", spec={})], table(), "Image~nginx") == ["a"]
    assert found([pod("a", spec=spec), pod("b", spec={})], table(), "Image>=x:2") == ["a"]


@pytest.mark.parametrize("text", ["Ready", "Ready!", "<1", "=x", "Ready 1"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="is no condition"):
        parse_filter(text, SHOWN)


def test_what_looks_through_everything_is_refused() -> None:
    with pytest.raises(ColumnError, match="looks through everything"):
        parse_filter("..image~x", SHOWN)
    with pytest.raises(ColumnError, match="too many"):
        parse_filter(",".join(["Ready<1"] * 33), SHOWN)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab,\"'\\[](){}=<>!~.-* 1/", max_size=24))
def test_whatever_is_written_is_a_filter_or_is_refused(text: str) -> None:
    with contextlib.suppress(ColumnError):
        found(PODS, SHOWN, text)
    assert ",".join(split(text)) == text


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20))
def test_exactly_one_of_less_equal_and_more_holds(cell: int, operand: int) -> None:
    shown, held = table("Count", types=["integer"]), [pod("a", cell)]
    holds = [bool(found(held, shown, f"Count{operator}{operand}")) for operator in ("<", "=", ">")]

    assert sum(holds) == 1
    assert bool(found(held, shown, f"Count!={operand}")) is not holds[1]
    assert bool(found(held, shown, f"Count<={operand}")) is (holds[0] or holds[1])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab", max_size=8), st.text(alphabet="ab*^$", max_size=8))
def test_a_pattern_finds_what_a_regular_expression_would(text: str, pattern: str) -> None:
    inner = pattern.removeprefix("^")
    inner = inner.removesuffix("$")
    expected = (
        "^" * pattern.startswith("^")
        + ".*".join(map(re.escape, inner.split("*")))
        + "$" * pattern.removeprefix("^").endswith("$")
    )

    assert Pattern(pattern).found(text) is (re.search(expected, text) is not None)
