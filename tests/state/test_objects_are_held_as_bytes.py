"""What upstream sent is held byte for byte, but for what is never held."""

from __future__ import annotations

import json

import orjson
import pytest

from kubemirror.state.managers import Manager
from kubemirror.state.objects import Ingest, epoch, plain, with_resource_version
from kubemirror.state.redact import Cut

INGEST = Ingest(api_version="apps/v1", kind="Deployment")
MANAGED = [
    {"manager": "old", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
    {"manager": "new", "operation": "Update", "time": "2026-01-02T00:00:00Z", "subresource": "status"},
]


def body(**metadata: object) -> bytes:
    fields = {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "12", **metadata}
    return json.dumps({"metadata": fields, "spec": {"replicas": 2}}, separators=(",", ":")).encode()


def test_the_header_is_what_lists_and_selectors_need() -> None:
    held = INGEST.object(body(labels={"app": "web"}, creationTimestamp="2026-01-01T00:00:10Z"), b'["web","1/1"]')

    assert (held.namespace, held.name, held.uid, held.resource_version) == ("shop", "web", "u1", 12)
    assert held.labels == {"app": "web"}
    assert held.created == 1767225610
    assert held.cells == b'["web","1/1"]'
    assert held.managers is None
    assert held.size == len(held.raw) + len(held.cells)


def test_values_are_kept_as_they_were_written() -> None:
    """Numbers keep their digits, strings their escapes: nothing is decoded that needs not be."""
    spec = rb'{"n":1.50,"big":123456789012345678901234567890,"e":1E5,"text":"\u00e9\u003c\/ \ud83d\ude00","z":null}'
    raw = (
        rb'{"kind":"Foo","apiVersion":"clux.dev/v1","metadata":{"name":"a","uid":"u","resourceVersion":"1"},"spec":'
        + spec
    )
    raw += b"}"

    assert INGEST.object(raw).raw == raw


def test_key_order_is_upstreams() -> None:
    raw = (
        b'{"apiVersion":"clux.dev/v1","kind":"Foo","metadata":{"uid":"u","resourceVersion":"1","name":"a"},"a":1,"Z":2}'
    )

    assert INGEST.object(raw).raw == raw


def test_type_fields_that_lists_leave_out_are_put_in_front() -> None:
    held = INGEST.object(body())

    assert held.raw.startswith(b'{"kind":"Deployment","apiVersion":"apps/v1","metadata":{')


def test_metadata_only_objects_are_called_by_their_own_kind() -> None:
    ingest = Ingest(api_version="v1", kind="Secret", replace_type=True)
    held = ingest.object(b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"}}')

    assert held.raw == b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}'


def test_managed_fields_are_cut_and_their_newest_entry_kept() -> None:
    held = INGEST.object(body(managedFields=MANAGED))

    assert b"managedFields" not in held.raw
    assert held.managers is not None
    assert held.managers.newest == (Manager("new", "Update", "status"), 1767312000)
    assert orjson.loads(held.raw)["spec"] == {"replicas": 2}
    assert b"managedFields" not in INGEST.object(body(managedFields=[])).raw


@pytest.mark.parametrize("others", [{}, {"note": "stays"}])
def test_the_last_applied_annotation_is_cut(others: dict[str, str]) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": '{"password":"canary"}', **others}
    held = INGEST.object(body(annotations=annotations))

    assert b"canary" not in held.raw
    assert orjson.loads(held.raw)["metadata"].get("annotations", {}) == others
    assert ("annotations" in orjson.loads(held.raw)["metadata"]) == bool(others)


def test_settings_keep_what_is_cut_by_default() -> None:
    ingest = Ingest(
        api_version="apps/v1", kind="Deployment", redaction=Cut(keep_managed_fields=True, keep_last_applied=True)
    )
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    held = ingest.object(body(managedFields=MANAGED, annotations=annotations))

    assert orjson.loads(held.raw)["metadata"]["managedFields"] == MANAGED
    assert orjson.loads(held.raw)["metadata"]["annotations"] == annotations
    assert held.managers is not None
    assert held.managers.newest == (Manager("new", "Update", "status"), 1767312000)


def test_an_authoritative_store_keeps_everything() -> None:
    held = plain(api_version="apps/v1", kind="Deployment").object(body(managedFields=MANAGED))

    assert orjson.loads(held.raw)["metadata"]["managedFields"] == MANAGED


def test_an_object_beyond_the_cap_is_a_stub_that_says_so() -> None:
    big = body(labels={"app": "x"}, annotations={"secret": "s" * 2000})
    held = INGEST.object(big, b'["web"]', cap=1000)

    assert (held.name, held.namespace, held.uid, held.resource_version) == ("web", "shop", "u1", 12)
    assert "1000 bytes (--max-object-bytes)" in held.error
    assert orjson.loads(held.raw)["metadata"]["annotations"] == {"kubemirror/error": held.error}
    assert len(held.raw) < 1000
    assert INGEST.object(big, cap=len(big)).error == ""


def test_an_object_whose_header_is_odd_is_a_stub_and_harms_nobody() -> None:
    held = INGEST.object(body(labels=["not", "a", "map"]))

    assert held.error
    assert (held.name, held.resource_version) == ("web", 12)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"metadata":{}}',
        b'{"metadata":null}',
        b'{"metadata":{"name":"a","resourceVersion":"abc"}}',
        b'{"metadata":{"name":5}}',
        b'{"metadata":{"name":"a"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_object_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        INGEST.object(junk)


def test_equal_labels_are_held_once() -> None:
    one, two = (INGEST.object(body(labels={"app": "shop", "tier": "front"})) for _ in range(2))

    assert one.labels is two.labels
    assert INGEST.object(body()).labels == {}


def test_held_bytes_do_not_pin_what_they_were_read_from() -> None:
    buffer = bytearray(body() + b" " * 100_000)
    held = INGEST.object(memoryview(buffer)[: len(body())])
    buffer[:] = b"x" * len(buffer)

    assert orjson.loads(held.raw)["metadata"]["name"] == "web"
    assert type(held.raw) is bytes


def test_a_deletion_is_the_last_state_under_its_own_resource_version() -> None:
    held = INGEST.object(body(labels={"app": "web"}), b'["web"]')
    later = with_resource_version(held, 99)

    assert later.resource_version == 99
    assert orjson.loads(later.raw) == {
        **orjson.loads(held.raw),
        "metadata": {**orjson.loads(held.raw)["metadata"], "resourceVersion": "99"},
    }
    assert (later.uid, later.labels, later.cells) == (held.uid, held.labels, held.cells)
    assert with_resource_version(held, 12) is held


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-01-01T00:00:00Z", 1767225600), ("2026-01-01T01:00:00+01:00", 1767225600), ("", 0), (None, 0), ("soon", 0)],
)
def test_epochs(text: str | None, seconds: int) -> None:
    assert epoch(text) == seconds
