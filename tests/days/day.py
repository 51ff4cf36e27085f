"""What each day is measured by: the store equals the server in the promised time, for the promised number of LISTs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from kubemirror.state.events import Phase
from tests.cluster.control_plane import ControlPlane
from tests.contract.mirrored import Mirrored, digest_of
from tests.contract.servers import Real

DEPLOYMENTS = "deployments.apps"
ALL = "/apis/apps/v1/deployments"
# The promises: after the fault ends, and until one that only silence tells of is noticed.
CONVERGED_SECONDS = 5.0
NOTICED_SECONDS = 90.0


class Day:
    """One control plane, harmed by a test: who asks it and what the mirror asked of it."""

    def __init__(self, plane: ControlPlane, real: Real) -> None:
        self.plane = plane
        self.real = real
        self._begun = 0
        self._began = 0.0

    async def again(self) -> None:
        """Start the API server and wait until it is ready, while everybody else goes on."""
        self.plane.start_api_server()
        await asyncio.to_thread(self.plane.until_ready)

    def begins(self) -> None:
        """What is asked from now on counts."""
        self._begun = sum(1 for _ in self.plane.requests())

    def lists(self, resource: str = DEPLOYMENTS, *, user: str = "mirror") -> int:
        """LISTs and WatchLists of the resource that the mirror has sent since, by the audit log; refused ones not."""
        sent = refused = 0
        for at, asked in enumerate(self.plane.requests()):
            listing = asked.verb == "list" or "sendInitialEvents=true" in asked.uri
            if at < self._begun or asked.user != user or asked.resource != resource or not listing:
                continue
            sent += asked.stage == "RequestReceived"
            refused += asked.stage == "ResponseComplete" and asked.code >= 400
        return sent - refused

    async def converged(
        self,
        mirrored: Mirrored,
        *,
        within: float = CONVERGED_SECONDS,
        since: float | None = None,
        paths: Mapping[str, str] | None = None,
    ) -> float:
        """Wait until each store (by default the Deployments') is SYNCED and the server's by digest; the seconds taken.

        since: when the fault ended (time.monotonic), by default now.
        """
        since = time.monotonic() if since is None else since
        for name, path in (paths or {DEPLOYMENTS: ALL}).items():
            wanted = digest_of(await self.real.done("GET", path))
            reader = mirrored.held(name)
            left = within - (time.monotonic() - since)
            await mirrored.until(
                lambda reader=reader, wanted=wanted: reader.phase is Phase.SYNCED and reader.digest() == wanted,  # type: ignore[misc]
                seconds=left,
            )
        took = time.monotonic() - since
        assert took <= within
        print(f"converged after {took:.2f} s, LISTs of Deployments: {self.lists()}")
        return took
