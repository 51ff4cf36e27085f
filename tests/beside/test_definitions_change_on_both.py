"""A definition comes, changes and goes while both are asked: its group, lists, Tables and streams stay equal."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.beside.comparing import Aside, compare, normal, read, same
from tests.beside.corpus import AGGREGATED, JSON, PARTIAL_LIST, TABLE, A
from tests.beside.pair import Answer, Pair

GROUP = "changing.example.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = f"{DEFINITIONS}/things.{GROUP}"
OPEN = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
V1 = {"name": "v1", "served": True, "storage": True, "schema": OPEN}
V2 = {"name": "v2", "served": True, "storage": False, "schema": OPEN, "subresources": {"status": {}}}
COLUMNS = [{"name": "Size", "type": "integer", "jsonPath": ".size"}]
# The API server's own handlers hear of a definition a moment after whoever wrote it; two shared cores take longer.
PATIENCE_SECONDS = 30.0


def things(version: str = "v1", namespace: str = A) -> str:
    return f"/apis/{GROUP}/{version}{namespace}/things"


def ask(pair: Pair, target: str, accept: str = JSON) -> tuple[Answer, Answer]:
    return pair.ask(target, headers={"Accept": accept})


def until_equal(pair: Pair, status: int, target: str, accept: str = JSON, containing: bytes = b"") -> None:
    """Ask again until the API server has come so far, and then until the mirror has."""
    aside = Aside(list_version=True)
    error: AssertionError | None = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        theirs, ours = ask(pair, target, accept)
        if theirs.status != status or containing not in theirs.body:
            continue
        try:
            compare(theirs, ours, aside)
        except AssertionError as differs:
            error = differs
        else:
            return
    raise error or AssertionError(f"the API server does not answer {target} with {status}")


@pytest.fixture
def defined(pair: Pair) -> Iterator[Pair]:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]}
    pair.world.create(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"things.{GROUP}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [V1]},
        }
    )
    until_equal(pair, 200, things())
    yield pair
    if pair.theirs(DEFINITION, headers={}).status == 200:
        pair.world.delete(DEFINITION)
    until_equal(pair, 404, DEFINITION)


def thing(name: str, size: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Thing",
        "metadata": {"name": name, "namespace": "team-a"},
        "size": size,
    }


def test_a_new_definition_is_served_as_the_server_serves_it(defined: Pair) -> None:
    until_equal(defined, 200, f"/apis/{GROUP}")
    until_equal(defined, 200, f"/apis/{GROUP}/v1")
    until_equal(defined, 200, "/apis", AGGREGATED, containing=GROUP.encode())
    until_equal(defined, 200, things(), TABLE)
    until_equal(defined, 200, things(), PARTIAL_LIST)
    until_equal(defined, 404, f"{things()}/nobody")
    until_equal(defined, 404, things("v2"))


def test_versions_and_columns_change_with_the_definition(defined: Pair) -> None:
    defined.world.create(thing("one", 7))
    until_equal(defined, 200, things(), TABLE, containing=b"one")

    versions = [{**V1, "additionalPrinterColumns": COLUMNS, "deprecated": True}, {**V2, "selectableFields": []}]
    defined.world.patch(DEFINITION, {"spec": {"versions": versions}})

    until_equal(defined, 200, things("v2"), containing=b"one")
    until_equal(defined, 200, things(), TABLE, containing=b"Size")
    until_equal(defined, 200, f"{things()}/one")
    until_equal(defined, 200, f"{things('v2')}/one/status")
    until_equal(defined, 200, f"/apis/{GROUP}")
    until_equal(defined, 200, f"/apis/{GROUP}/v2")
    until_equal(defined, 200, "/apis", AGGREGATED, containing=b"v2")

    defined.world.patch(DEFINITION, {"spec": {"versions": [V1, {**V2, "served": False}]}})

    until_equal(defined, 404, things("v2"))
    until_equal(defined, 200, f"/apis/{GROUP}")
    until_equal(defined, 200, things(), TABLE, containing=b"Age")


def test_a_definition_that_goes_takes_its_instances_along(defined: Pair) -> None:
    world = defined.world
    for name in ("one", "two"):
        newest = int(world.create(thing(name))["metadata"]["resourceVersion"])
    defined.mirroring.reach(newest, f"things.{GROUP}")
    with defined.streams(f"{things()}?watch=1&resourceVersion={newest}") as streams:
        world.delete(DEFINITION)

        until_equal(defined, 404, things())
        until_equal(defined, 404, f"/apis/{GROUP}/v1")
        until_equal(defined, 404, f"/apis/{GROUP}")
        theirs, ours = ([next_event(stream) for _ in range(2)] for stream in streams)
        same(theirs, ours)
        assert streams[1].readline() == b"", "the mirror's stream ends with its resource"


def next_event(stream: http.client.HTTPResponse) -> Any:
    event = read(stream.readline())
    assert event.get("type") == "DELETED"
    return event.put("object", normal(event.get("object")))
