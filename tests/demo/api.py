"""A client of the demo API in-process: ASGI without a socket, streams included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kubemirror.demo.api import demo_app
from kubemirror.demo.cluster import Cluster
from kubemirror.demo.faults import Faults

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends requests as a Kubernetes client does; ``kubectl/v1.36.3 ...`` unless told otherwise."""

    def __init__(self, cluster: Cluster, faults: Faults | None = None) -> None:
        self.cluster = cluster
        self.faults = faults or Faults(cluster)
        self.app = demo_app(cluster, self.faults)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Response:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope = self._scope(method, path, query, {"content-type": content_type, **(headers or {})})
        sent: list[Any] = []
        requests = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Any:
            if requests:
                return requests.pop()
            await asyncio.Event().wait()
            return None

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return Response(
            sent[0]["status"],
            {name.decode(): value.decode() for name, value in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[Stream]:
        """A watch under way; its connection is closed at the end."""
        stream = Stream()
        scope = self._scope("GET", path, {"watch": "1", **query}, {})
        task = asyncio.create_task(self.app(scope, stream.receive, stream.send), name="watch")
        task.add_done_callback(stream.ended)
        try:
            yield stream
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await task

    def _scope(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
        sent = {"user-agent": "kubectl/v1.36.3 (linux/amd64)", "host": "demo", "accept": "application/json", **headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(query).encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }


class Stream:
    """The client's end of a watch."""

    def __init__(self) -> None:
        self.status = 0
        self.error: BaseException | None = None
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._part = b""
        self._asked = False

    async def receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        return None

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        *lines, self._part = (self._part + message.get("body", b"")).split(b"\n")
        for line in lines:
            self._lines.put_nowait(line)

    def ended(self, task: asyncio.Task[None]) -> None:
        self.error = None if task.cancelled() else task.exception()
        self._lines.put_nowait(None)

    async def line(self) -> bytes | None:
        """The next whole line, None at the end of the stream."""
        async with asyncio.timeout(5):
            return await self._lines.get()

    async def event(self) -> tuple[str, Any]:
        """Type and object of the next event; ("", None) at the end."""
        line = await self.line()
        if line is None:
            return "", None
        event = json.loads(line)
        return event["type"], event["object"]

    async def events(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        seen = []
        for _ in range(count):
            type_, obj = await self.event()
            seen.append((type_, obj["metadata"].get("name", "")))
        return seen


def deployment(name: str = "web", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
            },
        },
    }


def widget(name: str = "one", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.dev/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"image": "nginx:1", **spec},
    }
