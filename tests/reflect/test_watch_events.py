"""What one line of a watch says, in both forms, and what is refused."""

from __future__ import annotations

import json

import pytest

from kubemirror.kube.wire import (
    Added,
    Deleted,
    EventDecoder,
    Failure,
    Modified,
    Oversize,
    Progress,
    Skipped,
    WireError,
)
from kubemirror.state.events import Columns
from kubemirror.state.objects import Ingest
from tests.reflect.scene import COLUMNS, added, bookmark, error, line, modified, row, thing


def decoder(*, cap: int = 1 << 20, metadata_only: bool = False) -> EventDecoder:
    ingest = Ingest(api_version="example.com/v1", kind="Thing", replace_type=metadata_only)
    return EventDecoder(ingest, cap=cap, metadata_only=metadata_only)


def test_a_table_row_brings_the_object_its_cells_and_once_the_columns() -> None:
    reading = decoder()

    first = reading.decode(row("ADDED", thing("a", 5), ["a", 1, None], COLUMNS))
    second = reading.decode(row("MODIFIED", thing("a", 6), ["a", 2, "é"]))

    columns, event = first
    assert columns == Columns(json.dumps(COLUMNS, separators=(",", ":")).encode())
    assert isinstance(event, Added)
    assert (event.object.name, event.object.resource_version) == ("a", 5)
    assert json.loads(event.object.cells) == ["a", 1, None]
    (event,) = second
    assert isinstance(event, Modified)
    assert json.loads(event.object.cells) == ["a", 2, "é"]


def test_columns_may_come_with_the_first_few_events() -> None:
    reading = decoder()

    told = [reading.decode(row("ADDED", thing("a", rv), ["a"], COLUMNS)) for rv in (1, 2, 3)]

    assert [len(events) for events in told] == [2, 2, 2]


def test_a_bookmark_in_a_table_holds_its_version_in_the_rows_object() -> None:
    mark = {"kind": "Thing", "metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}

    assert decoder().decode(row("BOOKMARK", mark, ["", "<unknown>"])) == (Progress(9, initial_events_end=True),)


def test_a_plain_stream_has_no_columns_and_says_so_first() -> None:
    reading = decoder()

    assert reading.decode(bookmark(3)) == (Progress(3),)
    columns, event = reading.decode(added("a", 5))
    assert columns == Columns(b"")
    assert isinstance(event, Added)
    assert event.object.cells == b""
    assert len(reading.decode(modified("a", 6))) == 1


def test_the_objects_bytes_are_held_as_upstream_wrote_them() -> None:
    text = b'{"kind":"Thing","apiVersion":"example.com/v1","metadata":{"name":"a","uid":"u","resourceVersion":"5"},'
    text += b'"spec":{"number":1.50,"big":123456789012345678901234567890,"text":"\\u2028\\/"}}'

    _, event = decoder().decode(b'{"type":"ADDED","object":' + text + b"}\r")

    assert isinstance(event, Added)
    assert event.object.raw == text


def test_f30_a_row_without_its_object_is_refused() -> None:
    for missing in (None, {"kind": "PartialObjectMetadata"}):
        event = row("ADDED", missing, ["a"], COLUMNS)
        if missing is None:
            with pytest.raises(WireError, match="without its object"):
                decoder().decode(event)
        else:
            assert isinstance(decoder().decode(event)[-1], Skipped)


def test_f30_a_stream_that_mixes_forms_is_refused() -> None:
    tables = decoder()
    tables.decode(row("ADDED", thing("a", 1), ["a"], COLUMNS))
    with pytest.raises(WireError, match="plain object"):
        tables.decode(added("b", 2))

    plain = decoder()
    plain.decode(added("a", 1))
    with pytest.raises(WireError, match="Table"):
        plain.decode(row("ADDED", thing("b", 2), ["b"]))


def test_where_only_metadata_may_be_held_a_whole_object_is_refused() -> None:
    secret = thing("a", 1, data={"password": "cGFzc3dvcmQ="})

    for event in (line("ADDED", secret), row("ADDED", secret, ["a"], COLUMNS)):
        with pytest.raises(WireError, match="only metadata"):
            decoder(metadata_only=True).decode(event)

    partial = {**thing("a", 1), "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    (_, event) = decoder(metadata_only=True).decode(row("ADDED", partial, ["a"], COLUMNS))
    assert isinstance(event, Added)
    assert json.loads(event.object.raw)["kind"] == "Thing"


def test_an_error_event_is_told_in_either_form() -> None:
    said = error(410, "Expired", "too old resource version: 1 (9)")
    tables = decoder()
    tables.decode(row("ADDED", thing("a", 1), ["a"], COLUMNS))

    for reading in (decoder(), tables):
        (event,) = reading.decode(said)
        assert isinstance(event, Failure)
        assert event.status.expired
        assert event.status.code == 410


def test_a_status_where_a_stream_was_promised_is_an_error() -> None:
    (event,) = decoder().decode(b'{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"reason":"X"}')

    assert isinstance(event, Failure)
    assert event.status.code == 500


@pytest.mark.parametrize("bad", [b"{", b"[]", b"null", b"\xff\xfe", b'{"type":"ADDED"}', b'{"object":{}}', b"<html>"])
def test_f18_what_is_no_watch_event_is_told_apart_from_a_bad_object(bad: bytes) -> None:
    tables = decoder()
    tables.decode(row("ADDED", thing("a", 1), ["a"], COLUMNS))

    for reading in (decoder(), tables):
        with pytest.raises(WireError) as refused:
            reading.decode(bad)
        assert refused.value.kind == "bad_line"


def test_f18_an_unknown_type_is_skipped() -> None:
    assert decoder().decode(line("FROBNICATED", thing("a", 1))) == (
        Skipped("unknown_type", "unknown event type 'FROBNICATED'"),
    )


def test_f28_an_object_without_a_name_is_skipped_and_one_that_is_odd_becomes_a_stub() -> None:
    (_, nameless) = decoder().decode(line("ADDED", {"kind": "Thing", "metadata": {"uid": "u"}}))
    odd = thing("odd", 7)
    odd["metadata"]["labels"] = ["not", "a", "map"]
    (_, stubbed) = decoder().decode(line("ADDED", odd))

    assert isinstance(nameless, Skipped)
    assert nameless.kind == "bad_object"
    assert isinstance(stubbed, Added)
    assert stubbed.object.name == "odd"
    assert stubbed.object.resource_version == 7
    assert "could not be read" in stubbed.object.error


def test_f23_beyond_the_cap_a_stub_is_held_that_says_so() -> None:
    (_, event) = decoder(cap=1000).decode(added("big", 7, spec="x" * 2000))

    assert isinstance(event, Added)
    assert "beyond the cap of 1000 bytes" in event.object.error
    assert len(event.object.raw) < 1000
    assert json.loads(event.object.raw)["metadata"]["resourceVersion"] == "7"


def test_f23_a_line_too_long_to_hold_still_tells_whose_it_is() -> None:
    whole = line("DELETED", thing("big", 7, spec="x" * 5000))
    (event,) = decoder(cap=1000).decode(Oversize(whole[:2000], len(whole)))
    (lost,) = decoder(cap=1000).decode(Oversize(whole[:60], len(whole)))

    assert isinstance(event, Deleted)
    assert (event.object.name, event.object.uid, event.object.resource_version) == ("big", "uid-big", 7)
    assert isinstance(lost, Skipped)
    assert lost.kind == "oversize"
