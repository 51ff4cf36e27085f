"""Rows on /watch: cells as kubectl prints them, in the columns that are asked for; a filter decides membership."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
import pytest
from bs4 import BeautifulSoup

from kubemirror.access.authorizer import ANONYMOUS
from kubemirror.errors import ExpiredError
from kubemirror.serve.application import application
from kubemirror.serve.asked import Asked
from kubemirror.serve.life import Life
from kubemirror.serve.row import Row
from kubemirror.serve.serving import Serving
from kubemirror.serve.status import StatusError
from kubemirror.serve.subscription import Subscription
from kubemirror.serve.watch_query import query_of, subscribe
from kubemirror.state.events import Columns, Phase
from tests.serve.live import Live, frame_of, running
from tests.serve.world import COLUMNS, DEPLOYMENTS, NODES, WIDGETS, Store, World

ASKED = Asked("GET", "/watch", "", "", "http", "localhost", {}, None, ANONYMOUS)


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}, cells=["web", "1/3", "3d", "nginx:1.25"]),
        store.object(9, "api", "green", labels={"app": "api"}, cells=["api", "2/2", "3d", "api:2"]),
    )
    return store


@pytest.fixture
async def live(world: World, store: Store) -> AsyncIterator[Live]:
    async with running(world) as live:
        yield live


async def reader(world: World, **given: Any) -> Subscription:
    query = query_of({"resource": "deploy", **{name.rstrip("_"): value for name, value in given.items()}})
    return await subscribe(Serving(world.context), ASKED, query, Life(world.context))


async def heard(subscription: Subscription) -> list[Any]:
    async with asyncio.timeout(5):
        return [orjson.loads(frame.data) for frame in await subscription.next()]


async def told(subscription: Subscription) -> list[tuple[str, str]]:
    return [(event["type"], event["object"].get("metadata", {}).get("name", "")) for event in await heard(subscription)]


def columns_of(subscription: Subscription) -> list[str]:
    (columns,) = orjson.loads(subscription.subscribed)["columns"].values()
    return [column["name"] for column in columns]


async def refused(world: World, **given: Any) -> str:
    with pytest.raises(StatusError) as error:
        await reader(world, **given)
    assert error.value.code == 400
    return error.value.message


# -- rows ---------------------------------------------------------------------------------------------


async def test_a_row_has_the_cells_that_kubectl_prints(world: World, store: Store) -> None:
    subscription = await reader(world, as_="row", namespace="blue")
    snapshot = await heard(subscription)
    subscription.close()
    row = Row.model_validate(snapshot[0]["object"])

    assert columns_of(subscription) == ["Name", "Ready", "Age"]
    assert row.cells[:2] == ["web", "1/3"]
    assert row.tones == ["", "warn", "age"]
    assert [(age.column, age.since) for age in row.ages] == [(2, 1767323045)]
    assert (row.metadata.namespace, row.metadata.name, row.metadata.resource_version) == ("blue", "web", "7")


async def test_where_several_namespaces_are_shown_the_namespace_comes_first(world: World, store: Store) -> None:
    every = await reader(world, as_="row")
    two = await reader(world, as_="row", namespace="blue,green")
    snapshots = [await heard(each) for each in (every, two)]
    every.close()
    two.close()

    assert columns_of(every) == columns_of(two) == ["Namespace", "Name", "Ready", "Age"]
    assert [event["object"].get("cells", [])[:2] for event in snapshots[1]] == [["blue", "web"], ["green", "api"], []]


async def test_columns_are_chosen_by_name_label_and_path(world: World, store: Store) -> None:
    columns = "name,labels.app,Tag=Images,.spec.template.spec.containers[0].name"
    subscription = await reader(world, as_="row", columns=columns, sort="-Ready")
    snapshot = await heard(subscription)
    subscription.close()

    assert columns_of(subscription) == ["Name", "app", "Tag", "Name"]
    assert snapshot[0]["object"]["cells"] == ["web", "web", "nginx:1.25", "web"]
    orders = [event["object"]["order"] for event in snapshot[:2]]
    assert orders[0] < orders[1]


async def test_the_first_frame_of_every_framing_names_the_columns(live: Live) -> None:
    async with live.ndjson("resource=deploy&as=row") as lines, live.socket("resource=deploy&as=row") as socket:
        line, message = await lines.frame(), await frame_of(socket)
        await socket.send(orjson.dumps({"action": "subscribe", "id": "a", "resource": "deploy", "as": "row"}).decode())
        while (answer := await frame_of(socket))["id"] != "a":
            pass

    assert line["type"] == message["type"] == answer["type"] == "SUBSCRIBED"
    assert line["columns"] == message["columns"] == answer["columns"]


async def test_rows_that_are_heard_alike_are_made_once(world: World, live: Live, store: Store) -> None:
    query = "resource=deploy&as=row&snapshot=false&filter=Ready<1"
    async with live.socket(query) as one, live.socket(query) as two, live.socket(query + "&columns=Name") as other:
        for socket in (one, two, other):
            assert (await frame_of(socket))["type"] == "SUBSCRIBED"
            assert (await frame_of(socket))["type"] == "BOOKMARK"
        made = live.app.serving.sharing.made
        store.apply(101, "web", "blue", cells=["web", "2/3", "3d", "nginx:1.25"])
        events: list[Any] = [await frame_of(socket) for socket in (one, two, other)]

        assert events[0] == events[1]
        assert [event["object"]["cells"][-1] for event in events][2] == "web"
        assert live.app.serving.sharing.made - made == 2


async def test_a_stream_ends_when_its_columns_are_others(world: World, store: Store) -> None:
    subscription = await reader(world, as_="row", onExpired="snapshot")
    plain = await reader(world, as_="key", snapshot=False)
    for each in (subscription, plain):
        await heard(each)
    store.writer.handle(Columns(COLUMNS.replace(b'"Ready"', b'"Up"')))
    store.apply(101, "web", "blue")
    (end,) = await heard(subscription)

    assert (end["type"], end["object"]["code"]) == ("ERROR", 410)
    assert await told(plain) == [("MODIFIED", "web")]
    plain.close()


async def test_nothing_is_resumed_from_before_other_columns(world: World, store: Store) -> None:
    """What was printed under other columns cannot be filtered by these: whether it was told is not known any more."""
    store.apply(101, "web", "blue")
    store.writer.handle(Columns(COLUMNS.replace(b'"Ready"', b'"Up"')))
    store.apply(102, "web", "blue")
    after, plain = await reader(world, as_="row", resourceVersion="101"), await reader(world, resourceVersion="100")
    with pytest.raises(ExpiredError):
        await reader(world, filter="Up<1", resourceVersion="100")
    after.close()
    plain.close()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"wide": "true"},
        {"columns": "*,labels.app,.spec.replicas"},
        {"columns": "*", "wide": "true"},
        {"columns": 'Name,*,"a ""b"", c"=Images,Health', "namespace": "blue"},
        {"columns": "*,Tag=Images", "sort": "-Tag", "q": "web", "filter": "Ready<1", "namespace": "blue,green"},
        {"columns": "Name,Image"},
    ],
)
@pytest.mark.parametrize("resource", ["deploy", "widgets"])
@pytest.mark.parametrize("namespaces", [(), ("blue", "green")])
async def test_the_stream_of_a_page_has_the_columns_of_its_heads(
    world: World, query: dict[str, str], resource: str, namespaces: tuple[str, ...]
) -> None:
    """Whatever the heads are called: a name may have every mark that means something in a parameter."""
    columns = json.loads(COLUMNS)
    columns[2:2] = [{**columns[1], "name": name} for name in ('15" disks', "*", "a,b=c", "-x", ".y")]
    for kind in (DEPLOYMENTS, WIDGETS):
        stores = [*world.mirror_namespaces(*namespaces, resource=kind).values()] if namespaces else [world.mirror(kind)]
        for store in stores:
            store.sync()
            store.writer.handle(Columns(json.dumps(columns).encode()))
    if resource == "widgets":
        query = {name: value.replace("Image,", "").replace(",Image", ",Images") for name, value in query.items()}
    transport = httpx.ASGITransport(application(world.context))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get(f"/resources/{resource}", params=query, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    page = BeautifulSoup(answer.text, "html.parser")
    table = page.select_one("#objects")
    assert table is not None
    subscription = await reader(world, **dict(parse_qsl(urlsplit(str(table["data-watch"])).query)))
    subscription.close()
    told = orjson.loads(subscription.subscribed)["columns"].values()

    heads = [each.text for each in page.select("thead th")]
    assert [[column["name"] for column in each] for each in told] == [heads] * len(told)


# -- membership ---------------------------------------------------------------------------------------


async def test_what_comes_to_meet_a_filter_is_added_and_what_ceases_to_is_deleted(world: World, store: Store) -> None:
    subscription = await reader(world, filter="Ready<1", as_="row")
    snapshot = await told(subscription)
    store.apply(101, "api", "green", cells=["api", "1/2", "3d", "api:2"])
    store.apply(102, "web", "blue", cells=["web", "3/3", "3d", "nginx:1.25"])
    store.apply(103, "web", "blue", cells=["web", "3/3", "3d", "nginx:1.26"])
    changes = await heard(subscription)
    subscription.close()

    assert snapshot == [("ADDED", "web"), ("BOOKMARK", "")]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in changes] == [
        ("ADDED", "api"),
        ("DELETED", "web"),
    ]
    assert changes[1]["object"]["cells"][2] == "1/3"
    assert changes[1]["object"]["metadata"]["resourceVersion"] == "102"


@pytest.mark.parametrize(
    "given", [{"filter": "Image~web:2"}, {"q": "WEB:2"}, {"filter": ".spec.template.spec.containers[0].image~web:2"}]
)
async def test_a_cursor_resumes_what_a_filter_decides(world: World, store: Store, given: dict[str, str]) -> None:
    image = "web:2"
    store.apply(101, "web", "blue", image=image, cells=["web", "1/3", "3d", image])
    store.apply(102, "web", "blue", image="web:3", cells=["web", "1/3", "3d", "web:3"])
    subscription = await reader(world, resourceVersion="101", **given)
    changes = [await told(subscription) for _ in range(2)]
    subscription.close()

    assert changes == [[("BOOKMARK", "")], [("DELETED", "web"), ("BOOKMARK", "")]]


async def test_several_namespaces_and_all_but_some(world: World, store: Store) -> None:
    store.apply(101, "db", "red")
    some = await reader(world, namespace="blue,red")
    others = await reader(world, namespace=["!blue", "!red"])
    found = [await told(each) for each in (some, others)]
    store.apply(102, "db", "red", image="db:2")
    store.apply(103, "api", "green", image="api:3")
    changes = [await told(each) for each in (some, others)]
    some.close()
    others.close()

    assert [name for _, name in found[0]] == ["web", "db", ""]
    assert [name for _, name in found[1]] == ["api", ""]
    assert changes == [[("MODIFIED", "db")], [("MODIFIED", "api")]]


async def test_what_cannot_be_asked_for_is_refused(world: World, store: Store) -> None:
    nodes = world.mirror(NODES)
    nodes.sync()

    assert await refused(world, filter="Redy<1") == 'filter: there is no column "Redy": did you mean "Ready"?'
    assert await refused(world, as_="row", columns="Nam") == 'columns: there is no column "Nam": did you mean "Name"?'
    assert "sort: there is no column" in await refused(world, as_="row", sort="zzz")
    assert "changes without an event" in await refused(world, filter="Age<1h")
    assert "is no condition" in await refused(world, filter="Ready")
    assert "runs no containers" in await refused(world, resource="nodes", as_="version")
    assert "nothing is left" in await refused(world, namespace="blue,!blue")


# -- versions and tables ------------------------------------------------------------------------------


async def test_a_version_is_what_versions_tells_of_the_object(live: Live, store: Store) -> None:
    async with httpx.AsyncClient() as client:
        listed = (await client.get(f"{live.url}/versions?wide=true")).json()
    async with live.ndjson("resource=deploy&as=version&wide=true") as stream:
        events: list[Any] = await stream.frames(3)

    items = [{name: value for name, value in event["object"].items() if name in listed[0]} for event in events[:2]]
    assert items == listed
    assert events[0]["object"]["metadata"]["resourceVersion"] == "7"


async def test_a_table_is_printed_as_kubectl_prints_it(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy&output=table&columns=Namespace,Name,Ready&filter=Ready<1") as stream:
        snapshot = [await stream.line() for _ in range(2)]
        store.apply(101, "a-longer-name", "green", cells=["a-longer-name", "0/2", "3d", "api:2"])
        store.apply(102, "web", "blue", cells=["web", "2/3\x1b[31m", "3d", "nginx:1.25"])
        changes = [await stream.line() for _ in range(2)]
        store.phase(Phase.STALE, "connection refused")
        content_type = stream.answer.headers["content-type"]

    assert content_type == "text/plain; charset=utf-8"
    assert snapshot == ["NAMESPACE   NAME   READY", "blue        web    1/3"]
    assert changes[0] == "green       a-longer-name   0/2"


async def test_a_table_is_of_one_resource_and_rows(live: Live) -> None:
    async with httpx.AsyncClient() as client:
        for query in ("resource=deploy&resource=nodes&output=table", "resource=deploy&output=table&as=key"):
            answer = await client.get(f"{live.url}/watch?{query}")

            assert answer.status_code == 400
            assert answer.text.startswith("error: ")
