"""Liveness and readiness, in the API server's own format.

Liveness never depends on the API server: an outage upstream would become a restart storm, and that a relist
storm. Readiness is: every required store has been complete once, and no SIGTERM came.

Anyone is answered, so nothing of the cluster is in it: stores by name, and what upstream said of them, are for whoever
may read /-/status. The others are told how many stores are in which state.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from kubemirror.errors import KubemirrorError
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.lag import FATAL_SECONDS
from kubemirror.serve.reading import freshness, may_open, require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.shortcuts import STATUS
from kubemirror.settings import Access
from kubemirror.state.catalog import Entry
from kubemirror.state.events import Phase

PATHS = frozenset({"/health", "/healthz", "/livez", "/readyz"})
# A probe waits for a second; whoever wants names and cannot be asked about in that time is told none.
NAMES_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verbose answer. store: the state that it tells of one, which is of the cluster."""

    name: str
    ok: bool
    detail: str = ""
    store: Phase | None = None

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
        checks.append(Check(f"store/{entry.resource.name}", not waited_for(entry), said, state.phase))
    return checks


def anonymous(checks: Sequence[Check]) -> list[Check]:
    """``checks`` with all stores as one, counted by state; of those that fail first."""
    told = [check for check in checks if check.store is None]
    stores = [check for check in checks if check.store is not None]
    if stores:
        failing = [check for check in stores if not check.ok]
        counts = Counter(str(check.store) for check in failing or stores)
        detail = ", ".join(f"{count} {phase}" for phase, count in sorted(counts.items()))
        told.append(Check("stores", not failing, f"{detail} of {len(stores)}" if failing else detail))
    return told


async def may_name(context: Context, asked: Asked, *, wanted: bool) -> bool:
    """Whether the caller is told stores by name. wanted: it asks for that; else nobody is asked because of it."""
    if context.settings.access not in (Access.DELEGATED, Access.PROXY):
        wanted = True  # then the answer is at hand
    if not wanted:
        return False
    try:
        async with asyncio.timeout(NAMES_SECONDS):
            caller = await context.authenticator.authenticate(asked.presented) if asked.presented else asked.caller
            return await may_open(context, caller, STATUS)
    except (KubemirrorError, TimeoutError):
        return False  # health is told whoever can be asked about it


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
        return _answer(asked.path[1:], liveness(context), verbose=query.verbose is not None)  # names nothing

    async def ready(asked: AskedHere, query: Annotated[HealthQuery, Query()]) -> PlainTextResponse:
        """Whether every required store has been complete once."""
        await require_path(context, asked.caller, asked.path)
        verbose = query.verbose is not None
        checks = readiness(context)
        if not await may_name(context, asked, wanted=verbose):
            checks = anonymous(checks)
        return _answer("readyz", checks, verbose=verbose)

    for path in ("/health", "/healthz", "/livez"):
        get(router, path, live, query=HealthQuery, response_class=PlainTextResponse)
    get(router, "/readyz", ready, query=HealthQuery, response_class=PlainTextResponse)
    return router
