"""A list page that push tells of its rows: what it shows is what the server would render, without asking it again."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from kubemirror.serve import sharing
from kubemirror.state.events import Phase
from tests.browser.chromium import LIVE, ROWS, TABLE, hide, ready, until
from tests.reader.wire import Wire
from tests.serve.world import Store

COUNT = "document.querySelector('#count').innerText"
GONE = "document.querySelector('[data-uid=uid-blue-api]') === null"
# What is drawn, with its classes and attributes; but for what the server's rows are placed by, and for ages.
BODY = (
    "document.querySelector('#objects tbody').innerHTML"
    ".replace(/\\s*(<\\/?t[rdh])/g, '$1').replace(/ data-order=[^ ]*\\]\"/g, '')"
    ".replace(/(data-since=[^>]*>)[^<]*/g, '$1').trim()"
)


async def opened(page: Page, wire: Wire, query: str = "") -> None:
    await page.goto(f"{wire.url}/resources/deploy{query}")
    await until(page, LIVE)


async def test_rows_come_change_and_go_where_they_belong_and_are_counted(
    page: Page, wire: Wire, store: Store, complaints: list[str]
) -> None:
    requests: list[str] = []
    await opened(page, wire)
    page.on("request", lambda request: requests.append(request.url))
    store.apply(101, "web", "blue", cells=["web", "2/3", "3d", "team/web:1.1"])
    store.apply(102, "middle", "blue", cells=["middle", "1/1", "3d", "team/web:1.1"])
    store.apply(103, "first", "amber", cells=["first", "1/1", "3d", "team/web:1.1"])
    store.delete(104, "api", "blue")
    await until(page, f"{COUNT} == '3' && {ready('web', '2/3')} && {GONE}")

    assert await page.evaluate(ROWS) == [
        ["amber", "first", "1/1"],
        ["blue", "middle", "1/1"],
        ["blue", "web", "2/3"],
    ]
    assert requests == []
    assert complaints == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?sort=-Ready",
        "?sort=Version,-Name",
        "?columns=Name,Ready,labels.app,.metadata.annotations.home",
        "?wide=true",
        "?sort=Image",
        "?columns=*,labels.app,.metadata.annotations.home",
        "?columns=%22a,b%22=Images,*&sort=-%22a,b%22,-Name&wide=true",
    ],
)
async def test_what_is_drawn_here_is_what_the_server_draws(page: Page, wire: Wire, store: Store, query: str) -> None:
    await opened(page, wire, query)
    store.apply(
        101, "web", "blue", labels={"app": "x"}, cells=["web", "2/3", "3d", "team/web:1.1"], image="w:1.1",
        annotations={"home": "https://example.com/a?b=<c>"},
    )  # fmt: skip
    store.apply(
        102, "zero", "blue", cells=["zero", "0/0", "3d", "w:2"], image="w:2", status={"observedGeneration": 1},
        annotations={"home": "https://example.com/a?b=c&d"}, labels={"app": "\u202eevil"},
    )  # fmt: skip
    store.apply(103, "evil", "blue", cells=["evil", "0/2", "3d", "w"], annotations={"home": "javascript:alert(1)"})
    store.delete(104, "api", "blue")
    await until(page, f"{COUNT} == '3' && {TABLE}.length == 3 && {GONE}")
    drawn = await page.evaluate(BODY)
    await page.reload()
    await until(page, LIVE)

    assert await page.evaluate(BODY) == drawn


async def test_where_the_reader_is_stays(page: Page, wire: Wire, store: Store) -> None:
    for number in range(200):
        store.apply(101 + number, f"app-{number:03}", "blue", cells=[f"app-{number:03}", "1/1", "3d", "a:1"])
    await opened(page, wire)
    await page.evaluate("document.querySelectorAll('#objects tbody th a')[150].focus()")
    scrolled = await page.evaluate("scrollY")
    name = await page.evaluate("document.activeElement.innerText")
    store.apply(401, name, "blue", cells=[name, "0/1", "3d", "a:1"])
    store.apply(402, "web", "blue", cells=["web", "5/5", "3d", "a:1"])
    await until(page, f"{ready('web', '5/5')} && {ready(name, '0/1')}")

    assert scrolled > 0
    assert await page.evaluate("[document.activeElement.innerText, scrollY]") == [name, scrolled]
    store.delete(403, name, "blue")
    await until(page, f"{COUNT} == '201'")
    assert await page.evaluate("document.activeElement.localName") == "a"


async def test_a_row_that_is_sorted_by_what_changes_moves(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire, "?sort=-Ready")
    store.apply(101, "api", "blue", cells=["api", "9/9", "3d", "team/api:1.0"])
    await until(page, f"{ROWS}[0].join() == 'blue,api,9/9'")
    store.apply(102, "web", "blue", cells=["web", "12/12", "3d", "team/web:1.0"])
    await until(page, f"{ROWS}[0].join() == 'blue,web,12/12'")


async def test_who_leaves_what_is_searched_for_leaves_the_page(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire, "?filter=Ready<1")
    assert await page.evaluate(COUNT) == "0"
    store.apply(101, "web", "blue", cells=["web", "1/2", "3d", "team/web:1.0"])
    store.apply(102, "api", "blue", cells=["api", "0/2", "3d", "team/web:1.0"])
    await until(page, f"{COUNT} == '2' && {TABLE}.length == 2")
    store.apply(103, "web", "blue", cells=["web", "2/2", "3d", "team/web:1.0"])
    await until(page, f"{COUNT} == '1' && {TABLE}.length == 1")


async def test_of_more_than_a_page_what_is_shown_stays_live_and_full(page: Page, wire: Wire, store: Store) -> None:
    for number in range(6):
        store.apply(101 + number, f"more-{number}", "blue", cells=[f"more-{number}", "1/1", "3d", "a:1"])
    await opened(page, wire, "?limit=4")
    assert await page.evaluate(f"{ROWS}.map((row) => row[1])") == ["api", "more-0", "more-1", "more-2"]
    store.delete(201, "more-0", "blue")
    store.apply(202, "more-5", "blue", cells=["more-5", "2/2", "3d", "a:1"])  # beyond the page
    await until(page, f"{COUNT} == '7' && {TABLE}.length == 4")
    assert await page.evaluate(f"{ROWS}.map((row) => row[1])") == ["api", "more-1", "more-2", "more-3"]
    store.apply(203, "aaa", "blue", cells=["aaa", "1/1", "3d", "a:1"])
    await until(page, f"{COUNT} == '8' && {ROWS}[0][1] == 'aaa'")
    assert await page.evaluate(f"{ROWS}.map((row) => row[1])") == ["aaa", "api", "more-1", "more-2"]


async def test_a_later_page_stays_true_too(page: Page, wire: Wire, store: Store) -> None:
    for number in range(6):
        store.apply(101 + number, f"more-{number}", "blue", cells=[f"more-{number}", "1/1", "3d", "a:1"])
    await opened(page, wire, "?limit=4")
    await page.click("a[rel=next]")
    await until(page, LIVE)
    assert await page.evaluate(f"{ROWS}.map((row) => row[1])") == ["more-3", "more-4", "more-5", "web"]
    store.apply(201, "more-4", "blue", cells=["more-4", "0/3", "3d", "a:1"])
    await until(page, ready("more-4", "0/3"))
    store.delete(202, "web", "blue")
    await until(page, f"{COUNT} == '7' && {TABLE}.length == 3")


async def test_a_list_that_empties_says_so_and_fills_again(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire)
    store.delete(101, "api", "blue")
    store.delete(102, "web", "blue")
    await until(page, "document.querySelector('#objects .none') !== null")
    store.apply(103, "new", "blue", cells=["new", "1/1", "3d", "a:1"])
    await until(page, f"{ready('new', '1/1')} && document.querySelector('#objects .none') === null")


async def test_ages_go_on_by_themselves(page: Page, wire: Wire, store: Store) -> None:
    store.apply(101, "young", "blue", created="2026-01-02T03:04:05Z", cells=["young", "1/1", "3d", "a:1"])
    await page.clock.install()
    await opened(page, wire)
    age = f"{TABLE}[1].querySelector('[data-since]').innerText"
    before = await page.evaluate(age)
    await page.clock.fast_forward(3 * 24 * 3600 * 1000)
    await page.clock.run_for(1000)  # each age goes on once a second, in parts
    after = await page.evaluate(age)

    assert before.endswith("d")
    assert int(after.removesuffix("d")) == int(before.removesuffix("d")) + 3


async def test_many_ages_go_on_in_parts_and_all_of_them_within_a_second(page: Page, wire: Wire, store: Store) -> None:
    for number in range(300):
        name = f"app-{number:03}"
        store.apply(101 + number, name, "blue", created="2026-01-02T03:04:05Z", cells=[name, "1/1", "3d", "a:1"])
    await page.clock.install()
    await opened(page, wire)
    ages = "[...document.querySelectorAll('#objects tr[data-uid^=uid-blue-app] td[data-since]:not([data-before])')]"
    alike = f"new Set({ages}.map((cell) => cell.innerText)).size"
    assert await page.evaluate(alike) == 1
    await page.clock.fast_forward(3 * 24 * 3600 * 1000)
    among = await page.evaluate(alike)
    await page.clock.run_for(1000)

    assert among == 2
    assert await page.evaluate(alike) == 1
    assert await page.evaluate(f"{ages}.length") >= 300


async def test_a_mirror_that_lost_its_cluster_greys_what_it_shows_and_says_since_when(
    page: Page, wire: Wire, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "HEARTBEAT_SECONDS", 0.5)
    await opened(page, wire)
    store.phase(Phase.STALE, "connection refused")
    banner = "document.querySelector('#freshness')"
    await until(page, f"!{banner}.hidden && {banner}.innerText.includes('connection refused')")

    assert await page.evaluate("document.querySelector('#objects').classList.contains('stale')")
    assert (await page.evaluate(f"{banner}.innerText")).startswith("STALE for ")
    store.phase(Phase.SYNCED)
    await until(page, f"{banner}.hidden && !document.querySelector('#objects').classList.contains('stale')")


async def test_changes_are_announced_in_batches(page: Page, wire: Wire, store: Store) -> None:
    await page.clock.install()
    await opened(page, wire)
    for number in range(5):
        store.apply(101 + number, "web", "blue", cells=["web", f"{number}/9", "3d", "a:1"])
    await until_shown(page, ready("web", "4/9"))
    await page.clock.run_for(10_000)

    assert await page.evaluate("document.querySelector('#announcements').innerText") == "5 changes, 2 in all"


async def until_shown(page: Page, condition: str) -> None:
    """Wait where the page's clock stands still."""
    for _ in range(300):
        if await page.evaluate(condition):
            return
        await page.clock.run_for(20)
    raise AssertionError(condition)


async def test_a_tab_that_was_hidden_is_right_when_it_is_seen(page: Page, wire: Wire, store: Store) -> None:
    await opened(page, wire)
    await hide(page, True)
    store.delete(101, "api", "blue")
    store.apply(102, "new", "blue", cells=["new", "1/1", "3d", "a:1"])
    await hide(page, False)
    await until(page, f"{COUNT} == '2' && {ready('new', '1/1')}")

    assert await page.evaluate(f"{ROWS}.map((row) => row[1])") == ["new", "web"]


async def test_who_prefers_no_motion_sees_none(page: Page, wire: Wire, store: Store) -> None:
    await page.emulate_media(reduced_motion="reduce")
    await opened(page, wire)
    store.apply(101, "web", "blue", cells=["web", "2/3", "3d", "team/web:1.1"])
    await until(page, ready("web", "2/3"))
    assert await page.evaluate("document.getAnimations().length") == 0

    await page.emulate_media(reduced_motion="no-preference")
    store.apply(102, "web", "blue", cells=["web", "3/3", "3d", "team/web:1.1"])
    await until(page, ready("web", "3/3"))
    assert await page.evaluate("document.getAnimations().length") > 0
