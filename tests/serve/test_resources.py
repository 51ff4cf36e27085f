"""One view of a resource in every form: filtered, sorted, counted, in chosen columns, from one moment."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shlex
from typing import Any

import httpx
import pytest
import yaml
from bs4 import BeautifulSoup

from kubemirror.serve.output import Output
from kubemirror.serve.row import View
from kubemirror.state.events import Apply
from kubemirror.views.columns import Printer
from tests.serve.conftest import Asking
from tests.serve.world import NODES, Store, World

BROWSER = {"accept": "text/html"}
# Of a Deployment of one replica that is rolled out.
DONE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}, cells=["web", "1/2", "3d", "team/web:1.9"]),
        store.object(8, "api", "blue", labels={"app": "api"}, cells=["api", "10/10", "3d", "team/api:1.10"]),
        store.object(9, "web", "green", labels={"app": "web"}, cells=["web", "2/2", "3d", "team/web:1.10"]),
        store.object(10, "db", "red", cells=["db", "0/0", "3d", "=cmd:latest"]),
    )
    return store


@pytest.fixture
def client(world: World, directly: Asking) -> httpx.AsyncClient:
    return directly(world)


async def table_at(client: httpx.AsyncClient, query: str) -> list[list[str]]:
    """kubectl's table, cell by cell."""
    answer = await client.get(f"/resources/deploy?output=table&{query}")
    assert answer.status_code == 200, answer.text
    return [line.split() for line in answer.text.splitlines()]


async def refused(client: httpx.AsyncClient, query: str, path: str = "/resources/deploy") -> str:
    answer = await client.get(f"{path}?output=table&{query}")
    assert answer.status_code == 400
    return answer.text


# -- which objects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("filter=Ready<1", ["web"]),
        ("filter=Ready%3C1,Images~team", ["web"]),
        ("filter=Ready>=1&filter=Images~team", ["api", "web"]),
        ("filter=Images>=web:1.10", ["web"]),
        ("q=GREEN", ["web"]),
        ("q=1.10", ["api", "web"]),
        ("namespace=blue,red", ["api", "web", "db"]),
        ("namespace=blue&namespace=red", ["api", "web", "db"]),
        ("namespace=!blue", ["web", "db"]),
        ("namespace=!blue,!red&filter=Name=web", ["web"]),
        ("sort=-Ready,Namespace&filter=Ready>=1", ["api", "web", "db"]),
        ("sort=Images", ["db", "api", "web", "web"]),
        ("filter=Age>1d&labelSelector=app", ["api", "web", "web"]),
        ("filter=labels.app=web&columns=Name", ["web", "web"]),
    ],
)
async def test_objects_are_selected_and_sorted(
    store: Store, client: httpx.AsyncClient, query: str, names: list[str]
) -> None:
    titles, *rows = await table_at(client, query)

    assert [row[titles.index("NAME")] for row in rows] == names


async def test_pages_follow_each_other_and_tell_the_total(store: Store, client: httpx.AsyncClient) -> None:
    seen: list[str] = []
    query = {"output": "json", "as": "row", "sort": "-Images", "limit": "3"}
    following = True
    while following:
        view = (await client.get("/resources/deploy", params=query)).json()
        seen += [row["metadata"]["name"] for row in view["rows"]]
        assert view["total"] == 4
        following = "continue" in view
        query["continue"] = view.get("continue", "")

    assert seen == ["web", "web", "api", "db"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("filter=Redy<1", 'filter: there is no column "Redy": did you mean "Ready"?'),
        ("sort=Agee", 'sort: there is no column "Agee": did you mean "Age"?'),
        ("columns=Imags", 'columns: there is no column "Imags": did you mean "Image'),
        ("group=Stat", 'group: there is no column "Stat"'),
        ("columns=xyz", "there are Namespace, Name, Ready, Age, Images"),
        ("group=Ready&sort=Name", 'what is counted has no column "Name"'),
        ("columns=..image", "looks through everything"),
        ("columns=.spec[", "is no JSONPath"),
        ("namespace=!", "stands in front of a name"),
        ("fliter=x", 'unknown parameter "fliter": did you mean "filter"?'),
    ],
)
async def test_what_is_not_there_is_refused_and_the_nearest_named(
    store: Store, client: httpx.AsyncClient, query: str, said: str
) -> None:
    assert said in await refused(client, query)


async def test_a_namespace_in_the_path_is_the_only_one(store: Store, client: httpx.AsyncClient) -> None:
    said = await refused(client, "namespace=red", "/resources/deploy/blue")

    assert 'the path names namespace "blue", the query "red"' in said


