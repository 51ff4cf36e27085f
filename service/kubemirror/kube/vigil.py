"""Notices that an API server which was away is back, so that nobody sits out a wait that has grown meanwhile.

Each reflector's backoff grows to a minute, so that hundreds of them are no burden to a sick API server; but a store
that is stale for a minute after the server is well again is one minute too long. One request a second, of the whole
mirror and only while there is trouble, is no burden and finds the moment.

A Transport around the real one: it sees what fails. Trouble is what says nothing about what was asked for: no
connection, no answer in time, 5xx, 401. If the server says that it is ready all the same, the trouble is that
resource's own, and its backoff's matter.

While there is trouble, a 403 or 404 is no answer either: a server that starts does not know its roles and custom
resources yet, for as long as its machine makes it take, and to believe it would be to stop serving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import structlog

from kubemirror.kube.transport import ByteStream, Response, Transport, TransportError

log = structlog.get_logger(__name__)

# The promise is to hold what the server holds five seconds after it is back: some for this, one for the jitter of a
# relist, and the rest for the list itself.
PAUSE_SECONDS = (0.5, 1.5)
# A server that is well answers at once; one that hangs is asked anew, for its connection may be the trouble.
ANSWER_SECONDS = 5.0
# All are told to ask again at most this often; a server that comes and goes is otherwise left to the backoffs.
STEADY_SECONDS = 30.0
# Whether a kube-apiserver has its storage, roles and custom resources; anyone may ask, by default.
READY_PATH = "/readyz"
# For so long an API server may take to start, and its refusals are not believed; one that is unready for other reasons
# must not keep us showing what we may no longer read.
STARTING_SECONDS = 300.0
# Who may not ask is refused each time; a server that starts refuses everything, but for a moment.
REFUSALS = 3


class Vigil:
    """Implements Transport."""

    def __init__(
        self,
        transport: Transport,
        back: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> None:
        """back: called when upstream was away and is ready again."""
        self._transport = transport
        self._back = back
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._trouble = asyncio.Event()
        self._since = 0.0
        self._told_at = float("-inf")

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        seconds: float,
    ) -> Response:
        try:
            response = await self._transport.request(
                method, path, query=query, headers=headers, body=body, seconds=seconds
            )
        except (TransportError, TimeoutError):
            self._note()
            raise
        if response.status >= 500 or response.status == 401:
            self._note()
        elif response.status in (403, 404) and self._starting():
            await response.body.close()
            raise TransportError(f"upstream is not ready, and answers {response.status} to {path}", kind="other")
        return Response(response.status, response.headers, _Seen(response.body, self._note))

    def _note(self) -> None:
        """There is trouble."""
        if not self._trouble.is_set():
            self._since = self._clock()
            self._trouble.set()

    def _starting(self) -> bool:
        return self._trouble.is_set() and self._clock() - self._since < STARTING_SECONDS

    async def run(self) -> None:
        """Keep it until cancelled."""
        while True:
            await self._trouble.wait()
            away, refusals = False, 0
            while (status := await self._ask()) != 200:
                refusals = refusals + 1 if 400 <= status < 500 and status != 401 else 0
                if refusals == REFUSALS:
                    break
                away = away or not refusals
            self._trouble.clear()
            if away:
                await self._sleep(max(0.0, self._told_at + STEADY_SECONDS - self._clock()))
                self._told_at = self._clock()
                log.info("upstream.back")
                await self._back()

    async def _ask(self) -> int:
        """The status of its answer; 0 where there is none."""
        await self._sleep(self._random.uniform(*PAUSE_SECONDS))
        try:
            response = await self._transport.request("GET", READY_PATH, seconds=ANSWER_SECONDS)
        except (TransportError, TimeoutError):
            return 0
        await response.body.close()
        return response.status


class _Seen:
    """A body whose untimely end is trouble. Implements ByteStream."""

    def __init__(self, body: ByteStream, note: Callable[[], None]) -> None:
        self._body = body
        self._note = note

    async def read(self) -> bytes:
        try:
            return await self._body.read()
        except TransportError:
            self._note()
            raise

    async def close(self) -> None:
        await self._body.close()
