"""Label and field selectors choose what the server itself would choose, in lists and in watches."""

from __future__ import annotations

from typing import Any

from tests.contract.mirrored import Mirrored
from tests.contract.objects import COLOR, V1, bar, definition, deployment
from tests.contract.servers import DEFINITIONS, Server

LABELS: dict[str, dict[str, str]] = {
    "a": {"app": "web", "tier": "front"},
    "b": {"app": "web", "tier": "back", "track": ""},
    "c": {"app": "db", "size": "12"},
    "d": {},
}


async def fill(server: Server, namespace: str) -> str:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for name, labels in LABELS.items():
        await server.done("POST", path, deployment(name, labels=labels))
    return path


# Looked up one after the other: each costs milliseconds, and a mirror half a second.
QUERIES: list[dict[str, str]] = [
    {"labelSelector": "app=web"},
    {"labelSelector": "app==web,tier!=front"},
    {"labelSelector": "app!=web"},
    {"labelSelector": "tier"},
    {"labelSelector": "!tier"},
    {"labelSelector": "track="},
    {"labelSelector": "app in (web, db),size notin (13)"},
    {"labelSelector": "app in ()"},
    {"labelSelector": "size>5"},
    {"labelSelector": "size<5"},
    {"fieldSelector": "metadata.name=b"},
    {"fieldSelector": "metadata.name!=b"},
    {"fieldSelector": "metadata.namespace=default"},
    {"fieldSelector": "metadata.name=b", "labelSelector": "app=db"},
    {"fieldSelector": "spec.replicas=1"},
    {"fieldSelector": "nonsense"},
    {"labelSelector": "app in (web"},
    {"labelSelector": "=web"},
    {"labelSelector": "app=web=db"},
    {"labelSelector": "bad key=x"},
    {"labelSelector": "app=bad value"},
]


async def test_a_selected_list(server: Server, mirrored: Mirrored, namespace: str) -> None:
    path = await fill(server, namespace)
    await mirrored.equals("deployments.apps", await server.done("GET", path), namespace)
    for query in QUERIES:
        theirs = await server("GET", path, **query)

        ours = await mirrored.get(path, **query)

        assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
        assert found(ours.json()) == found(theirs.json()), query


def found(answer: dict[str, Any]) -> Any:
    if answer["kind"] == "Status":
        return answer
    return [item["metadata"]["name"] for item in answer["items"]]


async def test_a_selected_watch_tells_what_enters_and_leaves(
    server: Server, mirrored: Mirrored, namespace: str
) -> None:
    path = await fill(server, namespace)
    listed = await server.done("GET", path)
    await mirrored.equals("deployments.apps", listed, namespace)
    newest = max((item["metadata"]["resourceVersion"] for item in listed["items"]), key=int)
    selected = {"labelSelector": "app=web", "resourceVersion": newest}

    async with (
        server.watch(path, **selected) as theirs,
        mirrored.watch(f"{path}?watch=1&labelSelector=app%3Dweb&resourceVersion={newest}") as ours,
    ):
        await server.patch(f"{path}/c", {"metadata": {"labels": {"app": "web"}}})
        await server.patch(f"{path}/a", {"metadata": {"labels": {"app": "db"}}})
        await server.patch(f"{path}/d", {"metadata": {"labels": {"other": "one"}}})
        await server.patch(f"{path}/b", {"spec": {"replicas": 7}})
        await server.done("DELETE", f"{path}/c")

        told = [brief(event) for event in await theirs.take(4)]
        assert [brief(await ours.next()) for _ in range(4)] == told
    assert [event[:2] for event in told] == [("ADDED", "c"), ("DELETED", "a"), ("MODIFIED", "b"), ("DELETED", "c")]


def brief(event: Any) -> tuple[str, str, str, Any]:
    metadata = event["object"]["metadata"]
    return event["type"], metadata["name"], metadata["resourceVersion"], metadata.get("labels")


async def test_selectable_fields_of_a_custom_resource(server: Server, mirrored: Mirrored, namespace: str) -> None:
    group = server.group()
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"color": {"type": "string"}}}}}
    version = {
        **V1,
        "schema": {"openAPIV3Schema": schema},
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "additionalPrinterColumns": [COLOR],
    }
    name, path = f"bars.{group}", f"/apis/{group}/v1/namespaces/{namespace}/bars"
    await server.done("POST", DEFINITIONS, definition(group, version))
    try:
        await mirrored.until(lambda: mirrored.synced(name))
        for each, color in (("a", "red"), ("b", "blue"), ("c", "red")):
            await server.done("POST", path, bar(group, each, color))
        await mirrored.until(lambda: len(mirrored.held(name)) == 3)

        for selector in ("spec.color=red", "spec.color!=red", "spec.color=", "spec.size=1"):
            theirs = await server("GET", path, fieldSelector=selector)
            ours = await mirrored.get(path, fieldSelector=selector)
            assert ours.status_code == theirs.status_code
            assert found(ours.json()) == found(theirs.json()), selector
    finally:
        await server("DELETE", f"{DEFINITIONS}/{name}")
