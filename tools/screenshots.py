"""Takes the pictures in docs/screenshots: every kind of page, light, dark and 320 px wide: ``make screenshots``.

The demo cluster is shown, some time after its start, so that something has happened. Needs what `make tools` fetches.
``make screenshots ARGS="overview portal"`` takes those alone.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "service")]

from tests.browser.chromium import FLAGS, LIVE, until  # noqa: E402
from tests.browser.every_page import FAILING, PAGES  # noqa: E402
from tests.browser.portal import serving as serving_portal  # noqa: E402
from tests.conftest import tool  # noqa: E402
from tests.serve.process import serving  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
WIDE, NARROW = 1280, 320
# A screen and a half: what lies below is more of the same.
MOST_HIGH = {WIDE: 1200, NARROW: 1000}
# Good enough to read every letter; all of them together are to be below 2 MB.
QUALITY = 62
# By then the demo's script has rolled out and scaled; a rollout fails sooner or later.
SETTLED_SECONDS, FAILING_SECONDS = 45, 180


async def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in [] if names else FOLDER.glob("*.webp"):
        old.unlink()
    names = names or [*PAGES, "portal"]
    with tempfile.TemporaryDirectory() as folder:
        async with serving_portal() as portal, async_playwright() as playwright:
            flags = [f"--allow-origin={portal.origin}", "--frame-ancestors=self", f"--frame-ancestors={portal.origin}"]
            with serving(Path(folder), "--demo", *flags) as process:
                process.until_ready()
                portal.mirror = process.url
                chromium = tool("chromium-headless-shell")
                browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                await asyncio.sleep(SETTLED_SECONDS)
                for name in sorted(names, key="deployment-failing".__ne__):  # that one first: it will be repaired
                    if name == "portal":
                        await pictures(browser, portal.origin, name, hosted=process.url)
                    else:
                        path = await failing(process.url) if name == "deployment-failing" else PAGES[name]
                        await pictures(browser, process.url + path, name)
                await browser.close()
    (FOLDER / "README.md").write_text(index())
    told = sum(path.stat().st_size for path in FOLDER.glob("*.webp"))
    print(f"{len(list(FOLDER.glob('*.webp')))} pictures, {told / 1000:,.0f} kB")


async def failing(url: str) -> str:
    """The page of a Deployment that fails, as soon as there is one."""
    deadline = time.monotonic() + FAILING_SECONDS
    query = {"output": "json", "as": "row", "columns": "Health,Name"}
    async with httpx.AsyncClient(base_url=url) as client:
        while time.monotonic() < deadline:
            rows = (await client.get("/resources/deployments", params=query)).json()["rows"]
            for found in (row["metadata"] for row in rows if row["tones"][0] == "bad"):
                return f"/resources/deployments/{found['namespace']}/{found['name']}"
            await asyncio.sleep(0.5)
    return FAILING


def index() -> str:
    """The pictures on one page."""
    lines = ["# Screenshots", "", "Of the demo cluster, taken by `make screenshots`."]
    for name in (*PAGES, "portal"):
        lines += [
            "",
            f"## {name.replace('-', ' ').capitalize()}",
            "",
            f"`{PAGES.get(name, 'docs/examples/portal')}`",
            "",
        ]
        lines += [f"![{name}, {kind}]({name}-{kind}.webp)" for kind in ("light", "dark", "narrow")]
    return "\n".join(lines) + "\n"


async def pictures(browser: Browser, url: str, name: str, *, hosted: str = "") -> None:
    for kind, width, scheme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("narrow", NARROW, "light")):
        context = await browser.new_context(
            viewport={"width": width, "height": 700}, color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )  # fmt: skip
        page = await context.new_page()
        await page.goto(url)
        if hosted:
            await page.wait_for_timeout(2000)
        else:
            await until(page, f"!document.querySelector('[data-watch], [data-live]') || {LIVE}")
        # A port of this machine is no news.
        await page.evaluate(
            "(url) => document.querySelectorAll('.shell code').forEach((code) => {"
            " code.textContent = code.textContent.replaceAll(url, 'http://127.0.0.1:8080'); })",
            re.sub(r"(https?://[^/]+).*", r"\1", url),
        )
        (FOLDER / f"{name}-{kind}.webp").write_bytes(await picture(page, width))
        await context.close()


async def picture(page: Page, width: int) -> bytes:
    """As much of the page as is worth looking at."""
    devtools = await page.context.new_cdp_session(page)
    height = min(MOST_HIGH[width], await page.evaluate("document.documentElement.scrollHeight"))
    shot = await devtools.send(
        "Page.captureScreenshot",
        {
            "format": "webp",
            "quality": QUALITY,
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
        },
    )
    return base64.b64decode(shot["data"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
