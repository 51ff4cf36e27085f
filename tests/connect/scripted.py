"""A Transport in memory that answers what a test says, and remembers what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kubemirror.kube.transport import Response, TransportError


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes


@dataclass
class Bytes:
    """A body that is there already. closed: how often it was closed."""

    chunks: list[bytes]
    closed: int = 0

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    async def close(self) -> None:
        self.closed += 1


def give(status: int = 200, body: bytes = b"{}", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"content-type": "application/json", **named}, Bytes([body] if body else []))


@dataclass
class Scripted:
    """answer: what each request gets; a TransportError is raised. gate: requests wait until it is set."""

    answer: Callable[[Asked], Response | TransportError]
    asked: list[Asked] = field(default_factory=list)
    bodies: list[Bytes] = field(default_factory=list)
    gate: asyncio.Event | None = None

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
        asked = Asked(method, path, tuple(query), dict(headers or {}), body)
        self.asked.append(asked)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answer(asked)
        if isinstance(answer, TransportError):
            raise answer
        assert isinstance(answer.body, Bytes)
        self.bodies.append(answer.body)
        return answer


class Refreshes:
    """What the mirror would list again."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def refresh(self, name: str | None) -> list[str]:
        self.asked.append(name)
        await asyncio.sleep(0)
        return [name or "deployments.apps"]
