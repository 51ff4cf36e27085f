"""A resource that is read consistently is as new as the server, also where only others change."""

from __future__ import annotations

from tests.contract.mirrored import mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Server


async def test_a_quiet_resource_in_a_busy_cluster_is_read_at_once(server: Server, namespace: str) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    others = f"/api/v1/namespaces/{namespace}/configmaps"
    await server.done("POST", deployments, deployment("web"))
    async with mirror_of(server, consistent=("deployments.apps",), freshness_seconds=10) as mirrored:
        for number in range(5):
            await server.done("POST", others, {"metadata": {"name": f"other-{number}"}})
            answer = await mirrored.get(deployments)
            assert answer.status_code == 200, answer.text
            assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["web"]


async def test_ones_own_write_is_read(server: Server, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    async with mirror_of(server, consistent=("deployments.apps",), freshness_seconds=10) as mirrored:
        for number in range(10):
            await server.done("POST", path, deployment(f"web-{number}"))
            answer = await mirrored.get(f"{path}/web-{number}")
            assert answer.status_code == 200, answer.text
