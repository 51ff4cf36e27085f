"""Drives one Watcher over a Transport into a Writer: deadlines, accounts, audits; the rules are the Watcher's.

One request at a time is open for following, and now and then a second one that audits. Whatever the network
does becomes an input of the machine; only a broken contract (a programming error) ends ``run``, with its
exception. A list of any length gives the event loop back every few milliseconds.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import structlog

from kubemirror.kube.audit import Audit, Verdict
from kubemirror.kube.rights import Rights
from kubemirror.kube.transport import ByteStream, Response, Transport, TransportError
from kubemirror.kube.watcher import (
    PROBE_SECONDS,
    Back,
    Effect,
    Ended,
    InitialList,
    InitialWatch,
    Input,
    Item,
    Lost,
    Opened,
    OpenPage,
    OpenWatch,
    PageDone,
    Refused,
    Relist,
    Resume,
    State,
    Wait,
    Watcher,
    Watching,
)
from kubemirror.kube.wire import (
    ACCEPT,
    ACCEPT_METADATA,
    ACCEPT_METADATA_LIST,
    EventDecoder,
    LineSplitter,
    Page,
    Progress,
    WireError,
    is_json,
    page,
    refusal,
)
from kubemirror.state.catalog import Resource
from kubemirror.state.events import Columns, Event, Phase, PhaseChange
from kubemirror.state.masking import redaction_of
from kubemirror.state.objects import Ingest
from kubemirror.state.redact import CUT, Redaction, without_last_applied
from kubemirror.state.store import Writer

if TYPE_CHECKING:
    from kubemirror.settings import Settings

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
# client-go's range: long enough to be cheap, jittered so that no two clients reconnect in step.
WATCH_SECONDS = (300, 600)
# A refusal's body is a Status of a few hundred bytes, or a page of which the beginning says enough.
REFUSAL_BYTES = 16 * 1024
REFUSAL_SECONDS = 5.0
# Between two breaths of the event loop: about 4 ms of work, an object costing 20 µs and 10 ns a byte.
SLICE = 400_000
OBJECT_COST = 2_000
# Moving a timer costs more than reading a line: it may be this many seconds off.
TIMER_SLACK = 1.0
# Pages grow with the objects in them: one beyond this is fetched again in smaller ones.
PAGE_BYTES = 128 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorOptions:
    """How a reflector goes about it; every time in seconds, every size in bytes.

    idle_seconds: a watch on which no line was completed for this long is reopened (bookmarks come each 60 s).
    headers_seconds: until an answer's headers; a LIST's come when the API server has made it, at most its 60 s.
    list_grace_seconds, list_least_rate: a list's body must have kept this rate (bytes/s) after the grace.
    audit_seconds: mean time between audits, jittered by a third.
    rights_seconds: mean time between questions whether we may still watch, jittered by a third; and, where we may not,
        between attempts.
    max_object_bytes: beyond it an object is held as a stub; a line of more than twice that is not even read.
    watch_list: whether to ask for WatchLists at all. paged_start: whether the first list is fetched in pages first: an
        API server makes a page of Tables in two thirds of the time that it takes to write as many events.
    tables: whether to ask for printer cells.
    """

    idle_seconds: float = 85.0
    headers_seconds: float = 65.0
    list_grace_seconds: float = 60.0
    list_least_rate: float = 32 * 1024.0
    audit_seconds: float = 450.0
    rights_seconds: float = 60.0
    page_size: int = 500
    max_object_bytes: int = 16 * MIB
    watch_list: bool = True
    paged_start: bool = False
    tables: bool = True
    redaction: Redaction = CUT

    @classmethod
    def of(cls, settings: Settings) -> ReflectorOptions:
        """The options that the settings ask for."""
        return cls(
            idle_seconds=settings.idle_seconds,
            audit_seconds=settings.audit_seconds,
            rights_seconds=settings.rights_seconds,
            page_size=settings.page_size,
            max_object_bytes=settings.max_object_bytes,
            paged_start=True,
            redaction=redaction_of(settings),
        )


_EFFECTS = (Wait, OpenWatch, OpenPage)


class _Ahead:
    """A page that is asked for while the objects of the one before are taken; the one after ``continue_``."""

    def __init__(self, continue_: str, asking: Coroutine[None, None, Response]) -> None:
        self.continue_ = continue_
        self.response = asyncio.create_task(asking, name="page ahead")

    async def close(self) -> None:
        """Nobody wants it."""
        self.response.cancel()
        (answer,) = await asyncio.gather(self.response, return_exceptions=True)
        if isinstance(answer, Response):
            await answer.body.close()


class _Interrupted(Exception):  # noqa: N818 - not an error: someone asked for something else
    """Whatever is being waited for matters no more: a relist was asked for."""


class Reflector:
    """Follows one resource (or one namespace of it) for as long as ``run`` runs."""

    def __init__(
        self,
        *,
        transport: Transport,
        resource: Resource,
        writer: Writer,
        namespace: str = "",
        options: ReflectorOptions | None = None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: random_module.Random | None = None,
        sink: Callable[[Event], None] | None = None,
    ) -> None:
        """clock: monotonic seconds, the event loop's own in tests. sink: is handed each event after the store."""
        self.resource = resource
        self.namespace = namespace
        self.options = options or ReflectorOptions()
        self.reader = writer.reader
        self._transport = transport
        self._writer = writer
        self._clock = clock
        self._sleep = sleep
        self._random = random or random_module.Random()  # noqa: S311 - jitter, no secret
        self._sink = sink
        self._statistics = writer.statistics
        self._ingest = Ingest(
            api_version=resource.api_version,
            kind=resource.kind,
            # A Secret's last-applied annotation holds its data: no setting keeps that.
            redaction=without_last_applied(self.options.redaction)
            if resource.metadata_only
            else self.options.redaction,
            replace_type=resource.metadata_only,
        )
        self._watcher = Watcher(
            reader=writer.reader,
            clock=clock,
            random=self._random,
            name=resource.name,
            watch_list=self.options.watch_list,
            paged_start=self.options.paged_start,
            mirror_patience=self.options.audit_seconds,
            forbidden_seconds=self.options.rights_seconds,
        )
        self._path = f"{resource.path}{f'/namespaces/{namespace}' if namespace else ''}/{resource.plural}"
        self._page_size = self.options.page_size
        self._asked: Relist | Ended | Back | None = None
        self._away = False  # waiting for an upstream that is away
        self._guard: asyncio.Timeout | None = None
        self._ahead: _Ahead | None = None

    @property
    def state(self) -> State:
        """Where the list/watch machine stands."""
        return self._watcher.state

    def refresh(self, reason: str = "refresh") -> None:
        """List again now (no waiting for a backoff); nothing where a list is already on its way."""
        self._ask(Relist(reason))

    def upstream_is_back(self) -> None:
        """Ask again now if upstream's absence is what is waited out; nothing otherwise."""
        if self._away and self._asked is None:
            self._interrupt(Back())

    async def run(self) -> None:
        """Follow until cancelled. Never returns; raises only what a programming error raised."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._audit_for_ever(), name=f"audit {self.resource.name}")
                tasks.create_task(self._ask_for_rights_for_ever(), name=f"rights {self.resource.name}")
                await self._follow()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # one exception, as whoever guards this task expects
        finally:
            await self._leave_ahead()

    async def _follow(self) -> None:
        effect = self._step(Resume())
        while True:
            if not (self._ahead is not None and isinstance(effect, OpenPage) and effect.continue_):
                await self._leave_ahead()
            match effect:
                case Wait():
                    effect = await self._wait(effect)
                case OpenWatch():
                    effect = await self._watch(effect)
                case OpenPage():
                    effect = await self._list(effect)
                case None:
                    raise RuntimeError(f"nothing to do in {self._watcher.state}")
                case _:
                    assert_never(effect)

    def _step(self, taken: Input) -> Effect | None:
        """Hand an input to the machine, and its events to the store; what is to be done next, if anything."""
        effect: Effect | None = None
        for output in self._watcher.step(taken):
            if isinstance(output, _EFFECTS):
                effect = output
            else:
                if isinstance(output, PhaseChange):
                    self._log(output)
                self._writer.handle(output)
                if self._sink is not None:
                    self._sink(output)
        return effect

    def _log(self, change: PhaseChange) -> None:
        """A line for each trouble and for its end; a first sync without trouble is ordinary."""
        before = self.reader
        place = {"resource": self.resource.name} | ({"namespace": self.namespace} if self.namespace else {})
        match change.phase:
            case Phase.SYNCED:
                trouble = bool(before.reason) or before.phase is not Phase.INIT
                (log.info if trouble else log.debug)("store.synced", **place, after=str(before.phase))
            case Phase.INIT:
                log.warning("store.not_synced", **place, reason=change.reason)
            case Phase.STALE:
                log.warning("store.stale", **place, reason=change.reason)
            case Phase.FORBIDDEN:
                log.warning("store.forbidden", **place, reason=change.reason)
            case Phase.GONE:
                log.warning("store.gone", **place, reason=change.reason)
            case _:
                assert_never(change.phase)

    # -- interruptions and deadlines ------------------------------------------------------------------

    def _ask(self, asked: Relist | Ended) -> None:
        if not isinstance(self._watcher.state, InitialWatch | InitialList):  # else a list is on its way
            self._interrupt(asked)

    def _interrupt(self, asked: Relist | Ended | Back) -> None:
        self._asked = asked
        guard = self._guard
        if guard is not None and not guard.expired():
            guard.reschedule(asyncio.get_running_loop().time())

    def _take_asked(self) -> Effect | None:
        asked, self._asked = self._asked, None
        if isinstance(asked, Ended) and not isinstance(self._watcher.state, Watching):
            return self._step(Resume())  # the watch that was to end has ended meanwhile
        return None if asked is None else self._step(asked)

    @asynccontextmanager
    async def _deadline(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        """At most ``seconds`` (TimeoutError), and until someone asks for a relist (_Interrupted)."""
        try:
            async with asyncio.timeout(seconds) as self._guard:
                yield self._guard
        except TimeoutError:
            if self._asked is not None:
                raise _Interrupted from None
            raise
        finally:
            self._guard = None

    async def _wait(self, wait: Wait) -> Effect | None:
        self._away = wait.away
        try:
            async with self._deadline(None):
                await self._sleep(wait.seconds)
        except _Interrupted:
            return self._take_asked()
        finally:
            self._away = False
        if isinstance(self._asked, Back):
            self._asked = None  # it came with the wait's own end
        return self._step(Resume())

    # -- one exchange ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def _request(
        self,
        query: list[tuple[str, str]],
        accept: str,
        *,
        seconds: float | None = None,
        ahead: _Ahead | None = None,
    ) -> AsyncIterator[Response]:
        """An answer with any status. TransportError and TimeoutError tell what prevented one.

        seconds: until its headers. ahead: where it was asked for already.
        """
        seconds = self.options.headers_seconds if seconds is None else seconds
        async with self._deadline(seconds + 5):  # the transport keeps the time itself; this is for one that does not
            response = await (self._ask_for(query, accept, seconds) if ahead is None else ahead.response)
        try:
            yield response
        finally:
            await response.body.close()

    async def _ask_for(self, query: list[tuple[str, str]], accept: str, seconds: float) -> Response:
        return await self._transport.request(
            "GET", self._path, query=query, headers={"accept": accept}, seconds=seconds
        )

    async def _leave_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead.close()

    async def _open(self, response: Response) -> Effect | None:
        """Tell the machine what the headers say; an effect if that ends the exchange."""
        if response.status == 200 and is_json(response.headers):
            self._writer.warn(response.headers.get("warning", ""))
            return self._step(Opened(mirror=is_mirror(response.headers)))
        body = await read_some(response.body)
        return self._step(Refused(refusal(response.status, response.headers, body)))

    async def _watch(self, wanted: OpenWatch) -> Effect | None:
        query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(self._random.randint(*WATCH_SECONDS))),
            ("resourceVersion", "" if wanted.resource_version is None else str(wanted.resource_version)),
        ]
        if wanted.initial:
            query += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
        accept = ACCEPT_METADATA if self.resource.metadata_only else ACCEPT
        seconds = PROBE_SECONDS if wanted.probing else None
        try:
            async with self._request(
                query + self._form(), accept if self._wants_tables else PLAIN, seconds=seconds
            ) as response:
                effect = await self._open(response)
                return effect if effect is not None else await self._read_events(response.body)
        except _Interrupted:
            return self._take_asked()
        except TransportError as error:
            return self._step(Lost(error.kind, str(error)))
        except WireError as error:
            return self._step(Lost(error.kind, str(error)))
        except TimeoutError:
            if isinstance(self._watcher.state, Watching):
                return self._step(Lost("idle", f"nothing was heard for {self.options.idle_seconds:g} s"))
            return self._step(Lost("timeout", "no answer, or too slow a one"))

    async def _read_events(self, body: ByteStream) -> Effect | None:
        options = self.options
        splitter = LineSplitter(2 * options.max_object_bytes + MIB)
        decoder = EventDecoder(self._ingest, cap=options.max_object_bytes, metadata_only=self.resource.metadata_only)
        loop = asyncio.get_running_loop()
        opened = heard = loop.time()
        received = spent = 0
        async with self._deadline(options.idle_seconds) as guard:
            while True:
                if self._asked is not None and (effect := self._take_asked()) is not None:
                    return effect
                until = heard + options.idle_seconds
                if isinstance(self._watcher.state, InitialWatch):
                    until = min(until, opened + options.idle_seconds + received / options.list_least_rate)
                if abs(until - (guard.when() or 0.0)) > TIMER_SLACK and not guard.expired():
                    guard.reschedule(until)
                chunk = await body.read()
                if not chunk:
                    if splitter.pending:
                        return self._step(Lost("truncated", "the stream ended inside a line"))
                    return self._step(Ended())
                received += len(chunk)
                self._statistics.upstream_bytes += len(chunk)
                lines = splitter.feed(chunk)
                if lines:
                    heard = loop.time()
                for line in lines:
                    for event in decoder.decode(line):
                        if isinstance(event, Progress):
                            self._writer.learn(event.blank)
                        effect = self._step(event)
                        if effect is not None:
                            return effect
                    spent += OBJECT_COST + (len(line) if isinstance(line, bytes) else 0)
                    if spent > SLICE:
                        spent = 0
                        await asyncio.sleep(0)

    async def _list(self, wanted: OpenPage) -> Effect | None:
        query, accept = self._page_request(wanted)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.continue_ != wanted.continue_:
            await ahead.close()
            ahead = None
        try:
            async with self._request(query, accept, ahead=ahead) as response:
                effect = await self._open(response)
                if effect is not None:
                    return effect
                body = await self._read_page(response.body, whole=wanted.whole)
            return await self._take_page(page(body))
        except _Interrupted:
            return self._take_asked()
        except TransportError as error:
            return self._step(Lost(error.kind, str(error)))
        except WireError as error:
            return self._step(Lost(error.kind, str(error)))
        except TimeoutError:
            return self._step(Lost("timeout", "no answer, or too slow a one"))

    def _page_request(self, wanted: OpenPage) -> tuple[list[tuple[str, str]], str]:
        """The query and what is accepted."""
        query: list[tuple[str, str]] = []
        if not wanted.whole:
            query.append(("limit", str(self._page_size)))
        if wanted.continue_:
            query.append(("continue", wanted.continue_))
        elif wanted.resource_version is not None:
            query += [("resourceVersion", str(wanted.resource_version)), ("resourceVersionMatch", "NotOlderThan")]
        accept = ACCEPT_METADATA_LIST if self.resource.metadata_only else ACCEPT
        return query + self._form(), accept if self._wants_tables else PLAIN

    async def _read_page(self, body: ByteStream, *, whole: bool) -> bytes:
        options = self.options
        chunks: list[bytes] = []
        received = 0
        loop = asyncio.get_running_loop()
        opened = loop.time()
        async with self._deadline(options.list_grace_seconds) as guard:
            while chunk := await body.read():
                received += len(chunk)
                self._statistics.upstream_bytes += len(chunk)
                chunks.append(chunk)
                if received > PAGE_BYTES and not whole and self._page_size > 1:
                    self._page_size = max(1, self._page_size // 4)
                    raise WireError(f"a page of over {PAGE_BYTES} bytes; the next are smaller", kind="page_too_big")
                if not guard.expired():
                    guard.reschedule(opened + options.list_grace_seconds + received / options.list_least_rate)
        return b"".join(chunks)

    async def _take_page(self, listed: Page) -> Effect | None:
        effect = self._step(Columns(listed.columns))
        if effect is not None:
            return effect
        if listed.continue_:
            asking = self._ask_for(*self._page_request(OpenPage(None, listed.continue_)), self.options.headers_seconds)
            self._ahead = _Ahead(listed.continue_, asking)
        spent = 0
        objects = listed.objects(
            self._ingest,
            cap=self.options.max_object_bytes,
            metadata_only=self.resource.metadata_only,
            skipped=self._statistics.errors,
        )
        for held in objects:
            self._step(Item(held))
            spent += OBJECT_COST + held.size
            if spent > SLICE:
                spent = 0
                await asyncio.sleep(0)
        return self._step(PageDone(listed.resource_version, listed.continue_))

    @property
    def _wants_tables(self) -> bool:
        return self.options.tables or self.resource.metadata_only

    def _form(self) -> list[tuple[str, str]]:
        if not self._wants_tables:
            return []
        return [("includeObject", "Metadata" if self.resource.metadata_only else "Object")]

    # -- what an open watch does not tell -------------------------------------------------------------

    async def _audit_for_ever(self) -> None:
        audit = Audit(
            transport=self._transport,
            path=self._path,
            watcher=self._watcher,
            reader=self.reader,
            options_page_size=self.options.page_size,
            seconds=self.options.headers_seconds,
            patience=self.options.audit_seconds,
            clock=self._clock,
            sleep=self._sleep,
        )
        while True:
            await self._sleep(self._jittered(self.options.audit_seconds))
            match await audit.run():
                case Verdict.MISMATCH:
                    self._ask(Relist("audit", consistent=True))
                case Verdict.ROLLBACK:
                    self._ask(Relist("rollback", rollback=True))
                case Verdict.DENIED:
                    self._watch_anew()
                case Verdict.EQUAL | Verdict.UNKNOWN:
                    pass

    async def _ask_for_rights_for_ever(self) -> None:
        rights = Rights(transport=self._transport, path=self._path, watcher=self._watcher)
        while True:
            await self._sleep(self._jittered(self.options.rights_seconds))
            if await rights.lost():
                self._watch_anew()

    def _watch_anew(self) -> None:
        """Open the watch again at the same RV: if we may not, that tells."""
        self._ask(Ended())

    def _jittered(self, mean: float) -> float:
        return mean * (2 / 3 + 2 / 3 * self._random.random())


PLAIN = "application/json"


def is_mirror(headers: Mapping[str, str]) -> bool:
    """Whether upstream is a mirror of this kind: its lists are never consistent reads (RFC 9211 names it)."""
    caches = headers.get("cache-status", "").split(",")  # nearest to the origin first; a proxy's own comes after
    return any(cache.partition(";")[0].strip().strip('"') == "kubemirror" for cache in caches)


async def read_some(body: ByteStream) -> bytes:
    """The beginning of a refusal's body, for its message; what does not come in time is not waited for."""
    read = bytearray()
    try:
        async with asyncio.timeout(REFUSAL_SECONDS):
            while len(read) < REFUSAL_BYTES and (chunk := await body.read()):
                read += chunk
    except (TimeoutError, TransportError):
        pass
    return bytes(read[:REFUSAL_BYTES])
