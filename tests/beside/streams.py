"""Watches that are opened on both servers, what happens while they are open, and what each told of it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from websockets.asyncio.client import connect

from kubemirror.demo.users import ADMIN_TOKEN
from tests.beside.comparing import Aside, Pairs, normal, read
from tests.beside.corpus import (
    APPS,
    CONFIGMAPS,
    DEPLOYMENTS,
    JSON,
    PARTIAL,
    PARTIAL_LIST,
    TABLE,
    WIDGETS,
    A,
    B,
    with_query,
)
from tests.beside.pair import Pair
from tests.beside.world import configmap

# Streams end by themselves after this: long enough for all of them to open, and for everything to happen.
SECONDS = 12
INITIAL_END = "k8s.io/initial-events-end"
INITIAL = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
FROM_NOW = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan"


@dataclass(frozen=True)
class Watched:
    """One watch. socket: over a WebSocket."""

    name: str
    path: str
    query: str = "resourceVersion=$now"
    accept: str = JSON
    socket: bool = False

    def target(self, versions: Mapping[str, str]) -> str:
        query = self.query
        for name, version in versions.items():
            query = query.replace(f"${name}", version)
        watch = "" if "/watch/" in self.path else "watch=1&"
        return with_query(self.path, f"{watch}{query}&timeoutSeconds={SECONDS}")


def fields(selector: str) -> str:
    return f"resourceVersion=$now&fieldSelector={quote(selector)}"


def labels(selector: str) -> str:
    return f"resourceVersion=$now&labelSelector={quote(selector)}"


CM_A = f"/api/v1{A}/configmaps"
ALL_CM = "/api/v1/configmaps"
PODS = "/api/v1/pods"
ALL_WIDGETS = f"{WIDGETS}/widgets"
WATCHES: tuple[Watched, ...] = (
    Watched("from an RV", f"{APPS}/deployments"),
    Watched("from an RV, one namespace", DEPLOYMENTS),
    Watched("from an earlier RV", ALL_CM, "resourceVersion=$one"),
    Watched("from an earlier RV, custom", ALL_WIDGETS, "resourceVersion=$one"),
    Watched("from an earlier RV, Table", ALL_CM, "resourceVersion=$one", TABLE),
    Watched("from an RV ahead", ALL_CM, "resourceVersion=$soon"),
    Watched("from an RV far ahead", ALL_CM, "resourceVersion=$ahead"),
    Watched("from an RV too old", ALL_CM, "resourceVersion=1"),
    Watched("from an RV too old, custom Table", ALL_WIDGETS, "resourceVersion=1", TABLE),
    Watched("from nothing", CM_A, ""),
    Watched("from nothing, with bookmarks", CM_A, "allowWatchBookmarks=true"),
    Watched("from 0", DEPLOYMENTS, "resourceVersion=0"),
    Watched("from 0, with bookmarks", ALL_WIDGETS, "resourceVersion=0&allowWatchBookmarks=true"),
    Watched("from 0, Table", f"{APPS}/deployments", "resourceVersion=0", TABLE),
    Watched(
        "from 0, nothing there", f"{APPS}/namespaces/empty/deployments", "resourceVersion=0&allowWatchBookmarks=true"
    ),
    Watched("from now", ALL_CM, FROM_NOW),
    Watched("from now and 0", ALL_CM, f"{FROM_NOW}&resourceVersion=0"),
    Watched("from an RV without initial events", ALL_CM, f"{FROM_NOW}&resourceVersion=$now"),
    Watched("WatchList", ALL_CM, INITIAL),
    Watched("WatchList from 0", DEPLOYMENTS, f"{INITIAL}&resourceVersion=0"),
    Watched("WatchList from an RV", DEPLOYMENTS, f"{INITIAL}&resourceVersion=$one"),
    Watched("WatchList, custom", ALL_WIDGETS, INITIAL),
    Watched("WatchList, cluster-scoped custom", f"{WIDGETS}/planets", INITIAL),
    Watched("WatchList, Table", PODS, INITIAL, TABLE),
    Watched("WatchList, Table with objects", PODS, f"{INITIAL}&includeObject=Object", TABLE),
    Watched("WatchList, Table without objects", PODS, f"{INITIAL}&includeObject=None", TABLE),
    Watched("WatchList, custom Table", ALL_WIDGETS, INITIAL, TABLE),
    Watched("WatchList, custom Table with objects", ALL_WIDGETS, f"{INITIAL}&includeObject=Object", TABLE),
    Watched("WatchList, metadata", f"{APPS}/deployments", INITIAL, PARTIAL),
    Watched("WatchList, custom metadata", ALL_WIDGETS, INITIAL, PARTIAL),
    Watched("WatchList of nothing", f"{WIDGETS}/namespaces/empty/widgets", INITIAL),
    Watched("WatchList of nothing, Table", f"{APPS}/namespaces/empty/deployments", INITIAL, TABLE),
    Watched("WatchList of nothing, custom Table", f"{WIDGETS}/namespaces/empty/widgets", INITIAL, TABLE),
    Watched("WatchList, selected", ALL_CM, f"{INITIAL}&labelSelector=in"),
    Watched("WatchList without bookmarks", ALL_CM, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"),
    Watched("with bookmarks", ALL_CM, "resourceVersion=$now&allowWatchBookmarks=true"),
    Watched("with bookmarks, Table", ALL_CM, "resourceVersion=$now&allowWatchBookmarks=true", TABLE),
    Watched("with bookmarks, metadata", ALL_CM, "resourceVersion=$now&allowWatchBookmarks=true", PARTIAL),
    Watched("with bookmarks, custom", ALL_WIDGETS, "resourceVersion=$now&allowWatchBookmarks=true"),
    Watched("with bookmarks, custom Table", ALL_WIDGETS, "resourceVersion=$now&allowWatchBookmarks=true", TABLE),
    Watched("Table", ALL_CM, accept=TABLE),
    Watched("Table with objects", f"{APPS}/deployments", "resourceVersion=$now&includeObject=Object", TABLE),
    Watched("Table without objects", PODS, "resourceVersion=$now&includeObject=None", TABLE),
    Watched("Table, custom", ALL_WIDGETS, accept=TABLE),
    Watched("Table, version v1beta1", f"/apis/example.dev/v1beta1{A}/widgets", accept=TABLE),
    Watched("version v1beta1", "/apis/example.dev/v1beta1/widgets"),
    Watched("version v1alpha1", "/apis/example.dev/v1alpha1/widgets"),
    Watched("metadata", f"{APPS}/deployments", accept=PARTIAL),
    Watched("metadata, custom", ALL_WIDGETS, accept=PARTIAL),
    Watched("metadata list, which is none", ALL_CM, accept=PARTIAL_LIST),
    Watched("metadata or json", ALL_CM, accept=f"{PARTIAL},{JSON}"),
    Watched("label", ALL_CM, labels("in")),
    Watched("label equals", ALL_CM, labels("in=yes")),
    Watched("label differs", ALL_CM, labels("in!=yes")),
    Watched("label absent, one namespace", CM_A, labels("!in")),
    Watched("label, Table", ALL_CM, labels("in"), TABLE),
    Watched("label, metadata", ALL_CM, labels("in"), PARTIAL),
    Watched("label, custom", ALL_WIDGETS, labels("in")),
    Watched("label, custom Table", ALL_WIDGETS, labels("in"), TABLE),
    Watched("field", PODS, fields("status.phase=Running")),
    Watched("field differs", PODS, fields("status.phase!=Running")),
    Watched("field, Table", PODS, fields("status.phase=Running"), TABLE),
    Watched("field of a custom resource", ALL_WIDGETS, fields("spec.color=red")),
    Watched("field of a custom resource differs", ALL_WIDGETS, fields("spec.color!=red")),
    Watched("field and label", PODS, f"{fields('spec.nodeName=cordoned')}&labelSelector=in"),
    Watched("by name", f"{APPS}/deployments", fields("metadata.name=web")),
    Watched("by name, from 0", DEPLOYMENTS, "resourceVersion=0&fieldSelector=metadata.name%3Dweb", TABLE),
    Watched("by name of nobody", DEPLOYMENTS, fields("metadata.name=nobody")),
    Watched("by namespace", ALL_CM, fields("metadata.namespace=team-b")),
    Watched("cluster-scoped", "/api/v1/namespaces"),
    Watched("cluster-scoped by field", "/api/v1/namespaces", fields("status.phase=Active")),
    Watched("nodes by field", "/api/v1/nodes", fields("spec.unschedulable=true")),
    Watched("events", "/api/v1/events", fields("involvedObject.name=web"), TABLE),
    Watched("planets", f"{WIDGETS}/planets"),
    Watched("daemonsets, metadata", f"{APPS}{A}/daemonsets", "", PARTIAL),
    Watched("endpoints", f"/api/v1{A}/endpoints", ""),
    Watched("old path", f"{APPS}/watch/deployments"),
    Watched("old path, one namespace", f"/api/v1/watch{A}/configmaps"),
    Watched("old path by name", f"{APPS}/watch{A}/deployments/web"),
    Watched("old path by name, custom", f"{WIDGETS}/watch{A}/widgets/first"),
    Watched("limit means nothing", CM_A, "resourceVersion=0&limit=1"),
    Watched("watch=true", CM_A, "resourceVersion=$now&watch=false"),
    Watched("pretty means nothing", CM_A, "resourceVersion=$now&pretty=true"),
    Watched("socket", ALL_CM, socket=True),
    Watched("socket, WatchList", ALL_WIDGETS, INITIAL, socket=True),
    Watched("socket, Table", PODS, "resourceVersion=0", TABLE, socket=True),
    Watched("socket, label", ALL_CM, labels("in"), socket=True),
    Watched("socket from an RV too old", ALL_CM, "resourceVersion=1", socket=True),
)


def churn(pair: Pair) -> None:
    """All that can happen to objects: they come, change, enter and leave selections, linger and go."""
    world = pair.world
    create, patch, delete = world.create, world.patch, world.delete
    for at in range(3):
        create(configmap(f"new-{at}", labels={"in": "yes"} if at % 2 else {}))
        create(configmap(f"new-{at}", namespace="team-b", labels={"in": "no"}, finalizers=["example.dev/held"]))
        create(widget(f"new-{at}", color="red" if at else "blue", labels={"in": "yes"}))
    for value in ("yes", "no", None, "yes", None):
        for path in (
            f"{CM_A}/new-0",
            f"{CONFIGMAPS}/new-1",
            f"{WIDGETS}{A}/widgets/first",
            f"/api/v1{B}/pods/bare",
            f"{DEPLOYMENTS}/web",
        ):
            patch(path, {"metadata": {"labels": {"in": value}}})
    for color in ("green", "red", None, "red"):
        patch(f"{WIDGETS}{A}/widgets/new-1", {"spec": {"color": color}})
    patch(f"{WIDGETS}{A}/widgets/new-1/status", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
    patch(
        f"/apis/example.dev/v1beta1{A}/widgets/first", {"spec": {"shape": "square", "a": "<&> \u2028", "float": 2.50}}
    )
    for phase in ("Failed", "Running", "Succeeded", "Running"):
        patch(f"/api/v1{B}/pods/bare/status", {"status": {"phase": phase}})
    patch("/api/v1/nodes/cordoned", {"spec": {"unschedulable": False}})
    patch("/api/v1/nodes/cordoned", {"spec": {"unschedulable": True}})
    for replicas in (5, 0, 3):
        patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": replicas}})
        counts = {"replicas": replicas, "readyReplicas": replicas // 2, "updatedReplicas": 0, "availableReplicas": 0}
        patch(f"{DEPLOYMENTS}/web/status", {"status": counts})
    create(deployment("brief"))
    delete(f"{DEPLOYMENTS}/brief")
    create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brief", "labels": {"in": "yes"}}})
    patch("/api/v1/namespaces/brief", {"metadata": {"annotations": {"a": "b"}}})
    delete("/api/v1/namespaces/brief")
    create(event("happened"))
    patch(f"/api/v1{A}/events/happened", {"count": 4})
    patch(f"{WIDGETS}/planets/mars", {"moons": 3, "metadata": {"annotations": {"a": "b"}}})
    patch(f"{APPS}{A}/daemonsets/agent", {"metadata": {"labels": {"a": "b"}}})
    patch(f"{APPS}{A}/daemonsets/agent", {"metadata": {"annotations": {"a": "b"}}})
    patch(f"/api/v1{A}/endpoints/web", {"metadata": {"labels": {"a": "b"}}})
    for at in range(3):
        delete(f"{CM_A}/new-{at}")
        delete(f"{CONFIGMAPS}/new-{at}")  # lingers: it has a finalizer
        patch(f"{CONFIGMAPS}/new-{at}", {"metadata": {"labels": {"in": "yes"}}})
        patch(f"{CONFIGMAPS}/new-{at}", {"metadata": {"finalizers": None}})
        delete(f"{WIDGETS}{A}/widgets/new-{at}")
    create(configmap("new-0", data={"again": "yes"}))
    delete(f"{CM_A}/new-0")


def widget(name: str, *, color: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.dev/v1",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "team-a", **metadata},
        "spec": {"color": color, "size": 1, "tags": ["ü", "<"]},
    }


def deployment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "c"}]}},
        },
    }


def event(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "team-a"},
        "involvedObject": {"kind": "Deployment", "namespace": "team-a", "name": "web"},
        "reason": "Happened",
        "message": "it did",
        "type": "Normal",
        "count": 3,
    }


# -- recording --------------------------------------------------------------------------------------------


@dataclass
class Recorded:
    """One stream as it was told. status: a WebSocket's close code. headers: those that are compared."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)


