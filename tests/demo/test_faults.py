"""The switchboard: each fault looks to a client as it does at a real API server."""

from __future__ import annotations

import asyncio
import json

import pytest

from kubemirror.demo.faults import HTML, Fault, FaultKind
from tests.demo.api import CONFIGMAPS, DEPLOYMENTS, Client

WATCH = frozenset({"watch"})


async def create(api: Client, *names: str) -> str:
    """Config maps; the resourceVersion before them."""
    before = str(api.cluster.resource_version)
    for name in names:
        api.cluster.create("configmaps", {"metadata": {"name": name}})
    return before


async def names_seen(api: Client, since: str, count: int) -> list[str]:
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        return [name for _, name in await stream.events(count)]


async def test_dropped_connections_end_and_resume_without_loss(api: Client) -> None:
    since = str(api.cluster.resource_version)
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        await create(api, "a")
        first = await stream.events(1)
        api.faults.drop()
        end = await stream.line()
    await create(api, "b")

    assert (first, end) == ([("ADDED", "a")], None)
    assert await names_seen(api, since, 2) == ["a", "b"]


async def test_refused_connections_work_again_when_accepted(api: Client) -> None:
    await api.faults.refuse()
    with pytest.raises(ConnectionRefusedError):
        await api("GET", CONFIGMAPS)
    await api.faults.accept()

    assert (await api("GET", CONFIGMAPS)).status == 200


async def test_a_frozen_server_accepts_and_says_nothing(api: Client) -> None:
    since = str(api.cluster.resource_version)
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        await create(api, "a")
        assert (await stream.event())[0] == "ADDED"
        api.faults.freeze()
        await create(api, "b")
        request = asyncio.create_task(api("GET", CONFIGMAPS))
        for _ in range(50):
            await asyncio.sleep(0)
        silent = not request.done() and stream._lines.empty()
        api.faults.thaw()

        assert silent
        assert (await request).status == 200
        assert (await stream.event())[1]["metadata"]["name"] == "b"


async def test_lagging_reads_see_the_past_with_its_history(api: Client) -> None:
    since = await create(api, "a")
    api.faults.lag()
    await create(api, "b")
    then = (await api("GET", CONFIGMAPS)).json()
    resumed = await names_seen(api, since, 1)
    api.faults.catch_up()
    now = (await api("GET", CONFIGMAPS)).json()

    assert [item["metadata"]["name"] for item in then["items"]] == ["a"]
    assert resumed == ["a"]
    assert [item["metadata"]["name"] for item in now["items"]] == ["a", "b"]
    assert int(then["metadata"]["resourceVersion"]) < int(now["metadata"]["resourceVersion"])


async def test_a_rollback_needs_a_backup_and_takes_versions_back(api: Client) -> None:
    with pytest.raises(ValueError, match="save first"):
        api.faults.rollback()
    api.faults.save()
    saved = api.cluster.resource_version
    await create(api, "lost")
    api.faults.rollback()

    listed = (await api("GET", CONFIGMAPS)).json()
    assert (listed["items"], listed["metadata"]["resourceVersion"]) == ([], str(saved))


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_too_many_requests_is_text_with_a_hint(api: Client, verb: str) -> None:
    api.faults.too_many_requests(retry_after=7, verbs=frozenset({verb}))
    query = {"watch": "1"} if verb == "watch" else {}

    answer = await api("GET", CONFIGMAPS, **query)

    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.body == b"Too many requests, please try again later.\n"
    assert (await api("GET", CONFIGMAPS)).status == 200


async def test_a_gateway_answers_html_as_often_as_asked(api: Client) -> None:
    api.faults.bad_gateway(times=2, resource="configmaps")

    other = await api("GET", DEPLOYMENTS)
    answers = [await api("GET", CONFIGMAPS) for _ in range(3)]

    assert other.status == 200
    assert [answer.status for answer in answers] == [502, 502, 200]
    assert (answers[0].headers["content-type"], answers[0].body) == ("text/html", HTML)