# -- which columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("columns=Name,labels.app", ["NAME", "APP"]),
        ("columns=Replicas=.spec.replicas,Name", ["REPLICAS", "NAME"]),
        ("columns=*,labels.app", ["NAMESPACE", "NAME", "READY", "AGE", "APP"]),
        ("wide=true", ["NAMESPACE", "NAME", "READY", "AGE", "IMAGES"]),
        ("output=wide", ["NAMESPACE", "NAME", "READY", "AGE", "IMAGES"]),
        ("namespace=blue", ["NAME", "READY", "AGE"]),
        ("columns=Health,Version,Image", ["HEALTH", "VERSION", "IMAGE"]),
    ],
)
async def test_columns_are_chosen(store: Store, client: httpx.AsyncClient, query: str, titles: list[str]) -> None:
    answer = await client.get(
        f"/resources/deploy?output=table&{query}" if "output" not in query else f"/resources/deploy?{query}"
    )

    assert answer.text.splitlines()[0].split() == titles


async def test_a_title_of_ones_own_can_be_sorted_and_filtered_by(store: Store, client: httpx.AsyncClient) -> None:
    rows = await table_at(client, "columns=Tag=Images,Name&sort=-Tag&filter=Tag~team")

    assert [row[0] for row in rows] == ["TAG", "team/web:1.10", "team/web:1.9", "team/api:1.10"]


async def test_objects_are_counted_by_columns(store: Store, client: httpx.AsyncClient) -> None:
    rows = await table_at(client, "group=labels.app")
    two = await table_at(client, "group=Namespace,Name&sort=-Count,Name&limit=1")
    counted = (await client.get("/resources/deploy?group=Name&filter=Ready>=1&output=json")).json()
    page = BeautifulSoup((await client.get("/resources/deploy?group=Name", headers=BROWSER)).text, "html.parser")
    link = page.select_one("tbody th a")
    assert link is not None

    assert rows == [["APP", "COUNT"], ["web", "2"], ["<none>", "1"], ["api", "1"]]
    assert two == [["NAMESPACE", "NAME", "COUNT"], ["blue", "api", "1"]]
    assert (counted["rows"], counted["total"]) == ([], 3)
    assert {tuple(group["values"]): group["count"] for group in counted["groups"]} == {
        ("web",): 1,
        ("api",): 1,
        ("db",): 1,
    }
    assert link["href"] == "/resources/deploy?filter=Name%3D%3Dweb"
    assert "as=key" in str(page.select_one("table[data-watch]"))


async def links_of_counts(client: httpx.AsyncClient, query: str) -> list[tuple[list[str], int, int]]:
    """What each count is of, what it says, and how many its link shows."""
    page = BeautifulSoup((await client.get(f"/resources/deploy?{query}", headers=BROWSER)).text, "html.parser")
    found = []
    for row in page.select("tbody tr[data-uid]"):
        *values, count = [each.text for each in row.select("th, td")]
        links = {str(each["href"]) for each in row.select("a")}
        if not links:
            continue  # too long
        (shown,) = [(await client.get(link, headers=BROWSER)).headers["kubemirror-total"] for link in links]
        found.append((values, int(count), int(shown)))
    return found


@pytest.mark.parametrize(
    "query",
    [
        "group=Version",
        "group=Images",
        "group=labels.app",
        "group=Health",
        "group=Mark,Ready",
        "group=What=.metadata.annotations,Who=Namespace",
        "group=.metadata.annotations['a\\.b'],Name&filter=Ready<99,Name!~\"x",
    ],
)
async def test_a_count_leads_to_what_it_counts(world: World, client: httpx.AsyncClient, query: str) -> None:
    store = world.mirror()
    images = ["web:1.9.5", "web:1.9.5", "web:1.9.5,proxy:v1.31.2", "=", "WEB:1.9.5", "web:latest", 'a"b,c"', "web"]
    held = [
        store.object(
            7 + at, f"o{at}", ("blue", "red")[at % 2], image=image, cells=[f"o{at}", f"{at % 3}/2", "3d", image]
        )
        for at, image in enumerate(images)
    ]
    notes = [{"a.b": "="}, {"a.b": '"'}, {"a.b": ""}, {"a.b": '{"x": ["y"]}', "c": "d"}, {"a.b": "x" * 9000}]
    held += [store.object(20 + at, f"n{at}", "blue", annotations=each) for at, each in enumerate(notes)]
    held += [store.object(30, "done", "red", status=DONE), store.object(31, "dna", "red", labels={"app": "web"})]
    store.sync(*held)

    counts = await links_of_counts(client, query)

    assert len(counts) > 1
    assert [shown for _, _, shown in counts] == [count for _, count, _ in counts]


