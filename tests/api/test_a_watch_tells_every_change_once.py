"""WATCH: where it starts, what each reader hears of a change, and how it ends."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from kubemirror.state.events import Columns, Phase
from tests.api.cluster import WIDGETS, Cluster, Store, brief

SHOP = "/apis/apps/v1/namespaces/shop/deployments"
ALL = "/apis/apps/v1/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
NAME_AND_AGE = ("Name", "Age")
CREATED = 1767225600.0  # when the tests' objects were, in seconds since 1970
pytestmark = pytest.mark.looptime


async def test_from_a_version_it_tells_what_is_newer_and_nothing_else(cluster: Cluster, deployments: Store) -> None:
    deployments.apply("new", 101)
    deployments.apply("web", 102)
    deployments.delete("db", 103)
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=101") as stream:
        assert await stream.take(2) == [("MODIFIED", "web", "102"), ("DELETED", "db", "103")]
        assert await stream.quiet()
        deployments.apply("late", 104)
        assert await stream.take(1) == [("ADDED", "late", "104")]
        deployments.apply("elsewhere", 105, namespace="tool")
        assert await stream.quiet()


async def test_headers_come_before_any_event(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        assert stream.status == 200
        assert stream.headers == {
            "cache-control": "no-cache, private",
            "cache-status": "kubemirror; hit",
            "content-type": "application/json",
        }


@pytest.mark.parametrize("start", ["", "&resourceVersion=0"])
async def test_without_a_version_the_present_state_comes_first(
    cluster: Cluster, deployments: Store, start: str
) -> None:
    async with cluster.watch(f"{SHOP}?watch=1{start}") as stream:
        assert await stream.take(3) == [("ADDED", "api", "10"), ("ADDED", "db", "11"), ("ADDED", "web", "12")]
        assert await stream.quiet()
        deployments.apply("web", 101)
        assert await stream.take(1) == [("MODIFIED", "web", "101")]


async def test_a_watch_list_ends_its_initial_events_with_a_bookmark(cluster: Cluster, deployments: Store) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with cluster.watch(f"{SHOP}?{query}&labelSelector=tier%3Dfront") as stream:
        assert await stream.take(1) == [("ADDED", "web", "12")]
        end = await stream.next()
        assert end == {
            "type": "BOOKMARK",
            "object": {
                "kind": "Deployment",
                "apiVersion": "apps/v1",
                "metadata": {"resourceVersion": "100", "annotations": {"k8s.io/initial-events-end": "true"}},
            },
        }
    async with cluster.watch(f"/apis/apps/v1/namespaces/none/deployments?{query}") as stream:
        assert brief(await stream.next()) == ("BOOKMARK", "", "100")


async def test_initial_events_can_be_declined(cluster: Cluster, deployments: Store) -> None:
    query = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    async with cluster.watch(f"{SHOP}?{query}") as stream:
        await stream.started()
        assert await stream.quiet()
        deployments.apply("web", 101)
        assert await stream.take(1) == [("MODIFIED", "web", "101")]


async def test_a_watch_list_ahead_of_the_mirror_waits_and_then_fails_inside_the_stream(
    cluster: Cluster, deployments: Store
) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=200"
    async with cluster.watch(f"{SHOP}?{query}") as stream:
        event = await stream.next()
        assert event is not None
        assert (event["type"], event["object"]["code"]) == ("ERROR", 504)
        assert event["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert await stream.next() is None


async def test_a_plain_watch_ahead_of_the_mirror_is_silent_until_it_is_passed(
    cluster: Cluster, deployments: Store
) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=200") as stream:
        await stream.started()
        deployments.apply("web", 150)
        deployments.apply("web", 200)
        assert await stream.quiet()
        deployments.apply("web", 201)
        assert await stream.take(1) == [("MODIFIED", "web", "201")]


async def test_a_watch_ahead_that_turns_out_to_lie_in_a_relists_gap_starts_over(
    cluster: Cluster, deployments: Store
) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=200") as stream:
        await stream.started()
        deployments.sync(300, deployments.object("web", 250))
        event = await stream.next()
        assert event is not None
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_watch_ahead_hears_the_deletions_of_a_gap_that_begins_just_there(
    cluster: Cluster, deployments: Store
) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=200") as stream:
        await stream.started()
        deployments.apply("web", 200)
        deployments.sync(300, deployments.object("web", 200))
        assert await stream.take(2) == [("DELETED", "api", "200"), ("DELETED", "db", "200")]


@pytest.mark.parametrize(
    "query",
    [
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "continue=x",
    ],
)
async def test_options_that_make_no_sense_are_422(cluster: Cluster, deployments: Store, query: str) -> None:
    assert (await cluster.get(f"{SHOP}?watch=1&{query}")).status_code == 422


async def test_leaving_a_selection_is_a_deletion_of_what_was_under_the_changes_version(
    cluster: Cluster, deployments: Store
) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100&labelSelector=tier%3Dfront") as stream:
        deployments.apply("web", 101, labels={"tier": "back"}, spec={"replicas": 7})
        event = await stream.next()
        assert brief(event) == ("DELETED", "web", "101")
        assert event is not None
        assert event["object"]["spec"] == {"replicas": 1}
        assert event["object"]["metadata"]["labels"]["tier"] == "front"
        deployments.apply("web", 102, labels={"tier": "none"})
        assert await stream.quiet()
        deployments.apply("web", 103, labels={"tier": "front"})
        assert await stream.take(1) == [("ADDED", "web", "103")]
        deployments.apply("web", 104, labels={"tier": "front"})
        assert await stream.take(1) == [("MODIFIED", "web", "104")]
        deployments.delete("api", 105)
        deployments.delete("web", 106, labels={"tier": "front"})
        assert await stream.take(1) == [("DELETED", "web", "106")]


async def test_field_selectors_decide_membership_too(cluster: Cluster, pods: Store) -> None:
    path = "/api/v1/pods?watch=1&resourceVersion=70&fieldSelector=spec.nodeName%3Dn1"
    async with cluster.watch(path) as stream:
        pods.apply("two", 71, spec={"nodeName": "n1"})
        pods.apply("one", 72, spec={"nodeName": "n3"})
        assert await stream.take(2) == [("ADDED", "two", "71"), ("DELETED", "one", "72")]


async def test_one_object_is_watched_by_its_name(cluster: Cluster, deployments: Store) -> None:
    for path in (
        f"{SHOP}?watch=1&resourceVersion=100&fieldSelector=metadata.name%3Dweb",
        "/apis/apps/v1/watch/namespaces/shop/deployments/web?resourceVersion=100",
    ):
        async with cluster.watch(path) as stream:
            await stream.started()
            version = deployments.reader.resource_version
            deployments.apply("api", version + 1)
            deployments.apply("web", version + 2)
            deployments.apply("web", version + 3, namespace="tool")
            events = []
            while not events or events[-1][2] != str(version + 2):
                events += await stream.take(1)
            assert {name for _, name, _ in events} == {"web"}
            assert await stream.quiet()


async def test_an_old_version_is_told_inside_the_stream(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=5") as stream:
        line = await stream.line()
        assert line is not None
        assert stream.status == 200
        assert b'"code":410' in line
        assert b'"message":"too old resource version: 5 (100)"' in line
        assert await stream.next() is None


async def test_a_relist_is_told_as_changes_and_ends_no_watch(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        deployments.sync(
            120,
            deployments.object("web", 115, labels={"app": "web"}),
            deployments.object("new", 118),
            deployments.object("api", 10, labels={"app": "api", "tier": "back"}),
        )
        assert await stream.take(3) == [("DELETED", "db", "100"), ("MODIFIED", "web", "115"), ("ADDED", "new", "118")]
        assert await stream.quiet()


async def test_a_rollback_ends_it_with_410(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        deployments.apply("web", 101)
        deployments.sync(60, deployments.object("web", 12), rollback=True)
        assert await stream.take(1) == [("MODIFIED", "web", "101")]
        event = await stream.next()
        assert event is not None
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await stream.next() is None


async def test_a_resource_that_is_gone_tells_its_deletions_and_ends(cluster: Cluster, widgets: Store) -> None:
    path = "/apis/example.com/v1/widgets"
    async with cluster.watch(f"{path}?watch=1&resourceVersion=50") as stream:
        await stream.started()
        cluster.catalog.remove("widgets.example.com")
        widgets.phase(Phase.GONE, "its definition was deleted")
        assert {event[:2] for event in await stream.take(2)} == {("DELETED", "blue"), ("DELETED", "red")}
        assert await stream.next() is None
    assert (await cluster.get(path)).status_code == 404


async def test_a_resource_that_turns_forbidden_ends_with_403_and_answers_nothing_more(
    cluster: Cluster, deployments: Store
) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        deployments.phase(Phase.FORBIDDEN, "grant list and watch on deployments.apps")
        event = await stream.next()
        assert event is not None
        assert (event["type"], event["object"]["code"]) == ("ERROR", 403)
        assert await stream.next() is None
    answer = await cluster.get(SHOP)
    assert answer.status_code == 403
    assert "grant list and watch" in answer.json()["message"]


async def test_a_changed_definition_ends_its_watches(cluster: Cluster, widgets: Store) -> None:
    from dataclasses import replace

    from kubemirror.state.catalog import Entry

    async with cluster.watch("/apis/example.com/v1/widgets?watch=1&resourceVersion=50") as stream:
        await stream.started()
        cluster.catalog.put(Entry(WIDGETS, {"": widgets.reader}))
        assert await stream.quiet()
        hashed = tuple(replace(each, storage_version_hash="aGFzaA==") for each in WIDGETS.versions)
        cluster.catalog.put(Entry(replace(WIDGETS, versions=hashed), {"": widgets.reader}))
        assert await stream.quiet()
        cluster.catalog.put(Entry(replace(WIDGETS, versions=WIDGETS.versions[:1]), {"": widgets.reader}))
        assert await stream.next() is None


async def test_bookmarks_come_each_minute_and_before_the_deadline(cluster: Cluster, deployments: Store) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    query = "watch=1&resourceVersion=100&allowWatchBookmarks=true&timeoutSeconds=150"
    async with cluster.watch(f"{SHOP}?{query}") as stream:
        times = []
        for version in (110, 120, 130):
            deployments.bookmark(version)
            assert brief(await stream.next()) == ("BOOKMARK", "", str(version))
            times.append(loop.time() - start)
        assert times[0] <= 60
        assert times[1] - times[0] <= 60
        assert times[2] == pytest.approx(148, abs=0.1)
        assert await stream.next() is None
        assert loop.time() - start == pytest.approx(150, abs=0.1)


async def test_who_did_not_ask_gets_no_bookmarks(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100&timeoutSeconds=200") as stream:
        assert await stream.next() is None


async def test_a_bookmark_never_overtakes_events(cluster: Cluster, deployments: Store) -> None:
    query = "watch=1&resourceVersion=100&allowWatchBookmarks=true"
    async with cluster.watch(f"{SHOP}?{query}") as stream:
        await stream.started()
        loop = asyncio.get_running_loop()
        for step in range(1, 200):
            loop.call_later(step, deployments.apply, "web", 100 + step)
        newest = 100
        bookmarks = 0
        while bookmarks < 3:
            type_, _, version = brief(await stream.next())
            if type_ == "BOOKMARK":
                bookmarks += 1
                assert int(version) == newest
            else:
                assert int(version) == newest + 1
                newest = int(version)


async def test_shutdown_ends_streams_spread_over_the_time_given(cluster: Cluster, deployments: Store) -> None:
    loop = asyncio.get_running_loop()
    ends = []
    async with (
        cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as first,
        cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as second,
    ):
        await first.started()
        await second.started()
        start = loop.time()
        cluster.context.lifecycle.close(spread_seconds=4.0)

        async def end_of(stream: object) -> None:
            assert await stream.next() is None  # type: ignore[attr-defined]
            ends.append(loop.time() - start)

        await asyncio.gather(end_of(first), end_of(second))
    assert max(ends) <= 4.0
    assert ends[0] != ends[1]
    refused = await cluster.get(f"{SHOP}?watch=1&resourceVersion=100")
    assert refused.status_code == 503
    assert "retry-after" in refused.headers


async def test_a_slow_reader_holds_one_batch_and_delays_nobody(cluster: Cluster, deployments: Store) -> None:
    path = f"{SHOP}?watch=1&resourceVersion=100"
    async with cluster.watch(path) as slow, cluster.watch(path) as fast:
        await slow.started()
        await fast.started()
        for version in range(101, 401):
            deployments.apply("web", version, spec={"filling": "x" * 4000})
            assert await fast.take(1) == [("MODIFIED", "web", str(version))]
        assert slow.sent < 300_000
        assert [event[2] for event in await slow.take(300)] == [str(version) for version in range(101, 401)]


async def test_a_reader_that_takes_nothing_at_all_is_cut_off(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        for version in range(101, 201):
            deployments.apply("web", version, spec={"filling": "x" * 4000})
        await asyncio.sleep(200)
        assert stream.task.done()
        assert stream.aborted
        assert deployments.reader.journal.positions == 0


async def test_who_reads_of_old_changes_is_told_todays_ages(cluster: Cluster, deployments: Store) -> None:
    columns = [
        {"name": name, "type": "string", "format": "", "description": "", "priority": 0} for name in NAME_AND_AGE
    ]
    deployments.writer.handle(Columns(orjson.dumps(columns)))
    deployments.apply("one", 101, cells=["one", "1h"])
    deployments.apply("two", 102, cells=["two", "1h"])
    told = []
    for hours in (1, 2):
        cluster.wall = CREATED + hours * 3600
        async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100", accept=TABLE) as stream:
            told.append(
                [event["object"]["rows"][0]["cells"] for event in (await stream.next(), await stream.next()) if event]
            )

    assert told == [[["one", "60m"], ["two", "60m"]], [["one", "120m"], ["two", "120m"]]]


async def test_a_reader_that_fell_off_the_journal_hears_410_and_no_gap(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        for version in range(101, 150):
            deployments.apply("web", version, spec={"filling": "x" * 8000})
            await asyncio.sleep(0)
        for version in range(150, 2000):
            deployments.apply("web", version)
        deployments.writer.compact(1900)
        last = 100
        while True:
            event = await stream.next()
            assert event is not None
            if event["type"] == "ERROR":
                assert event["object"]["code"] == 410
                break
            assert int(event["object"]["metadata"]["resourceVersion"]) == last + 1
            last += 1
        assert await stream.next() is None


async def test_a_client_that_leaves_takes_its_position_with_it(cluster: Cluster, deployments: Store) -> None:
    async with cluster.watch(f"{SHOP}?watch=1&resourceVersion=100") as stream:
        await stream.started()
        assert deployments.reader.journal.positions == 1
    assert deployments.reader.journal.positions == 0


async def test_an_event_is_encoded_once_for_all_readers_of_a_form(cluster: Cluster, deployments: Store) -> None:
    path = f"{SHOP}?watch=1&resourceVersion=100"
    async with (
        cluster.watch(path) as first,
        cluster.watch(path) as second,
        cluster.watch(f"{path}&labelSelector=x") as third,
    ):
        for stream in (first, second, third):
            await stream.started()
        before = cluster.app.frames.encoded
        deployments.apply("web", 101, labels={"x": "y"})
        lines = {await first.line(), await second.line()}
        assert len(lines) == 1
        assert await third.take(1) == [("ADDED", "web", "101")]
        assert cluster.app.frames.encoded - before == 2
