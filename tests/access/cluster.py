"""A real control plane with accounts of every kind of right, and a mirror of it that asks it who may see what."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from kubemirror.access.modes import Mode, mode_of
from kubemirror.serve.certificate import Certificate
from kubemirror.serve.context import Context
from kubemirror.settings import Access, Settings
from tests.cluster.control_plane import ControlPlane
from tests.contract.mirrored import MIRROR_TOKEN, Mirrored, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import PATIENCE_SECONDS, Real
from tests.serve.live import Live, running

READ = ["get", "list", "watch"]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MIRRORED = ("configmaps", "namespaces")


@dataclass(frozen=True)
class Answer:
    """What came back. body: of a refusal, or of an answer that ends."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | None = None

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])

    @property
    def names(self) -> set[str]:
        """namespace/name of what was answered."""
        told = json.loads(self.body)
        return {
            f"{each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for each in told.get("items", [told])
        }


class Asker:
    """A client of one server, as any caller. tls: None over plain HTTP."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self.url = url
        self._tls = tls
        limits = httpx.Limits(max_connections=50)
        self._client = httpx.AsyncClient(base_url=url, verify=tls or False, timeout=30, trust_env=False, limits=limits)

    async def get(self, path: str, headers: Mapping[str, str], *, stream: bool = False) -> Answer:
        """stream: only whether it opens."""
        request = self._client.build_request("GET", path, headers={"accept": "application/json", **headers})
        answer = await self._client.send(request, stream=True)
        try:
            body = b"" if stream and answer.status_code == 200 else await answer.aread()
        finally:
            await answer.aclose()
        return Answer(answer.status_code, body, answer.headers)

    async def socket(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Whether a WebSocket opens, and why not."""
        url = self.url.replace("http", "ws", 1) + path
        # The API server opens none to who does not say where from.
        options: dict[str, Any] = {"origin": self.url, **({} if self._tls is None else {"ssl": self._tls})}
        try:
            async with connect(url, additional_headers=dict(headers), close_timeout=0.1, **options):
                return Answer(200)
        except InvalidStatus as error:
            return Answer(error.response.status_code, error.response.body or b"", error.response.headers)

    async def close(self) -> None:
        await self._client.aclose()


class Cluster:
    """Two namespaces, and accounts in the first of them."""

    def __init__(self, real: Real, a: str, b: str) -> None:
        self.real = real
        self.a = a
        self.b = b

    async def account(self, name: str) -> None:
        await self.real.done("POST", f"/api/v1/namespaces/{self.a}/serviceaccounts", {"metadata": {"name": name}})

    async def token(self, name: str, *, seconds: int = 3600) -> str:
        path = f"/api/v1/namespaces/{self.a}/serviceaccounts/{name}/token"
        told = await self.real.done("POST", path, {"spec": {"expirationSeconds": seconds}})
        return str(told["status"]["token"])

    async def grant(self, name: str, rules: list[dict[str, Any]], *namespaces: str) -> None:
        """Bind ``rules`` to the account, in these namespaces or in the whole cluster."""
        for namespace in namespaces or ("",):
            place = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
            kind = "" if namespace else "Cluster"
            role = {"metadata": {"name": f"{self.a}-{name}"}, "rules": rules}
            await self.real.done("POST", f"{place}/{kind.lower()}roles", role)
            binding = {
                "metadata": {"name": f"{self.a}-{name}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{kind}Role", "name": f"{self.a}-{name}"},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.a}],
            }
            await self.real.done("POST", f"{place}/{kind.lower()}rolebindings", binding)

    async def withdraw(self, name: str, namespace: str) -> None:
        await self.real.done("DELETE", f"{RBAC}/namespaces/{namespace}/rolebindings/{self.a}-{name}")

    async def granted(self, token: str, path: str, *, code: int = 200) -> None:
        """Wait until the API server itself answers so: RBAC is read by its own watches."""
        await self.real.until(path, lambda answer: answer.status_code == code, token=token)


def rule(*resources: str, verbs: list[str] = READ, names: tuple[str, ...] = (), group: str = "*") -> dict[str, Any]:
    more = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": list(resources), "verbs": verbs, **more}


@asynccontextmanager
async def cluster_of(plane: ControlPlane, folder: Path) -> AsyncIterator[Cluster]:
    """On ``plane``, which others use too: two namespaces with a Deployment and a ConfigMap each."""
    real = Real(plane, folder)
    try:
        cluster = Cluster(real, await real.namespace(), await real.namespace())
        for namespace in (cluster.a, cluster.b):
            await real.done("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("web"))
            settings = {"metadata": {"name": "web", "labels": {"app": "web"}}, "data": {"x": "y"}}
            await real.done("POST", f"/api/v1/namespaces/{namespace}/configmaps", settings)
        yield cluster
    finally:
        await real.close()


@dataclass
class Guarded:
    """A mirror in one of the modes that review. context: what ``running`` serves."""

    mirrored: Mirrored
    mode: Mode
    context: Context


@asynccontextmanager
async def guarded(
    real: Real, *, token: str = MIRROR_TOKEN, certificate: Certificate | None = None, **settings: Any
) -> AsyncIterator[tuple[Guarded, Live]]:
    """A mirror of ``real`` in delegated mode, served on loopback; with TLS where there is a certificate."""
    chosen = Settings(**{"access": Access.DELEGATED, "mirror": MIRRORED, **settings})
    names = {name: getattr(chosen, name) for name in ("mirror", "access", "recheck_seconds", "outage_seconds")}
    async with mirror_of(real, token=token, **names) as mirrored:
        mode = mode_of(chosen, mirrored.context.upstream, mirrored.catalog, wall=time.time)
        context = replace(
            mirrored.context,
            authorizer=mode.authorizer,
            authenticator=mode.authenticator,
            sign_in=mode.sign_in,
            rules=mode.rules,
            settings=chosen,
            certificate=certificate,
        )
        probing = asyncio.create_task(mode.run(), name="access") if mode.run is not None else None
        try:
            served = Guarded(mirrored, mode, context)
            async with running(served) as live:
                yield served, live
        finally:
            if probing is not None:
                probing.cancel()
            await mode.close()


async def soon(condition: Any, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Until an asynchronous ``condition`` holds: it asks a server each time, and that is the wait."""
    async with asyncio.timeout(seconds):
        while not await condition():
            pass
