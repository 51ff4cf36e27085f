"""A client of the mirror's own watch: hears everything, believes nothing, and checks each event against the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.api.cluster import Stream
from tests.contract.mirrored import Mirrored

GAP = "kubemirror/gap"


class Listener:
    """What a watch with bookmarks has told since it began with an empty namespace.

    told: (name, resourceVersion) of each ADDED and MODIFIED. Bookmarks frame what the mirror did not watch itself: the
    outcome of a relist, whose deletions come first, whenever they were.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._moved = asyncio.Event()
        self.held: dict[str, tuple[str, int]] = {}
        self.told: set[tuple[str, int]] = set()
        self._gap = False
        self._cursor = 0
        self.error: dict[str, Any] | None = None

    async def listen(self) -> None:
        while (event := await self._stream.next()) is not None:
            self._take(event["type"], event["object"])
            self._moved.set()
        raise AssertionError(f"the stream ended: {self.error}")

    async def holds(self, wanted: dict[str, tuple[str, int]]) -> None:
        while self.held != wanted:
            self._moved.clear()
            await self._moved.wait()

    def _take(self, type_: str, obj: dict[str, Any]) -> None:
        if type_ == "ERROR":
            self.error = obj
            return
        metadata = obj["metadata"]
        version = int(metadata["resourceVersion"])
        if type_ == "BOOKMARK":
            assert version >= self._cursor, "a step back"
            self._cursor = version
            self._gap = GAP in metadata.get("annotations", {})
            return
        name, uid = metadata["name"], metadata["uid"]
        if not self._gap:
            assert version > self._cursor, f"{type_} {name} at {version} after {self._cursor}: a double or a step back"
            self._cursor = version
        held = self.held.get(name)
        match type_:
            case "ADDED":
                assert held is None, f"{name} was added twice"
                self.held[name] = uid, version
                self.told.add((name, version))
            case "MODIFIED":
                assert held is not None
                assert held[0] == uid
                assert held[1] < version
                self.held[name] = uid, version
                self.told.add((name, version))
            case "DELETED":
                assert held is not None, f"{name} was deleted twice"
                assert held[0] == uid
                del self.held[name]
            case _:
                raise AssertionError(type_)


@asynccontextmanager
async def listening(mirrored: Mirrored, namespace: str) -> AsyncIterator[Listener]:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    async with mirrored.watch(f"{path}?watch=1&allowWatchBookmarks=true&resourceVersion=0") as stream:
        listener = Listener(stream)
        task = asyncio.create_task(listener.listen(), name="listener")
        try:
            yield listener
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
