"""Work that is asked for by many at once is done once, and outlives those who give up."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.flight import Flights


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        mine = self.begun
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return mine


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_meanwhile_shares_the_result() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    asking = [asyncio.create_task(flights.join("a", work)) for _ in range(3)]
    await turns()
    work.go.set()

    assert await asyncio.gather(*asking) == [1, 1, 1]
    assert await flights.join("a", work) == 2


async def test_keys_are_independent() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    work.go.set()

    assert await asyncio.gather(flights.join("a", work), flights.join("b", work)) == [1, 2]


async def test_an_error_goes_to_all_who_asked_and_to_nobody_else() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    work.error = ValueError("no")
    asking = [asyncio.create_task(flights.join("a", work)) for _ in range(2)]
    await turns()
    work.go.set()

    assert [str(error) for error in await asyncio.gather(*asking, return_exceptions=True)] == ["no", "no"]
    work.error = None
    assert await flights.join("a", work) == 2


async def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    first = asyncio.create_task(flights.join("a", work))
    await turns()
    second = asyncio.create_task(flights.join("a", work))
    await turns()
    first.cancel()
    await turns()
    work.go.set()

    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 1


async def test_work_that_all_gave_up_ends_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    work.error = ValueError("nobody hears this")
    asking = asyncio.create_task(flights.join("a", work))
    await turns()
    asking.cancel()
    work.go.set()
    await turns()

    assert await asyncio.gather(asking, return_exceptions=True) != []
    assert caplog.text == ""


async def test_who_needs_newer_work_waits_for_the_next() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    first = asyncio.create_task(flights.join_next("a", work))
    await turns()
    later = [asyncio.create_task(flights.join_next("a", work)) for _ in range(3)]
    await turns()
    assert work.begun == 1
    work.go.set()

    assert await first == 1
    assert await asyncio.gather(*later) == [2, 2, 2]


async def test_the_next_begins_though_the_first_failed() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    work.error = ValueError("no")
    first = asyncio.create_task(flights.join_next("a", work))
    await turns()
    later = asyncio.create_task(flights.join_next("a", work))
    await turns()
    work.go.set()
    with pytest.raises(ValueError, match="no"):
        await first
    work.error = None

    assert await later == 2


async def test_closing_ends_what_is_under_way() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    first = asyncio.create_task(flights.join_next("a", work))
    await turns()
    second = asyncio.create_task(flights.join_next("a", work))
    await turns()

    await flights.close()

    assert [str(error) for error in await asyncio.gather(first, second, return_exceptions=True)] == ["ended", "ended"]
    assert work.begun == 1


async def test_who_is_cancelled_while_it_closes_is_cancelled() -> None:
    flights, work = Flights[int]("work", ended=lambda: ConnectionError("ended")), Work()
    asking = asyncio.create_task(flights.join("a", work))
    await turns()
    asking.cancel()

    await flights.close()

    with pytest.raises(asyncio.CancelledError):
        await asking
