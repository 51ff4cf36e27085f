"""One counter over all resources, as one etcd has: writes move it, and nothing else does."""

from __future__ import annotations

from tests.contract.objects import config_map, deployment
from tests.contract.servers import Server


async def test_every_write_takes_a_greater_number_over_all_resources(server: Server, namespace: str) -> None:
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    first = await server.done("POST", config_maps, config_map("a"))
    second = await server.done("POST", deployments, deployment())
    third = await server.patch(f"{config_maps}/a", {"data": {"a": "c"}})
    unchanged = await server.patch(f"{config_maps}/a", {"data": {"a": "c"}})
    async with server.watch(config_maps, resourceVersion=third["metadata"]["resourceVersion"]) as events:
        await server.done("DELETE", f"{config_maps}/a")
        deleted = (await events.next())["object"]

    versions = [int(each["metadata"]["resourceVersion"]) for each in (first, second, third, deleted)]
    assert versions == sorted(set(versions))
    assert unchanged == third


async def test_a_list_of_a_quiet_resource_is_as_new_as_the_cluster(server: Server, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await server.done("GET", path)
    written = await server.done("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map("a"))

    listed = await server.done("GET", path)

    assert int(listed["metadata"]["resourceVersion"]) >= int(written["metadata"]["resourceVersion"])
    assert listed["items"] == []
