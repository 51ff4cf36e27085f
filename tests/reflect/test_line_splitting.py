"""Bytes become the same lines wherever the network cut them."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubemirror.kube.wire import PREFIX_BYTES, EventDecoder, LineSplitter, Oversize, header_of
from kubemirror.state.objects import Ingest
from tests.reflect.scene import added, bookmark, deleted, row, thing

LINES = [
    added("ü", 1, spec={"text": "☃ \u2028 \U0001f600"}),
    row("MODIFIED", thing("b", 2), ["b", "é"], [{"name": "Name"}])[:-1] + b"\r\n",
    b"\n",
    deleted("c", 3),
    bookmark(9, end=True),
]
WHOLE = b"".join(LINES)
EXPECTED = [line.rstrip(b"\n") for line in LINES if line.strip()]


def split(chunks: list[bytes], cap: int = 1 << 20) -> list[bytes | Oversize]:
    splitter = LineSplitter(cap)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    assert splitter.pending == 0
    return lines


def test_f17_every_single_split_point_gives_the_same_lines() -> None:
    for at in range(len(WHOLE) + 1):
        assert split([WHOLE[:at], WHOLE[at:]]) == EXPECTED


@given(st.lists(st.integers(0, len(WHOLE)), max_size=60))
def test_f17_any_set_of_split_points_gives_the_same_lines(points: list[int]) -> None:
    edges = [0, *sorted(points), len(WHOLE)]
    assert split([WHOLE[start:end] for start, end in itertools.pairwise(edges)]) == EXPECTED


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=20), st.data())
def test_f17_arbitrary_bytes_are_cut_at_newlines_and_nowhere_else(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    points = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    edges = [0, *points, len(whole)]

    pieces = split([whole[start:end] for start, end in itertools.pairwise(edges)])

    assert pieces == [line for line in lines if line not in (b"", b"\r")]


def test_f17_a_partial_line_is_never_given_out() -> None:
    splitter = LineSplitter(1000)

    assert splitter.feed(b'{"type":"ADDED"}\n{"ty') == [b'{"type":"ADDED"}']
    assert splitter.pending == 4
    assert splitter.feed(b"") == []


@given(st.integers(1, 200), st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(1, 64))
def test_f23_a_line_beyond_the_cap_is_told_by_its_length_and_the_next_line_is_whole(
    cap: int, sizes: list[int], step: int
) -> None:
    whole = b"".join(b"x" * size + b"\n" for size in sizes)

    lines = split([whole[at : at + step] for at in range(0, len(whole), step)], cap)

    seen = [line.size if isinstance(line, Oversize) else len(line) for line in lines]
    assert seen == [size for size in sizes if size]
    assert all(isinstance(line, Oversize) == (size > cap) for line, size in zip(lines, seen, strict=True))


def test_f23_of_a_long_line_no_more_than_a_prefix_is_held() -> None:
    splitter = LineSplitter(1000)
    for _ in range(1000):
        assert splitter.feed(b"x" * 10_000) == []
    (line,) = splitter.feed(b"\n")

    assert isinstance(line, Oversize)
    assert line.size == 10_000_000
    assert len(line.prefix) <= PREFIX_BYTES


@pytest.mark.parametrize("form", ["plain", "table"])
@pytest.mark.parametrize("order", ["usual", "sorted"])
def test_f23_the_header_is_found_in_a_prefix_that_ends_anywhere_behind_it(form: str, order: str) -> None:
    big = thing("big", 77, spec={"text": 'x{"name":"wrong","uid":"wrong"}' * 50, "name": "wrong"})
    big["metadata"]["annotations"] = {"note": '"metadata":{"uid":"wrong"}', "uid": "wrong"}
    text = json.dumps(big, sort_keys=order == "sorted", separators=(",", ":"))
    raw = json.loads(text)
    whole = row("MODIFIED", raw, ["big", {"uid": "wrong"}], [{"name": "uid"}]) if form == "table" else None
    line = whole if whole is not None else b'{"type":"MODIFIED","object":' + text.encode() + b"}"
    expected = {"type": "MODIFIED", "name": "big", "namespace": "default", "uid": "uid-big", "resourceVersion": "77"}
    end_of_metadata = line.index(b'"spec"')

    for end in range(end_of_metadata, len(line), 11):
        assert header_of(line[:end]) == expected
    for end in range(end_of_metadata):
        found = header_of(line[:end])
        found.pop("resourceVersion", None)  # a Table's own comes first
        assert found.items() <= expected.items()


def test_f17_events_are_the_same_however_their_bytes_were_cut() -> None:
    def events(step: int) -> list[object]:
        splitter = LineSplitter(1 << 20)
        decoder = EventDecoder(Ingest(api_version="example.com/v1", kind="Thing"), cap=1 << 20)
        whole = (
            row("ADDED", thing("ü", 1), ["ü"], [{"name": "Name"}]) + row("DELETED", thing("ü", 2), ["ü"]) + bookmark(3)
        )
        told: list[object] = []
        for at in range(0, len(whole), step):
            for line in splitter.feed(whole[at : at + step]):
                told += [
                    (type(event).__name__, getattr(getattr(event, "object", None), "raw", event))
                    for event in decoder.decode(line)
                ]
        return told

    assert len(events(1 << 20)) == 4
    assert all(events(step) == events(1 << 20) for step in range(1, 40))
