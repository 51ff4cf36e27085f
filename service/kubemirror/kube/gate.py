"""At most a few lists at once, however many reflectors there are.

A cluster with hundreds of CRDs would otherwise be asked for all of them in the same second at every start
and after every long outage. A Transport around the real one: a LIST holds its slot until its body is
closed, a WatchList until the bookmark that ends its initial events (or a short while, if that never comes).
Plain watches pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from kubemirror.kube.transport import ByteStream, Response, Transport

# client-go starts all informers at once; API priority and fairness gives an ordinary client a few dozen
# seats, and a big LIST takes up to ten of them. Four keep both sides busy: while one list is on the wire
# another is decoded here.
CONCURRENT_LISTS = 4
# A WatchList that does not come to its end keeps others waiting at most this long, in seconds.
LONGEST_HOLD_SECONDS = 30.0
# And nobody waits longer than this for a turn: the aim is to spread lists, never to starve one. A reflector
# counts the wait as part of its 65 s for an answer's headers.
LONGEST_WAIT_SECONDS = 15.0

_END = b"k8s.io/initial-events-end"


class Gate:
    """Implements Transport."""

    def __init__(self, transport: Transport, *, lists: int = CONCURRENT_LISTS) -> None:
        self._transport = transport
        self._slots = asyncio.Semaphore(lists)

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
        named = dict(query)
        watch = "watch" in named
        if watch and "sendInitialEvents" not in named:
            return await self._transport.request(method, path, query=query, headers=headers, body=body, seconds=seconds)
        slot = _Slot(self._slots)
        await slot.take()
        try:
            response = await self._transport.request(
                method, path, query=query, headers=headers, body=body, seconds=seconds
            )
        except BaseException:
            slot.leave()
            raise
        return Response(response.status, response.headers, _Held(response.body, slot, watch=watch))


class _Slot:
    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._timer: asyncio.TimerHandle | None = None

    async def take(self) -> None:
        """Wait for a turn, or for LONGEST_WAIT_SECONDS: then go without one."""
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            return
        self._timer = asyncio.get_running_loop().call_later(LONGEST_HOLD_SECONDS, self.leave)

    def leave(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._slots.release()

    @property
    def held(self) -> bool:
        return self._timer is not None


class _Held:
    """A body that gives its slot back when its list is over. Implements ByteStream."""

    def __init__(self, body: ByteStream, slot: _Slot, *, watch: bool) -> None:
        self._body = body
        self._slot = slot
        self._watch = watch
        self._tail = b""

    async def read(self) -> bytes:
        chunk = await self._body.read()
        if self._watch and self._slot.held:
            if _END in self._tail + chunk:
                self._slot.leave()
            self._tail = chunk[-len(_END) :]
        return chunk

    async def close(self) -> None:
        self._slot.leave()
        await self._body.close()