async def test_expired_comes_as_an_event_or_as_a_status(api: Client) -> None:
    since = await create(api, "a")
    api.faults.expired(after=1)
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        events = [await stream.event() for _ in range(3)]
    api.faults.expired(event=False, verbs=WATCH)
    answer = await api("GET", CONFIGMAPS, watch="1", resourceVersion=since)

    assert [type_ for type_, _ in events] == ["ADDED", "ERROR", ""]
    assert events[1][1]["code"] == 410
    assert (answer.status, answer.json()["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("kind", "after", "seen"),
    [
        (FaultKind.DUPLICATE, 1, ["a", "b", "b", "c"]),
        (FaultKind.REORDER, 0, ["b", "a", "c"]),
        (FaultKind.LOSE, 1, ["a", "c"]),
    ],
)
async def test_events_are_doubled_swapped_and_lost(api: Client, kind: FaultKind, after: int, seen: list[str]) -> None:
    since = await create(api, "a", "b", "c")
    api.faults.inject(Fault(kind, verbs=WATCH, after=after))

    assert await names_seen(api, since, len(seen)) == seen


async def test_watches_end_early_and_cleanly(api: Client) -> None:
    since = await create(api, "a", "b")
    api.faults.inject(Fault(FaultKind.END, verbs=WATCH, after=1, times=1))
    api.faults.inject(Fault(FaultKind.END, verbs=WATCH, after=0, times=1))
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        one = [await stream.event() for _ in range(2)]
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        none = await stream.event()

    assert [type_ for type_, _ in one] == ["ADDED", ""]
    assert (none, stream.status, stream.error) == (("", None), 200, None)


async def test_foreign_lines_are_put_between_events(api: Client) -> None:
    since = await create(api, "a", "b")
    api.faults.inject(Fault(FaultKind.EVENT, verbs=WATCH, after=1, code=0, body=b"{not json"))
    async with api.watch(CONFIGMAPS, resourceVersion=since) as stream:
        lines = [await stream.line() for _ in range(3)]

    assert lines[1] == b"{not json"
    assert [json.loads(line or b"")["type"] for line in (lines[0], lines[2])] == ["ADDED", "ADDED"]


async def test_a_truncated_answer_ends_as_a_lost_connection(api: Client) -> None:
    await create(api, "a")
    api.faults.inject(Fault(FaultKind.TRUNCATE, verbs=frozenset({"list"}), after=20))

    with pytest.raises(ConnectionResetError):
        await api("GET", CONFIGMAPS)


async def test_a_slow_answer_comes_in_time_with_its_rate(api: Client) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    api.faults.sleep = sleep
    api.faults.inject(Fault(FaultKind.SLOW, rate=100))
    answer = await api("GET", CONFIGMAPS)

    assert answer.json()["kind"] == "ConfigMapList"
    assert sum(slept) == pytest.approx(len(answer.body) / 100, rel=0.1)


async def test_a_forbidden_resource_is_refused_to_all_but_masters(api: Client) -> None:
    api.faults.forbid("configmaps")
    anonymous = await api("GET", CONFIGMAPS)
    admin = await api("GET", CONFIGMAPS, headers={"authorization": "Bearer admin-token"})
    api.faults.permit("configmaps")

    assert (anonymous.status, admin.status) == (403, 200)
    assert anonymous.json()["message"].startswith(
        'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the '
        'namespace "default"'
    )
    assert (await api("GET", CONFIGMAPS)).status == 200


async def test_rotated_tokens_are_refused_and_new_ones_taken(api: Client) -> None:
    api.faults.rotate("reader-token", "fresh")

    old = await api("GET", CONFIGMAPS, headers={"authorization": "Bearer reader-token"})
    new = await api("GET", CONFIGMAPS, headers={"authorization": "Bearer fresh"})
    write = await api("POST", CONFIGMAPS, {"metadata": {"name": "a"}}, headers={"authorization": "Bearer fresh"})

    assert (old.status, old.json()["reason"]) == (401, "Unauthorized")
    assert new.status == 200
    assert (write.status, write.json()["message"]) == (
        403,
        (
            'configmaps is forbidden: User "reader" cannot create resource "configmaps" in API group "" in the '
            'namespace "default"'
        ),
    )


async def test_faults_are_switched_over_http(api: Client) -> None:
    switched = await api("POST", "/-/faults/inject", b"gone", kind="answer", code="503", times="always", verb="list")
    refused = await api("GET", CONFIGMAPS)
    shown = (await api("GET", "/-/faults")).json()
    await api("POST", "/-/faults/clear")

    assert switched.status == 200
    assert (refused.status, refused.body) == (503, b"gone")
    assert [(fault["kind"], fault["times"]) for fault in shown["injected"]] == [("answer", None)]
    assert (await api("GET", CONFIGMAPS)).status == 200
    assert (await api("POST", "/-/faults/earthquake")).status == 404
    assert (await api("POST", "/-/faults/forbid")).json() == {"error": "the parameter resource is missing"}
