"""Caller x verb x scope x resource x transport: as kube-apiserver answers the same caller, on a real control plane.

On the API server's own paths the refusal is the same to the byte. Our own views are held to what the API server answers
for the same tuple; over all namespaces they show those that it lets the caller list (or watch) one by one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.access.cluster import READ, Answer, Asker, Cluster, cluster_of, guarded, rule
from tests.cluster.control_plane import ControlPlane

APPS = "/apis/apps/v1"
CORE = "/api/v1"
AT_A_TIME = 8
CELLS = 400


@dataclass(frozen=True)
class Cell:
    """One question. ours: what the mirror is asked where it is not the same path. how: get, stream or socket."""

    transport: str
    theirs: str
    ours: str = ""
    how: str = "get"


def kubernetes(cluster: Cluster) -> Iterator[Cell]:
    """The same path on both."""
    a, b = cluster.a, cluster.b
    for root, resource in ((APPS, "deployments"), (CORE, "configmaps")):
        inside = f"{root}/namespaces/{a}/{resource}"
        collections = [f"{root}/{resource}", inside, f"{root}/namespaces/{b}/{resource}"]
        for path in collections:
            yield Cell("list", path)
            yield Cell("watch", f"{path}?watch=1", how="stream")
            yield Cell("websocket", f"{path}?watch=1", how="socket")
        yield Cell("get", f"{inside}/web")
        yield Cell("get", f"{inside}/other")
        yield Cell("get", f"{root}/namespaces/{b}/{resource}/web")
        yield Cell("get", f"{inside}/web/status")
        yield Cell("list", f"{inside}?fieldSelector=metadata.name%3Dweb")
        yield Cell("list", f"{inside}?fieldSelector=metadata.name%3Dother")
        yield Cell("list", f"{inside}?labelSelector=app%3Dweb")
        yield Cell("watch", f"{inside}?watch=1&fieldSelector=metadata.name%3Dweb", how="stream")
        yield Cell("websocket", f"{inside}?watch=1&fieldSelector=metadata.name%3Dweb", how="socket")
    yield Cell("list", f"{CORE}/namespaces")
    yield Cell("get", f"{CORE}/namespaces/{a}")
    yield Cell("watch", f"{CORE}/namespaces?watch=1", how="stream")
    yield Cell("watch", f"{CORE}/watch/namespaces/{a}/configmaps", how="stream")
    yield Cell("get", f"{CORE}/namespaces/{a}/configmaps/web?watch=1")
    for path in ("/api", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v3"):
        yield Cell("discovery", path)
    for path in (f"{APPS}/unheard", f"{APPS}/namespaces/{a}/unheard", f"{APPS}/namespaces/{a}/deployments/web/unheard"):
        yield Cell("unknown", path)


def ours(cluster: Cluster) -> Iterator[Cell]:
    """Our views, each beside the path that asks the API server for the same."""
    a, b = cluster.a, cluster.b
    for namespace in (a, b):
        listed = f"{APPS}/namespaces/{namespace}/deployments"
        yield Cell("/resources", listed, f"/resources/deployments?namespace={namespace}&output=json")
        yield Cell("/resources", f"{listed}/web", f"/resources/deployments/{namespace}/web?output=json")
        yield Cell("/versions", listed, f"/versions?namespace={namespace}")
        yield Cell("/versions", f"{listed}/web", f"/versions/{namespace}/web")
        push = f"/watch?resource=deployments&namespace={namespace}"
        yield Cell("/watch ndjson", f"{listed}?watch=1", push, how="stream")
        yield Cell("/watch sse", f"{listed}?watch=1", f"{push}&output=sse", how="stream")
        yield Cell("/watch websocket", f"{listed}?watch=1", push, how="socket")
    yield Cell("/resources", f"{CORE}/namespaces", "/resources/namespaces?output=json")
    yield Cell("/resources", f"{CORE}/namespaces/{a}", f"/resources/namespaces/{a}?output=json")
    yield Cell("/metrics", "/metrics")


# Over all namespaces: (transport, verb as a query, path of ours).
PARTIAL = (
    ("/resources", "", "/resources/deployments?output=json"),
    ("/versions", "", "/versions"),
    ("/watch ndjson", "?watch=1", "/watch?resource=deployments"),
    ("/watch sse", "?watch=1", "/watch?resource=deployments&output=sse"),
)


async def callers_of(cluster: Cluster) -> dict[str, Mapping[str, str]]:
    """Headers by caller, once the API server itself knows what each may."""
    a, b = cluster.a, cluster.b
    web = f"{APPS}/namespaces/{a}/deployments/web"
    rights: dict[str, tuple[list[dict[str, object]], tuple[str, ...], str]] = {
        "everything": ([rule("*")], (), f"{APPS}/deployments"),
        "in-a": ([rule("deployments", "configmaps")], (a,), web),
        "in-both": ([rule("deployments", "configmaps")], (a, b), f"{CORE}/namespaces/{b}/configmaps"),
        "one-name": ([rule("deployments", names=("web",))], (a,), web),
        "getter": ([rule("deployments", verbs=["get"])], (a,), web),
        "lister": ([rule("deployments", verbs=["list"])], (a,), f"{APPS}/namespaces/{a}/deployments"),
        "watcher": ([rule("deployments", verbs=["watch"])], (a,), ""),
        "status": ([rule("deployments/status", verbs=["get"])], (a,), f"{web}/status"),
        "cluster-scoped": ([rule("namespaces")], (), f"{CORE}/namespaces"),
        "wrong-group": ([rule("deployments", group="other.example")], (a,), ""),
        "metrics": ([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}], (), "/metrics"),
        "nothing": ([], (), ""),
    }
    callers: dict[str, Mapping[str, str]] = {}
    for name, (rules, namespaces, proof) in rights.items():
        await cluster.account(name)
        if rules:
            await cluster.grant(name, rules, *namespaces)
        token = await cluster.token(name)
        callers[name] = {"authorization": f"Bearer {token}"}
        if proof:
            await cluster.granted(token, proof)
    callers["admin"] = {"authorization": "Bearer admin-token"}
    callers["anonymous"] = {}
    callers["basic"] = {"authorization": "Basic amFuZTpzZWNyZXQ="}
    callers["wrong token"] = {"authorization": "Bearer nope"}
    return callers


def differs(cell: Cell, theirs: Answer, mine: Answer) -> str:
    if (theirs.status, mine.status) == (404, 200) or theirs.status != mine.status:
        return f"{theirs.status} {theirs.body[:200]!r} there, {mine.status} {mine.body[:200]!r} here"
    if theirs.status == 200:
        named = cell.transport in ("list", "get")
        return "" if not named or theirs.names == mine.names else f"{theirs.names} there, {mine.names} here"
    if cell.how == "socket" and not theirs.body:
        return ""  # refused, without a word by the API server
    same = theirs.message == mine.message if cell.ours else theirs.body.strip() == mine.body.strip()
    return "" if same else f"{theirs.body!r} there, {mine.body!r} here"


async def asked(asker: Asker, path: str, how: str, headers: Mapping[str, str]) -> Answer:
    if how == "socket":
        return await asker.socket(path, headers)
    return await asker.get(path, headers, stream=how == "stream")


async def shown_namespaces(mirror: Asker, path: str, headers: Mapping[str, str]) -> set[str] | None:
    """The namespaces of what a view over all of them shows; None where it is refused."""
    if not path.startswith("/watch"):
        answer = await mirror.get(path, headers)
        if answer.status != 200:
            assert answer.status in (401, 403)
            return None
        told = json.loads(answer.body)
        items = told if isinstance(told, list) else told["items"]
        return {each.get("namespace") or each["metadata"]["namespace"] for each in items}
    shown: set[str] = set()
    async with mirror._client.stream("GET", path, headers=headers) as answer:
        if answer.status_code != 200:
            return None
        async for line in answer.aiter_lines():
            if line.startswith(("{", "data: ")):
                event = json.loads(line.removeprefix("data: "))
                if event["type"] == "BOOKMARK":
                    return shown
                shown.add(event["object"]["metadata"]["namespace"])
    raise AssertionError("the snapshot has no end")


@pytest.mark.timeout(180)
async def test_the_matrix(control_plane: ControlPlane, tmp_path: Path) -> None:
    count, wrong = 0, []
    async with cluster_of(control_plane, tmp_path) as cluster, guarded(cluster.real) as (served, live):
        callers = await callers_of(cluster)
        await served.mirrored.until(lambda: cluster.b in served.mirrored.held("deployments.apps").namespaces)
        server, mirror = Asker(cluster.real.url, cluster.real.tls), Asker(live.url, None)
        turns = asyncio.Semaphore(AT_A_TIME)

        async def compare(name: str, headers: Mapping[str, str], cell: Cell) -> None:
            nonlocal count
            async with turns:
                theirs = await asked(
                    server, cell.theirs, "stream" if cell.ours and cell.how == "socket" else cell.how, headers
                )
                mine = await asked(mirror, cell.ours or cell.theirs, cell.how, headers)
            count += 1
            difference = differs(cell, theirs, mine)
            if difference:
                wrong.append(f"{name}, {cell.transport}, {cell.ours or cell.theirs}: {difference}")

        async def compare_all(name: str, headers: Mapping[str, str], transport: str, query: str, path: str) -> None:
            nonlocal count
            namespaces = served.mirrored.held("deployments.apps").namespaces
            places = [APPS, *(f"{APPS}/namespaces/{each}" for each in namespaces)]
            async with turns:
                codes = [
                    (await server.get(f"{place}/deployments{query}", headers, stream=True)).status for place in places
                ]
                shown = await shown_namespaces(mirror, path, headers)
            count += 1
            may = (
                set(namespaces)
                if codes[0] == 200
                else {each for each, code in zip(namespaces, codes[1:], strict=True) if code == 200}
            )
            expected = may if may or codes[0] == 200 else None
            if shown != expected:
                wrong.append(f"{name}, {transport}, {path}: {expected} there, {shown} here")

        try:
            async with asyncio.TaskGroup() as group:
                for name, headers in callers.items():
                    for cell in (*kubernetes(cluster), *ours(cluster)):
                        group.create_task(compare(name, headers, cell))
                    for transport, query, path in PARTIAL:
                        group.create_task(compare_all(name, headers, transport, query, path))
        finally:
            await server.close()
            await mirror.close()

    assert wrong == [], "\n".join(wrong)
    assert count >= CELLS
    assert set(READ) == {"get", "list", "watch"}
