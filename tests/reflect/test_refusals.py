"""Answers that are not 200, and 200s that are no Kubernetes: decided by the status, never by the text."""

from __future__ import annotations

import itertools

import pytest

from kubemirror.errors import DeniedError, ForbiddenError, GoneError
from kubemirror.kube.wire import RENEW_CREDENTIALS
from kubemirror.state.events import Init, InitDone, Phase
from tests.reflect.scene import (
    FOREVER,
    Answer,
    Scene,
    added,
    error,
    initial,
    on_virtual_time,
    page,
    refusal,
    stream,
    text,
    thing,
)


@pytest.mark.parametrize(
    "expired",
    [
        stream(error(410, "Expired", "too old resource version: 5 (9)")),
        stream(error(410, "Gone")),
        stream(error(0, "Expired")),
        refusal(410, "Expired"),
        refusal(410),
        text(410, b"Gone", "text/plain"),
    ],
)
@on_virtual_time
async def test_f03_410_in_any_form_lists_again_and_tells_the_difference(expired: Answer) -> None:
    script = [initial("a", "b", rv=5, then=[added("c", 7)]), expired, initial("b", "d", rv=9)]
    async with Scene(*script) as scene:
        await scene.play(20)

        assert scene.server.asked == [("watchlist", ""), ("watch", "7"), ("watchlist", "7")]
        assert set(scene.held) == {"b", "d"}
        assert scene.journal == [
            ("ADDED", "c", 7),
            ("DELETED", "a", 7),
            ("DELETED", "c", 7),
            ("MODIFIED", "b", 8),
            ("ADDED", "d", 9),
        ]
        assert scene.statistics.relists == {"start": 1, "expired": 1}
        # Known to be behind, and said so, until the list has come.
        assert [phase for _, phase, _ in scene.phases] == [Phase.SYNCED, Phase.STALE, Phase.SYNCED]


