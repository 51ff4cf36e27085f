"""Discovery documents of the mirror are the server's, restricted to what is mirrored."""

from __future__ import annotations

from typing import Any

import httpx

from tests.contract.both import Both
from tests.contract.mirrored import Mirrored
from tests.contract.objects import V1, V2, bar, definition
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


OLDER = AGGREGATED.replace("v=v2", "v=v2beta1")
ACCEPTED = (
    AGGREGATED,
    f"{AGGREGATED},{OLDER},application/json",
    "application/json",
    f"{AGGREGATED.replace('v=v2', 'v=v3')},application/json",
)


async def test_the_content_type_is_exact_to_the_byte(both: Both) -> None:
    for path in ("/api", "/apis"):
        for accept in ACCEPTED:
            theirs, ours = await both.get(path, accept=accept)

            assert (ours.status_code, ours.headers["content-type"]) == (
                theirs.status_code, theirs.headers["content-type"],
            ), accept  # fmt: skip


async def test_the_older_aggregated_form_is_for_older_clients_of_the_mirror(both: Both) -> None:
    theirs, ours = await both.get("/apis", accept=OLDER)

    assert theirs.status_code == 406  # this version of Kubernetes has dropped it
    assert (ours.status_code, ours.headers["content-type"]) == (200, OLDER)


async def test_an_etag_lasts_as_long_as_the_document(both: Both) -> None:
    for asked in (both.server, both.mirrored.get):
        first = await _get(asked, "/apis")
        again = await _get(asked, "/apis", {"if-none-match": first.headers["etag"]})

        assert (first.headers["vary"], first.headers["cache-control"]) == ("Accept", "public")
        assert (again.status_code, again.content) == (304, b"")


async def _get(asked: Any, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    if isinstance(asked, Server):
        return await asked("GET", path, accept=AGGREGATED, headers=headers)
    answer: httpx.Response = await asked(path, accept=AGGREGATED, headers=headers)
    return answer


async def test_head_is_what_the_server_makes_of_it(both: Both, namespace: str, bars: str) -> None:
    instances = f"/apis/{bars}/v1/namespaces/{namespace}/bars"
    await both.server.done("POST", instances, bar(bars, "a"))
    await both.mirrored.until(lambda: both.mirrored.held(f"bars.{bars}").count(namespace) == 1)
    codes = []
    for path in ("/apis", "/api", "/apis/apps/v1", "/apis/apps/v1/deployments", f"{instances}/a", f"{instances}/b"):
        theirs, ours = await both.get(path, method="HEAD")
        assert ours.status_code == theirs.status_code, path
        assert ours.content == theirs.content == b""
        codes.append(theirs.status_code)

    assert codes == [200, 405, 405, 405, 200, 404]


async def test_openapi_is_passed_on(both: Both, bars: str) -> None:
    known = f"apis/{bars}/v1"
    index = await both.server.until("/openapi/v3", lambda answer: known in answer.json()["paths"])
    url = index.json()["paths"]["apis/apps/v1"]["serverRelativeURL"]

    theirs, ours = await both.get(url)

    assert ours.json() == theirs.json()
    assert ours.status_code == 200
