"""Pages in a real Chromium: how soon 500 rows are there and painted, and what a minute of changes does to them.

The browser, whose parts are processes and threads of their own, has all cores, as at a desk; the mirror, its upstream
and the writers share the others than the measured one. What is measured is told by the browser's own protocol: long
tasks by its observer, memory and work by Performance.getMetrics.
"""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench.measures import MB, Row
from bench.mirror import Mirror, Upstream, mirror, upstream
from bench.objects import OBJECT_BYTES
from bench.processes import Cores, starting_on
from tests.conftest import tool

# As root it has no sandbox; in a container /dev/shm is small.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_PATH = "/resources/deployments"
_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "gzip"}
_PATCH = {"Content-Type": "application/merge-patch+json"}
# Rows of a page, and of how many of them each writer has a part.
_ROWS, _WRITERS = 500, 4
_PAGES, _PAINTS = 15, 10
# A browser that had all it could do is behind by some of it: 3 s at most were seen.
_CAUGHT_UP_SECONDS = 15.0
# Caches fill and code is compiled in the first seconds; what grows afterwards goes on growing.
_WARM_SHARE = 0.2
# The first frame after the document was parsed, scripts or not, has been drawn by then, with all of its rows.
_PAINTED = """
  document.addEventListener("readystatechange", () => requestAnimationFrame(() => requestAnimationFrame(() => {
    window.painted ??= performance.now();
  })), { once: true });
"""
_LONG_TASKS = """
  window.long = [];
  new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask" });
"""
_LIVE = "document.querySelector('#connection').dataset.state === 'live'"
_ROW = "({ cells }) => cells[2].innerText + cells[3].innerText"
_TEXT = f"Array.from(document.querySelectorAll('#objects tbody tr'), {_ROW})"


@dataclass(slots=True)
class Run:
    """Where, how long and how many changes a second."""

    cores: Cores
    folder: Path
    objects: int
    seconds: float
    rate: float = 200.0
    rows: list[Row] = field(default_factory=list)
    say: Callable[[str], None] = print

    def row(self, row: Row) -> None:
        self.rows.append(row)
        self.say(f"  {row.name}: {row.value:,.2f} {row.unit}" + (f"  ({row.note})" if row.note else ""))

    @property
    def whole(self) -> bool:
        """Whether it is large and long enough for the goals to mean something."""
        return self.objects >= 10_000 and self.seconds >= 60


def measure(run: Run) -> None:
    """All rows."""
    with (
        upstream(run.objects, OBJECT_BYTES, cores=run.cores, folder=run.folder) as server,
        mirror(server, cores=run.cores, folder=run.folder) as served,
    ):
        _first_bytes(run, server, served)
        served.process.move(run.cores.others)
        with _chromium(run) as browser:
            _paint(run, browser, served)
            _changes(run, browser, server, served)


@contextmanager
def _chromium(run: Run) -> Iterator[Browser]:
    with starting_on(run.cores.measured | run.cores.others), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium-headless-shell"), args=_FLAGS)
        yield browser
        browser.close()


# -- the first byte ----------------------------------------------------------------------------------------------


def _first_bytes(run: Run, server: Upstream, served: Mirror) -> None:
    """Of a page that was never made before, and of one that was."""
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    writer = _Writer(server, [_shown(served)[0]])
    again, anew, size = [], [], 0
    for _ in range(_PAGES):
        version = writer.write()
        while int(_ask(connection, f"{_PATH}?output=name&limit=1")[1]) < version:
            time.sleep(0.002)
        seconds, _, size = _ask(connection, _PATH)
        anew.append(seconds * 1000)
        again.append(min(_ask(connection, _PATH)[0] for _ in range(5)) * 1000)
    connection.close()
    run.row(
        Row(
            f"page of {_ROWS} rows of {run.objects:,}, made anew: first byte",
            statistics.median(anew),
            "ms",
            goal=30.0 if run.whole else None,
            note=f"{size / 1000:.1f} kB as sent; the worst of {_PAGES}, each after a change: {max(anew):.1f}",
        )
    )
    run.row(Row("the same page at the same version: first byte", statistics.median(again), "ms", note="from bytes"))


def _ask(connection: http.client.HTTPConnection, path: str) -> tuple[float, str, int]:
    """Seconds until the first byte, the resourceVersion that it was made of, and its size."""
    start = time.perf_counter()
    connection.request("GET", path, headers=_BROWSER)
    answer = connection.getresponse()
    first = time.perf_counter() - start
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered {answer.status} {body[:200]!r}")
    return first, answer.headers["kubemirror-resource-version"], len(body)


# -- in the browser ----------------------------------------------------------------------------------------------


def _paint(run: Run, browser: Browser, served: Mirror) -> None:
    painted = []
    for _ in range(_PAINTS):
        context = browser.new_context()  # with an empty cache
        page = context.new_page()
        page.add_init_script(_PAINTED)
        page.goto(served.url + _PATH)
        _until(page, "window.painted")
        painted.append(float(page.evaluate("painted")))
        context.close()
    run.row(
        Row(
            f"{_ROWS} rows painted, from the click on, nothing cached",
            statistics.median(painted),
            "ms",
            goal=200.0 if run.whole else None,
            note=f"until the frame after the one that shows them all; the worst of {_PAINTS}: {max(painted):.0f}",
        )
    )


