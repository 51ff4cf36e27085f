"""A mirror, as its readers see it: what is there, and everything that happens to it from now on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from kubemirror.client.backoff import Backoff
from kubemirror.client.connection import ClosedError, Connection, NoWebSocketError, Transport
from kubemirror.client.errors import MirrorError, RefusedError, UnreachableError
from kubemirror.client.events import Bookmark, Event
from kubemirror.client.following import Expired, Following
from kubemirror.client.frames import Column
from kubemirror.client.watching import Handing, Watch

DEFAULT_URL = "http://127.0.0.1:8080"
# A mirror says something every 15 s; three times that is more than a hiccup.
SILENCE_SECONDS = 45.0

As = Literal["object", "metadata", "key", "diff", "row", "version"]
Opened = AbstractAsyncContextManager[AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Objects:
    """What a list holds. resource_version: watch from there, and nothing is missed."""

    items: list[dict[str, Any]]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A watch's connection ended, and is opened again after ``seconds``."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Rows:
    """A watch of rows: each event's ``object`` has ``cells``. columns: known once an event came."""

    events: Watch
    following: Following

    @property
    def columns(self) -> Sequence[Column]:
        return self.following.columns


OnLost = Callable[[Lost], None]


class Mirror:
    """A running mirror. ``async with Mirror(url) as mirror``; one may serve many tasks at once."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        ca: str | Path | None = None,
        transport: Transport | Literal["auto", "websocket", "http"] = Transport.AUTO,
        silence_seconds: float = SILENCE_SECONDS,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        """url: with the base path, if it is served under one. token_file: read again for each connection.

        ca: file with the certificate that the mirror, or the issuer of its certificate, is known by.
        transport: of watches. silence_seconds: after which a connection counts as lost. backoff: for tests.
        ConfigError says what cannot be.
        """
        self._connection = Connection(url, token=token, token_file=token_file, ca=ca)
        self._transport = Transport(transport)
        self._silence = silence_seconds
        self._backoff = backoff
        self._watching: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self._connection.url

    async def __aenter__(self) -> Self:
        await self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open: watches first, each from the inside out."""
        watching = list(self._watching)
        for task in watching:
            task.cancel()
        try:
            if watching:
                await asyncio.wait(watching)
        finally:
            await self._connection.close()

    # -- what is there --------------------------------------------------------------------------------

    async def get(self, resource: str, name: str, *, namespace: str = "") -> dict[str, Any]:
        """One object. resource: by any name that kubectl takes. NotFoundError where there is none."""
        path = "/".join(["/resources", resource, *([namespace] if namespace else []), name])
        body: dict[str, Any] = await self._connection.json(path, {"output": "json"})
        if body.get("kind") == "List" and "items" in body:
            raise MirrorError(f"{resource} are in namespaces: say in which one {name!r} is (namespace=)")
        return body

    async def list(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        q: str = "",
    ) -> Objects:
        """All objects that are selected, as of one resourceVersion. q: only those whose cells contain this text."""
        asked = {
            "output": "json",
            "namespace": namespace,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "q": q,
        }
        body = await self._connection.json(f"/resources/{resource}", asked)
        return Objects(body["items"], body["metadata"].get("resourceVersion", ""))

    async def versions(
        self, *, namespace: str = "", label_selector: str = "", image: str = "", resource: str = "", wide: bool = False
    ) -> Sequence[dict[str, Any]]:
        """Which version runs where: ``container, name, namespace, version``; wide: with image and all containers."""
        asked = {
            "namespace": namespace,
            "labelSelector": label_selector,
            "image": image,
            "resource": resource,
            "wide": "true" if wide else "",
        }
        body: list[dict[str, Any]] = await self._connection.json("/versions", asked)
        return body

    # -- what happens ---------------------------------------------------------------------------------

    def watch(
        self,
        resource: str,
        *,
        namespace: str = "",
        name: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        snapshot: bool = True,
        q: str = "",
        filter: str = "",  # noqa: A002 - its name on the wire
        as_: As = "object",
        wide: bool = False,
        changes: str | Sequence[str] = (),
        latest: bool = False,
        on_lost: OnLost | None = None,
    ) -> Watch:
        """What is there as Added, a Bookmark, then every change, for ever.

        A connection that ends is opened again and goes on where it was: nothing is missed, and nothing is told twice.
        Where that is not possible, a Reset says so, and the difference to what was told before follows.

        resource_version: go on after this cursor instead. snapshot: whether to begin with what is there.
        q, filter, as_, wide, latest: as the parameters of /watch; so is changes, one (``"image"``) or several.
        on_lost: is told of each connection that ends.

        Raises UnreachableError if there is no mirror to begin with, and RefusedError once it refuses for good.
        """
        following = Following(resource_version=resource_version, snapshot=snapshot)
        asked = {
            "resource": resource,
            "namespace": namespace,
            "name": name,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "q": q,
            "filter": filter,
            "as": as_ if as_ != "object" else "",
            "wide": "true" if wide else "",
            "changes": changes if isinstance(changes, str) else ",".join(changes),
            "latest": "true" if latest else "",
        }
        return self._watch(asked, following, on_lost)

    def rows(
        self,
        resource: str,
        *,
        namespace: str = "",
        name: str = "",
        label_selector: str = "",
        field_selector: str = "",
        q: str = "",
        filter: str = "",  # noqa: A002 - its name on the wire
        columns: str = "",
        wide: bool = False,
        on_lost: OnLost | None = None,
    ) -> Rows:
        """The same as rows with the cells that kubectl prints, or those of ``columns``."""
        following = Following()
        asked = {
            "resource": resource,
            "namespace": namespace,
            "name": name,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "q": q,
            "filter": filter,
            "as": "row",
            "columns": columns,
            "wide": "true" if wide else "",
        }
        return Rows(self._watch(asked, following, on_lost), following)

    def _watch(self, asked: dict[str, str], following: Following, on_lost: OnLost | None) -> Watch:
        def opening() -> Opened:
            # A snapshot of the very replica that finds the cursor too old is not older than what was told before.
            here = {"resourceVersion": following.cursor, "onExpired": "snapshot"}
            if following.wants_snapshot:
                here |= {"resourceVersion": following.least, "snapshot": "true"}
            elif not following.cursor:
                here["snapshot"] = "false"
            return self._stream({**asked, **here})

        return Watch(lambda: self._follow(following, opening, on_lost), self._begin)

    def _begin(self, handing: Handing) -> asyncio.Task[None]:
        """Read a watch, until it or this Mirror is closed."""
        self._connection.require_open()
        task = asyncio.create_task(handing.run(), name="watch")
        self._watching.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._watching.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever asks for the next event; who has left does not want to know

    async def _follow(
        self, following: Following, opening: Callable[[], Opened], on_lost: OnLost | None
    ) -> AsyncGenerator[Event]:
        """The events of one connection after the other, as ``opening`` opens them."""
        pauses = self._backoff()
        reached = False
        while True:
            asked: float | None = None
            try:
                async with opening() as messages:
                    following.opened()
                    async for message in messages:
                        for event in following.told(message):
                            if isinstance(event, Bookmark):
                                pauses.succeeded()
                            yield event
                        reached = True
                why = "the mirror ended the stream"
            except Expired:
                why = "the cursor is too old"
            except UnreachableError as error:
                if not reached and not isinstance(error, ClosedError):
                    raise
                why = error.happened
            except RefusedError as error:
                if error.code == 410:
                    for event in following.expired(str(error)):
                        yield event
                elif not error.passing:
                    raise
                why, asked, reached = str(error), error.retry_after, True
            seconds = pauses.next(asked)
            if on_lost is not None:
                on_lost(Lost(why, seconds))
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def _stream(self, parameters: dict[str, str]) -> AsyncGenerator[AsyncIterator[bytes]]:
        if self._transport is not Transport.HTTP:
            async with AsyncExitStack() as stack:
                opening = self._connection.messages("/watch", parameters, self._silence)
                try:
                    messages = await stack.enter_async_context(opening)
                except NoWebSocketError:
                    if self._transport is Transport.WEBSOCKET:
                        raise
                else:
                    yield messages
                    return
        accept = "application/x-ndjson"
        async with self._connection.lines("/watch", {**parameters, "output": "ndjson"}, accept, self._silence) as lines:
            self._transport = Transport.HTTP  # it comes through; a WebSocket did not
            yield lines