@on_virtual_time
async def test_f06_429_with_a_text_body_waits_as_long_as_it_says_and_keeps_the_version() -> None:
    too_many = text(429, b"Too many requests, please try again later.\n", "text/plain", retry_after="20")
    script = [initial("a", rv=5, then=[added("b", 6)]), too_many, stream(added("c", 7), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(30)

        at = [request.at for request in scene.server.requests]
        assert scene.server.asked == [("watchlist", ""), ("watch", "6"), ("watch", "6")]
        assert 20.0 <= at[2] - at[1] <= 25.0
        assert scene.held == {"a": 5, "b": 6, "c": 7}


@on_virtual_time
async def test_f06_ten_429s_are_followed_at_their_own_pace_and_further_ones_at_the_backoffs() -> None:
    too_many = text(429, b"Too many requests, please try again later.\n", "text/plain", retry_after="1")
    async with Scene(initial("a", rv=5, then=[added("b", 6)]), *[too_many] * 40) as scene:
        await scene.play(300)

        at = [request.at for request in scene.server.requests[1:]]
        waits = [later - earlier for earlier, later in itertools.pairwise(at)]
        assert all(1.0 <= wait <= 1.25 for wait in waits[:10])
        assert all(30.0 <= wait < 60.0 for wait in waits[16:])
        assert scene.server.count("watchlist") == 1


@pytest.mark.parametrize(
    "page_",
    [
        text(502, b"<html>\nBad Gateway\n</html>\n"),
        text(503, b'{"type":"ADDED","object":{}}\n', "application/json"),
        text(200, b'<html>\n{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n</html>'),
        text(302, b"", location="https://elsewhere/"),
        Answer([b'{"type":"ADDED","object":{"metadata":{"name":"x","uid":"x","resourceVersion":"9"}}}\n'], 500),
        Answer([b""], 200, {}),
    ],
)
@on_virtual_time
async def test_f07_a_storm_of_errors_and_pages_is_never_an_event_and_ends_in_one_list(page_: Answer) -> None:
    script = [initial("a", rv=5, then=[added("b", 6)]), *[page_] * 5, initial("a", "c", rv=9)]
    async with Scene(*script) as scene:
        await scene.play(30)
        assert scene.held == {"a": 5, "b": 6}
        assert scene.phase is Phase.STALE

        await scene.play(60)
        assert set(scene.held) == {"a", "c"}
        assert [kind for kind, _ in scene.server.asked] == ["watchlist", *["watch"] * 5, "watchlist"]
        assert scene.phase is Phase.SYNCED


@on_virtual_time
async def test_f07_a_long_page_is_told_by_its_first_words_only() -> None:
    async with Scene(text(503, b"<html>" + b"word " * 10_000)) as scene:
        await scene.play(0.5)

        assert scene.phase is Phase.INIT
        assert scene.reader.reason.startswith("upstream answered 503 <html>word word")
        assert len(scene.reader.reason) < 400


@on_virtual_time
async def test_f09_401_makes_it_stale_and_is_retried_at_the_same_version() -> None:
    script = [
        initial("a", rv=5, then=[added("b", 6)]),
        *[refusal(401, "Unauthorized")] * 12,
        stream(added("c", 7), FOREVER),
    ]
    async with Scene(*script) as scene:
        await scene.play(100)
        assert scene.phase is Phase.STALE
        assert scene.reader.reason == f"upstream answered 401 Unauthorized; {RENEW_CREDENTIALS}"

        await scene.play(600)
        assert scene.server.count("watchlist") == 1
        assert scene.held == {"a": 5, "b": 6, "c": 7}


@on_virtual_time
async def test_f12_403_stops_serving_ends_the_streams_and_is_tried_each_minute() -> None:
    denied = refusal(403, "Forbidden", 'things.example.com is forbidden: User "mirror" cannot watch')
    script = [initial("a", rv=5, then=[added("b", 6)]), *[denied] * 4, initial("a", rv=9)]
    async with Scene(*script) as scene:
        await scene.play(0)
        position = None
        while not scene.reader.synced:
            await scene.play(0.01)
        position = scene.reader.subscribe(scene.reader.resource_version, lambda: None)
        await scene.play(10)

        assert scene.phase is Phase.FORBIDDEN
        assert "kubemirror rbac" in scene.reader.reason
        assert len(scene.reader) == 0
        with pytest.raises(ForbiddenError):
            scene.reader.require_served()
        with pytest.raises(DeniedError):
            position.read()

        await scene.play(300)
        at = [request.at for request in scene.server.requests]
        assert scene.server.asked[3:6] == [("watchlist", "")] * 3
        assert at[3] - at[2] == pytest.approx(60.0)
        assert at[4] - at[3] == pytest.approx(60.0)
        assert scene.phase is Phase.SYNCED
        assert scene.held == {"a": 9}


@on_virtual_time
async def test_f12_one_403_of_a_server_that_just_starts_is_not_believed() -> None:
    script = [initial("a", rv=5, then=[added("b", 6)]), refusal(403, "Forbidden"), stream(added("c", 7), FOREVER)]
    async with Scene(*script) as scene:
        await scene.play(10)

        assert scene.server.count("watchlist") == 1
        assert scene.held == {"a": 5, "b": 6, "c": 7}
        assert Phase.FORBIDDEN not in [phase for _, phase, _ in scene.phases]


@pytest.mark.parametrize("body", [refusal(404, "NotFound"), text(404, b"404 page not found\n", "text/plain")])
@on_virtual_time
async def test_f26_404_is_gone_with_a_deletion_for_each_object_and_retried_slowly(body: Answer) -> None:
    script = [initial("a", "b", rv=5, then=[added("c", 6)]), *[body] * 4, initial("a", rv=9)]
    async with Scene(*script) as scene:
        await scene.play(0.01)
        changes = []
        scene.reader.on_change(lambda change: changes.append((change.type.value, change.object.name)))
        await scene.play(10)

        assert scene.phase is Phase.GONE
        assert changes[-3:] == [("DELETED", "a"), ("DELETED", "b"), ("DELETED", "c")]
        with pytest.raises(GoneError):
            scene.reader.require_served()
        assert len(scene.server.requests) == 3

        await scene.play(500)
        assert scene.phase is Phase.SYNCED
        assert scene.held == {"a": 9}
        assert [phase for _, phase, _ in scene.phases].count(Phase.GONE) == 1  # no log spam


@on_virtual_time
async def test_f26_a_resource_that_was_never_there_is_gone_from_the_start() -> None:
    async with Scene(refusal(404, "NotFound"), initial("a", rv=5)) as scene:
        await scene.play(1)
        assert scene.phase is Phase.GONE

        await scene.play(130)
        assert scene.held == {"a": 5}


@on_virtual_time
async def test_f29_a_503_makes_only_its_own_resource_stale() -> None:
    down = refusal(503, "ServiceUnavailable", "the server is currently unable to handle the request")
    async with Scene(initial("a", rv=5, then=[added("b", 6)]), *[down] * 40) as sick, Scene(initial("a", rv=5)) as well:
        await sick.play(10)
        await well.play(10)

        assert sick.phase is Phase.STALE
        assert well.phase is Phase.SYNCED


@on_virtual_time
async def test_a_refusal_amid_pages_does_not_install_what_came_before_it() -> None:
    script = [
        page(thing("a", 1), rv=5, continue_="c"),
        *[refusal(503, "ServiceUnavailable")] * 5,
        page(thing("z", 1), rv=9),
    ]
    async with Scene(*script, watch_list=False) as scene:
        await scene.play(120)

        assert scene.held == {"z": 1}
        assert [type(event) for event in scene.events if isinstance(event, Init | InitDone)] == [Init, Init, InitDone]
