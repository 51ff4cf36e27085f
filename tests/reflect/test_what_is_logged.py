"""Each trouble of a store is one line in the log, and so is its end; an ordinary sync is none."""

from __future__ import annotations

from typing import Any

import structlog

from tests.reflect.scene import FOREVER, RESET, Scene, added, initial, on_virtual_time, refusal, stream

DENIED = refusal(403, "Forbidden", 'things.example.com is forbidden: User "mirror" cannot watch')


async def logged(scene: Scene, seconds: float) -> list[dict[str, Any]]:
    with structlog.testing.capture_logs() as lines:
        await scene.play(seconds)
    return [dict(line) for line in lines if line["log_level"] != "debug"]


@on_virtual_time
async def test_an_ordinary_sync_and_a_watch_that_ends_say_nothing() -> None:
    async with Scene(initial("a", rv=5, then=[added("b", 6)]), stream(added("c", 7), FOREVER)) as scene:
        assert await logged(scene, 80) == []
        assert scene.held == {"a": 5, "b": 6, "c": 7}


@on_virtual_time
async def test_a_lost_connection_is_told_once_and_so_is_its_return() -> None:
    async with Scene(initial("a", rv=5, then=[RESET]), *[RESET] * 3, stream(added("b", 6), FOREVER)) as scene:
        lines = await logged(scene, 80)

        assert [(line["event"], line["log_level"], line["resource"]) for line in lines] == [
            ("store.stale", "warning", "things.example.com"),
            ("store.synced", "info", "things.example.com"),
        ]
        assert lines[0]["reason"] == "connection reset by peer"
        assert lines[1]["after"] == "STALE"


@on_virtual_time
async def test_a_store_that_never_synced_says_why() -> None:
    async with Scene(*[refusal(401, "Unauthorized")] * 3, initial("a", rv=5)) as scene:
        lines = await logged(scene, 80)

        assert [line["event"] for line in lines] == ["store.not_synced", "store.synced"]
        assert "401 Unauthorized" in lines[0]["reason"]


@on_virtual_time
async def test_what_is_forbidden_is_told_with_its_remedy() -> None:
    async with Scene(DENIED, initial("a", rv=9)) as scene:
        lines = await logged(scene, 80)

        assert [line["event"] for line in lines] == ["store.forbidden", "store.synced"]
        assert "grant list and watch on things.example.com" in lines[0]["reason"]
