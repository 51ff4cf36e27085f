"""WatchLists, plain lists, pages and namespaces: each way into the store ends in the server's own state."""

from __future__ import annotations

from typing import Any

import pytest

from kubemirror.state.events import Phase
from tests.contract.mirrored import Mirrored, digest_of, mirror_of
from tests.contract.objects import deployment
from tests.contract.reflected import reflected
from tests.contract.servers import Server


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"watch_list": False},
        {"watch_list": False, "page_size": 3},
        {"watch_list": False, "page_size": 1, "tables": False},
        {"tables": False},
    ],
    ids=["WatchList", "list", "pages", "pages of one object", "objects"],
)
async def test_every_way_in_ends_in_the_servers_state(server: Server, namespace: str, options: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for at in range(10):
        await server.done("POST", path, {"metadata": {"name": f"c{at}"}, "data": {"at": str(at)}})

    async with reflected(server, "configmaps", **options) as reflecting:
        reader = reflecting.reader
        await reflecting.until(lambda: reader.synced)
        listed = await server.done("GET", "/api/v1/configmaps")
        assert reader.digest() == digest_of(listed)

        changed = await server.patch(f"{path}/c3", {"data": {"at": "x"}})
        await server.done("DELETE", f"{path}/c4")
        await reflecting.until(lambda: reader.get("c4", namespace) is None)
        held = reader.get("c3", namespace)
        assert held is not None
        assert str(held.resource_version) == changed["metadata"]["resourceVersion"]
        assert bool(held.cells) is options.get("tables", True)


async def test_who_may_read_one_namespace_mirrors_that_one(server: Server) -> None:
    if not (await server("GET", "/api/v1/namespaces/shop")).is_success:
        await server.done("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    other = await server.namespace()
    for namespace in ("shop", other):
        await server("DELETE", f"/apis/apps/v1/namespaces/{namespace}/deployments/ours")
        await server.done("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("ours"))

    async with reflected(server, "deployments.apps", namespace="shop", token="shop-token") as reflecting:
        reader = reflecting.reader
        await reflecting.until(lambda: reader.phase is Phase.SYNCED)
        listed = await server.done("GET", "/apis/apps/v1/namespaces/shop/deployments")

        assert reader.namespaces == ("shop",)
        assert reader.digest() == digest_of(listed)
    async with reflected(server, "deployments.apps", token="shop-token") as reflecting:
        await reflecting.until(lambda: reflecting.reader.phase is Phase.FORBIDDEN)
        assert "forbidden" in reflecting.reader.reason


async def test_a_mirror_of_some_namespaces_holds_those(server: Server) -> None:
    first, second, other = [await server.namespace() for _ in range(3)]
    for namespace in (first, second, other):
        await server.done("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment())

    async with mirror_of(server, namespace=(first, second)) as mirrored:
        entry = mirrored.catalog.get("deployments.apps")
        assert entry is not None
        assert set(entry.stores) == {first, second}
        assert {namespace: len(reader) for namespace, reader in entry.stores.items()} == {first: 1, second: 1}
        ours = (await mirrored.get(f"/apis/apps/v1/namespaces/{first}/deployments")).json()
        assert [item["metadata"]["namespace"] for item in ours["items"]] == [first]


async def test_a_watch_list_of_the_mirror_is_the_servers(server: Server, mirrored: Mirrored, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for name in ("a", "b"):
        newest = (await server.done("POST", path, deployment(name)))["metadata"]["resourceVersion"]
    await mirrored.reaches("deployments.apps", newest)
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    asked = "&".join(f"{name}={value}" for name, value in query.items())

    async with (
        server.watch(path, **query) as theirs,
        mirrored.watch(f"{path}?watch=1&{asked}") as ours,
    ):
        told = [_brief(event) for event in await theirs.take(3)]
        assert [_brief(await ours.next()) for _ in range(3)] == told

        await server.patch(f"{path}/a", {"spec": {"replicas": 3}})
        await server.done("DELETE", f"{path}/b")
        told = [await _change(theirs) for _ in range(2)]
        assert [await _change(ours) for _ in range(2)] == told


async def _change(events: Any) -> tuple[str, str, str, Any]:
    """The next event that is no bookmark: those come when it suits the server."""
    while (event := await events.next())["type"] == "BOOKMARK":
        pass
    return _brief(event)


def _brief(event: Any) -> tuple[str, str, str, Any]:
    metadata = event["object"]["metadata"]
    bookmark = event["type"] == "BOOKMARK"  # its resourceVersion is the moment's
    return (
        event["type"],
        metadata.get("name", ""),
        "" if bookmark else metadata["resourceVersion"],
        metadata.get("annotations"),
    )


async def test_a_watch_from_long_ago_is_expired(server: Server, mirrored: Mirrored) -> None:
    async with mirrored.watch("/apis/apps/v1/deployments?watch=1&resourceVersion=1") as ours:
        event = await ours.next()

    assert event is not None
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
