"""Create, update, patch, delete: each is in the store with the server's own bytes, and told once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kubemirror.serve.status import go_json
from tests.contract.mirrored import Mirrored
from tests.contract.objects import deployment
from tests.contract.servers import JSON_PATCH, STRATEGIC_PATCH, Server

DEPLOYMENTS = "deployments.apps"


def path_of(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


async def held_bytes(server: Server, path: str) -> bytes:
    """What a mirror must hold: the server's bytes without managedFields."""
    obj = (await server("GET", path)).json()
    del obj["metadata"]["managedFields"]
    return orjson.dumps(obj)


async def test_every_write_is_held_with_equal_bytes(server: Server, mirrored: Mirrored, namespace: str) -> None:
    path = path_of(namespace)
    name = f"{path}/web"
    odd = {"odd": 'a<b>&"ü☃\u2028\\', "empty": ""}

    async def same(written: Any) -> None:
        reader = await mirrored.reaches(DEPLOYMENTS, written["metadata"]["resourceVersion"])
        held = reader.get("web", namespace)
        assert held is not None
        assert orjson.dumps(orjson.loads(held.raw)) == await held_bytes(server, name)
        assert (await mirrored.get(name)).content == go_json(orjson.loads(held.raw)) + b"\n"

    created = await server.done("POST", path, deployment(annotations=odd, labels={"a": "b"}))
    await same(created)
    created["spec"]["replicas"] = 4
    await same(await server.done("PUT", name, created))
    await same(await server.patch(name, {"metadata": {"labels": {"a": None, "c": "d"}}}))
    containers = [{"name": "c", "image": "nginx:2"}, {"name": "sidecar", "image": "envoy:1"}]
    patch: Any = {"spec": {"template": {"spec": {"containers": containers}}}}
    await same(await server.patch(name, patch, STRATEGIC_PATCH))
    await same(await server.patch(name, [{"op": "remove", "path": "/metadata/annotations/empty"}], JSON_PATCH))
    await same(await server.patch(f"{name}/scale", {"spec": {"replicas": 2}}))
    await same(await server.patch(f"{name}/status", {"status": {"replicas": 2, "observedGeneration": 1}}))


async def test_what_is_deleted_is_gone_and_what_is_finalized_stays(
    server: Server, mirrored: Mirrored, namespace: str
) -> None:
    path = path_of(namespace)
    await server.done("POST", path, deployment("plain"))
    await server.done("POST", path, deployment("kept", finalizers=["example.dev/hold"]))

    await server.done("DELETE", f"{path}/plain")
    dying = await server.done("DELETE", f"{path}/kept")
    reader = await mirrored.reaches(DEPLOYMENTS, dying["metadata"]["resourceVersion"])
    await mirrored.until(lambda: reader.get("plain", namespace) is None and _dies(reader.get("kept", namespace)))

    await server.patch(f"{path}/kept", {"metadata": {"finalizers": None}})
    await mirrored.until(lambda: reader.get("kept", namespace) is None)
    assert (await mirrored.get(f"{path}/kept")).status_code == 404


def _dies(held: Any) -> bool:
    return held is not None and "deletionTimestamp" in orjson.loads(held.raw)["metadata"]


async def test_one_that_is_replaced_has_another_uid(server: Server, mirrored: Mirrored, namespace: str) -> None:
    path = path_of(namespace)
    first = await server.done("POST", path, deployment())
    await server.done("DELETE", f"{path}/web")
    second = await server.done("POST", path, deployment())

    reader = await mirrored.reaches(DEPLOYMENTS, second["metadata"]["resourceVersion"])

    held = reader.get("web", namespace)
    assert held is not None
    assert held.uid == second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_many_writes_end_in_the_servers_digest(server: Server, mirrored: Mirrored, namespace: str) -> None:
    path = path_of(namespace)
    for at in range(30):
        await server.done("POST", path, deployment(f"d{at}"))
    for at in range(0, 30, 2):
        await server.patch(f"{path}/d{at}", {"spec": {"replicas": at}})
    for at in range(0, 30, 3):
        await server.done("DELETE", f"{path}/d{at}")

    listed = await server.done("GET", path)
    reader = await mirrored.equals(DEPLOYMENTS, listed, namespace)

    assert reader.count(namespace) == len(listed["items"]) == 20
    assert reader.statistics.lists == 1


@pytest.mark.parametrize("accept", ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"])
async def test_a_list_is_the_servers(server: Server, mirrored: Mirrored, namespace: str, accept: str) -> None:
    path = path_of(namespace)
    for name in ("web", "api", "db-0", "db", "db.x"):
        await server.done("POST", path, deployment(name))

    await mirrored.equals(DEPLOYMENTS, await server.done("GET", path), namespace)
    theirs = (await server("GET", path, accept=accept)).json()
    ours = (await mirrored.get(path, accept=accept)).json()

    assert _comparable(ours) == _comparable(theirs)


def _comparable(listed: dict[str, Any]) -> dict[str, Any]:
    """Without what may differ: the moment of the answer (Age, resourceVersion) and managedFields."""
    listed["metadata"].pop("resourceVersion")
    age = [at for at, column in enumerate(listed.get("columnDefinitions", [])) if column["name"] == "Age"]
    for row in listed.get("rows", []):
        row["object"]["metadata"].pop("managedFields", None)
        for at in age:
            assert row["cells"].pop(at)[-1] in "smhdy"
    for item in listed.get("items", []):
        item["metadata"].pop("managedFields", None)
    return listed
