"""What the read API asks of "its upstream" when it serves the demo cluster: here it is the cluster itself."""

from __future__ import annotations

from typing import Any

import orjson

from kubemirror.access.authorizer import Caller
from kubemirror.demo import openapi
from kubemirror.demo.cluster import Cluster
from kubemirror.demo.reviews import review
from kubemirror.demo.users import Users
from kubemirror.state.catalog import Resource
from kubemirror.state.upstream import Document

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.3-kubemirror-demo",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "python",
    "compiler": "none",
    "platform": "any",
}


class ClusterUpstream:
    """Implements ``state.upstream.Upstream`` over a Cluster, without any I/O."""

    def __init__(self, cluster: Cluster, users: Users) -> None:
        self._cluster = cluster
        self._users = users

    async def fetch(self, path: str, *, query: str = "", accept: str = "application/json") -> Document:
        """/version and /openapi/v3; anything else is 404 (v2 is protobuf only, and nothing here needs it)."""
        body: Any = None
        if path == "/version":
            return Document(200, "application/json", orjson.dumps(VERSION, option=orjson.OPT_INDENT_2))
        if path == "/openapi/v3":
            body = openapi.index(self._cluster.shelves)
        elif path.startswith("/openapi/v3/"):
            body = openapi.document(self._cluster.shelves, path.removeprefix("/openapi/v3/"))
        if body is None:
            return Document(404, "text/plain; charset=utf-8", b"404 page not found\n")
        return Document(200, "application/json", orjson.dumps(body), f'"{openapi.hash_of(body)}"')

    async def create(self, group: str, kind: str, spec: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        caller = Caller("kubemirror-demo", groups=("system:masters",))
        if token is not None:
            caller = self._users.caller(f"Bearer {token}")
        answer = review(kind, group, {"spec": spec}, caller=caller, users=self._users, now=self._cluster.now())
        status: dict[str, Any] = answer["status"]
        return status

    async def current(self, resource: Resource, namespace: str = "") -> int:
        return self._cluster.resource_version

    async def horizon(self, resource: Resource, namespace: str = "") -> int | None:
        return self._cluster.resource_version

    async def digest(self, resource: Resource, namespace: str = "") -> int:
        return self._cluster.shelves[resource.name].reader.digest(namespace or None)

    async def refresh(self, name: str | None) -> list[str]:
        """There is nothing to list again: this is the authority."""
        return []
