"""Liveness and readiness, in the API server's own format.

Liveness never depends on the API server: an outage upstream would become a restart storm, and that a relist
storm. Readiness is: every required store has been complete once, and no SIGTERM came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from kubemirror.serve.context import Context
from kubemirror.serve.lag import FATAL_SECONDS
from kubemirror.serve.reading import freshness, require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.state.catalog import Entry
from kubemirror.state.events import Phase

PATHS = frozenset({"/health", "/healthz", "/livez", "/readyz"})


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verbose answer."""

    name: str
    ok: bool
    detail: str = ""

    def __str__(self) -> str:
        if self.ok:
            return f"[+]{self.name} ok" + (f" ({self.detail})" if self.detail else "")
        return f"[-]{self.name} failed: {self.detail}"


class HealthQuery(BaseModel):
    """Parameters of the health paths."""

    verbose: Annotated[str | None, Field(description="List every check, not only those that fail.")] = None


def liveness(context: Context) -> list[Check]:
    """Whether the process can do its work at all: its loop turns and its tasks live."""
    lag = context.lag
    stalled = f"the event loop has not turned for {lag.current:.0f} s (limit {FATAL_SECONDS:.0f} s)"
    checks = [Check("ping", True), Check("loop", lag.alive, "" if lag.alive else stalled)]
    for name, task in context.lifecycle.tasks.items():
        ended = task.done() and not context.lifecycle.stopping
        checks.append(Check(f"task/{name}", not ended, "the task has ended" if ended else ""))
    return checks


def waited_for(entry: Entry) -> bool:
    """Whether readiness still waits for this resource."""
    if not entry.required:
        return False
    settled = (Phase.FORBIDDEN, Phase.GONE) if entry.resource.custom else ()
    return not all(reader.synced or reader.phase in settled for reader in entry.stores.values())


def readiness(context: Context) -> list[Check]:
    """Whether requests should be sent here: each required store has been complete once."""
    stopping = context.lifecycle.stopping
    checks = [Check("shutdown", not stopping, "the process is shutting down" if stopping else "")]
    if not len(context.catalog):
        checks.append(Check("discovery", False, "the API server has not told its resources yet"))
    for entry in context.catalog:
        state = freshness(list(entry.stores.values()), context.clock())
        said = f"{state.phase}: {state.reason}" if state.reason else str(state.phase)
        checks.append(Check(f"store/{entry.resource.name}", not waited_for(entry), said))
    return checks


def _answer(name: str, checks: list[Check], *, verbose: bool) -> PlainTextResponse:
    failed = [check for check in checks if not check.ok]
    headers = {"cache-control": "no-store"}
    if not failed and not verbose:
        return PlainTextResponse("ok", headers=headers)
    lines = [str(check) for check in checks if verbose or not check.ok]
    lines.append(f"{name} check {'failed' if failed else 'passed'}")
    return PlainTextResponse("\n".join(lines) + "\n", status_code=503 if failed else 200, headers=headers)


def routes(serving: Serving) -> APIRouter:
    """/health, /healthz, /livez, /readyz."""
    context = serving.context
    router = APIRouter(tags=["health"])

    async def live(asked: AskedHere, query: Annotated[HealthQuery, Query()]) -> PlainTextResponse:
        """Whether the process can work; never depends on the API server."""
        await require_path(context, asked.caller, asked.path)
        return _answer(asked.path[1:], liveness(context), verbose=query.verbose is not None)

    async def ready(asked: AskedHere, query: Annotated[HealthQuery, Query()]) -> PlainTextResponse:
        """Whether every required store has been complete once."""
        await require_path(context, asked.caller, asked.path)
        return _answer("readyz", readiness(context), verbose=query.verbose is not None)

    for path in ("/health", "/healthz", "/livez"):
        get(router, path, live, query=HealthQuery, response_class=PlainTextResponse)
    get(router, "/readyz", ready, query=HealthQuery, response_class=PlainTextResponse)
    return router
