"""The same watches on the API server and on its mirror, while much happens: they tell the same, event by event."""

from __future__ import annotations

import asyncio

import pytest

from tests.beside.comparing import same
from tests.beside.pair import Pair
from tests.beside.streams import WATCHES, Recorded, Watched, brief, overtaken, record, told


@pytest.fixture(scope="module")
def recorded(pair: Pair) -> dict[str, tuple[Recorded, Recorded]]:
    return asyncio.run(record(pair))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("watched", WATCHES, ids=lambda watched: watched.name)
def test_a_stream_is_the_servers(watched: Watched, recorded: dict[str, tuple[Recorded, Recorded]]) -> None:
    theirs, ours = recorded[watched.name]
    expected, own = told(theirs), told(ours)

    assert (ours.status, ours.headers) == (theirs.status, theirs.headers)
    assert [brief(event) for event in own.events] == [brief(event) for event in expected.events]
    for at, (event, mine) in enumerate(zip(expected.events, own.events, strict=True)):
        same(event, mine, f"[{at}]")
    assert (overtaken(theirs), overtaken(ours)) == ([], [])
    assert bool(own.bookmarks) is ("allowWatchBookmarks" in watched.query)  # one before the end at the least
    if expected.bookmarks:
        same(expected.bookmarks[-1], own.bookmarks[-1], "bookmark")