async def test_a_count_of_what_is_too_long_for_an_address_leads_nowhere(
    world: World, client: httpx.AsyncClient
) -> None:
    store = world.mirror()
    store.sync(store.object(7, "web", annotations={"a": "x" * 9000}))
    answer = await client.get("/resources/deploy?group=annotations.a", headers=BROWSER)
    (row,) = BeautifulSoup(answer.text, "html.parser").select("tbody tr")

    assert row.select("a") == []
    assert row.select("td")[-1].text == "1"


async def test_counts_have_titles_and_are_sorted_by_them(store: Store, client: httpx.AsyncClient) -> None:
    rows = await table_at(client, 'group="N(s)"=Name&sort=-"N(s)"')
    page = BeautifulSoup((await client.get('/resources/deploy?group="N(s)"=Name', headers=BROWSER)).text, "html.parser")
    heading = page.select_one("thead a")
    assert heading is not None
    clicked = await client.get(str(heading["href"]), headers=BROWSER)
    again = BeautifulSoup(clicked.text, "html.parser").select_one("thead th")

    assert rows == [["N(S)", "COUNT"], ["web", "2"], ["db", "1"], ["api", "1"]]
    assert clicked.status_code == 200
    assert again is not None
    assert again["aria-sort"] == "ascending"


# -- which form ---------------------------------------------------------------------------------------


async def test_every_form_shows_the_same_rows(store: Store, client: httpx.AsyncClient) -> None:
    query = "/resources/deploy?columns=Name,Ready&sort=Name,Ready&filter=Ready>=1,Images~team"

    async def text(output: str) -> str:
        return (await client.get(f"{query}&output={output}")).text

    expected = [["api", "10/10"], ["web", "2/2"]]
    view = View.model_validate_json(await text("json&as=row"))
    lines: list[Any] = [json.loads(line) for line in (await text("ndjson&as=row")).splitlines()]
    marked = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (await text("markdown")).splitlines()]
    page = BeautifulSoup((await client.get(query, headers=BROWSER)).text, "html.parser")
    shown = [[cell.text.strip() for cell in row.find_all(["th", "td"])] for row in page.select("tbody tr")]

    assert [row.cells for row in view.rows] == expected
    assert [line["cells"] for line in lines] == expected
    assert yaml.safe_load(await text("yaml&as=row")) == json.loads(await text("json&as=row"))
    assert [*csv.reader(io.StringIO(await text("csv")))] == [["Name", "Ready"], *expected]
    assert [line.split("\t") for line in (await text("tsv")).splitlines()] == [["Name", "Ready"], *expected]
    assert marked[2:] == expected
    assert shown == expected
    assert [item["metadata"]["name"] for item in json.loads(await text("json"))["items"]] == ["api", "web"]


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("q=Complete", 3),
        ("q=team/web", 2),
        ("q=1.10&sort=Health", 1),
        ("q=status.observed", 0),
        ("q=COMPLETE&columns=Name", 3),
        ("q=Complete&columns=*,Rule&wide=true", 3),
        ("q=generation&columns=Rule", 1),
    ],
)
async def test_what_is_searched_for_is_found_in_every_form(
    store: Store, client: httpx.AsyncClient, query: str, total: int
) -> None:
    for version, name, namespace in ((7, "web", "blue"), (8, "api", "blue"), (9, "web", "green")):
        image = f"team/{name}:1.{version + 2}"
        cells = [name, "1/1", "3d", image]
        store.writer.handle(Apply(store.object(version + 100, name, namespace, status=DONE, cells=cells)))
    body = store.object(110, "db", "red", cells=["db", "0/0", "3d", "x"], status={"observedGeneration": 1})
    fields = json.loads(body.raw)
    fields["metadata"]["generation"] = 2
    store.writer.handle(Apply(store._ingest.object(json.dumps(fields).encode(), body.cells)))

    totals = {
        str(output): (await client.get(f"/resources/deploy?{query}&output={output}")).headers["kubemirror-total"]
        for output in (*Output, "json&as=row")
    }
    with_history = await client.get(f"/resources/deploy?{query}", headers=BROWSER)

    assert totals == dict.fromkeys(totals, str(total))
    assert "as=row" in with_history.text


