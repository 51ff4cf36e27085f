"""/watch takes nothing that it would have to ignore, and says what to write instead."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kubemirror.errors import ExpiredError
from kubemirror.serve.status import StatusError
from kubemirror.serve.watch_query import query_of
from kubemirror.state.journal import Gap, Journal
from tests.serve.live import Live
from tests.serve.world import NODES, Store, World


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    return store


async def asked(live: Live, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=5) as client:
        return await client.get(live.url + path, headers=headers)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("output=table&as=key", "output=table prints rows: leave as=key away"),
        ("output=table&resource=nodes", "output=table prints one resource"),
        ("name=web&name=cart", 'parameter "name" is given more than once'),
        ("output=sse&output=ndjson", 'parameter "output" is given more than once'),
        ("columns=Name&as=key", "columns and sort are of rows: as=row, not as=key"),
        ("sort=Name", "columns and sort are of rows: as=row, not as=object"),
        ("holds=web&snapshot=false", "leave snapshot=false away"),
        ("resourceVersion=99999999999999999999999", "it is larger than any can be"),
        ("resourceVersion=12a", "it must be a decimal number"),
    ],
)
async def test_what_does_not_fit_together_is_400_and_says_why(
    world: World, store: Store, live: Live, query: str, said: str
) -> None:
    world.mirror(NODES).sync()
    answer = await asked(live, f"/watch?resource=deploy&{query}")

    assert answer.status_code == 400
    message = answer.text.replace("\\", "")
    assert said in message
    assert '"?"' not in message
    assert "Value error" not in message


async def test_several_resources_may_be_named_with_commas(world: World) -> None:
    assert query_of({"resource": "pods,deploy"}).resource == ["pods", "deploy"]
    with pytest.raises(StatusError, match="resource"):
        query_of({"resource": ","})


@pytest.mark.parametrize(("given", "meant"), [(12, "12"), ("13", "13"), (None, "")])
async def test_a_message_may_write_a_cursor_as_a_number(given: Any, meant: str) -> None:
    assert query_of({"resource": "pods", "resourceVersion": given}).resource_version == meant


@pytest.mark.parametrize("given", [True, 1.5, ["1"]])
async def test_and_nothing_else_as_one(given: Any) -> None:
    with pytest.raises(StatusError, match="resourceVersion"):
        query_of({"resource": "pods", "resourceVersion": given})


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/x-ndjson"),
        ("*/*", "application/x-ndjson"),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0.5, application/json", "application/x-ndjson"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
        ("text/event-stream;q=0, */*", "application/x-ndjson"),
        ("text/html, */*;q=0.8", "application/x-ndjson"),
    ],
)
async def test_the_framing_is_what_is_accepted_most(store: Store, live: Live, accept: str, media_type: str) -> None:
    # A cursor of a history that has ended is told in a stream that ends at once.
    answer = await asked(live, "/watch?resource=deploy&resourceVersion=1", Accept=accept)

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, media_type)


@pytest.mark.parametrize("accept", ["image/png", "text/event-stream;q=0"])
async def test_who_accepts_no_stream_is_told_what_there_is(store: Store, live: Live, accept: str) -> None:
    answer = await asked(live, "/watch?resource=deploy", Accept=accept)

    assert answer.status_code == 406
    assert "application/x-ndjson, application/json" in answer.text


async def test_a_browser_that_comes_too_late_is_told_when_to_come_again(store: Store, live: Live) -> None:
    told = (await asked(live, "/watch?resource=deploy&output=sse&resourceVersion=1")).text

    assert told.startswith("retry: ")
    assert 1000 <= int(told.split()[1]) <= 5000
    assert "\nid:\n" in told


async def test_what_was_not_watched_is_not_called_old() -> None:
    journal = Journal(10, window=60.0, budget=1000)
    journal.gaps.append(Gap(low=20, high=30, start=0, end=0))

    with pytest.raises(ExpiredError, match="too old resource version: 25: what followed it was not watched here"):
        journal.after(25)
