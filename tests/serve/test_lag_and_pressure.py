"""The event loop's lag is measured and judged; memory that runs out refuses new streams and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.serve.lag import LoopLag
from kubemirror.serve.pressure import LEAST_JOURNAL_BYTES, Pressure, memory_limit, memory_used
from tests.serve.world import World


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("stalled", "alive"), [(0.0, True), (5.0, True), (29.0, True), (31.0, False)])
def test_only_a_stall_beyond_thirty_seconds_is_death(stalled: float, alive: bool) -> None:
    clock = Clock()
    lag = LoopLag(clock)
    lag.beating = True
    clock.now = stalled

    assert lag.alive is alive


def test_a_process_whose_loop_is_not_watched_is_not_called_dead() -> None:
    clock = Clock()
    lag = LoopLag(clock)
    clock.now = 1000.0

    assert (lag.alive, lag.current) == (True, 0.0)


def test_the_worst_of_the_last_minute_is_kept() -> None:
    clock = Clock()
    lag = LoopLag(clock)
    lag.observe(2.0)
    clock.now = 30.0
    lag.observe(0.5)
    during = lag.worst
    clock.now = 61.0
    lag.observe(0.001)

    assert (during, lag.worst) == (2.0, 0.5)
    assert sum(lag.counts) == 3


@pytest.mark.looptime
async def test_the_beat_goes_on_and_ends_with_its_task() -> None:
    lag = LoopLag(asyncio.get_running_loop().time)
    beat = asyncio.create_task(lag.run(), name="beat")
    await asyncio.sleep(10)
    beats = sum(lag.counts)
    beat.cancel()
    await asyncio.gather(beat, return_exceptions=True)

    assert 38 <= beats <= 41
    assert lag.worst < 0.01
    assert not lag.beating


def pressed_at(used: int, world: World, *, limit: int | None = 1000) -> bool:
    Pressure(world.context, limit=lambda: limit, used=lambda: used).look()
    return world.context.lifecycle.pressed


def test_pressure_begins_above_80_percent_and_ends_below_70(world: World) -> None:
    world.mirror().sync()

    assert [pressed_at(used, world) for used in (790, 810, 750, 710, 690, 790)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_without_a_limit_there_is_no_pressure(world: World) -> None:
    assert pressed_at(10**12, world, limit=None) is False


def test_pressure_shortens_history_and_keeps_every_object(world: World) -> None:
    store = world.mirror()
    store.sync(store.object(1, "web"))
    for number in range(20):
        store.apply(101 + number, "web", annotations={"filler": "x" * 500_000})
    before = store.reader.journal.size
    pressed_at(900, world)

    assert before > LEAST_JOURNAL_BYTES
    assert store.reader.journal.size <= LEAST_JOURNAL_BYTES
    assert len(store.reader) == 1


def test_what_the_system_says_is_believable() -> None:
    limit = memory_limit()

    assert 10_000_000 < memory_used() < 10**12
    assert limit is None or limit > memory_used()
