"""resourceVersion by resourceVersionMatch by limit by continue: the server's answers, and the mirror's are the same."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest

from tests.contract.both import Both
from tests.contract.objects import bar, deployment
from tests.contract.servers import Server

NAMES = ("api", "db", "web", "web.x")


class Shop:
    """Four Deployments in a namespace, and what was the newest when they were there."""

    def __init__(self, both: Both, namespace: str) -> None:
        self.both = both
        self.namespace = namespace
        self.path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.version = ""

    async def create(self, name: str) -> str:
        written = await self.both.server.done("POST", self.path, deployment(name, labels={"in": self.namespace}))
        return await self.reached(written)

    async def reached(self, written: dict[str, dict[str, str]]) -> str:
        version = written["metadata"]["resourceVersion"]
        await self.both.mirrored.reaches("deployments.apps", version)
        return version

    async def deleted(self, name: str) -> str:
        """The resourceVersion of the deletion."""
        async with self.both.server.watch(
            self.path, fieldSelector=f"metadata.name={name}", resourceVersion=self.version
        ) as events:
            await self.both.server.done("DELETE", f"{self.path}/{name}")
            while (event := await events.next())["type"] != "DELETED":
                pass
        return await self.reached(event["object"])


@pytest.fixture
async def shop(both: Both, namespace: str) -> Shop:
    shop = Shop(both, namespace)
    for name in reversed(NAMES):
        shop.version = await shop.create(name)
    return shop


def names(answer: httpx.Response) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json()["items"]]


async def test_lists_come_in_storage_order(both: Both, shop: Shop) -> None:
    other = Shop(both, await both.server.namespace())
    await other.both.server.done("POST", other.path, deployment("aaa", labels={"in": shop.namespace}))
    await both.mirrored.until(lambda: both.mirrored.held("deployments.apps").count(other.namespace) == 1)

    listed = await both.same(shop.path)
    everywhere = await both.same("/apis/apps/v1/deployments", labelSelector=f"in={shop.namespace}")

    assert list(listed.json()) == ["kind", "apiVersion", "metadata", "items"]
    assert list(listed.json()["items"][0]) == ["metadata", "spec", "status"]  # what it is, the list has said
    assert names(listed) == list(NAMES)
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in everywhere.json()["items"]]
    assert found == sorted([*((shop.namespace, name) for name in NAMES), (other.namespace, "aaa")])


# Looked up one after the other: each costs milliseconds, and a mirror half a second.
COMBINATIONS: list[tuple[dict[str, str], int]] = [
    ({"resourceVersionMatch": "Exact"}, 422),
    ({"resourceVersionMatch": "NotOlderThan"}, 422),
    ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422),
    ({"resourceVersion": "5", "resourceVersionMatch": "Newest"}, 422),
    ({"sendInitialEvents": "true"}, 422),
    ({"resourceVersion": "abc"}, 400),
    ({"resourceVersion": "-1"}, 400),
    ({"resourceVersion": "18446744073709551616"}, 400),
    ({"limit": "x"}, 400),
    ({"limit": ""}, 400),
    ({"continue": "abc"}, 400),
    ({"labelSelector": "a,,b"}, 400),
    ({"fieldSelector": "spec.x=1"}, 400),
    ({"timeout": "junk"}, 400),
    ({"resourceVersion": "2"}, 200),
    ({"resourceVersion": "0"}, 200),
    ({"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}, 200),
    ({"resourceVersion": "007"}, 200),
    ({"limit": "-1"}, 200),
    ({"limit": "0"}, 200),
    ({"unknown": "parameter"}, 200),
    ({"timeout": "30s"}, 200),
    ({"watch": "0"}, 200),
    ({"watch": "false"}, 200),
]


async def test_combinations_of_parameters(both: Both, shop: Shop) -> None:
    for query, code in COMBINATIONS:
        answer = await both.same(shop.path, **query)

        assert answer.status_code == code, query


async def test_limit_is_ignored_at_version_0_because_reflectors_take_a_page_for_a_cacheless_server(
    both: Both, shop: Shop
) -> None:
    answer = await both.same(shop.path, resourceVersion="0", limit="1")

    assert names(answer) == list(NAMES)
    assert "continue" not in answer.json()["metadata"]


async def test_pages_keep_one_version_while_there_is_more_to_come(both: Both, shop: Shop) -> None:
    firsts = await both.get(shop.path, limit="2")
    await shop.deleted("web.x")
    await shop.create("zoo")
    tokens = [first.json()["metadata"]["continue"] for first in firsts]

    for first in firsts:
        assert first.json()["metadata"]["remainingItemCount"] == 2
        assert names(first) == ["api", "db"]
    # A token of either is good at both: at the version at which it was given.
    for first, token in zip(firsts, tokens, strict=True):
        for second in await both.get(shop.path, limit="2", **{"continue": token}):
            assert names(second) == ["web", "web.x"]
            assert second.json()["metadata"] == {"resourceVersion": first.json()["metadata"]["resourceVersion"]}


async def test_tokens_are_the_servers(both: Both, shop: Shop) -> None:
    answers = await both.get(shop.path, limit="1")

    for answer in answers:
        token = answer.json()["metadata"]["continue"]
        assert json.loads(base64.urlsafe_b64decode(token + "==")) == {
            "v": "meta.k8s.io/v1",
            "rv": int(answer.json()["metadata"]["resourceVersion"]),
            "start": "/api\0",
        }


async def test_a_token_and_a_version_exclude_each_other(both: Both, shop: Shop) -> None:
    token = (await both.server.done("GET", shop.path, limit="2"))["metadata"]["continue"]

    refused = await both.same(shop.path, **{"continue": token, "resourceVersion": shop.version})
    allowed = await both.same(shop.path, **{"continue": token, "resourceVersion": "0"})

    assert refused.json()["message"] == "specifying resource version is not allowed when using continue"
    assert names(allowed) == ["web", "web.x"]


async def test_exact_is_the_state_at_that_version(both: Both, shop: Shop) -> None:
    deleted = await shop.deleted("db")
    created = await shop.create("new")
    exact = {"resourceVersionMatch": "Exact"}

    assert names(await both.same(shop.path, resourceVersion=shop.version, **exact)) == list(NAMES)
    assert names(await both.same(shop.path, resourceVersion=deleted, **exact)) == ["api", "web", "web.x"]
    last = await both.same(shop.path, resourceVersion=created, **exact)
    assert names(last) == ["api", "new", "web", "web.x"]
    assert last.json()["metadata"]["resourceVersion"] == created


async def test_a_limit_at_a_version_pages_exactly_that_version(both: Both, shop: Shop) -> None:
    await shop.create("aaa")

    exactly = await both.same(shop.path, resourceVersion=shop.version, limit="1")
    newer = await both.same(shop.path, resourceVersion=shop.version, limit="1", resourceVersionMatch="NotOlderThan")

    assert names(exactly) == ["api"]
    assert exactly.json()["metadata"]["resourceVersion"] == shop.version
    assert names(newer) == ["aaa"]


async def test_selected_pages_count_matches_and_never_tell_what_remains(both: Both, shop: Shop) -> None:
    for name in ("api", "web"):
        await shop.reached(await both.server.patch(f"{shop.path}/{name}", {"metadata": {"labels": {"tier": "1"}}}))

    first = await both.same(shop.path, labelSelector="tier=1", limit="1")
    token = first.json()["metadata"]["continue"]
    rest = await both.same(shop.path, labelSelector="tier=1", limit="1", **{"continue": token})

    assert (names(first), names(rest)) == (["api"], ["web"])
    assert "remainingItemCount" not in first.json()["metadata"]


async def test_a_version_ahead_is_waited_for_and_then_refused(both: Both, shop: Shop) -> None:
    loop = asyncio.get_running_loop()
    ahead = str(int(shop.version) + 1_000_000)
    began = loop.time()

    async def asked(path: str) -> tuple[httpx.Response, httpx.Response]:
        return tuple(  # type: ignore[return-value]
            await asyncio.gather(
                both.server("GET", path, resourceVersion=ahead), both.mirrored.get(path, resourceVersion=ahead)
            )
        )

    for answers in await asyncio.gather(asked(shop.path), asked(f"{shop.path}/web")):
        for answer in answers:
            status = answer.json()
            assert (answer.status_code, status["reason"]) == (504, "Timeout")
            assert status["message"].startswith(f"Timeout: Too large resource version: {ahead}, current: ")
            assert status["details"]["causes"] == [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ]
            assert status["details"]["retryAfterSeconds"] == 1
            assert answer.headers["retry-after"] == "1"
    assert loop.time() - began >= 3.0


async def test_one_object_is_read_at_a_version(both: Both, shop: Shop) -> None:
    for query in ({}, {"resourceVersion": "0"}, {"resourceVersion": shop.version}, {"watch": "1"}):
        answer = await both.same(f"{shop.path}/web", **query)
        assert answer.json()["metadata"]["name"] == "web"
    for query in ({"resourceVersion": "abc"}, {"resourceVersion": "-1"}):
        await both.same(f"{shop.path}/web", **query)
    await both.same(f"{shop.path}/nope")
    await both.same(f"{shop.path}/web/status")


async def test_items_of_custom_lists_carry_their_type(both: Both, namespace: str, server: Server, bars: str) -> None:
    path = f"/apis/{bars}/v1/namespaces/{namespace}/bars"
    await server.done("POST", path, bar(bars, "a"))
    await both.mirrored.until(lambda: both.mirrored.held(f"bars.{bars}").count(namespace) == 1)

    answer = await both.same(path)

    assert list(answer.json()) == ["apiVersion", "items", "kind", "metadata"]
    assert answer.json()["metadata"]["continue"] == ""
    assert [item["kind"] for item in answer.json()["items"]] == ["Bar"]


NOWHERE = (
    "/api/v1/namespaces/NS/namespaces/NS",
    "/apis/apps/v1/deployments/web",
    "/apis/apps/v2/namespaces/NS/deployments",
    "/apis/apps/v1/namespaces/NS/deployments/web/unheard",
    "/apis/apps/v1/namespaces/NS/deployments/web/status/more",
    "/apis/apps/v1/namespaces/NS/unheard",
    "/apis/apps/v1/unheard",
    "/apis/unheard",
    "/apis/unheard/v1",
    "/apis/unheard/v1/things",
    "/elsewhere",
)


async def test_what_is_nowhere_is_404(both: Both, shop: Shop) -> None:
    for path in NOWHERE:
        answer = await both.same(path.replace("NS", shop.namespace))

        assert answer.status_code == 404, path
