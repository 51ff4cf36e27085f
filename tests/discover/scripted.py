"""An API server that answers discovery from a table, and what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kubemirror.kube.transport import Response, TransportError

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


class Body:
    """A ByteStream over chunks that are already there."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.closed = False

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    async def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedApi:
    """Implements Transport. ``groups`` maps a group to its versions, a version to its resources.

    stale: group versions that discovery tells as Stale. failing: paths that answer this status.
    aggregated: whether the aggregated form is spoken.
    """

    groups: dict[str, dict[str, list[dict[str, Any]]]]
    aggregated: bool = True
    stale: set[tuple[str, str]] = field(default_factory=set)
    failing: dict[str, int] = field(default_factory=dict)
    unreachable: bool = False
    asked: list[str] = field(default_factory=list)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        seconds: float,
    ) -> Response:
        assert method == "GET"
        await asyncio.sleep(0)
        if path != "/readyz":  # not asked for what it says, but whether it is there
            self.asked.append(path)
        if self.unreachable:
            raise TransportError("connection refused", kind="refused")
        if path == "/readyz":
            return Response(200, {"content-type": "text/plain"}, Body(b"ok"))
        if path in self.failing:
            return Response(self.failing[path], {"content-type": "text/plain"}, Body(b"no"))
        named = dict(headers or {})
        if path in {"/api", "/apis"} and self.aggregated and "apidiscovery" in named["accept"]:
            document = orjson.dumps(self._aggregated(path))
            etag = f'"{hash(document):x}"'
            if named.get("if-none-match") == etag:
                return Response(304, {"etag": etag}, Body())
            half = len(document) // 2
            return Response(200, {"content-type": AGGREGATED, "etag": etag}, Body(document[:half], document[half:]))
        document = orjson.dumps(self._legacy(path))
        return Response(200, {"content-type": "application/json"}, Body(document))

    def _aggregated(self, path: str) -> dict[str, Any]:
        items = []
        for group, versions in self.groups.items():
            if (group == "") is not (path == "/api"):
                continue
            told = [
                {
                    "version": version,
                    "freshness": "Stale" if (group, version) in self.stale else "Current",
                    "resources": [] if (group, version) in self.stale else [_entry(each) for each in resources],
                }
                for version, resources in versions.items()
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": told})
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}

    def _legacy(self, path: str) -> dict[str, Any]:
        if path == "/api":
            return {"kind": "APIVersions", "versions": list(self.groups[""])}
        if path == "/apis":
            groups = [
                {"name": group, "versions": [{"version": version} for version in versions]}
                for group, versions in self.groups.items()
                if group
            ]
            return {"kind": "APIGroupList", "groups": groups}
        *_, group, version = path.split("/")
        resources: list[dict[str, Any]] = []
        for each in self.groups["" if group == "api" else group][version]:
            resources.append({name: value for name, value in each.items() if name != "subresources"})
            resources += [{"name": f"{each['name']}/{name}", "kind": "X"} for name in each.get("subresources", ())]
        return {"kind": "APIResourceList", "resources": resources}


def _entry(legacy: dict[str, Any]) -> dict[str, Any]:
    return {
        "resource": legacy["name"],
        "singularResource": legacy.get("singularName", ""),
        "responseKind": {"group": "", "version": "", "kind": legacy["kind"]},
        "scope": "Namespaced" if legacy.get("namespaced") else "Cluster",
        "verbs": legacy["verbs"],
        "shortNames": legacy.get("shortNames"),
        "categories": legacy.get("categories"),
        "subresources": [{"subresource": name} for name in legacy.get("subresources", ())],
    }


def listed(
    name: str, kind: str, *, namespaced: bool = True, verbs: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    """One entry of an APIResourceList."""
    return {
        "name": name,
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": namespaced,
        "verbs": ALL_VERBS if verbs is None else verbs,
        **more,
    }


def ordinary() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """A small cluster's groups in upstream's order, without any CRD."""
    autoscaler = listed("horizontalpodautoscalers", "HorizontalPodAutoscaler", shortNames=["hpa"])
    return {
        "": {
            "v1": [
                listed("bindings", "Binding", verbs=["create"]),
                listed("componentstatuses", "ComponentStatus", namespaced=False, verbs=["get", "list"]),
                listed("events", "Event", shortNames=["ev"]),
                listed("namespaces", "Namespace", namespaced=False, shortNames=["ns"]),
                listed("pods", "Pod", shortNames=["po"], categories=["all"], subresources=["log", "status"]),
                listed("secrets", "Secret"),
            ]
        },
        "apps": {
            "v1": [
                listed(
                    "deployments",
                    "Deployment",
                    shortNames=["deploy"],
                    categories=["all"],
                    storageVersionHash="8aSe+NMegvE=",
                    subresources=["scale", "status"],
                ),
                listed("replicasets", "ReplicaSet", shortNames=["rs"], storageVersionHash="P1RzHs8/mWQ="),
            ]
        },
        "events.k8s.io": {"v1": [listed("events", "Event", shortNames=["ev"])]},
        "autoscaling": {"v2": [autoscaler], "v1": [autoscaler]},
        "apiextensions.k8s.io": {
            "v1": [
                listed(
                    "customresourcedefinitions",
                    "CustomResourceDefinition",
                    namespaced=False,
                    shortNames=["crd", "crds"],
                )
            ]
        },
    }


def crd(
    plural: str = "foos",
    group: str = "clux.dev",
    *,
    kind: str = "Foo",
    uid: str = "uid-1",
    scope: str = "Namespaced",
    versions: Sequence[Mapping[str, Any]] = ({"name": "v1", "served": True, "storage": True},),
    established: bool = True,
    strategy: str = "None",
    short_names: Sequence[str] = (),
    resource_version: int = 1,
) -> dict[str, Any]:
    """A CustomResourceDefinition as the API server tells it."""
    names = {
        "plural": plural,
        "singular": kind.lower(),
        "kind": kind,
        "listKind": f"{kind}List",
        "shortNames": list(short_names),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "uid": uid, "resourceVersion": str(resource_version)},
        "spec": {
            "group": group,
            "scope": scope,
            "names": names,
            "versions": list(versions),
            "conversion": {"strategy": strategy},
        },
        "status": {
            "acceptedNames": names,
            "conditions": [{"type": "Established", "status": "True" if established else "False"}],
        },
    }
