"""Writers that go on through whatever happens to the API server, and remember what it has confirmed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.contract.objects import deployment
from tests.contract.servers import Real

WRITERS = 4
# Each writer's objects: few, so that each goes through many lives.
NAMES = 5
PAUSE_SECONDS = 0.05  # between two tries while the server is away


class Load:
    """written: (name, resourceVersion) of every write that was confirmed."""

    def __init__(self, real: Real, namespace: str) -> None:
        self._real = real
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self._ended = False
        self._moved = asyncio.Event()
        self.written: set[tuple[str, int]] = set()

    async def reaches(self, more: int) -> None:
        """Wait for so many more confirmed writes."""
        wanted = len(self.written) + more
        while len(self.written) < wanted:
            self._moved.clear()
            await self._moved.wait()

    def end(self) -> None:
        self._ended = True

    async def write(self, writer: int) -> None:
        for turn in itertools.count():
            name = f"load-{writer}-{turn % NAMES}"
            life = turn // NAMES % 4
            if life == 0:
                await self._send("POST", self._path, deployment(name))
            elif life == 3:
                await self._send("DELETE", f"{self._path}/{name}")
            else:
                patch = {"metadata": {"annotations": {"turn": str(turn)}}}
                await self._send("PATCH", f"{self._path}/{name}", patch, content_type="application/merge-patch+json")
            if self._ended:
                return

    async def _send(self, method: str, path: str, body: Any = None, **more: Any) -> None:
        """Until it is answered: a try whose answer was lost may have been done, and is 409 or 404 the next time."""
        while not self._ended:
            try:
                answer = await self._real(method, path, body, **more)
            except httpx.TransportError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if answer.status_code >= 500 or answer.status_code in (403, 429):  # it starts or ends
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if answer.is_success and method != "DELETE":  # a deletion's answer is no event's
                metadata = answer.json()["metadata"]
                self.written.add((metadata["name"], int(metadata["resourceVersion"])))
                self._moved.set()
            else:
                assert answer.is_success or answer.status_code in (404, 409), answer.text
            return


@asynccontextmanager
async def load_on(real: Real, namespace: str) -> AsyncIterator[Load]:
    load = Load(real, namespace)
    async with asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(load.write(writer), name=f"writer {writer}")
        try:
            yield load
        finally:
            load.end()