async def test_health_is_told_apart_by_its_word(store: Store, client: httpx.AsyncClient) -> None:
    for version, name, namespace in ((101, "api", "blue"), (102, "web", "green")):
        store.writer.handle(Apply(store.object(version, name, namespace, status=DONE)))

    groups = await table_at(client, "group=Health&sort=Health")
    marks = await table_at(client, "group=Mark&sort=Mark")
    complete = (await client.get("/resources/deploy?filter=Health=complete&output=name")).text.split()
    others = (await client.get("/resources/deploy?filter=Health!=Complete&output=name")).text.split()
    said = (await client.get("/resources/deploy?filter=Health~successfully&output=name")).text.split()

    assert groups == [["HEALTH", "COUNT"], ["Progressing", "2"], ["Complete", "2"]]
    assert marks == [["MARK", "COUNT"], ["on", "the", "way", "2"], ["as", "wanted", "2"]]
    assert complete == said == ["deployment.apps/api", "deployment.apps/web"]
    assert others == ["deployment.apps/web", "deployment.apps/db"]


async def test_a_page_sorted_by_any_column_is_told_the_order_of_its_stream(
    store: Store, client: httpx.AsyncClient
) -> None:
    for column in ("Image", "Images", "-Version", "Health", "Ready", ".metadata.uid", "Mark,Image"):
        answer = await client.get("/resources/deploy", params={"sort": column}, headers=BROWSER)
        rows = BeautifulSoup(answer.text, "html.parser").select("tbody tr[data-uid]")
        lines = (await client.get("/resources/deploy", params={"sort": column, "output": "ndjson", "as": "row"})).text

        assert answer.status_code == 200
        assert [json.loads(str(row["data-order"])) for row in rows] == [
            json.loads(line)["order"] for line in lines.splitlines()
        ]


async def test_one_path_after_the_other_sorts_by_itself(store: Store, client: httpx.AsyncClient) -> None:
    async def sorted_by(path: str) -> list[str]:
        return [row[0] for row in (await table_at(client, f"columns=Name&sort={path}"))[1:]]

    assert await sorted_by(".metadata.resourceVersion") == ["web", "api", "web", "db"]
    assert await sorted_by(".metadata.name") == ["api", "db", "web", "web"]


async def test_the_view_is_in_the_contract(store: Store, client: httpx.AsyncClient) -> None:
    contract = (await client.get("/-/openapi.json")).json()
    answer = contract["paths"]["/resources/{resource}"]["get"]["responses"]["200"]
    view = (await client.get("/resources/deploy/blue/web?output=json&as=row")).json()

    assert answer["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/View"
    assert set(view) <= set(contract["components"]["schemas"]["View"]["properties"])
    assert set(view["rows"][0]) <= set(contract["components"]["schemas"]["Row"]["properties"])
    assert view["rows"][0]["cells"][:2] == ["web", "1/2"]


async def test_what_a_spreadsheet_would_run_is_text(store: Store, client: httpx.AsyncClient) -> None:
    for mark in ("=", "+", "-", "@", "\t", "\r", "\n", "＝"):  # noqa: RUF001 - what Excel reads, too
        store.apply(
            store.reader.resource_version + 1, "db", "red", cells=["db", "0/0", "3d", f"{mark}cmd|' /C calc'!A0"]
        )
        rows = [*csv.reader(io.StringIO((await client.get("/resources/deploy/red?output=csv&wide=true")).text))]

        assert rows[1][3][0] in "' "
    assert (await client.get("/resources/deploy/red?output=csv&columns=%3DX=Name")).status_code == 400


async def test_an_etag_does_not_move_with_a_bookmark(store: Store, client: httpx.AsyncClient) -> None:
    for output in ("html", "table", "json&as=row"):
        path = f"/resources/deploy?output={output}"
        etag = (await client.get(path)).headers["etag"]
        store.bookmark(store.reader.resource_version + 5)
        again = await client.get(path, headers={"if-none-match": etag})
        store.apply(store.reader.resource_version + 1, "web", "blue", cells=["web", "2/2", "3d", "x:1"])
        changed = await client.get(path, headers={"if-none-match": etag})
        store.apply(store.reader.resource_version + 1, "web", "blue", cells=["web", "1/2", "3d", "team/web:1.9"])

        assert (again.status_code, changed.status_code) == (304, 200)


# -- what else leads there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("", "get deployments.apps -A"),
        ("namespace=blue&labelSelector=app%3Dweb&wide=true", "get deployments.apps -n blue -l app=web -o wide"),
        ("namespace=!red", "get deployments.apps -A --field-selector 'metadata.namespace!=red'"),
        (
            "namespace=blue,red",
            """for n in blue red; do kubectl --server http://localhost:8080 get deployments.apps -n "$n"; done""",
        ),
        ("sort=Age", "get deployments.apps -A --sort-by=.metadata.creationTimestamp"),
        ("columns=*,labels.app", "get deployments.apps -A -L app"),
        ("columns=Name,R=.spec.replicas", "-o custom-columns=NAME:.metadata.name,R:.spec.replicas"),
        ("columns=labels.a.b/c", r"-o custom-columns='A.B/C:.metadata.labels.a\.b/c'"),
        ("q=it's", """get deployments.apps -A | grep -i 'it'"'"'s'"""),
        ("filter=Ready<1&sort=-Ready", "get deployments.apps -A  # kubectl has no sort=-Ready, filter=Ready<1"),
    ],
)
async def test_a_page_shows_the_same_for_a_terminal(
    client: httpx.AsyncClient, store: Store, query: str, line: str
) -> None:
    answer = await client.get(f"/resources/deploy?{query}", headers={**BROWSER})
    block = BeautifulSoup(answer.text, "html.parser").select_one("pre.shell")
    assert block is not None
    curl, kubectl = block.text.splitlines()

    assert kubectl.endswith(line)
    url = shlex.split(curl)[1]
    printed = await client.get(url.removeprefix("http://localhost:8080"))
    rows = BeautifulSoup(answer.text, "html.parser").select("tbody tr[data-uid]")
    assert len(printed.text.splitlines()) == 1 + len(rows)


