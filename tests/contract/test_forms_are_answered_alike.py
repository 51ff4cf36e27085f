"""Tables, metadata only, YAML, indentation and compression, and what is not acceptable."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.contract.both import Both, comparable
from tests.contract.mirrored import mirror_of
from tests.contract.objects import COLOR, OPEN, V1, bar, config_map, definition, deployment
from tests.contract.servers import DEFINITIONS, TABLE, Server

METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@pytest.fixture
async def path(both: Both, namespace: str) -> str:
    """Of two Deployments, which the mirror has heard of."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for name in ("web", "api"):
        written = await both.server.done("POST", path, deployment(name, labels={"app": name}))
    await both.mirrored.reaches("deployments.apps", written["metadata"]["resourceVersion"])
    return path


async def test_metadata_of_one_and_of_many(both: Both, path: str) -> None:
    one = await both.same(f"{path}/web", accept=METADATA)
    many = await both.same(path, accept=METADATA_LIST)
    none = await both.same("/apis/apps/v1/namespaces/none/deployments", accept=METADATA_LIST)

    assert list(one.json()) == ["kind", "apiVersion", "metadata"]
    assert many.json()["kind"] == "PartialObjectMetadataList"
    assert none.json()["items"] is None


# (Accept, code, content type) of the list; looked up one after the other.
ACCEPTED = [
    ("*/*", 200, "application/json"),
    ("text/html, application/json;q=0.5", 200, "application/json"),
    ("application/json;q=0.1, application/yaml", 200, "application/yaml"),
    ("application/yaml", 200, "application/yaml"),
    ("application/json;as=Nothing;v=v1;g=meta.k8s.io, application/json", 200, "application/json"),
    ("application/json;as=Nothing;v=v1;g=meta.k8s.io", 406, "application/json"),
    ("text/html", 406, "application/json"),
    ("application/*", 406, "application/json"),
    (METADATA, 406, "application/json"),
    (f"{TABLE},application/json", 200, "application/json"),
]


async def test_the_first_acceptable_clause_wins(both: Both, path: str) -> None:
    for accept, code, content_type in ACCEPTED:
        answer = await both.same(path, accept=accept)

        assert (answer.status_code, answer.headers["content-type"]) == (code, content_type), accept
    await both.same(f"{path}/web", accept=METADATA_LIST)


async def test_yaml_is_the_same_document_and_its_errors_are_yaml_too(both: Both, path: str) -> None:
    for where in (f"{path}/web", f"{path}/nope", path):
        theirs, ours = await both.get(where, accept="application/yaml")

        assert ours.status_code == theirs.status_code
        assert comparable(yaml.safe_load(ours.text)) == comparable(yaml.safe_load(theirs.text))
    for answer in await both.get(path, accept="application/yaml", watch="1"):
        assert answer.status_code == 406


async def test_text_that_looks_like_something_else_stays_text_in_yaml(both: Both, path: str) -> None:
    tricky = ["yes", "y", "1e3", "0x10", "null", "~", "12:30", "a\nb\n", "trail ", "", "2026-01-01", ".5", "[]"]
    annotations = {f"a{at}": value for at, value in enumerate(tricky)}
    written = await both.server.done("POST", path, deployment("tricky", annotations=annotations))
    await both.mirrored.reaches("deployments.apps", written["metadata"]["resourceVersion"])

    for answer in await both.get(f"{path}/tricky", accept="application/yaml"):
        assert yaml.safe_load(answer.text)["metadata"]["annotations"] == annotations


@pytest.mark.parametrize(
    ("query", "agent", "indented"),
    [
        ({}, "client-go", False),
        ({}, "curl/8.0", True),
        ({}, "Mozilla/5.0", True),
        ({"pretty": "true"}, "client-go", True),
        ({"pretty": "0"}, "curl/8", False),
    ],
    ids=str,
)
async def test_people_get_indented_answers(both: Both, path: str, query: Any, agent: str, indented: bool) -> None:
    for answer in await both.get(f"{path}/web", headers={"user-agent": agent}, **query):
        assert answer.text.startswith('{\n  "kind"') is indented
        assert answer.text.endswith("\n") is not indented


