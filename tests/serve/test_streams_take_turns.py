"""Streams that open at once take turns: whoever else waits for the loop is not held up by all of them."""

from __future__ import annotations

import asyncio

from kubemirror.serve.opening import AT_A_TURN, Turns


async def test_so_many_open_in_one_turn_of_the_loop_in_the_order_in_which_they_came() -> None:
    turns = Turns()
    opened: list[int] = []

    async def open_(number: int) -> None:
        await turns.take()
        opened.append(number)

    tasks = [asyncio.create_task(open_(number)) for number in range(5 * AT_A_TURN)]
    counts = []
    while not all(task.done() for task in tasks):
        before = len(opened)
        await asyncio.sleep(0)
        counts.append(len(opened) - before)

    assert opened == list(range(5 * AT_A_TURN))
    assert max(counts) == AT_A_TURN


async def test_who_gives_up_takes_no_turn() -> None:
    turns = Turns()
    tasks = [asyncio.create_task(turns.take()) for _ in range(3 * AT_A_TURN)]
    await asyncio.sleep(0)
    for task in tasks[AT_A_TURN : 2 * AT_A_TURN]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [task.cancelled() for task in tasks] == [False] * AT_A_TURN + [True] * AT_A_TURN + [False] * AT_A_TURN


async def test_who_comes_alone_does_not_wait() -> None:
    turns = Turns()
    task = asyncio.create_task(turns.take())
    await asyncio.sleep(0)

    assert task.done()
