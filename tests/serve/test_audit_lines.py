"""Denials, failed authentications and streams are one JSON line each, with who, what and how much, and no secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from kubemirror.access.audit import BURST_LINES, LINES_PER_SECOND, Asking, Audit, Audited, asking
from kubemirror.access.authorizer import (
    ANONYMOUS,
    Allow,
    Caller,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.log import Lines
from kubemirror.settings import Access, Settings
from tests.serve.live import frame_of, running
from tests.serve.world import World

JANE = Caller("jane", groups=("dev",))
WATCHED = ResourceAttributes("watch", "apps", "v1", "deployments", namespace="shop", label_selector="app=web")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[Any]:
    return []


@pytest.fixture
def audit(lines: list[Any], clock: Clock) -> Audit:
    return Audit(lambda line: lines.append(orjson.loads(line)), wall=clock)


async def test_what_only_decides_whether_a_link_is_shown_is_no_denial(audit: Audit, lines: list[Any]) -> None:
    audited = Audited(Wary(), audit)
    for wanted in (True, False):
        await audited.authorize(JANE, PathAttributes("get", "/-/status", wanted=wanted))

    assert [line["nonResourceURL"] for line in lines] == ["/-/status"]


def test_a_line_tells_who_asked_from_where_for_what_and_why_not(audit: Audit, lines: list[Any]) -> None:
    asking.set(Asking("203.0.113.7", "http", "GET", "/watch"))

    audit.denied(JANE, WATCHED, "RBAC: not allowed")

    assert lines == [
        {
            "audit": "denied", "time": "2027-01-15T08:00:00.000+00:00", "client": "203.0.113.7", "transport": "http",
            "method": "GET", "path": "/watch", "user": "jane", "groups": ["dev"], "verb": "watch", "group": "apps",
            "version": "v1", "resource": "deployments", "namespace": "shop", "labelSelector": "app=web",
            "reason": "RBAC: not allowed",
        }
    ]  # fmt: skip


def test_a_flood_is_counted_and_not_written(audit: Audit, lines: list[Any], clock: Clock) -> None:
    for _ in range(BURST_LINES + 1000):
        audit.unauthenticated("invalid bearer token")
    clock.now += 1
    audit.unauthenticated("invalid bearer token")

    assert len(lines) == BURST_LINES + 1
    assert lines[-1]["suppressed"] == 1000
    for _ in range(1000):
        audit.refused("Host")
    assert len(lines) == BURST_LINES + LINES_PER_SECOND


def test_what_was_told_as_opened_is_told_as_closed_however_many_there_are(audit: Audit, lines: list[Any]) -> None:
    opened = [audit.opened(JANE, [WATCHED], "7") for _ in range(BURST_LINES + 10)]
    for each in opened:
        each.closed("left")
        each.closed("left")

    assert sum(line["audit"] == "stream closed" for line in lines) == BURST_LINES


def test_a_reason_may_be_long_and_a_line_is_one_line(audit: Audit, lines: list[Any], tmp_path: Path) -> None:
    audit.denied(JANE, PathAttributes("get", "/a\nb"), "x\n" * 10_000)
    file = tmp_path / "audit.log"
    written = Lines(str(file))
    for line in lines:
        written.write(orjson.dumps(line).decode())
    written.close()

    assert len(file.read_text().splitlines()) == 1
    assert len(lines[0]["reason"]) < 1000


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        (Settings(), ""),
        (Settings(access=Access.DELEGATED), "-"),
        (Settings(access=Access.DELEGATED, audit_log="none"), ""),
        (Settings(audit_log="/var/log/audit"), "/var/log/audit"),
    ],
)
def test_where_lines_go(settings: Settings, target: str) -> None:
    assert settings.audit_target == target


class Wary:
    """Allows Deployments until it is told otherwise."""

    allows = True

    async def authorize(
        self, caller: Caller, attributes: ResourceAttributes | PathAttributes, **options: object
    ) -> Decision:
        if not self.allows or getattr(attributes, "resource", "") != "deployments":
            return Deny("RBAC: not allowed")
        return Allow(asyncio.get_running_loop().time() + 0.2)


async def test_a_running_mirror_audits_every_transport(audit: Audit, lines: list[Any]) -> None:
    wary = Wary()
    world = World(audit=audit, authorizer=Audited(wary, audit))
    store = world.mirror()
    store.sync(store.object(7, "web", "shop"))
    async with running(world) as live, httpx.AsyncClient(base_url=live.url) as client:
        await client.get("/versions?token=hunter2")
        await client.get("/metrics", headers={"authorization": "Bearer hunter2"})
        async with live.ndjson("resource=deployments&resourceVersion=100") as stream:
            store.apply(101, "web", "shop")
            await stream.frame()
        async with live.socket("resource=deployments&labelSelector=app%3Dweb") as socket:
            await frame_of(socket)
        async with client.stream("GET", "/apis/apps/v1/deployments?watch=true&resourceVersion=100") as answer:
            wary.allows = False
            async for _ in answer.aiter_lines():
                pass
        async with asyncio.timeout(5):
            while sum(line["audit"] == "stream closed" for line in lines) < 3:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    told = [(line["audit"], line["transport"], line.get("resource", line.get("nonResourceURL", ""))) for line in lines]
    assert told[:2] == [("refused", "http", ""), ("denied", "http", "/metrics")]
    opened = [line for line in lines if line["audit"] == "stream opened"]
    assert [(each["transport"], each["verb"], each["resource"], each.get("resourceVersion")) for each in opened] == [
        ("http", "watch", "deployments", "100"),
        ("websocket", "watch", "deployments", None),
        ("http", "watch", "deployments", "100"),
    ]
    assert opened[1]["labelSelector"] == "app=web"
    closed = [line for line in lines if line["audit"] == "stream closed"]
    assert all(each["bytes"] > 0 and each["user"] == ANONYMOUS.user for each in closed)
    assert closed[0]["reason"] == "left"
    assert any(line["audit"] == "denied" and line.get("resource") == "deployments" for line in lines)
    assert "hunter2" not in str(lines)
