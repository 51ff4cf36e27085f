"""Discovery documents of the mirror are the server's, restricted to what is mirrored."""

from __future__ import annotations

from typing import Any

from tests.contract.mirrored import Mirrored
from tests.contract.objects import V1, V2, definition
from tests.contract.servers import DEFINITIONS, Server

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_resource_lists_are_the_servers(server: Server, mirrored: Mirrored) -> None:
    theirs = {each["name"]: each for each in (await server.done("GET", "/apis/apps/v1"))["resources"]}
    await mirrored.until(lambda: _hashed(mirrored))
    ours = (await mirrored.get("/apis/apps/v1")).json()

    assert (ours["kind"], ours["groupVersion"]) == ("APIResourceList", "apps/v1")
    assert {each["name"] for each in ours["resources"]} >= {"deployments"}
    for each in ours["resources"]:
        assert _readable(each) == _readable(theirs[each["name"]])


def _hashed(mirrored: Mirrored) -> bool:
    entry = mirrored.catalog.get("deployments.apps")
    return entry is not None and bool(entry.resource.versions[0].storage_version_hash)


def _readable(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource as one may read it."""
    return {**resource, "verbs": [verb for verb in resource["verbs"] if verb in ("get", "list", "watch")]}


async def test_groups_are_the_servers(server: Server, mirrored: Mirrored) -> None:
    group = server.group()
    await server.done("POST", DEFINITIONS, definition(group, V1, V2))
    try:
        await mirrored.until(lambda: mirrored.synced(f"bars.{group}"))
        theirs = {each["name"]: each for each in (await server.done("GET", "/apis"))["groups"]}
        ours = (await mirrored.get("/apis")).json()
        listed = [each["name"] for each in ours["groups"]]

        assert {"apps", "apiextensions.k8s.io", group} <= set(listed)
        for each in ours["groups"]:
            assert each == theirs[each["name"]]
        single = (await mirrored.get(f"/apis/{group}")).json()
        assert single == await server.done("GET", f"/apis/{group}")
        ordered = [name for name in theirs if name in listed and not name.endswith(".dev")]
        assert [name for name in listed if name in ordered] == ordered
    finally:
        await server("DELETE", f"{DEFINITIONS}/bars.{group}")


async def test_aggregated_discovery_is_the_servers(server: Server, mirrored: Mirrored) -> None:
    theirs = await server("GET", "/apis", accept=AGGREGATED)
    ours = await mirrored.get("/apis", accept=AGGREGATED)

    known = _by_resource(theirs.json())
    told = _by_resource(ours.json())
    assert told
    for name, resource in told.items():
        expected = known[name]
        ours_subresources = [each["subresource"] for each in resource.pop("subresources", [])]
        theirs_subresources = [each["subresource"] for each in expected.pop("subresources", [])]
        assert set(ours_subresources) <= set(theirs_subresources)
        assert _readable(resource) == _readable(expected)


def _by_resource(document: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {
        (group["metadata"]["name"], version["version"], resource["resource"]): resource
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


async def test_the_version_is_the_servers(server: Server, mirrored: Mirrored) -> None:
    assert (await mirrored.get("/version")).json() == await server.done("GET", "/version")
