"""Whatever a column is called and a cell shows, a parameter can name it; what was counted is found by its filter."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kubemirror.views.grouping import Counts, conditions_of, parse_group
from kubemirror.views.order import parse_sort
from kubemirror.views.quoted import cut, quoted, unquoted, written
from kubemirror.views.split import split
from kubemirror.views.table import ColumnError, cut_title
from tests.views.table import NOW, found, ordered, pod, table

# What means something in a parameter is frequent.
names = st.text(alphabet="ab1 ,:='\"()[]{}<>!~\\.-*;é", min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)
cells = st.one_of(
    st.none(),
    st.integers(0, 3),
    st.sampled_from(["1.9.5", "1.9.5, proxy v1.31.2", "=", '"', '{"a":"b"}', "True", "true", "1", "01", "<none>", "*"]),
    st.text(alphabet="ab1 ,:='\"()[]{}<>!~\\.-", max_size=5),
)


@pytest.mark.parametrize(
    ("text", "as_written"),
    [
        ("Last Change", "Last Change"),
        ("Up-to-date", "Up-to-date"),
        (".spec.replicas", ".spec.replicas"),
        ("labels.app.kubernetes.io/name", "labels.app.kubernetes.io/name"),
        ("Port(s)", '"Port(s)"'),
        ("-1", '"-1"'),
        ('15" disks', '"15"" disks"'),
        ("*", '"*"'),
        ("", '""'),
        (" a", '" a"'),
    ],
)
def test_only_what_means_something_is_quoted(text: str, as_written: str) -> None:
    assert written(text) == as_written
    assert unquoted(as_written) == text


@given(st.text(max_size=12), st.text(max_size=4))
def test_what_is_quoted_ends_where_its_quotes_do(text: str, more: str) -> None:
    assume(not more.startswith('"'))

    assert cut(quoted(text) + more) == (text, more)
    assert split(f"{quoted(text)},b") == [quoted(text), "b"]


@settings(max_examples=300, deadline=None)
@given(names)
def test_a_column_of_any_name_is_found_by_it(name: str) -> None:
    assume(name.casefold() not in ("name", "namespace"))
    shown, held = table(name), [pod("a", "x"), pod("b", "y")]
    text = written(name)

    assert [column.name for column in shown.shown(f"{text},Name")] == [name, "Name"]
    assert [column.name for column in shown.shown(f"{quoted('T=' + name)}={text}")] == ["T=" + name]
    assert [key.column.name for key in parse_sort(f"-{text},Name", shown)] == [name, "Name"]
    assert ordered(held, shown, f"-{text}") == ["b", "a"]
    assert found(held, shown, f"{text}=x,Name!=b") == ["a"]
    assert [column.name for column in parse_group(text, shown)] == [name]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(cells, cells), max_size=8), names, names)
def test_the_filter_of_a_count_finds_what_was_counted(rows: list[tuple[object, object]], one: str, other: str) -> None:
    assume(len({one.casefold(), other.casefold(), "name", "namespace"}) == 4)
    shown, held = table(one, other), [pod(f"p{at}", *row) for at, row in enumerate(rows)]
    by = f"Title={written(other)},{written(one)}"
    counts = Counts(parse_group(by, shown))
    for each in held:
        counts.add(shown.line(each, NOW))

    told = {group: len(found(held, shown, ",".join(conditions_of(by, group)))) for group, _ in counts.found()}
    assert told == Counter(dict(counts.found()))


def test_counts_are_sorted_by_their_titles_whatever_marks_are_in_them() -> None:
    shown = table("Port(s)", 'a "b", c')
    counts = Counts(parse_group('Port(s),"a ""b"", c"', shown))
    for ports, other in (("80/TCP", "x"), ("53/UDP", "y"), ("80/TCP", "x")):
        counts.add(shown.line(pod("p", ports, other), NOW))

    assert [group[0] for group, _ in counts.found('-"Port(s)"')] == ["80/TCP", "53/UDP"]
    assert [group[1] for group, _ in counts.found('"a ""b"", c":desc')] == ["y", "x"]
    assert [count for _, count in counts.found("Count:asc")] == [1, 2]


def test_a_title_is_what_stands_before_the_first_equals_sign() -> None:
    assert cut_title("Tag=Images") == ("Tag", "Images")
    assert cut_title('"a=""b"""=.spec.x') == ('a="b"', ".spec.x")
    assert cut_title('.status.conditions[?(@.type=="Ready")].status') == (
        "",
        '.status.conditions[?(@.type=="Ready")].status',
    )
    assert cut_title('"Port=s"') == ("", '"Port=s"')
    for text in ("=Name", '""=Name', " =Name"):
        with pytest.raises(ColumnError, match="has no title"):
            cut_title(text)


def test_a_restarted_pod_is_counted_by_its_number() -> None:
    statuses = [{"name": "a", "restartCount": 3, "lastState": {"terminated": {"finishedAt": "2027-01-15T07:00:00Z"}}}]
    shown = table("Restarts")
    held = [pod("a", "3 (5m ago)", status={"containerStatuses": statuses}), pod("b", 3), pod("c", "0")]
    counts = Counts(parse_group("Restarts", shown))
    for each in held:
        counts.add(shown.line(each, NOW))

    assert counts.found() == [(("3",), 2), (("0",), 1)]
    assert found(held, shown, "Restarts==3") == ["a", "b"]
