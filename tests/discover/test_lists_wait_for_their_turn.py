"""However many reflectors start together, only a few lists are on the wire at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kubemirror.kube.gate import CONCURRENT_LISTS, LONGEST_HOLD_SECONDS, LONGEST_WAIT_SECONDS, Gate
from kubemirror.kube.transport import Response, TransportError
from tests.discover.scripted import Body

LIST = [("limit", "500")]
WATCH_LIST = [("watch", "1"), ("sendInitialEvents", "true")]
WATCH = [("watch", "1"), ("resourceVersion", "5")]


class Counting:
    """A Transport that counts what is open."""

    def __init__(self, *chunks: bytes) -> None:
        self.begun = 0
        self.chunks = chunks
        self.refusing = False

    async def request(self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), **_: Any) -> Response:
        self.begun += 1
        if self.refusing:
            raise TransportError("refused", kind="refused")
        return Response(200, {}, Body(*self.chunks))


async def ask(gate: Gate, query: list[tuple[str, str]]) -> Response:
    return await gate.request("GET", "/apis/x", query=query, seconds=1.0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def waiting() -> Any:
    tasks: list[asyncio.Task[Response]] = []

    def start(gate: Gate, query: list[tuple[str, str]], count: int) -> list[asyncio.Task[Response]]:
        begun = [asyncio.create_task(ask(gate, query)) for _ in range(count)]
        tasks.extend(begun)
        return begun

    yield start
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize("query", [LIST, WATCH_LIST], ids=["LIST", "WatchList"])
async def test_lists_beyond_the_slots_wait(waiting: Any, query: list[tuple[str, str]]) -> None:
    inner = Counting()
    gate = Gate(inner)

    tasks = waiting(gate, query, CONCURRENT_LISTS + 3)
    await settle()
    assert inner.begun == CONCURRENT_LISTS

    response = await tasks[0]
    await response.body.close()
    await response.body.close()
    await settle()
    assert inner.begun == CONCURRENT_LISTS + 1


async def test_a_watch_never_waits(waiting: Any) -> None:
    inner = Counting()
    gate = Gate(inner, lists=1)
    waiting(gate, LIST, 1)

    await asyncio.gather(*waiting(gate, WATCH, 20))

    assert inner.begun == 21


async def test_a_watch_list_gives_its_slot_back_at_the_end_of_its_initial_events(waiting: Any) -> None:
    inner = Counting(b'{"type":"ADDED"}', b'..."k8s.io/initial-ev', b'ents-end":"true"', b"later")
    gate = Gate(inner, lists=1)
    (first, _second) = waiting(gate, WATCH_LIST, 2)
    response = await first

    await response.body.read()
    await response.body.read()
    await settle()
    assert inner.begun == 1
    await response.body.read()
    await settle()
    assert inner.begun == 2
    assert await response.body.read() == b"later"


async def test_a_failed_request_gives_its_slot_back(waiting: Any) -> None:
    inner = Counting()
    inner.refusing = True
    gate = Gate(inner, lists=1)

    for task in waiting(gate, LIST, 3):
        with pytest.raises(TransportError):
            await task


@pytest.mark.looptime
async def test_nobody_waits_for_ever(waiting: Any, looptime: Any) -> None:
    inner = Counting()
    gate = Gate(inner, lists=1)

    await asyncio.gather(*waiting(gate, WATCH_LIST, 3))

    assert looptime == LONGEST_WAIT_SECONDS


@pytest.mark.looptime
async def test_a_list_that_never_ends_gives_its_turn_up(waiting: Any, looptime: Any) -> None:
    inner = Counting()
    gate = Gate(inner, lists=1)
    await ask(gate, WATCH_LIST)

    await asyncio.sleep(LONGEST_HOLD_SECONDS)
    await ask(gate, WATCH_LIST)

    assert looptime == LONGEST_HOLD_SECONDS
