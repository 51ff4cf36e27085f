"""Readers of /watch, one class for each framing, and the copy that a client keeps by what it is told."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self
from urllib.parse import urlencode

import orjson
from websockets.asyncio.client import ClientConnection

from tests.contract.servers import PATIENCE_SECONDS
from tests.serve.live import Lines, Live

Frame = dict[str, Any]


class Push(ABC):
    """One connection; ``cut`` loses it, and another one resumes by the cursor."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._stack = AsyncExitStack()

    @abstractmethod
    async def open(self, query: Mapping[str, str], cursor: str) -> Self: ...

    @abstractmethod
    async def frame(self) -> Frame: ...

    async def cut(self) -> None:
        """What was on its way is lost."""
        await self._stack.aclose()


class Ndjson(Push):
    _lines: Lines

    async def open(self, query: Mapping[str, str], cursor: str) -> Self:
        asked = urlencode({**query, **({"resourceVersion": cursor} if cursor else {})})
        self._lines = await self._stack.enter_async_context(self._live.ndjson(asked))
        return self

    async def frame(self) -> Frame:
        return dict(await self._lines.frame())


class EventSource(Push):
    _lines: Lines

    async def open(self, query: Mapping[str, str], cursor: str) -> Self:
        headers = {"accept": "text/event-stream", **({"last-event-id": cursor} if cursor else {})}
        self._lines = await self._stack.enter_async_context(self._live.ndjson(urlencode(query), **headers))
        return self

    async def frame(self) -> Frame:
        """The id of an event is the cursor that its frame tells."""
        id_ = None
        while True:
            name, _, value = (await self._lines.line()).partition(":")
            match name:
                case "id":
                    id_ = value.strip()
                case "data":
                    frame: Frame = orjson.loads(value)
                    assert frame.get("resourceVersion", "") == (id_ or "")
                    return frame


class WebSocket(Push):
    _socket: ClientConnection

    async def open(self, query: Mapping[str, str], cursor: str) -> Self:
        asked = urlencode({**query, **({"resourceVersion": cursor} if cursor else {})})
        self._socket = await self._stack.enter_async_context(self._live.socket(asked))
        return self

    async def frame(self) -> Frame:
        frame: Frame = orjson.loads(await self._socket.recv())
        return frame

    async def cut(self) -> None:
        self._socket.transport.abort()
        await super().cut()


FRAMINGS = (Ndjson, EventSource, WebSocket)


@asynccontextmanager
async def reading(framing: type[Push], live: Live, query: Mapping[str, str], cursor: str = "") -> AsyncIterator[Push]:
    push = framing(live)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await push.open(query, cursor)
        yield push
    finally:
        await push.cut()


def reached(cursor: str) -> int:
    """Up to where everything has been told."""
    return int(cursor.partition("~")[0])


class Copy:
    """What a client holds that was told everything once and in order; whatever else it is told fails the test."""

    def __init__(self) -> None:
        self.objects: dict[str, Frame] = {}
        self.cursor = ""
        self.told: list[tuple[str, str, str]] = []

    def take(self, frame: Frame) -> None:
        kind, obj = frame["type"], frame["object"]
        cursor = frame.get("resourceVersion", "")
        if self.cursor:
            assert reached(cursor) >= reached(self.cursor), "cursors never decrease"
        self.cursor = cursor or self.cursor
        if kind == "BOOKMARK":
            return
        metadata = obj["metadata"]
        name = metadata["name"]
        self.told.append((kind, name, metadata["resourceVersion"]))
        match kind:
            case "ADDED":
                assert name not in self.objects
                self.objects[name] = obj
            case "MODIFIED":
                assert int(metadata["resourceVersion"]) > int(self.objects[name]["metadata"]["resourceVersion"])
                self.objects[name] = obj
            case "DELETED":
                del self.objects[name]
            case _:
                raise AssertionError(frame)

    async def until(self, push: Push, wanted: Mapping[str, Frame]) -> None:
        """Read until it holds exactly that."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.objects != wanted:
                self.take(await push.frame())
