"""A server and the mirror of it, asked the same: what differs is what the mirror says it leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.api.cluster import Stream
from tests.contract.mirrored import Mirrored
from tests.contract.servers import Events, Server


class Both:
    """``get`` and ``watch`` ask the server and the mirror; answers come in this order."""

    def __init__(self, server: Server, mirrored: Mirrored) -> None:
        self.server = server
        self.mirrored = mirrored

    async def get(self, path: str, **more: Any) -> tuple[httpx.Response, httpx.Response]:
        method = more.pop("method", "GET")
        return await self.server(method, path, **more), await self.mirrored.get(path, method=method, **more)

    async def same(self, path: str, **more: Any) -> httpx.Response:
        """The server's answer; the mirror's has the same status, type and content."""
        theirs, ours = await self.get(path, **more)
        assert (ours.status_code, kind_of(ours)) == (theirs.status_code, kind_of(theirs)), (ours.text, theirs.text)
        if kind_of(theirs) == "application/json":
            assert comparable(ours.json()) == comparable(theirs.json())
        return theirs

    @asynccontextmanager
    async def watch(
        self, path: str, *, accept: str = "application/json", **query: str
    ) -> AsyncIterator[tuple[Events, Stream]]:
        asked = urlencode({"watch": "1", **query})
        async with (
            self.server.watch(path, accept=accept, **query) as theirs,
            self.mirrored.watch(f"{path}?{asked}", accept=accept) as ours,
        ):
            yield theirs, ours

    async def told(self, theirs: Events, ours: Stream, count: int) -> list[dict[str, Any]]:
        """The next ``count`` events of the server, bookmarks aside; the mirror's are the same."""
        expected = [await change(theirs) for _ in range(count)]
        heard = [await change(ours) for _ in range(count)]
        assert [comparable(event) for event in heard] == [comparable(event) for event in expected]
        return expected


async def change(events: Any) -> dict[str, Any]:
    """The next event that is no bookmark: those come when it suits the server."""
    while (event := await events.next())["type"] == "BOOKMARK":
        pass
    found: dict[str, Any] = event
    return found


async def rest(events: Events | Stream) -> list[dict[str, Any]]:
    """All up to the end of the stream."""
    if isinstance(events, Events):
        return await events.rest()
    told = []
    while (event := await events.next()) is not None:
        told.append(event)
    return told


def kind_of(answer: httpx.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


def comparable(value: Any) -> Any:
    """Without what the mirror never holds (managedFields), and without what tells the moment of the answer.

    That is a list's own resourceVersion, and Age in the cells of a Table.
    """
    match value:
        case list():
            return [comparable(item) for item in value]
        case dict():
            shown = {name: comparable(inner) for name, inner in value.items() if name != "managedFields"}
            if value.get("kind", "").endswith("List") or value.get("kind") == "Table":
                shown["metadata"] = {
                    name: inner
                    for name, inner in shown["metadata"].items()
                    if name not in ("resourceVersion", "continue")
                }
            for row in shown.get("rows") or ():
                if isinstance(row, dict):
                    row["cells"] = ["" if is_age(cell) else cell for cell in row["cells"]]
            return shown
    return value


def is_age(cell: Any) -> bool:
    return isinstance(cell, str) and cell[:1].isdigit() and cell[-1:] in "smhdy" and cell[:-1].isalnum()
