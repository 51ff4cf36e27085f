"""A page and all that it loads is small on the wire: compressed where that is taken, and asked for once."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from bs4 import BeautifulSoup

from tests.serve.live import running
from tests.serve.world import Store, World

BROWSER = {"accept": "text/html,*/*;q=0.8"}
# The whole first view of a thousand objects, as the wire carries it.
MOST_BYTES = 60_000


@pytest.fixture(autouse=True)
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        *(
            store.object(
                7 + number, f"service-{number * 7919 % 1000:03}", f"team-{number % 40}", uid=f"9b1d44e0-{number:012}"
            )
            for number in range(1000)
        )
    )
    return store


@pytest.fixture
async def client(world: World, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """On a socket, where what was answered before is given again by the fast lane."""
    async with running(world) as live, httpx.AsyncClient(base_url=live.url) as client:
        yield client


async def wired(client: httpx.AsyncClient, path: str, encoding: str = "gzip") -> tuple[httpx.Response, bytes]:
    """An answer, and its body as it was sent."""
    async with client.stream("GET", path, headers={**BROWSER, "accept-encoding": encoding}) as answer:
        return answer, b"".join([piece async for piece in answer.aiter_raw()])


async def test_the_first_page_of_a_thousand_objects_is_small(client: httpx.AsyncClient) -> None:
    _, page = await wired(client, "/resources/deploy")
    text = gzip.decompress(page).decode()
    soup = BeautifulSoup(text, "html.parser")
    assert len(soup.select("tbody tr")) == 500
    paths = {str(each.get("src") or each.get("href")) for each in soup.select("script, link, img")}
    folder = next(path for path in paths if path.endswith("/style.css")).removesuffix("style.css")
    names = [
        "live.js",
        "ages.js",
        "cells.js",
        "morph.js",
        "order.js",
        "rows.js",
        "watch.js",
        "widths.js",
    ]  # one imports the others
    sizes = {path: len((await wired(client, path))[1]) for path in {*paths, *(folder + name for name in names)}}

    assert len(page) + sum(sizes.values()) < MOST_BYTES, sizes


async def test_who_does_not_take_gzip_gets_none(client: httpx.AsyncClient) -> None:
    await wired(client, "/resources/deploy")
    for encoding in ("identity", "gzip;q=0", "br"):
        answer, page = await wired(client, "/resources/deploy", encoding)

        assert "content-encoding" not in answer.headers
        assert page.startswith(b"<!doctype html>")
        assert "accept-encoding" in answer.headers["vary"]


async def test_it_is_the_same_page(client: httpx.AsyncClient) -> None:
    zipped, small = await wired(client, "/resources/deploy")
    kept, same = await wired(client, "/resources/deploy")
    plain, whole = await wired(client, "/resources/deploy", "identity")
    again = await client.get(
        "/resources/deploy", headers={**BROWSER, "accept-encoding": "gzip", "if-none-match": zipped.headers["etag"]}
    )

    assert gzip.decompress(small) == whole
    assert (same, kept.headers["content-encoding"]) == (small, "gzip")
    assert int(zipped.headers["content-length"]) == len(small)
    assert zipped.headers["etag"] == plain.headers["etag"]
    assert (again.status_code, again.content) == (304, b"")


async def test_forms_for_programs_are_as_they_are(client: httpx.AsyncClient) -> None:
    answer, body = await wired(client, "/resources/deploy?output=csv")

    assert "content-encoding" not in answer.headers
    assert body.startswith(b"Namespace,Name")