async def test_bodies_beyond_128_kib_are_compressed_when_asked(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await server.done("POST", path, config_map("small"))
    big = await server.done("POST", path, {**config_map("big"), "data": {"a": "x" * 130 * 1024}})
    async with mirror_of(server, mirror=("configmaps",)) as mirrored:
        await mirrored.reaches("configmaps", big["metadata"]["resourceVersion"])
        both = Both(server, mirrored)
        asked = {"accept-encoding": "gzip, deflate"}
        for answer in await both.get(f"{path}/big", headers=asked):
            assert answer.headers["content-encoding"] == "gzip"
            assert "Accept-Encoding" in answer.headers["vary"]
            assert answer.json()["metadata"]["name"] == "big"
        for answer in (*await both.get(f"{path}/small", headers=asked), *await both.get(f"{path}/big")):
            assert "content-encoding" not in answer.headers


async def test_a_table_has_the_rows_metadata_and_what_was_asked_for(both: Both, path: str) -> None:
    table = await both.same(path, accept=TABLE)
    one = await both.same(f"{path}/web", accept=TABLE)
    shown = [await both.same(path, accept=TABLE, includeObject=include) for include in ("None", "Metadata", "Object")]
    refused = await both.same(path, accept=TABLE, includeObject="All")

    assert [column["name"] for column in table.json()["columnDefinitions"]] == [
        "Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector",
    ]  # fmt: skip
    assert [row["cells"][:4] for row in table.json()["rows"]] == [["api", "0/1", 0, 0], ["web", "0/1", 0, 0]]
    assert table.json()["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert len(one.json()["rows"]) == 1
    kinds = [(answer.json()["rows"][0]["object"] or {}).get("kind") for answer in shown]
    assert kinds == [None, "PartialObjectMetadata", "Deployment"]
    assert refused.status_code == 400


async def test_a_watched_table_tells_its_columns_first(both: Both, path: str) -> None:
    version = (await both.server.done("GET", f"{path}/web"))["metadata"]["resourceVersion"]
    newest = max(version, (await both.server.done("GET", f"{path}/api"))["metadata"]["resourceVersion"], key=int)
    async with both.watch(path, accept=TABLE, resourceVersion=newest, includeObject="Object") as (theirs, ours):
        for count in range(4):
            await both.server.patch(f"{path}/web", {"metadata": {"annotations": {"count": str(count)}}})
        their_events = [await theirs.next() for _ in range(4)]
        our_events = [await ours.next() for _ in range(4)]

    for events in (their_events, our_events):
        assert [event["type"] for event in events] == ["MODIFIED"] * 4
        first, *_, last = [event["object"] for event in events if event is not None]
        assert first["columnDefinitions"]
        assert last["columnDefinitions"] is None
    rows = [[comparable(event["object"])["rows"] for event in events if event] for events in (their_events, our_events)]
    assert rows[0] == rows[1]
    versions = [[event["object"]["metadata"] for event in events if event] for events in (their_events, our_events)]
    assert versions[0] == versions[1]


async def test_another_served_version_is_the_same_object_under_its_own_name_and_columns(
    server: Server, namespace: str
) -> None:
    group = server.group()
    newer = {**V1, "additionalPrinterColumns": [COLOR]}
    older = {"name": "v1beta1", "served": True, "storage": False, "schema": OPEN, "deprecated": True}
    await server.done("POST", DEFINITIONS, definition(group, newer, older))
    try:
        stable, beta = (f"/apis/{group}/{version}/namespaces/{namespace}/bars" for version in ("v1", "v1beta1"))
        await server.until(beta, lambda answer: answer.is_success)
        await server.done("POST", stable, bar(group, "a"))
        async with mirror_of(server) as mirrored:
            both = Both(server, mirrored)
            one = await both.same(f"{beta}/a")
            tables = [await both.same(path, accept=TABLE) for path in (stable, beta)]
            warnings = [answer.headers["warning"] for answer in await both.get(f"{beta}/a")]
    finally:
        await server("DELETE", f"{DEFINITIONS}/bars.{group}")

    assert one.json()["apiVersion"] == f"{group}/v1beta1"
    assert [[column["name"] for column in table.json()["columnDefinitions"]] for table in tables] == [
        ["Name", "Color"],
        ["Name", "Age"],
    ]
    assert warnings == [f'299 - "{group}/v1beta1 Bar is deprecated; use {group}/v1 Bar"'] * 2
