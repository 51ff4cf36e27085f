"""watch.js in a real Chromium: what portals import. Both transports tell the same, once, and say how fresh it is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page

from kubemirror.state.events import Phase
from tests.browser.chromium import hide, until, until_nobody_reads
from tests.reader.wire import Wire
from tests.serve.live import running
from tests.serve.world import Store, World
from tests.ship.repository import ROOT, close_codes

SNAPSHOT = [["ADDED", "api"], ["ADDED", "web"]]


@pytest.fixture(params=["websocket", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


async def follow(page: Page, wire: Wire, query: str = "as=key", **options: Any) -> None:
    """Import the module on a page of the mirror, and keep what it tells."""
    await imported(page, wire)
    await begin(page, query, **options)


async def imported(page: Page, wire: Wire) -> None:
    await page.goto(f"{wire.url}/-/docs")
    await page.evaluate("import('/-/static/any/watch.js').then(({ watch }) => { window.watch = watch; })")


async def begin(page: Page, query: str = "as=key", **options: Any) -> None:
    await page.evaluate(
        """(() => {
          Object.assign(window, { told: [], batches: [], states: [] });
          window.watching = watch("/watch?resource=deployments&QUERY", {
            events(list) {
              batches.push(list.length);
              for (const frame of list) told.push([frame.type, frame.object.metadata?.name ?? ""]);
            },
            state(state) { states.push(state); },
            ...OPTIONS,
          });
        })()""".replace("QUERY", query).replace("OPTIONS", json.dumps(options))
    )


async def told(page: Page, count: int) -> Any:
    await until(page, f"told.length >= {count}")
    return await page.evaluate("told.splice(0)")


async def test_it_tells_what_is_there_and_what_comes(page: Page, wire: Wire, store: Store, transport: str) -> None:
    await follow(page, wire, transport=transport)
    snapshot = await told(page, 2)
    store.apply(101, "web", "blue")
    store.delete(102, "api", "blue")
    changes = await told(page, 2)

    assert sorted(snapshot) == SNAPSHOT
    assert changes == [["MODIFIED", "web"], ["DELETED", "api"]]
    assert await page.evaluate("watching.cursor") == "102"
    assert await page.evaluate("states") == ["live"]


async def test_after_a_cut_it_goes_on_where_it_was(page: Page, wire: Wire, store: Store, transport: str) -> None:
    await follow(page, wire, transport=transport)
    await told(page, 2)
    store.apply(101, "web", "blue")
    await told(page, 1)
    wire.closed = True
    wire.cut()
    await until(page, "states.at(-1) == 'lost'")
    store.apply(102, "api", "blue")
    wire.closed = False
    changes = await told(page, 1)
    store.apply(103, "web", "blue")
    later = await told(page, 1)

    assert (changes, later) == ([["MODIFIED", "api"]], [["MODIFIED", "web"]])
    assert "resourceVersion=101" in wire.asked[-1]
    assert await page.evaluate("states") == ["live", "lost", "live"]


async def test_a_cursor_that_is_too_old_is_a_reset_and_a_snapshot(
    page: Page, wire: Wire, store: Store, transport: str
) -> None:
    await follow(page, wire, transport=transport)
    await told(page, 2)
    wire.closed = True
    wire.cut()
    await until(page, "states.at(-1) == 'lost'")
    store.delete(101, "api", "blue")
    store.apply(102, "web", "blue")
    store.writer.compact(102)
    wire.closed = False
    heard = await told(page, 2)

    assert heard == [["RESET", ""], ["ADDED", "web"]]


async def test_a_snapshot_that_was_cut_off_is_told_anew_and_not_older(
    page: Page, wire: Wire, store: Store, transport: str
) -> None:
    store.apply(150, "api", "blue")
    store.apply(151, "web", "blue", annotations={"filler": "x" * 100_000})
    await imported(page, wire)
    wire.cut()
    wire.budget = 20_000
    await begin(page, "as=object", transport=transport)
    first = await told(page, 1)
    store.delete(152, "api", "blue")
    wire.budget = None
    anew = await told(page, 2)

    assert first == [["ADDED", "api"]]
    assert anew == [["RESET", ""], ["ADDED", "web"]]
    assert "resourceVersion=150&snapshot=true" in wire.asked[-1]


async def test_a_history_that_began_anew_is_a_reset_and_a_snapshot(
    page: Page, wire: Wire, store: Store, transport: str
) -> None:
    anew = World()
    anew.upstream.newest = 60
    other = anew.mirror()
    other.sync(other.object(5, "web", "blue"), resource_version=60)
    async with running(anew) as second:
        await follow(page, wire, transport=transport)
        await told(page, 2)
        wire.leads_to = int(second.address.rpartition(":")[2])
        wire.cut()
        heard = await told(page, 2)

    assert heard == [["RESET", ""], ["ADDED", "web"]]
    assert await page.evaluate("watching.cursor") == "60"


# A WebSocket whose other end is in the test's hands: each one takes what it was asked for, and ends as it is told.
SCRIPTED = """
  window.asked = [];
  window.WebSocket = class {
    constructor(url) { asked.push(new URL(url).searchParams.get("resourceVersion")); setTimeout(() => this.play()); }
    close() {}
    play() {
      const [cursor, code] = scripts.shift() ?? [];
      if (!cursor) return;
      this.onopen();
      this.onmessage({ data: JSON.stringify({ type: "BOOKMARK", object: {}, resourceVersion: cursor }) });
      if (code === 409) this.onmessage({ data: JSON.stringify({ type: "ERROR", object: { code } }) });
      else this.onclose({ code });
    }
  };
