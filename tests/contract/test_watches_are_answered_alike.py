"""WATCH: where it starts, what each reader hears of a change, and how it ends; of the server and of the mirror."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.cluster import Stream
from tests.contract.both import Both, change, comparable, rest
from tests.contract.mirrored import mirror_of
from tests.contract.objects import bar, deployment
from tests.contract.servers import DEFINITIONS, Events, Server, named

WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


class Shop:
    """Three Deployments in a namespace, the mirror having heard of them."""

    def __init__(self, both: Both, namespace: str) -> None:
        self.both = both
        self.server = both.server
        self.path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.everywhere = "/apis/apps/v1/deployments"
        self.version = ""

    async def create(self, name: str, **labels: str) -> str:
        written = await self.server.done("POST", self.path, deployment(name, labels=labels))
        version: str = written["metadata"]["resourceVersion"]
        return version

    async def patch(self, name: str, **labels: str | None) -> str:
        written = await self.server.patch(f"{self.path}/{name}", {"metadata": {"labels": labels}})
        version: str = written["metadata"]["resourceVersion"]
        return version

    async def delete(self, name: str) -> None:
        await self.server.done("DELETE", f"{self.path}/{name}")


@pytest.fixture
async def shop(both: Both, namespace: str) -> Shop:
    shop = Shop(both, namespace)
    for name, tier in (("web", "front"), ("api", "back"), ("db", "back")):
        shop.version = await shop.create(name, tier=tier)
    await both.mirrored.reaches("deployments.apps", shop.version)
    return shop


async def test_from_a_version_it_tells_what_is_newer_and_nothing_else(both: Both, shop: Shop) -> None:
    since = await shop.create("new")
    await shop.patch("web", a="b")
    async with both.watch(shop.path, resourceVersion=since) as (theirs, ours):
        await shop.delete("db")
        await shop.create("late")
        told = await both.told(theirs, ours, 3)

    assert [named(event) for event in told] == [("MODIFIED", "web"), ("DELETED", "db"), ("ADDED", "late")]


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}], ids=str)
async def test_without_a_version_the_present_state_comes_first(both: Both, shop: Shop, query: dict[str, str]) -> None:
    async with both.watch(shop.path, **query) as (theirs, ours):
        first = await both.told(theirs, ours, 3)
        await shop.patch("web", a="b")
        second = await both.told(theirs, ours, 1)

    assert [named(event) for event in first] == [("ADDED", "api"), ("ADDED", "db"), ("ADDED", "web")]
    assert [named(event) for event in second] == [("MODIFIED", "web")]


async def test_a_watch_list_ends_its_initial_events_with_a_bookmark(both: Both, shop: Shop) -> None:
    async with both.watch(shop.path, labelSelector="tier=back", **WATCH_LIST) as (theirs, ours):
        told = await both.told(theirs, ours, 2)
        ends = [await theirs.next(), await ours.next()]
    async with both.watch(shop.path, labelSelector="tier=none", **WATCH_LIST) as (theirs, ours):
        ends += [await theirs.next(), await ours.next()]

    assert [named(event) for event in told] == [("ADDED", "api"), ("ADDED", "db")]
    for end in ends:
        assert (end["type"], end["object"]["kind"], end["object"]["apiVersion"]) == (
            "BOOKMARK", "Deployment", "apps/v1",
        )  # fmt: skip
        metadata = end["object"]["metadata"]
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(metadata["resourceVersion"]) >= int(shop.version)


async def test_initial_events_can_be_declined(both: Both, shop: Shop) -> None:
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    async with both.watch(shop.path, **query) as (theirs, ours):
        await shop.patch("web", a="b")
        told = await both.told(theirs, ours, 1)

    assert named(told[0]) == ("MODIFIED", "web")


async def test_a_watch_ahead_is_silent_until_it_is_passed(both: Both, shop: Shop) -> None:
    ahead = int(shop.version) + 4
    async with both.watch(shop.path, resourceVersion=str(ahead)) as (theirs, ours):
        written = [await shop.patch("web", count=str(count)) for count in range(8)]
        newer = [version for version in written if int(version) > ahead]
        told = await both.told(theirs, ours, len(newer))

    assert newer
    assert [event["object"]["metadata"]["resourceVersion"] for event in told] == newer


async def test_a_watch_list_ahead_fails_inside_the_stream(both: Both, shop: Shop) -> None:
    ahead = str(int(shop.version) + 1_000_000)

    async def first(asked: AbstractAsyncContextManager[Events | Stream]) -> Any:
        async with asked as events:
            return await events.next()

    query = {"resourceVersion": ahead, **WATCH_LIST}
    theirs = first(both.server.watch(shop.path, **query))
    ours = first(both.mirrored.watch(f"{shop.path}?{urlencode({'watch': '1', **query})}"))
    for event in await asyncio.gather(theirs, ours):
        status = event["object"]
        assert (event["type"], status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 504, "Timeout")
        assert status["message"].startswith(f"Timeout: Too large resource version: {ahead}, current: ")
        assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


REFUSED: list[dict[str, str]] = [
    {"sendInitialEvents": "true"},
    {"resourceVersionMatch": "NotOlderThan"},
    {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
    {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "abc"},
    {"continue": "x"},
    {"resourceVersion": "abc"},
    {"labelSelector": "a,,b"},
    {"fieldSelector": "spec.x=1"},
    {"timeoutSeconds": "x"},
]


async def test_options_that_make_no_sense_are_refused(both: Both, shop: Shop) -> None:
    for query in REFUSED:
        answer = await both.same(shop.path, watch="1", **query)

        assert answer.status_code >= 400, query


async def test_leaving_a_selection_is_a_deletion_of_what_was_under_the_changes_version(both: Both, shop: Shop) -> None:
    query = {"resourceVersion": shop.version, "labelSelector": "tier=front"}
    async with both.watch(shop.path, **query) as (theirs, ours):
        left = await shop.patch("web", tier="back")
        await shop.patch("web", tier="none")
        await shop.patch("web", tier="front")
        await shop.patch("web", other="label")
        await shop.delete("api")
        await shop.delete("web")
        told = await both.told(theirs, ours, 4)

    assert [named(event) for event in told] == [
        ("DELETED", "web"),
        ("ADDED", "web"),
        ("MODIFIED", "web"),
        ("DELETED", "web"),
    ]
    assert told[0]["object"]["metadata"]["labels"] == {"tier": "front"}
    assert told[0]["object"]["metadata"]["resourceVersion"] == left


async def test_one_object_is_watched_by_its_name(both: Both, shop: Shop) -> None:
    by_field = {"fieldSelector": "metadata.name=web", "resourceVersion": shop.version}
    legacy = shop.path.replace("/apis/apps/v1/", "/apis/apps/v1/watch/") + "/web"
    async with (
        both.watch(shop.path, **by_field) as (theirs, ours),
        both.watch(legacy, resourceVersion=shop.version) as (their_legacy, our_legacy),
    ):
        await shop.patch("api", a="b")
        await shop.patch("web", a="b")
        await shop.delete("db")
        await shop.delete("web")
        told = await both.told(theirs, ours, 2)
        again = await both.told(their_legacy, our_legacy, 2)

    assert [named(event) for event in told] == [("MODIFIED", "web"), ("DELETED", "web")]
    assert comparable(again) == comparable(told)


async def test_it_ends_when_it_was_asked_to_with_a_bookmark_before_that_for_who_wants_bookmarks(
    both: Both, shop: Shop
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def heard(events: Any) -> tuple[list[dict[str, Any]], float]:
        return await rest(events), loop.time() - began

    asked = {"resourceVersion": shop.version, "timeoutSeconds": "4"}
    async with (
        both.watch(shop.path, allowWatchBookmarks="true", **asked) as marked,
        both.watch(shop.path, **asked) as unmarked,
    ):
        await shop.patch("web", a="b")  # a version that was told already is no news
        theirs, ours, *others = await asyncio.gather(*(heard(events) for events in (*marked, *unmarked)))

    for told, seconds in (theirs, ours):
        assert 3 <= seconds <= 8
        changed, *marks = told
        assert named(changed) == ("MODIFIED", "web")
        assert marks
        for event in marks:
            assert event["type"] == "BOOKMARK"
            assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("Deployment", "apps/v1")
            assert int(event["object"]["metadata"]["resourceVersion"]) >= int(shop.version)
            assert "annotations" not in event["object"]["metadata"]
    for told, _ in others:
        assert [named(event) for event in told] == [("MODIFIED", "web")]


async def test_a_resource_that_goes_tells_its_deletions_and_ends(
    both: Both, server: Server, namespace: str, bars: str
) -> None:
    path = f"/apis/{bars}/v1/namespaces/{namespace}/bars"
    await server.done("POST", path, bar(bars, "a"))
    last = await server.done("POST", path, bar(bars, "b"))
    await both.mirrored.reaches(f"bars.{bars}", last["metadata"]["resourceVersion"])
    async with both.watch(path, resourceVersion=last["metadata"]["resourceVersion"]) as (theirs, ours):
        await server.done("DELETE", f"{DEFINITIONS}/bars.{bars}")
        told = [named(event) for event in await theirs.rest()]
        heard = [named(await change(ours)) for _ in told]
        end = await ours.next()

    assert told == heard == [("DELETED", "a"), ("DELETED", "b")]
    assert end is None
    await server.gone(path)
    assert (await both.mirrored.get(path)).status_code == 404


async def test_what_is_finalized_is_modified_first_and_deleted_last(both: Both, shop: Shop) -> None:
    await shop.server.patch(f"{shop.path}/web", {"metadata": {"finalizers": ["example.dev/hold"]}})
    async with both.watch(shop.path, resourceVersion=shop.version) as (theirs, ours):
        await shop.delete("web")
        await shop.server.patch(f"{shop.path}/web", {"metadata": {"finalizers": None}})
        told = await both.told(theirs, ours, 3)

    assert [named(event) for event in told] == [("MODIFIED", "web"), ("MODIFIED", "web"), ("DELETED", "web")]
    assert "deletionTimestamp" in told[1]["object"]["metadata"]
    assert told[2]["object"]["metadata"]["generation"] == told[1]["object"]["metadata"]["generation"]


async def test_a_replaced_object_is_deleted_and_added(both: Both, shop: Shop) -> None:
    async with both.watch(shop.path, resourceVersion=shop.version) as (theirs, ours):
        await shop.delete("web")
        await shop.create("web")
        told = await both.told(theirs, ours, 2)

    assert [named(event) for event in told] == [("DELETED", "web"), ("ADDED", "web")]
    assert told[0]["object"]["metadata"]["uid"] != told[1]["object"]["metadata"]["uid"]


async def test_many_namespaces_are_one_stream_in_the_order_of_the_writes(both: Both, shop: Shop) -> None:
    namespaces = [await both.server.namespace() for _ in range(5)]
    async with both.watch(shop.everywhere, resourceVersion=shop.version, labelSelector="many") as (theirs, ours):
        for at in range(20):
            path = shop.path.replace(shop.path.split("/")[5], namespaces[at % 5])
            await both.server.done("POST", path, deployment(f"d{at}", labels={"many": ""}))
        told = await both.told(theirs, ours, 20)

    assert [event["object"]["metadata"]["name"] for event in told] == [f"d{at}" for at in range(20)]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in told]
    assert versions == sorted(versions)


async def test_status_of_pods_decides_membership(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    await server.account(namespace)
    body = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    await server.done("POST", path, body)
    async with mirror_of(server, mirror=("pods",)) as mirrored:
        both = Both(server, mirrored)
        version = str(mirrored.held("pods").resource_version)
        async with both.watch(path, fieldSelector="status.phase=Running", resourceVersion=version) as (theirs, ours):
            for phase in ("Running", "Failed"):
                await server.patch(f"{path}/a/status", {"status": {"phase": phase}})
            told = await both.told(theirs, ours, 2)

    assert [named(event) for event in told] == [("ADDED", "a"), ("DELETED", "a")]
