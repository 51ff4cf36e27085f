"""An API server that was away is noticed when it is back, once for all; its first answers are not believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from kubemirror.kube.transport import Response, TransportError
from kubemirror.kube.vigil import STEADY_SECONDS, Vigil
from kubemirror.state.events import Phase
from tests.discover.scripted import Body
from tests.discover.world import World
from tests.reflect.scene import REFUSED, RESET, Scene, added, initial, on_virtual_time, refusal, stream

Answers = Callable[[str, float], int]


class Upstream:
    """A Transport that answers what ``says`` says of path and time; 0 is no answer at all."""

    def __init__(self, says: Answers) -> None:
        self.says = says
        self.ready_asked: list[float] = []

    async def request(self, method: str, path: str, **_: Any) -> Response:
        now = asyncio.get_running_loop().time()
        if path == "/readyz":
            self.ready_asked.append(now)
        status = self.says(path, now)
        if not status:
            raise TransportError("refused", kind="refused")
        return Response(status, {}, Body(b"x"))


class Kept:
    def __init__(self, says: Answers) -> None:
        loop = asyncio.get_running_loop()
        self.upstream = Upstream(says)
        self.back: list[float] = []
        self.vigil = Vigil(self.upstream, self._back, clock=loop.time, sleep=asyncio.sleep, random=Random(1))

    async def _back(self) -> None:
        self.back.append(asyncio.get_running_loop().time())

    async def ask(self, path: str = "/apis/x") -> int:
        """The status; 0 for no answer."""
        try:
            return (await self.vigil.request("GET", path, seconds=1.0)).status
        except TransportError:
            return 0


@asynccontextmanager
async def kept(says: Answers) -> AsyncIterator[Kept]:
    keeping = Kept(says)
    task = asyncio.create_task(keeping.vigil.run())
    try:
        yield keeping
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@on_virtual_time
async def test_while_all_is_well_nothing_is_asked() -> None:
    async with kept(lambda path, now: 200) as keeping:
        for _ in range(100):
            assert await keeping.ask() == 200
            await asyncio.sleep(10)

        assert keeping.upstream.ready_asked == []


@pytest.mark.parametrize("trouble", [0, 500, 503, 401])
@on_virtual_time
async def test_after_an_hour_away_its_return_is_told_within_two_seconds(trouble: int) -> None:
    async with kept(lambda path, now: trouble if now < 3600 else 200) as keeping:
        await keeping.ask()
        await asyncio.sleep(4000)

        assert len(keeping.back) == 1
        assert 3600 <= keeping.back[0] <= 3602
        assert 2400 <= len(keeping.upstream.ready_asked) <= 7200


@on_virtual_time
async def test_a_trouble_of_one_resource_alone_is_its_own() -> None:
    async with kept(lambda path, now: 200 if path == "/readyz" else 503) as keeping:
        for _ in range(10):
            await keeping.ask()
            await asyncio.sleep(60)

        assert keeping.back == []
        assert len(keeping.upstream.ready_asked) == 10


@on_virtual_time
async def test_who_may_not_ask_whether_it_is_ready_stops_asking() -> None:
    async with kept(lambda path, now: 403 if path == "/readyz" else 503) as keeping:
        await keeping.ask()
        await asyncio.sleep(600)

        assert len(keeping.upstream.ready_asked) == 3


@on_virtual_time
async def test_one_that_comes_and_goes_is_left_to_the_backoffs() -> None:
    async with kept(lambda path, now: 0 if now % 10 < 5 else 200) as keeping:
        for _ in range(600):
            await keeping.ask()
            await asyncio.sleep(1)

        pauses = [later - earlier for earlier, later in zip(keeping.back[:-1], keeping.back[1:], strict=True)]
        assert len(pauses) > 5
        assert min(pauses) >= STEADY_SECONDS - 0.001


@pytest.mark.parametrize("early", [403, 404])
@on_virtual_time
async def test_what_a_server_that_starts_refuses_is_not_believed(early: int) -> None:
    def starting(path: str, now: float) -> int:
        if now < 10:
            return 0
        if now < 20:
            return 500 if path == "/readyz" else early
        return 200 if path == "/readyz" else 403

    async with kept(starting) as keeping:
        assert await keeping.ask() == 0
        await asyncio.sleep(15)
        assert await keeping.ask() == 0

        await asyncio.sleep(10)
        assert await keeping.ask() == 403  # once it is ready it means what it says


@on_virtual_time
async def test_one_that_never_gets_ready_is_believed_after_five_minutes() -> None:
    async with kept(lambda path, now: 500 if path == "/readyz" or now < 1 else 403) as keeping:
        assert await keeping.ask() == 500
        await asyncio.sleep(290)
        assert await keeping.ask() == 0
        await asyncio.sleep(20)
        assert await keeping.ask() == 403


@on_virtual_time
async def test_a_stream_that_is_cut_is_trouble_too() -> None:
    class Cut(Body):
        async def read(self) -> bytes:
            raise TransportError("reset", kind="reset")

    async with kept(lambda path, now: 500 if path == "/readyz" else 403) as keeping:

        async def watch(*_: Any, **__: Any) -> Response:
            return Response(200, {}, Cut())

        asked, keeping.upstream.request = keeping.upstream.request, watch  # type: ignore[method-assign]
        response = await keeping.vigil.request("GET", "/apis/x", seconds=1.0)
        with pytest.raises(TransportError):
            await response.body.read()
        keeping.upstream.request = asked  # type: ignore[method-assign]

        assert await keeping.ask() == 0


@on_virtual_time
async def test_a_reflector_is_told_and_asks_at_once_with_its_first_wait_again() -> None:
    script = [initial("a", rv=5, then=[RESET]), *[REFUSED] * 8, refusal(500), stream(added("b", 6))]
    async with Scene(*script) as scene:
        await scene.play(200)
        asked = len(scene.server.requests)
        assert scene.phase is Phase.STALE

        scene.reflector.upstream_is_back()
        await scene.play(0.1)
        assert len(scene.server.requests) == asked + 1
        await scene.play(1.7)
        assert scene.server.asked[asked:][1:2] == [("watch", "5")]


@on_virtual_time
async def test_a_wait_for_anything_else_is_not_cut_short() -> None:
    script = [initial("a", rv=5, then=[RESET]), *[refusal(403, "Forbidden")] * 5]
    async with Scene(*script) as scene:
        await scene.play(10)
        assert scene.phase is Phase.FORBIDDEN
        asked = len(scene.server.requests)

        scene.reflector.upstream_is_back()
        await scene.play(10)
        assert len(scene.server.requests) == asked


@on_virtual_time
async def test_the_mirror_tells_every_reflector_and_reads_discovery_again() -> None:
    async with World().running() as world:
        world.api.unreachable = True
        await world.mirror.refresh(None)
        await asyncio.sleep(300)
        world.api.unreachable = False
        world.api.asked.clear()
        await asyncio.sleep(2.1)

        assert "/apis" in world.api.asked
        assert [reflector.reasons for reflector in world.reflectors] == [["refresh", "back"]] * len(world.reflectors)
