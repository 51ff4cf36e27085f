"""A real Chromium without a window, spoken to in its own protocol (the one that developer tools use)."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

# Two cores are shared with whatever else runs: it starts in a second alone.
START_SECONDS, ANSWER_SECONDS = 40.0, 30.0


@contextmanager
def chromium(program: str, folder: Path) -> Iterator[str]:
    """A running browser; the address at which it takes commands."""
    log = folder / "log"
    flags = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while (found := re.search(r"DevTools listening on (ws://\S+)", log.read_text(errors="replace"))) is None:
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.02)
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


class Page:
    """A tab of its own, with no memory of others."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._session: dict[str, str] = {}

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command; events that come meanwhile are of no interest."""
        id_ = next(self._ids)
        await self._socket.send(
            orjson.dumps({"id": id_, "method": method, "params": parameters, **self._session}).decode()
        )
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                message: dict[str, Any] = orjson.loads(await self._socket.recv())
                if message.get("id") == id_:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result

    async def attach(self, target: str) -> None:
        session = await self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}

    async def open(self, url: str) -> None:
        """Go there, until all of it has loaded."""
        await self.command("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({orjson.dumps(url).decode()}) && document.readyState == 'complete'")

    async def run(self, script: str) -> Any:
        """The value of an expression, a promise's if it is one."""
        done = await self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    async def until(self, condition: str, *, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(seconds):
            await self.run(
                "new Promise((done) => {"
                f"  const look = () => (({condition}) ? done() : setTimeout(look, 20));"
                "  look();"
                "})"
            )

    async def hide(self, hidden: bool) -> None:
        """What a page hears when its tab goes to the back, or comes to the front again."""
        value = "true" if hidden else "false"
        await self.run(
            f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )


@asynccontextmanager
async def tab(browser: str) -> AsyncIterator[Page]:
    async with connect(browser, max_size=None, compression=None) as socket:
        page = Page(socket)
        context = (await page.command("Target.createBrowserContext"))["browserContextId"]
        made = await page.command("Target.createTarget", url="about:blank", browserContextId=context)
        whole = Page(socket)
        await page.attach(made["targetId"])
        try:
            yield page
        finally:
            whole._ids = page._ids
            await whole.command("Target.disposeBrowserContext", browserContextId=context)