class Side:
    """One of the two servers, as one opens streams on it."""

    def __init__(self, url: str, verify: ssl.SSLContext | None) -> None:
        self._url = url
        self._verify = verify
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(
            base_url=url, verify=verify or False, timeout=SECONDS + 30, trust_env=False, limits=limits
        )
        self._headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Accept-Encoding": "gzip"}

    async def record(self, watched: Watched, target: str, opened: asyncio.Event) -> Recorded:
        """All of a stream; ``opened`` is set as soon as it has begun."""
        recorded = Recorded()
        if watched.socket:
            await self._record_socket(watched, target, opened, recorded)
            return recorded
        headers = {**self._headers, "Accept": watched.accept}
        async with self._client.stream("GET", target, headers=headers) as answer:
            recorded.status = answer.status_code
            compared = ("content-type", "cache-control", "vary", "warning", "content-encoding")
            recorded.headers = {name: answer.headers[name] for name in compared if name in answer.headers}
            opened.set()
            text = b""
            async for piece in answer.aiter_bytes():
                text += piece
            recorded.events = text.splitlines(keepends=True)
        return recorded

    async def _record_socket(self, watched: Watched, target: str, opened: asyncio.Event, recorded: Recorded) -> None:
        url = self._url.replace("http", "ws", 1) + target
        headers = {**self._headers, "Accept": watched.accept}
        options: Any = {"ssl": self._verify, "origin": self._url, "max_size": None, "proxy": None}
        async with connect(url, additional_headers=headers, **options) as socket:
            opened.set()
            async for message in socket:
                assert isinstance(message, str)
                recorded.events.append(message.encode())
            recorded.status = socket.close_code or 0

    async def close(self) -> None:
        await self._client.aclose()


