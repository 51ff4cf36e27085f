"""A RoleBinding is deleted on a real control plane: every stream that hung on it ends with 403, in every transport."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kubemirror.access.turns import JITTER
from kubemirror.client.kubeconfig import kubeconfig
from kubemirror.kube.upstream import REVIEW_SECONDS
from kubemirror.serve import self_signed
from kubemirror.serve.certificate import Certificate
from tests.access.cluster import Cluster, cluster_of, guarded, rule
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import require
from tests.serve.live import Live

# The default is 30 s, and is what `make soak` sets.
RECHECK_SECONDS = float(os.environ.get("KUBEMIRROR_RECHECK", "2"))
# At length the right is withdrawn when a turn has just begun, the first after ten seconds: nothing takes longer.
SETTLE_SECONDS = 12.0 if RECHECK_SECONDS >= 30 else 0.0
PROMISE_SECONDS = 45.0
# What a token's review is kept by the API server itself, beside what a turn and a review may take.
THEIR_CACHE_SECONDS = 10.0
APPS = "/apis/apps/v1"

Event = dict[str, Any]
Heard = Callable[[Event], None]


async def lines(live: Live, target: str, token: str, tls: ssl.SSLContext, heard: Heard) -> None:
    """NDJSON, server-sent events, and the API server's own lines."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(verify=tls, timeout=120, trust_env=False) as client,
        client.stream("GET", f"https://{live.address}{target}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith(("{", "data: ")):
                heard(json.loads(line.removeprefix("data: ")))


async def socket(live: Live, target: str, token: str, tls: ssl.SSLContext, heard: Heard) -> None:
    headers = {"authorization": f"Bearer {token}"}
    async with connect(f"wss://{live.address}{target}", additional_headers=headers, ssl=tls, close_timeout=1) as opened:
        try:
            while True:
                heard(json.loads(await opened.recv()))
        except ConnectionClosed:
            return


async def kubectl(live: Live, namespace: str, token: str, authority: str, folder: Path, heard: Heard) -> None:
    """``kubectl get -w``, as a person has it open."""
    (folder / "token").write_text(token)
    config = kubeconfig(f"https://{live.address}", token_file=str(folder / "token"), ca=authority)
    (folder / "config").write_text(config)
    running = await asyncio.create_subprocess_exec(
        str(require("kubectl")),
        *("get", "deployments", "-n", namespace, "-w", "-o", "json"),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(folder / "config")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    await running.stdout.readline()
    heard({"type": "ADDED"})
    said = (await running.stdout.read() + await running.stderr.read()).decode()
    await running.wait()
    told = said[said.rindex('"kind": "Status"') :]  # it prints the end as it prints objects
    heard({"type": "ERROR", "object": {"code": 403 if '"code": 403' in told or "is forbidden" in told else told}})


class Streams:
    """Open streams by name: what each has heard, and when it ended."""

    def __init__(self) -> None:
        self.heard: dict[str, list[Event]] = {}
        self.ended: dict[str, float] = {}
        self._moved = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self, name: str, stream: Callable[[Heard], Awaitable[None]]) -> None:
        events = self.heard[name] = []

        async def run() -> None:
            await stream(lambda event: self._hear(events, event))
            self.ended[name] = time.monotonic()
            self._stir()

        self._tasks.append(asyncio.create_task(run(), name=name))

    def _hear(self, events: list[Event], event: Event) -> None:
        events.append(event)
        self._stir()

    def _stir(self) -> None:
        async def notify() -> None:
            async with self._moved:
                self._moved.notify_all()

        self._tasks.append(asyncio.create_task(notify()))

    async def until(self, condition: Callable[[], bool], *, seconds: float) -> None:
        async with asyncio.timeout(seconds), self._moved:
            while not condition():
                for task in self._tasks:
                    if task.done():
                        task.result()
                await self._moved.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def streams() -> AsyncIterator[Streams]:
    opened = Streams()
    yield opened
    await opened.close()


@pytest.mark.timeout(300)
async def test_every_stream_ends(control_plane: ControlPlane, tmp_path: Path, streams: Streams) -> None:
    pair = self_signed.make(self_signed.names_of("127.0.0.1", ()))
    certificate, authority = Certificate(pair), pair.chain.decode()
    tls = ssl.create_default_context(cadata=authority)
    async with (
        cluster_of(control_plane, tmp_path) as cluster,
        guarded(cluster.real, certificate=certificate, recheck_seconds=RECHECK_SECONDS) as (served, live),
    ):
        a, b = cluster.a, cluster.b
        await served.mirrored.until(lambda: b in served.mirrored.held("deployments.apps").namespaces)
        reader = await granted(cluster, "reader", a)
        leaver = await granted(cluster, "leaver", a)
        kept = await granted(cluster, "kept", a)
        own = f"{APPS}/namespaces/{a}/deployments?watch=1"
        push = f"/watch?resource=deployments&namespace={a}"
        for name, target, way in (
            ("websocket", push, socket),
            ("sse", f"{push}&output=sse", lines),
            ("ndjson", push, lines),
            ("some namespaces", "/watch?resource=deployments", lines),
            ("kubernetes", own, lines),
            ("kubernetes websocket", own, socket),
        ):
            streams.open(name, lambda heard, way=way, target=target: way(live, target, reader, tls, heard))
        streams.open("kubectl", lambda heard: kubectl(live, a, reader, authority, tmp_path, heard))
        streams.open("deleted account", lambda heard: lines(live, own, leaver, tls, heard))
        streams.open("kept", lambda heard: lines(live, "/watch?resource=deployments", kept, tls, heard))
        await streams.until(lambda: all(streams.heard.values()), seconds=60)

        await asyncio.sleep(SETTLE_SECONDS)
        withdrawn = time.monotonic()
        await cluster.withdraw("reader", a)
        await cluster.real.done("DELETE", f"/api/v1/namespaces/{a}/serviceaccounts/leaver")
        await cluster.grant("kept", [rule("deployments")], b)
        ending = set(streams.heard) - {"kept"}
        await streams.until(lambda: ending <= set(streams.ended), seconds=PROMISE_SECONDS + THEIR_CACHE_SECONDS)
        await streams.until(lambda: gained(streams.heard["kept"], b), seconds=PROMISE_SECONDS)

        took = {name: at - withdrawn for name, at in streams.ended.items()}
        last = {name: streams.heard[name][-1] for name in ending}
        print({name: round(seconds, 1) for name, seconds in took.items()})
        assert {name: (each["type"], each["object"]["code"]) for name, each in last.items()} == {
            **dict.fromkeys(ending, ("ERROR", 403)),
            "deleted account": ("ERROR", 401),
        }
        soon = max(RECHECK_SECONDS, 10) * (1 + JITTER) + REVIEW_SECONDS
        assert max(seconds for name, seconds in took.items() if name != "deleted account") < min(soon, PROMISE_SECONDS)
        assert "kept" not in streams.ended


def gained(events: list[Event], namespace: str) -> bool:
    return any(each["type"] == "ADDED" and each["object"]["metadata"].get("namespace") == namespace for each in events)


async def granted(cluster: Cluster, name: str, namespace: str) -> str:
    """The token of a new account that may read Deployments there."""
    await cluster.account(name)
    await cluster.grant(name, [rule("deployments")], namespace)
    token = await cluster.token(name)
    await cluster.granted(token, f"{APPS}/namespaces/{namespace}/deployments")
    return token
