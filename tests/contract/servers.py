"""The two servers behind one face: requests as a client sends them, and the levers that HTTP does not offer."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from kubemirror.demo.server import DemoServer, kubeconfig_of
from kubemirror.demo.users import ADMIN_TOKEN
from tests.cluster.control_plane import ControlPlane

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
# What is not timed by a promise may take this long on two shared cores; everything is waited for by events.
PATIENCE_SECONDS = 30.0
# The real server is shared by all tests of a session: each has names of its own.
_numbers = itertools.count(1)


class Server(ABC):
    """An API server. A request is the admin's unless it is given another token."""

    def __init__(self, url: str, folder: Path, tls: ssl.SSLContext | None) -> None:
        self.url = url
        self.tls = tls
        self._folder = folder
        self._client = httpx.AsyncClient(base_url=url, verify=tls or False, timeout=30, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = ADMIN_TOKEN,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> httpx.Response:
        """The answer, whatever its code. body: bytes go as they are, anything else as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return await self._client.request(
            method,
            path,
            params=query or None,
            content=body,
            headers={**_headers(token, accept, content_type), **(headers or {})},
        )

    async def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The decoded body of an answer that must be a success: what is turned away for a while is put again."""
        answer = await _let_in(lambda: self(method, path, body, **more))
        assert answer.is_success, answer.text
        return answer.json()

    async def patch(self, path: str, patch: Any, content_type: str = MERGE_PATCH, **query: str) -> Any:
        return await self.done("PATCH", path, patch, content_type=content_type, **query)

    async def until(self, path: str, condition: Callable[[httpx.Response], bool], **more: Any) -> httpx.Response:
        """Ask until ``condition`` holds of the answer: what follows from a write follows later on a real server."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(answer := await self("GET", path, **more)):
                pass
        return answer

    async def gone(self, *paths: str) -> None:
        for path in paths:
            await self.until(path, lambda answer: answer.status_code == 404)

    @asynccontextmanager
    async def watch(self, path: str, *, accept: str = "application/json", **query: str) -> AsyncIterator[Events]:
        """The events of a watch, from its answer's headers on."""
        params = {"watch": "1", **query}
        headers = _headers(ADMIN_TOKEN, accept, "application/json")
        request = self._client.build_request("GET", path, params=params, headers=headers)
        answer = await _let_in(lambda: self._client.send(request, stream=True))
        try:
            assert answer.is_success, (await answer.aread()).decode()
            yield Events(answer)
        finally:
            await answer.aclose()

    async def namespace(self) -> str:
        """A new one."""
        name = f"contract-{next(_numbers)}"
        await self.done("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def group(self) -> str:
        """An API group that no other test defines anything in."""
        return f"contract-{next(_numbers)}.example.dev"

    @abstractmethod
    async def account(self, namespace: str) -> None:
        """Make what pods need before they are admitted, where no controller makes it."""

    @abstractmethod
    def kubeconfig(self, token: str, *, url: str = "") -> Path:
        """One of the user with ``token``; url: of a line that leads here, if not straight."""

    @abstractmethod
    def asked(self) -> int:
        """How many requests of mirrors have come so far."""

    @abstractmethod
    async def forbid(self, resource: str) -> None:
        """Take the right to read ``resource`` from all but admins."""

    @abstractmethod
    async def permit(self, resource: str) -> None:
        """Give it back."""


class Events:
    """What a watch tells, line by line."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            event: dict[str, Any] = json.loads(await anext(self._lines))
        return event

    async def take(self, count: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[dict[str, Any]]:
        """All up to the end of the stream."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [json.loads(line) async for line in self._lines]


def named(event: Mapping[str, Any]) -> tuple[str, str]:
    """Type and name of a watch event."""
    return event["type"], event["object"]["metadata"].get("name", "")


class Demo(Server):
    def __init__(self, demo: DemoServer, folder: Path) -> None:
        super().__init__(demo.url, folder, None)
        self.demo = demo

    def kubeconfig(self, token: str, *, url: str = "") -> Path:
        path = self._folder / f"{token}.kubeconfig"
        path.write_text(kubeconfig_of(url or self.url, token=token))
        return path

    async def account(self, namespace: str) -> None:
        """Nothing: there are no accounts here."""

    def asked(self) -> int:
        return len(self.demo.faults.log)

    async def forbid(self, resource: str) -> None:
        self.demo.faults.forbid(resource)

    async def permit(self, resource: str) -> None:
        self.demo.faults.permit(resource)


class Real(Server):
    """RBAC knows no "all but": whoever reads everything is given the rest by name for as long as one is forbidden."""

    ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/tests-read"

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        super().__init__(plane.url, folder, ssl.create_default_context(cafile=str(plane.certificate)))
        self.plane = plane

    def kubeconfig(self, token: str, *, url: str = "") -> Path:
        path = self._folder / f"{token}.kubeconfig"
        self.plane.write_kubeconfig(path, token=token)
        if url:
            path.write_text(path.read_text().replace(self.url, url))
        return path

    async def account(self, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        answer = await self("POST", path, {"metadata": {"name": "default"}})
        assert answer.status_code in (201, 409), answer.text

    def asked(self) -> int:
        """Each is in the audit log when it is received."""
        return sum(each.user == "mirror" and each.stage == "RequestReceived" for each in self.plane.requests())

    async def forbid(self, resource: str) -> None:
        group = resource.partition(".")[2]
        groups = {each["name"] for each in (await self.done("GET", "/apis"))["groups"]} | {""}
        await self._rules([{"apiGroups": sorted(groups - {group}), "resources": ["*"], "verbs": _READ}])

    async def permit(self, resource: str) -> None:
        await self._rules([{"apiGroups": ["*"], "resources": ["*"], "verbs": _READ}])

    async def _rules(self, rules: list[dict[str, Any]]) -> None:
        await self.patch(self.ROLE, {"rules": rules})


_READ = ["get", "list", "watch"]


async def _let_in(put: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The answer to what ``put`` puts, and puts again as long as it is 429, after as long as that says.

    It was not carried out, and client-go does the same (its rest/with_retry.go). A real server answers so at any time,
    also right after it answered the same request: a custom resource's watch cache that starts anew says "storage is
    (re)initializing" (apiserver's storage/cacher).
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await put()).status_code == 429:
            await answer.aclose()
            await asyncio.sleep(float(answer.headers["retry-after"]))
    return answer


def _headers(token: str, accept: str, content_type: str) -> Mapping[str, str]:
    return {
        "authorization": f"Bearer {token}",
        "accept": accept,
        "content-type": content_type,
        "accept-encoding": "identity",
        "user-agent": "tests/1.0",
    }
