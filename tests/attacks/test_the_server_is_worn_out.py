"""Few clients try to take what all of them need: connections, descriptors, memory, time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from kubemirror.serve import protocol
from kubemirror.serve.protocol import BODY_BYTES, HEAD_BYTES, TARGET_BYTES, HttpProtocol
from tests.attacks.conftest import a_world
from tests.attacks.wire import asked, connected
from tests.serve.live import Live, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
FROM = "203.0.113.7"


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_ranges_are_not_cut_by_the_thousand(live: Live) -> None:
    """CVE-2025-62727: a header of many ranges took quadratic time."""
    ranges = ",".join(f"{index}-{index + 1}" for index in range(5_000))

    assert (await asked(live, "/livez", Range=f"bytes={ranges}")).code == 200


# -- size ---------------------------------------------------------------------------------------------


async def test_a_target_beyond_the_limit_is_414(live: Live) -> None:
    assert (await asked(live, f"/versions?namespace={'x' * TARGET_BYTES}")).code == 414
    assert (await asked(live, f"/watch?resource=deployments&holds={'shop/x,' * 4000}")).code == 200


@pytest.mark.parametrize("fields", [1, 500])
async def test_header_fields_beyond_the_limit_are_431(live: Live, fields: int) -> None:
    headers = {f"X_{index}": "x" * (HEAD_BYTES // fields) for index in range(fields)}
    answer = await asked(live, "/versions", **headers)

    assert answer.code == 431
    assert str(HEAD_BYTES) in answer.message
    assert answer.headers["connection"] == "close"


async def test_a_field_that_never_ends_is_431(live: Live) -> None:
    """It is not held in memory while it comes."""
    async with connected(live) as wire:
        wire.write(b"GET /versions HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(6):
            await asyncio.sleep(0.02)
            wire.write(b"x" * (HEAD_BYTES // 4))
        assert (await wire.answer()).code == 431


async def test_a_body_beyond_the_limit_is_413(live: Live) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await asked(live, path, method="POST", Content_Length=str(BODY_BYTES + 1))).code == 413
    async with connected(live) as wire:
        wire.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(BODY_BYTES // 0x10000 + 1):
            wire.write(chunk)
        assert (await wire.answer()).code == 413
    assert (await asked(live, "/livez")).code == 200


# -- time ---------------------------------------------------------------------------------------------


async def test_a_head_that_drips_is_cut(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowloris: a byte now and then keeps a connection for ever."""
    assert protocol.HEAD_SECONDS == 10.0
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    async with connected(live) as wire:
        for byte in b"GET /livez HTTP/1.1\r\nHost: loc":
            try:
                wire.write(bytes([byte]))
                await wire.writer.drain()
            except (BrokenPipeError, ConnectionResetError):
                break
            await asyncio.sleep(0.02)
        assert await wire.rest(1) == b""


async def test_a_body_that_drips_is_cut(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    path = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    async with connected(live) as wire:
        wire.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{" % path)
        assert await wire.rest(3) == b""
    await until(lambda: not live.server.server_state.tasks)


# -- number -------------------------------------------------------------------------------------------


@pytest.fixture
def from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection seems to come from one address on the internet."""
    monkeypatch.setattr(protocol, "counted_address", lambda peer, settings: FROM)


@pytest.mark.usefixtures("from_elsewhere")
async def test_one_address_has_no_more_connections_than_its_share() -> None:
    async with running(a_world(max_connections_per_client=3)) as live, AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(connected(live))
        await until(lambda: HttpProtocol.by_client[FROM] == 3)
        async with connected(live) as one_more:
            refused = await one_more.answer()
        await stack.aclose()
        await until(lambda: FROM not in HttpProtocol.by_client)
        again = await asked(live, "/livez")

    assert (refused.code, refused.headers["retry-after"]) == (429, "5")
    assert again.code == 200


async def test_one_address_has_no_more_requests_waiting_than_its_share() -> None:
    """Each waits three seconds for a resourceVersion that never comes."""
    world = a_world(max_requests_per_client=2)
    ahead = "/apis/apps/v1/deployments?resourceVersion=999&resourceVersionMatch=NotOlderThan"
    async with running(world) as live:
        waiting = [asyncio.create_task(asked(live, ahead, X_Forwarded_For=FROM)) for _ in range(2)]
        await until(lambda: live.app.serving.seats.answering[FROM] == 2)
        refused = await asked(live, ahead, X_Forwarded_For=FROM)
        elsewhere = await asked(live, "/versions", X_Forwarded_For="203.0.113.8")
        for task in waiting:
            task.cancel()
        await until(lambda: FROM not in live.app.serving.seats.answering)

    assert (refused.code, refused.headers["retry-after"]) == (429, "1")
    assert elsewhere.code == 200


async def test_when_all_connections_are_taken_health_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or kubelet would end a process for being popular."""
    async with running(a_world()) as live, AsyncExitStack() as stack:
        taken = HttpProtocol.open
        monkeypatch.setattr(HttpProtocol, "limit", taken + 2)
        for _ in range(2):
            await stack.enter_async_context(connected(live))
        await until(lambda: HttpProtocol.open == taken + 2)
        health = await asked(live, "/livez")
        other = await asked(live, "/versions")
        await stack.aclose()
        await until(lambda: HttpProtocol.open == taken)
        after = await asked(live, "/versions")

    assert health.code == 200
    assert (other.code, other.headers["retry-after"]) == (503, "5")
    assert after.code == 200