"""


async def test_however_a_connection_is_closed_it_goes_on_with_the_cursor(page: Page, wire: Wire, store: Store) -> None:
    codes = [*close_codes(), 409]  # the last one is an ERROR that ends nothing
    scripts = [[str(100 + number), code] for number, code in enumerate(codes)]
    await imported(page, wire)
    await page.evaluate(f"window.scripts = {json.dumps(scripts)}; Math.random = () => -0.49; {SCRIPTED} undefined")
    options = '{ events() {}, transport: "websocket" }'
    await page.evaluate(f"void (window.watching = watch('/watch?resource=deployments', {options}))")
    await until(page, "scripts.length === 0 && watching.cursor !== null")
    await until(page, f"watching.cursor === '{scripts[-1][0]}'")

    assert await page.evaluate("asked") == [None, *(cursor for cursor, _ in scripts[:-1])]


async def test_silence_counts_as_lost(page: Page, wire: Wire, store: Store, transport: str) -> None:
    await follow(page, wire, transport=transport, silentMs=900)
    await told(page, 2)
    wire.dark = True
    await until(page, "states.includes('lost')")
    store.apply(101, "web", "blue")
    wire.dark = False
    changes = await told(page, 1)

    assert changes == [["MODIFIED", "web"]]


async def test_a_mirror_that_lost_its_cluster_is_stale(page: Page, wire: Wire, store: Store, transport: str) -> None:
    store.phase(Phase.STALE, "connection refused")
    await follow(page, wire, transport=transport)
    await until(page, "states.at(-1) == 'stale'")
    store.phase(Phase.SYNCED)
    wire.cut()
    await until(page, "states.at(-1) == 'live'")


async def test_what_comes_together_is_handed_over_together(
    page: Page, wire: Wire, store: Store, transport: str
) -> None:
    await follow(page, wire, transport=transport)
    await told(page, 2)
    for number in range(400):
        store.apply(101 + number, "web", "blue")
    await until(page, "told.length >= 400")

    assert await page.evaluate("told.length") == 400
    assert await page.evaluate("batches.length") < 100


async def test_a_hidden_tab_has_no_connection(page: Page, wire: Wire, store: Store, transport: str) -> None:
    await follow(page, wire, transport=transport)
    await told(page, 2)
    await hide(page, True)
    await until_nobody_reads(store)
    store.apply(101, "web", "blue")
    await hide(page, False)
    changes = await told(page, 1)

    assert changes == [["MODIFIED", "web"]]
    assert await page.evaluate("states") == ["live", "paused", "live"]


async def test_stopped_it_has_no_connection_any_more(page: Page, wire: Wire, store: Store, transport: str) -> None:
    await follow(page, wire, transport=transport)
    await told(page, 2)
    await page.evaluate("watching.stop()")
    await until_nobody_reads(store)
    connections = len(wire.asked)
    await hide(page, True)
    await hide(page, False)

    assert await page.evaluate("told.length") == 0
    assert len(wire.asked) == connections


async def test_the_documented_recipes_run(page: Page, wire: Wire, store: Store) -> None:
    ours, browsers = re.findall(r"```javascript\n(.*?)```", (ROOT / "docs" / "push.md").read_text(), re.DOTALL)
    await page.goto(f"{wire.url}/-/docs")
    static, _, program = ours.partition("\n")
    imported = re.fullmatch(r'import \{ watch \} from "(.*)";', static)
    assert imported is not None
    await page.evaluate(f"import('{imported[1]}').then(({{ watch }}) => {{ {program} }})")
    await until(page, "document.title == '2 deployments' && document.body.dataset.push == 'live'")
    store.delete(101, "api", "blue")
    await until(page, "document.title == '1 deployments'")
    await page.evaluate(
        "console.log = (frame) => { (window.logged ??= []).push(frame.type) };" + browsers + "; undefined"
    )
    await until(page, "window.logged?.includes('BOOKMARK')")


async def test_where_no_websocket_gets_through_events_do(page: Page, wire: Wire, store: Store) -> None:
    wire.upgrades = False
    await follow(page, wire)
    snapshot = await told(page, 2)
    store.apply(101, "web", "blue")

    assert sorted(snapshot) == SNAPSHOT
    assert await told(page, 1) == [["MODIFIED", "web"]]
