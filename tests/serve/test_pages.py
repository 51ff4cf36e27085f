"""Pages show live state without scripts, link their other forms, and take everything from a cluster as data."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from bs4 import BeautifulSoup

from kubemirror.serve.pages import cell
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Columns, Phase
from tests.serve.conftest import Asking
from tests.serve.world import COLUMNS, DEPLOYMENTS, NODES, Store, World

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe{{7*7}}${7*7}\x1b[2J"


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}, cells=["web", "1/2", "3d", "web:1"]),
        store.object(8, "api", "blue", labels={"app": "api"}, cells=["api", "10/10", "3d", "api:1"]),
        store.object(9, "web", "green", labels={"app": "web"}, cells=["web", "2/2", "3d", "web:2"]),
    )
    return store


async def page_at(client: httpx.AsyncClient, path: str) -> BeautifulSoup:
    answer = await client.get(path, headers=BROWSER)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = BeautifulSoup(answer.text, "html.parser")
    for script in page.find_all("script"):
        assert script["src"].startswith("/-/static/")
        assert script.text == ""
    assert page.find("style") is None
    for element in page.find_all(True):
        inline = [name for name in element.attrs if name.startswith("on") or name == "style"]
        assert inline == []
    return page


def table_of(page: BeautifulSoup) -> list[list[str]]:
    return [[each.text.strip() for each in row.find_all(["th", "td"])] for row in page.select("tbody tr")]


def cells_of(page: BeautifulSoup, *titles: str) -> list[list[str]]:
    """The cells under these titles, row by row."""
    shown = [each.text.strip() for each in page.select("thead th")]
    return [[row[shown.index(title)] for title in titles] for row in table_of(page)]


async def test_the_overview_tells_what_is_mirrored_and_how_fresh(
    world: World, store: Store, client: httpx.AsyncClient
) -> None:
    world.mirror(NODES).phase(Phase.FORBIDDEN, "cannot list nodes")
    page = await page_at(client, "/")

    rows = {row[0].split()[0]: row for row in table_of(page)}
    assert rows["Deployment"][2:4] == ["3", "SYNCED"]
    assert rows["Node"][3] == "FORBIDDEN cannot list nodes"
    assert "nodes" in page.select_one(".banner").text  # type: ignore[union-attr]


async def test_curl_reads_the_overview_as_text(store: Store, client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"user-agent": "curl/8.5", "accept": "*/*"})

    assert answer.text.splitlines()[1].split()[:3] == ["deployments.apps", "3", "SYNCED"]


async def test_a_resource_is_a_table_of_what_kubectl_would_print(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy")
    first, *titles = [each.text.strip() for each in page.select("thead th")]

    assert first == "Health"
    assert titles == ["Namespace", "Name", "Ready", "Version", "Age", "Last Change"]
    assert cells_of(page, "Namespace", "Name", "Ready") == [
        ["blue", "api", "10/10"],
        ["blue", "web", "1/2"],
        ["green", "web", "2/2"],
    ]
    assert page.select_one("tbody th a")["href"] == "/resources/deployments.apps/blue/api"  # type: ignore[index]
    assert page.select_one("#count").text == "3"  # type: ignore[union-attr]
    assert page.select_one("#counted").text == "deployments: 3"  # type: ignore[union-attr]


async def test_a_page_watches_from_where_it_was_made(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy?namespace=blue&labelSelector=app%3Dweb")

    table = page.select_one("table[data-watch]")
    assert table is not None
    watched = urlsplit(str(table["data-watch"]))
    assert watched.path == "/watch"
    assert parse_qs(watched.query) == {
        "resource": ["deployments.apps"],
        "as": ["row"],
        "columns": ["Health,Name,Ready,Version,Age,Last Change"],
        "namespace": ["blue"],
        "labelSelector": ["app=web"],
    }
    assert table["data-cursor"] == "100"
    assert cells_of(page, "Name") == [["web"]]


async def test_a_stale_store_has_a_banner(store: Store, client: httpx.AsyncClient) -> None:
    fresh = await page_at(client, "/resources/deploy")
    store.phase(Phase.STALE, "connection refused")
    stale = await page_at(client, "/resources/deploy")

    assert fresh.select_one("#freshness").has_attr("hidden")  # type: ignore[union-attr]
    banner = stale.select_one("#freshness")
    assert banner is not None
    assert not banner.has_attr("hidden")
    assert "STALE" in banner.text
    assert "connection refused" in banner.text


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("is the API server running there?", "is the API server running there? What you see may be out of date."),
        ("connection refused", "connection refused. What you see may be out of date."),
        ("", "STALE. What you see may be out of date."),
    ],
)
async def test_a_banner_ends_its_sentences_once(
    store: Store, client: httpx.AsyncClient, reason: str, said: str
) -> None:
    store.phase(Phase.STALE, reason)
    pages = [await page_at(client, path) for path in ("/resources/deploy", "/resources/deploy/blue/web", "/versions")]
    banners = [" ".join(page.select_one("#freshness").text.split()) for page in pages]  # type: ignore[union-attr]

    assert [said in banner.replace(" for 0s", "") for banner in banners] == [True] * 3, banners


async def test_searching_sorting_and_paging_are_in_the_address(store: Store, client: httpx.AsyncClient) -> None:
    searched = await page_at(client, "/resources/deploy?q=GREEN")
    sorted_ = await page_at(client, "/resources/deploy?sort=-Ready")
    first = await page_at(client, "/resources/deploy?limit=2")
    following = first.select_one("a[rel=next]")
    assert following is not None
    second = await page_at(client, str(following["href"]))

    assert cells_of(searched, "Namespace") == [["green"]]
    assert cells_of(sorted_, "Ready") == [["10/10"], ["2/2"], ["1/2"]]
    assert sorted_.select_one("th[aria-sort=descending]").text.strip() == "Ready"  # type: ignore[union-attr]
    assert [row for page in (first, second) for row in cells_of(page, "Namespace", "Name")] == [
        ["blue", "api"],
        ["blue", "web"],
        ["green", "web"],
    ]
    assert second.select_one("a[rel=next]") is None


async def test_a_form_sent_with_empty_fields_asks_for_everything(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy?namespace=&labelSelector=&q=")
    versions = await client.get("/versions?namespace=")

    assert cells_of(page, "Name") == [["api"], ["web"], ["web"]]
    assert len(versions.json()) == 3


async def test_the_form_keeps_what_it_does_not_ask_for(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy?wide=true&sort=-Ready&q=web")

    hidden = {str(each["name"]): str(each["value"]) for each in page.select("form input[type=hidden]")}
    assert hidden == {"sort": "-Ready", "wide": "true"}
    assert page.select_one("form a.clear")["href"] == "/resources/deployments.apps"  # type: ignore[index]


async def test_a_page_shows_all_columns_when_asked(store: Store, client: httpx.AsyncClient) -> None:
    narrow = await page_at(client, "/resources/deploy")
    link = narrow.select_one("caption a")
    assert link is not None
    wide = await page_at(client, str(link["href"]))
    back = wide.select_one("caption a")
    assert back is not None

    assert [each.text.strip() for each in wide.select("thead th")][-1] == "Images"
    assert [row[-1] for row in table_of(wide)] == ["api:1", "web:1", "web:2"]
    assert back["href"] == "/resources/deploy"
    assert "-o wide" in wide.select_one("pre.shell").text  # type: ignore[union-attr]


async def test_a_namespace_leads_to_its_part_of_the_table(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy?sort=Name")
    link = page.select_one("tbody td a")
    assert link is not None

    assert link["href"] == "/resources/deploy?sort=Name&namespace=blue"
    assert cells_of(await page_at(client, str(link["href"])), "Name") == [["api"], ["web"]]


async def test_what_is_not_ready_stands_out(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy")

    assert [each.text.strip() for each in page.select("[data-tone=warn]")] == ["1/2"]
    assert page.select("[data-tone=bad]") == []


async def test_an_unknown_resource_links_what_was_perhaps_meant(store: Store, client: httpx.AsyncClient) -> None:
    answer = await client.get("/resources/deploymnts", headers=BROWSER)
    link = BeautifulSoup(answer.text, "html.parser").select_one("main a")

    assert answer.status_code == 404
    assert link is not None
    assert link["href"] == "/resources/deployments"


@pytest.mark.parametrize("path", ["/resources/deploy", "/resources/deploy/default/web"])
async def test_a_page_asked_for_again_later_tells_the_ages_of_now(asking: Asking, path: str) -> None:
    now = [1_800_000_000.0]
    world = World(wall=lambda: now[0], clock=lambda: now[0])
    store = world.mirror()
    store.sync(store.object(7, "web"))
    first = await asking(world).get(path, headers=BROWSER)
    same = await asking(world).get(path, headers={**BROWSER, "if-none-match": first.headers["etag"]})
    now[0] += 100 * 86400
    later = await asking(world).get(path, headers={**BROWSER, "if-none-match": first.headers["etag"]})

    assert (same.status_code, later.status_code) == (304, 200)
    assert later.text != first.text


async def test_a_page_goes_on_after_its_last_row_when_others_came_and_went(
    store: Store, client: httpx.AsyncClient
) -> None:
    first = await client.get("/resources/deploy?limit=2&output=name")
    store.apply(101, "aaa", "blue")
    token = parse_qs(urlsplit(first.headers["link"].partition(">")[0].lstrip("<")).query)["continue"][0]
    second = await client.get("/resources/deploy", params={"limit": 2, "output": "json", "continue": token})

    assert [(each["metadata"]["namespace"]) for each in second.json()["items"]] == ["green"]


async def test_an_object_is_facts_labels_and_yaml(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deployments/blue/web")

    assert page.select_one("h1").text == "web"  # type: ignore[union-attr]
    facts = {each.dt.text: each.dd.text for each in page.select(".facts div")}  # type: ignore[union-attr]
    assert facts["Ready"] == "1/2"
    assert page.select_one(".labels a")["href"].endswith("?labelSelector=app%3Dweb")  # type: ignore[index, union-attr]
    assert "kind: Deployment" in page.select_one("pre.yaml").text  # type: ignore[union-attr]
    assert page.select_one("#L1") is not None


async def test_a_cluster_scoped_object_has_no_namespace_in_its_path(world: World, client: httpx.AsyncClient) -> None:
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""))

    page = await page_at(client, "/resources/nodes/node-1")

    assert page.select_one("h1").text == "node-1"  # type: ignore[union-attr]
    assert (await client.get("/resources/nodes/x/node-1")).status_code == 404


async def test_every_page_links_its_other_forms_and_they_answer(store: Store, client: httpx.AsyncClient) -> None:
    for path in ("/resources/deploy?namespace=blue", "/resources/deployments/blue/web"):
        page = await page_at(client, path)
        links = [str(each["href"]) for each in page.select(".forms a")]
        answers = [await client.get(link) for link in links]

        assert len(links) == 12
        assert [answer.status_code for answer in answers] == [200] * 12
        assert all("web" in answer.text for answer in answers)


async def test_static_files_may_be_kept_for_ever_under_their_digest(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy")
    links = [page.select_one("link[rel=stylesheet]")["href"], page.select_one("script")["src"]]  # type: ignore[index]

    for link in map(str, links):
        answer = await client.get(link)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await client.get("/-/static/x/style.css")).headers["cache-control"] == "no-cache"
    assert (await client.get("/-/static/x/..%2ftemplates%2fbase.html")).status_code == 400


async def test_the_docs_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/-/docs")
    elsewhere = [each for each in page.find_all(["link", "script", "img"]) if "//" in str(each)]
    contract = (await client.get("/-/openapi.json")).json()

    assert elsewhere == []
    assert {"/versions", "/watch", "/resources/{resource}", "/-/status"} <= set(contract["paths"])
    assert set(contract["paths"]) == {each.text for each in page.select("h2 code")}
    assert "HTTPValidationError" not in str(contract)  # errors are Status objects


@pytest.mark.parametrize("path", ["/", "/resources/deploy", "/resources/deploy/evil/web", "/versions", "/-/status"])
async def test_hostile_data_is_data_on_every_page(world: World, client: httpx.AsyncClient, path: str) -> None:
    store = world.mirror(DEPLOYMENTS)
    columns = json.loads(COLUMNS)
    columns[1] |= {"name": HOSTILE, "description": HOSTILE}
    store.sync(
        store.object(
            7,
            "web",
            "evil",
            labels={HOSTILE: HOSTILE},
            annotations={"link": "javascript:alert(1)", "long": "x" * 1_000_000, HOSTILE: HOSTILE},
            uid=HOSTILE,
            image=HOSTILE,
            cells=["web", HOSTILE, "3d", "javascript:alert(1)"],
        )
    )
    store.writer.handle(Columns(json.dumps(columns).encode()))
    store.phase(Phase.STALE, HOSTILE)

    answer = await client.get(path, headers=BROWSER)
    page = BeautifulSoup(answer.text, "html.parser")

    assert answer.status_code == 200
    if answer.headers["content-type"].startswith("text/html"):
        assert [each["src"] for each in page.find_all("script") if not str(each["src"]).startswith("/-/static/")] == []
        assert {str(each["src"]) for each in page.find_all("img")} == {str(page.select_one("link[rel=icon]")["href"])}  # type: ignore[index]
        assert [each for each in page.find_all("a") if not str(each["href"]).startswith(("/", "#"))] == []
        assert [
            element for element in page.find_all(True) if any(name.startswith("on") for name in element.attrs)
        ] == []
        for each in page.select("td, th, dd, .banner"):
            assert "\u202e" not in each.text
            assert len(each.text) < 1000
    else:
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("output", ["csv", "tsv", "table", "wide", "markdown", "name", "yaml", "json", "ndjson"])
async def test_hostile_data_is_data_in_every_form(world: World, client: httpx.AsyncClient, output: str) -> None:
    store = world.mirror()
    store.sync(store.object(7, "web", "evil", cells=["web", "=HYPERLINK(1)", "\x1b[2J|a\nb", HOSTILE]))

    answer = await client.get(f"/resources/deploy?output={output}")

    assert answer.status_code == 200
    assert "\x1b" not in answer.text
    if output in ("csv", "tsv"):
        assert "'=HYPERLINK(1)" in answer.text
    if output == "markdown":
        assert "<script>" not in answer.text
        assert len(answer.text.splitlines()) == 3
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_cell_is_bounded_and_reads_from_left_to_right() -> None:
    assert cell("\u202eabc") == "⟨U+202E⟩abc"
    assert len(cell("x" * 10_000)) == 300
    assert [cell(None), cell(True), cell(7)] == ["", "true", "7"]


async def test_a_narrow_list_has_namespaces_under_the_names(store: Store, client: httpx.AsyncClient) -> None:
    page = await page_at(client, "/resources/deploy")
    table = page.select_one("#objects")
    heads = [each.text.strip() for each in page.select("#objects thead th")]

    assert f"hide-{heads.index('Namespace') + 1}" in table["class"]  # type: ignore[index]
    assert [each["data-within"] for each in page.select("tbody th[scope=row]")] == ["blue", "blue", "green"]


async def test_events_are_told_newest_first_by_what_they_are_about(world: World, client: httpx.AsyncClient) -> None:
    names = ("Last Seen", "Type", "Reason", "Object", "Message")
    events = world.mirror(
        Resource("", "v1", "events", "event", "Event", namespaced=True, versions=(ServedVersion("v1"),))
    )
    events.writer.handle(
        Columns(json.dumps([{"name": name, "type": "string", "priority": 0} for name in names]).encode())
    )
    told = {"old": "2026-01-02T03:04:05Z", "new": "2026-01-02T05:04:05Z"}
    events.relist(
        *(
            events.object(
                7 + at, name, "blue", lastTimestamp=when, cells=["1m", "Normal", "Pulled", f"pod/{name}", name]
            )
            for at, (name, when) in enumerate(told.items())
        ),
        resource_version=100,
    )
    events.phase(Phase.SYNCED)
    page = await page_at(client, "/resources/events")

    assert cells_of(page, "Object", "Message") == [["pod/new", "new"], ["pod/old", "old"]]
    assert [str(each["href"]) for each in page.select("tbody th[scope=row] a")] == [
        "/resources/events/blue/new",
        "/resources/events/blue/old",
    ]
    assert page.select_one("#objects.prose th[aria-sort=ascending]").text.strip() == "Last Seen"  # type: ignore[union-attr]
