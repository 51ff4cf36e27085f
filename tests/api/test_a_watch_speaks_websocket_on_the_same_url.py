"""The upgrade of a watch: one text message per event, a token as subprotocol, and who is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.presented import Presented
from kubemirror.serve.kubernetes.app import kubernetes_app
from tests.api.cluster import Cluster, Store

PATH = "/apis/apps/v1/namespaces/shop/deployments"
TOKEN = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"secret").decode().rstrip("=")


class Socket:
    def __init__(self, app: Any, query: str, subprotocols: tuple[str, ...] = (), **headers: str) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": query.encode(),
            "headers": [
                (b"host", b"mirror:8080"),
                *((name.encode(), value.encode()) for name, value in headers.items()),
            ],
            "subprotocols": list(subprotocols),
            "extensions": {"websocket.http.response": {}},
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.create_task(app(scope, self.inbox.get, self.outbox.put))

    async def leave(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect"})
        await self.task


async def test_events_are_text_messages(cluster: Cluster, deployments: Store) -> None:
    socket = Socket(cluster.app, "watch=1&resourceVersion=100")
    assert await socket.outbox.get() == {"type": "websocket.accept", "subprotocol": None}
    socket.inbox.put_nowait({"type": "websocket.receive", "text": "ignored"})
    deployments.apply("web", 101)
    deployments.apply("web", 102)
    for version in ("101", "102"):
        message = await socket.outbox.get()
        assert message["type"] == "websocket.send"
        assert json.loads(message["text"])["object"]["metadata"]["resourceVersion"] == version
        assert "\n" not in message["text"]
    await socket.leave()
    assert deployments.reader.journal.positions == 0


@pytest.mark.looptime
async def test_the_end_of_the_watch_closes_it_cleanly(cluster: Cluster, deployments: Store) -> None:
    socket = Socket(cluster.app, "watch=1&resourceVersion=100&timeoutSeconds=5")
    await socket.outbox.get()
    assert await socket.outbox.get() == {"type": "websocket.close", "code": 1000}
    await socket.task


class Tokens:
    async def authenticate(self, presented: Presented) -> Caller:
        return Caller("somebody") if presented.bearer_token == "secret" else ANONYMOUS


async def test_a_token_may_come_as_a_subprotocol_and_is_never_echoed(cluster: Cluster, deployments: Store) -> None:
    seen: list[str] = []

    class Asked:
        async def authorize(self, caller: Caller, attributes: object, **asked: object) -> Any:
            seen.append(caller.user)
            return await cluster.context.authorizer.authorize(caller, attributes)  # type: ignore[arg-type]

    app = kubernetes_app(replace(cluster.context, authenticator=Tokens(), authorizer=Asked()))
    socket = Socket(app, "watch=1", (TOKEN, "base64.binary.k8s.io"), origin="https://portal.example")
    assert await socket.outbox.get() == {"type": "websocket.accept", "subprotocol": "base64.binary.k8s.io"}
    assert seen == ["somebody"]
    await socket.leave()


@pytest.mark.parametrize(
    ("query", "subprotocols", "headers", "code"),
    [
        ("watch=1", (TOKEN,), {}, 401),
        ("watch=1", (TOKEN, TOKEN, "v1"), {}, 401),
        ("watch=1", ("base64url.bearer.authorization.k8s.io.%%%", "v1"), {}, 401),
        ("watch=1", (), {"origin": "https://evil.example"}, 403),
        ("watch=1", (), {"origin": "null"}, 403),
        ("", (), {}, 400),
        ("watch=1&resourceVersion=abc", (), {}, 500),
    ],
)
async def test_what_cannot_be_upgraded_is_refused_with_a_status(
    cluster: Cluster,
    deployments: Store,
    query: str,
    subprotocols: tuple[str, ...],
    headers: dict[str, str],
    code: int,
) -> None:
    socket = Socket(cluster.app, query, subprotocols, **headers)
    start = await socket.outbox.get()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", code)
    body = await socket.outbox.get()
    assert json.loads(body["body"])["code"] == code
    await socket.task


async def test_a_page_of_the_same_origin_is_welcome(cluster: Cluster, deployments: Store) -> None:
    socket = Socket(cluster.app, "watch=1", origin="http://mirror:8080")
    assert (await socket.outbox.get())["type"] == "websocket.accept"
    await socket.leave()
