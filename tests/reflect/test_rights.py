"""Upstream authorises a watch once, when it opens: whether it is still allowed is asked each minute."""

from __future__ import annotations

import itertools

import pytest

from kubemirror.state.events import Phase
from tests.reflect.scene import FOREVER, Pause, Scene, added, initial, on_virtual_time, refusal, stream, text

LONG = 1e6


@on_virtual_time
async def test_the_same_watch_is_asked_for_each_minute_from_where_it_is_for_a_second() -> None:
    async with Scene(initial("a", rv=5, then=[Pause(50), added("b", 9), FOREVER]), idle_seconds=LONG) as scene:
        await scene.play(600)

        asked = scene.server.rights_asked
        assert 8 <= len(asked) <= 13
        assert all(40 <= later.at - earlier.at <= 80 for earlier, later in itertools.pairwise(asked))
        assert asked[-1].query == {"watch": "1", "timeoutSeconds": "1", "resourceVersion": "9"}
        assert scene.server.asked == [("watchlist", "")]
        assert scene.phase is Phase.SYNCED


@on_virtual_time
async def test_a_right_that_was_taken_away_is_noticed_within_90_seconds() -> None:
    denied = refusal(403, "Forbidden")
    script = [initial("a", rv=5), denied, denied, denied, initial("a", rv=9)]
    async with Scene(*script, rights=[denied], idle_seconds=LONG) as scene:
        await scene.play(90)

        assert scene.phase is Phase.FORBIDDEN
        assert len(scene.reader) == 0
        assert scene.server.asked[:3] == [("watchlist", ""), ("watch", "5"), ("watch", "5")]


@pytest.mark.parametrize("answer", [text(500, b""), text(400, b"no"), stream(b"anything\n"), text(404, b"")])
@on_virtual_time
async def test_whatever_else_is_answered_changes_nothing(answer: object) -> None:
    async with Scene(initial("a", rv=5), rights=[answer] * 9, idle_seconds=LONG) as scene:  # type: ignore[list-item]
        await scene.play(300)

        assert scene.server.asked == [("watchlist", "")]
        assert scene.phase is Phase.SYNCED


@on_virtual_time
async def test_who_is_forbidden_asks_at_the_same_pace() -> None:
    async with Scene(*[refusal(403, "Forbidden")] * 9, rights_seconds=7.0) as scene:
        await scene.play(20)

        assert [request.at for request in scene.server.requests] == [0.0, 7.0, 14.0]