async def test_the_form_of_a_page_shows_what_was_asked_for(store: Store, client: httpx.AsyncClient) -> None:
    query = {"filter": 'Ready<1,Name~"a,b"', "columns": "*,labels.app", "group": "", "namespace": "blue,!red", "q": "x"}
    page = BeautifulSoup((await client.get("/resources/deploy", params=query, headers=BROWSER)).text, "html.parser")
    fields = {str(each["name"]): str(each.get("value", "")) for each in page.select("form.filters input")}

    assert {name: fields[name] for name in query} == query
    assert page.select_one("details.choose[open]") is not None


# -- while the store moves on -------------------------------------------------------------------------


async def test_an_answer_is_of_one_moment_and_says_of_which(
    directly: Asking, world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long lists are looked at in slices: what happens in between is for the next answer, and for whoever resumes."""
    monkeypatch.setattr("kubemirror.serve.turns.SLICE_SECONDS", -1.0)
    monkeypatch.setattr("kubemirror.serve.turns._AT_ONCE", 1)
    client = directly(world)
    cells_of = Printer.aging_cells
    changed = False

    def cells(printer: Printer, held: Any) -> Any:
        nonlocal changed
        if not changed:
            changed = True
            asyncio.get_running_loop().call_soon(lambda: store.apply(101, "zzz", "red"))
        return cells_of(printer, held)

    monkeypatch.setattr(Printer, "aging_cells", cells)
    first = await client.get("/resources/deploy?output=json&filter=Name!=x")
    second = await client.get("/resources/deploy?output=json&filter=Name!=x")

    assert first.json()["metadata"]["resourceVersion"] == "100"
    assert first.headers["kubemirror-resource-version"] == "100"
    assert (len(first.json()["items"]), len(second.json()["items"])) == (4, 5)


async def test_a_change_draws_one_row_of_a_page(
    directly: Asking, world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = directly(world)
    drawn: list[str] = []
    cells_of = Printer.aging_cells
    monkeypatch.setattr(
        Printer, "aging_cells", lambda printer, held: drawn.append(held.name) or cells_of(printer, held)
    )  # type: ignore[func-returns-value]
    pages = [await client.get("/resources/deploy", headers=BROWSER)]
    whole, drawn[:] = len(drawn), []
    store.apply(101, "api", "blue", cells=["api", "9/10", "3d", "team/api:1.11"])
    pages.append(await client.get("/resources/deploy", headers=BROWSER))

    assert whole == 4
    assert drawn == ["api"]
    assert ["9/10" in page.text for page in pages] == [False, True]


async def test_a_resource_without_namespaces_takes_none(world: World, client: httpx.AsyncClient) -> None:
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""))

    assert (await client.get("/resources/nodes?namespace=!a")).status_code == 404
    assert (await client.get("/resources/nodes?filter=Name=node-1&output=name")).text == "node/node-1\n"