def _changes(run: Run, browser: Browser, server: Upstream, served: Mirror) -> None:
    page = browser.new_page()
    page.add_init_script(_LONG_TASKS)
    page.goto(served.url + _PATH)
    _until(page, _LIVE)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    devtools.send("HeapProfiler.enable")
    page.wait_for_timeout(1000)
    page.evaluate("long.length = 0")  # loading is the row above
    with _writing(run, server, _shown(served)) as written:
        page.wait_for_timeout(1000 * run.seconds * _WARM_SHARE)
        before, at, count = _metrics(devtools), time.perf_counter(), written()
        page.wait_for_timeout(1000 * run.seconds * (1 - _WARM_SHARE))
        after, until, counted = _metrics(devtools), time.perf_counter(), written()
    long = [float(each) for each in page.evaluate("long")]
    rate, lasted = (counted - count) / (until - at), until - at
    _equal(page)
    what = f"{rate:,.0f} changes/s"
    run.row(
        Row(
            f"{what} for {run.seconds:.0f} s: tasks above 50 ms",
            len(long),
            "",
            goal=0.0 if run.whole else None,
            note=f"the longest: {max(long):.0f} ms" if long else "rows are equal to the server's at the end",
        )
    )
    for name, unit, divisor, key, goal in (
        ("JavaScript heap grows by", "MB", MB, "JSHeapUsedSize", 1.0),
        ("DOM nodes grow by", "", 1, "Nodes", 500.0),
    ):
        grown = (after[key] - before[key]) / divisor
        note = f"after {lasted:.0f} s, garbage collected; {after[key] / divisor:,.1f} in all"
        run.row(Row(f"{what}: {name}", grown, unit, goal=goal if run.whole else None, note=note))
    busy = (after["TaskDuration"] - before["TaskDuration"]) / lasted
    script = (after["ScriptDuration"] - before["ScriptDuration"]) / lasted
    run.row(Row(f"{what}: main thread is busy", 100 * busy, "%", note=f"scripts {script:.0%}"))


def _until(page: Page, condition: str) -> None:
    """A closure: what Playwright waits with is evaluated as text, which the pages' policy forbids."""
    page.evaluate(
        f"new Promise((done) => {{ const look = () => ({condition}) ? done() : setTimeout(look, 20); look(); }})"
    )


def _metrics(devtools: CDPSession) -> dict[str, float]:
    devtools.send("HeapProfiler.collectGarbage")
    told: list[dict[str, Any]] = devtools.send("Performance.getMetrics")["metrics"]
    return {each["name"]: float(each["value"]) for each in told}


def _equal(page: Page) -> None:
    """RuntimeError where what was drawn change by change does not become what the server makes of it."""
    browser = page.context.browser
    assert browser is not None, "it was launched, not connected to"
    fresh = browser.new_page()
    fresh.goto(page.url)
    _until(fresh, _LIVE)
    meant, ends = fresh.evaluate(_TEXT), time.monotonic() + _CAUGHT_UP_SECONDS
    while page.evaluate(_TEXT) != meant:
        if time.monotonic() > ends:
            raise RuntimeError("after all those changes the page shows something else than the server does")
        page.wait_for_timeout(100)


# -- writers -----------------------------------------------------------------------------------------------------


def _shown(served: Mirror) -> list[tuple[str, str]]:
    """(namespace, name) of the rows of the first page."""
    told = json.loads(served.get(f"{_PATH}?output=json&as=row&limit={_ROWS}"))
    return [(row["metadata"]["namespace"], row["metadata"]["name"]) for row in told["rows"]]


class _Writer:
    """Scales Deployments, one after the other, over one connection."""

    def __init__(self, server: Upstream, names: list[tuple[str, str]]) -> None:
        self._connection = server.connect()
        self._headers = {"Authorization": f"Bearer {server.token}", **_PATCH}
        self._names = names
        self.written = 0

    def write(self) -> int:
        """The resourceVersion of the next change."""
        namespace, name = self._names[self.written % len(self._names)]
        self.written += 1
        body = json.dumps({"spec": {"replicas": 1 + self.written % 7}})
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        self._connection.request("PATCH", path, body, self._headers)
        answer = self._connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"a write was answered {told}")
        return int(told["metadata"]["resourceVersion"])


@contextmanager
def _writing(run: Run, server: Upstream, names: list[tuple[str, str]]) -> Iterator[Callable[[], int]]:
    """So many changes a second, until the block ends; gives how many there were so far."""
    writers = [_Writer(server, names[number::_WRITERS]) for number in range(_WRITERS)]
    over = threading.Event()
    failed: list[BaseException] = []

    def write(writer: _Writer) -> None:
        start, pause = time.perf_counter(), _WRITERS / run.rate
        try:
            while not over.wait(max(0.0, start + writer.written * pause - time.perf_counter())):
                writer.write()
        except BaseException as error:  # told where the block ends
            failed.append(error)
            raise

    threads = [threading.Thread(target=write, args=[writer], name="writer") for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(writer.written for writer in writers)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
