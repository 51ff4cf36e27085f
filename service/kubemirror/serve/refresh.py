"""POST /-/refresh: list again now, for whoever does not trust what is shown.

One at a time for the same resource, and not oftener than every few seconds: it is the one request of ours
that costs the API server something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil

from fastapi import APIRouter
from pydantic import BaseModel, Field

from kubemirror.serve.problems import try_later
from kubemirror.serve.reading import require_path
from kubemirror.serve.routes import post
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.sought import known

# A relist of 100,000 objects costs the API server about two seconds of one core.
INTERVAL_SECONDS = 10.0


class Refreshed(BaseModel):
    """What is being listed again."""

    resources: list[str] = Field(description="Names of the resources that will be listed again.")


class RefreshRate:
    """When each resource (None: all of them) may be refreshed again."""

    def __init__(self, clock: Callable[[], float], interval: float = INTERVAL_SECONDS) -> None:
        self._clock = clock
        self._interval = interval
        self._last: dict[str | None, float] = {}

    def take(self, name: str | None) -> None:
        """Allow one refresh now, or raise 429 with Retry-After."""
        now = self._clock()
        last = max(self._last.get(name, -self._interval), self._last.get(None, -self._interval))
        wait = last + self._interval - now
        if wait > 0:
            seconds = ceil(wait)
            message = f"refreshed less than {self._interval:.0f} s ago: retry in {seconds} s"
            raise try_later(429, "TooManyRequests", message, seconds=seconds)
        self._last[name] = now


def routes(serving: Serving) -> APIRouter:
    """POST /-/refresh and /-/refresh/{resource}."""
    context = serving.context
    rate = RefreshRate(context.clock)
    flights: dict[str | None, asyncio.Task[list[str]]] = {}
    router = APIRouter(tags=["status"])

    async def refresh(name: str | None) -> Refreshed:
        flight = flights.get(name)
        if flight is None:
            rate.take(name)
            flight = asyncio.create_task(context.upstream.refresh(name), name=f"refresh {name or 'all'}")
            flights[name] = flight
            flight.add_done_callback(lambda _: flights.pop(name, None) and None)
        return Refreshed(resources=await asyncio.shield(flight))

    async def refresh_all(asked: AskedHere) -> Refreshed:
        """List every mirrored resource again now. At most once in ten seconds."""
        await require_path(context, asked.caller, asked.path, verb="post")
        return await refresh(None)

    async def refresh_one(asked: AskedHere, resource: str) -> Refreshed:
        """List one resource again now; any name that kubectl takes."""
        await require_path(context, asked.caller, asked.path, verb="post")
        return await refresh(known(context, resource).resource.name)

    post(router, "/-/refresh", refresh_all, status_code=202)
    post(router, "/-/refresh/{resource}", refresh_one, status_code=202)
    return router