async def record(pair: Pair) -> dict[str, tuple[Recorded, Recorded]]:
    """Every watch on both servers at once, while ``churn`` goes on; theirs and ours by the watch's name."""
    plane = pair.world.plane
    theirs = Side(plane.url, ssl.create_default_context(cafile=str(plane.certificate)))
    ours = Side(pair.mirroring.url, None)
    pair.versions["soon"] = str(pair.world.rv + 30)
    try:
        async with asyncio.TaskGroup() as tasks:
            started: list[asyncio.Event] = []
            running: dict[str, list[asyncio.Task[Recorded]]] = {}
            for watched in WATCHES:
                target = watched.target(pair.versions)
                for side in (theirs, ours):
                    started.append(asyncio.Event())
                    task = tasks.create_task(side.record(watched, target, started[-1]), name=watched.name)
                    running.setdefault(watched.name, []).append(task)
            for event in started:
                await event.wait()
            await asyncio.to_thread(churn, pair)
        return {name: (first.result(), second.result()) for name, (first, second) in running.items()}
    finally:
        await theirs.close()
        await ours.close()


# -- comparing --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A stream's events, without what may differ. bookmarks: those between, whose moments are each server's own."""

    events: list[Any]
    bookmarks: list[Any]


def told(recorded: Recorded) -> Told:
    events, bookmarks = [], []
    first = True
    for line in recorded.events:
        read_event = read(line)
        obj = read_event.get("object")
        kind = read_event.get("type")
        if obj.get("kind") == "Table" and not first:
            obj = obj.put("columnDefinitions", None)  # more than one event may have them upstream
        first = False
        if kind == "BOOKMARK":
            obj = _without_version(obj)
        event = read_event.put("object", normal(obj, Aside()))
        if kind == "BOOKMARK" and INITIAL_END not in line.decode():
            bookmarks.append(event)
        else:
            events.append(event)
    return Told(events, bookmarks)


def overtaken(recorded: Recorded) -> list[tuple[int, int]]:
    """Bookmarks that say less than an event before them has told; each server knows for itself how much more."""
    found, highest = [], 0
    for line in recorded.events:
        event = json.loads(line)
        obj = event["object"]
        if obj["kind"] == "Table":
            obj = obj["rows"][0].get("object") or {}
        version = int(obj.get("metadata", {}).get("resourceVersion") or 0)
        if event["type"] == "BOOKMARK" and 0 < version < highest:  # a row may come without its object
            found.append((version, highest))
        highest = max(highest, version)
    return found


def _without_version(obj: Pairs) -> Pairs:
    """A bookmark stands for all that a server has heard, which each knows for itself."""
    obj = obj.put("metadata", obj.get("metadata").put("resourceVersion", "#"))
    rows = obj.get("rows")
    if rows:
        obj = obj.put(
            "rows", [row.put("object", row.get("object") and _without_version(row.get("object"))) for row in rows]
        )
    return obj


def brief(event: Any) -> str:
    """One line of an event, for a failure's text."""
    obj = event.get("object")
    return json.dumps([event.get("type"), obj.get("kind"), obj.get("metadata")])[:200]
