"""Pages are walked by the keyboard: / searches, j and k go from row to row, Enter opens, ? tells so."""

from __future__ import annotations

from playwright.async_api import Page

from tests.browser.chromium import LIVE, until
from tests.browser.judges import violations
from tests.serve.live import Live
from tests.serve.world import Store

FOCUSED = "document.activeElement.innerText"
HELP = "document.querySelector('dialog.help')"


async def opened(page: Page, live: Live) -> None:
    await page.goto(f"{live.url}/resources/deploy")
    await until(page, LIVE)


async def test_j_and_k_walk_the_rows_and_enter_opens_one(page: Page, live: Live) -> None:
    await opened(page, live)
    walked = []
    for key in ("j", "j", "j", "k"):
        await page.keyboard.press(key)
        walked.append(await page.evaluate(FOCUSED))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/resources/deployments.apps/blue/api")

    assert walked == ["api", "web", "web", "api"]


async def test_slash_searches_and_what_is_typed_is_text(page: Page, live: Live) -> None:
    await opened(page, live)
    await page.keyboard.press("/")
    await page.keyboard.type("j?/k")

    assert await page.evaluate("[document.activeElement.name, document.activeElement.value]") == ["q", "j?/k"]
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    assert await page.evaluate(FOCUSED) == "api"


async def test_a_question_mark_shows_the_keys(page: Page, live: Live) -> None:
    await opened(page, live)
    await page.keyboard.press("j")
    await page.keyboard.press("?")
    told = await page.evaluate(f"{HELP}.innerText")
    found = await violations(page)
    await page.keyboard.press("Escape")

    for word in ("search", "next row", "previous row", "open"):
        assert word in told
    assert found == []
    assert await page.evaluate(f"[{HELP}.open, {FOCUSED}]") == [False, "api"]


async def test_a_page_tells_only_the_keys_that_do_something_on_it(page: Page, live: Live, store: Store) -> None:
    store.apply(101, "api", "blue", image="team/api:1")
    told = {}
    for path in ("/-/docs", "/versions"):
        await page.goto(f"{live.url}{path}")
        await page.keyboard.press("?")
        told[path] = await page.evaluate(f"[...{HELP}.querySelectorAll('dt')].map((key) => key.innerText)")
        await page.keyboard.press("Escape")

    assert told == {"/-/docs": ["j", "k", "Enter", "?", "Esc"], "/versions": ["/", "j", "k", "Enter", "?", "Esc"]}


async def test_the_matrix_is_walked_too(page: Page, live: Live, store: Store) -> None:
    store.apply(101, "api", "blue", image="team/api:1")
    await page.goto(f"{live.url}/versions")
    await page.keyboard.press("j")

    assert await page.evaluate("document.activeElement.closest('table.matrix') !== null")


async def test_keys_with_others_held_are_the_browsers(page: Page, live: Live) -> None:
    await opened(page, live)
    await page.keyboard.press("Control+j")
    await page.keyboard.press("Alt+k")

    assert await page.evaluate("document.activeElement.localName") == "body"


async def test_who_comes_by_tab_can_skip_to_the_content(page: Page, live: Live) -> None:
    await opened(page, live)
    await page.keyboard.press("Tab")
    skip = await page.evaluate(
        "[document.activeElement.className, document.activeElement.getBoundingClientRect().x >= 0]"
    )
    await page.keyboard.press("Enter")

    assert skip == ["skip", True]
    assert page.url.endswith("#content")


async def test_a_walk_goes_on_where_rows_go_away(page: Page, live: Live, store: Store) -> None:
    await opened(page, live)
    await page.keyboard.press("j")
    store.delete(101, "api", "blue")
    await until(page, f"{FOCUSED} == 'web'")
