"""A page behind nginx stays live: with the documented lines over a WebSocket, without them over events."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser.chromium import LIVE, until
from tests.serve.live import Live
from tests.serve.world import Store
from tests.ship.nginx import documented, nginx


@pytest.mark.parametrize(("lines", "framing"), [(documented(), "websocket"), ("", "sse")])
async def test_a_page_is_live_behind_nginx(
    page: Page, live: Live, store: Store, tmp_path: Path, free_port: int, lines: str, framing: str
) -> None:
    async with nginx(live, tmp_path, free_port, lines) as address:
        await page.goto(f"http://{address}/resources/deploy")
        await until(page, LIVE)
        store.apply(101, "web", "blue", cells=["web", "2/2", "3d", "team/web:1.1"])
        await until(page, "document.querySelector('#objects').innerText.includes('2/2')")
        open_streams = {key[-1] for key, count in live.app.serving.traffic.open_streams.items() if count}
        await page.goto("about:blank")

    assert open_streams == {framing}
