"""Table, metadata only, YAML, indentation and compression, and what is not acceptable."""

from __future__ import annotations

import gzip
import json

import pytest
import yaml

from tests.api.cluster import DEFINITIONS, DEPLOYMENTS, Cluster, Store

SHOP = "/apis/apps/v1/namespaces/shop/deployments"
WIDGETS = "/apis/example.com/v1/namespaces/shop/widgets"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def test_metadata_of_one_and_of_many(cluster: Cluster, deployments: Store) -> None:
    one = (await cluster.get(f"{SHOP}/web", accept=METADATA)).json()
    assert list(one) == ["kind", "apiVersion", "metadata"]
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    many = (await cluster.get(SHOP, accept=METADATA_LIST)).json()
    assert many["kind"] == "PartialObjectMetadataList"
    assert [item["metadata"]["name"] for item in many["items"]] == ["api", "db", "web"]
    assert all("spec" not in item for item in many["items"])
    none = await cluster.get("/apis/apps/v1/namespaces/none/deployments", accept=METADATA_LIST)
    assert none.json()["items"] is None


async def test_metadata_of_custom_objects_is_in_the_order_of_the_go_struct(cluster: Cluster, widgets: Store) -> None:
    one = (await cluster.get(f"{WIDGETS}/blue", accept=METADATA)).json()
    assert list(one["metadata"]) == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]


async def test_metadata_of_the_wrong_number_is_406(cluster: Cluster, deployments: Store) -> None:
    answer = await cluster.get(SHOP, accept=METADATA)
    assert answer.status_code == 406
    assert answer.json()["message"] == (
        "you requested PartialObjectMetadata, but the requested object is a list (*apps.DeploymentList)"
    )
    answer = await cluster.get(f"{SHOP}/web", accept=METADATA_LIST)
    assert answer.status_code == 406


@pytest.mark.parametrize(
    ("accept", "code", "content_type"),
    [
        ("", 200, "application/json"),
        ("*/*", 200, "application/json"),
        ("application/vnd.kubernetes.protobuf, application/json", 200, "application/json"),
        ("text/html, application/json;q=0.5", 200, "application/json"),
        ("application/yaml", 200, "application/yaml"),
        ("application/json;q=0.1, application/yaml", 200, "application/yaml"),
        ("application/json;as=Nothing;v=v1;g=meta.k8s.io, application/json", 200, "application/json"),
        ("application/json;as=Nothing;v=v1;g=meta.k8s.io", 406, "application/json"),
        ("text/html", 406, "application/json"),
        ("application/*", 406, "application/json"),
    ],
)
async def test_the_first_acceptable_clause_wins(
    cluster: Cluster, deployments: Store, accept: str, code: int, content_type: str
) -> None:
    answer = await cluster.get(SHOP, accept=accept)
    assert answer.status_code == code
    assert answer.headers["content-type"] == content_type
    if code == 406:
        assert answer.json()["reason"] == "NotAcceptable"


async def test_yaml_is_the_same_document_and_its_errors_are_yaml_too(cluster: Cluster, deployments: Store) -> None:
    plain = (await cluster.get(f"{SHOP}/web")).json()
    answer = await cluster.get(f"{SHOP}/web", accept="application/yaml")
    assert yaml.safe_load(answer.text) == plain
    assert yaml.safe_load((await cluster.get(f"{SHOP}/nope", accept="application/yaml")).text)["code"] == 404
    assert (await cluster.get(f"{SHOP}?watch=1", accept="application/yaml")).status_code == 406


async def test_text_that_looks_like_something_else_stays_text_in_yaml(cluster: Cluster, deployments: Store) -> None:
    tricky = ["yes", "y", "1e3", "0x10", "null", "~", "12:30", "a\nb\n", "trail ", "", "2026-01-01", ".5", "[]"]
    deployments.apply("tricky", 101, spec={"values": tricky})
    answer = await cluster.get(f"{SHOP}/tricky", accept="application/yaml")
    assert yaml.safe_load(answer.text)["spec"]["values"] == tricky
    assert '"1e3"' in answer.text
    assert '"y"' in answer.text


@pytest.mark.parametrize(
    ("query", "agent", "indented"),
    [
        ("", "client-go", False),
        ("", "curl/8.0", True),
        ("?pretty=true", "client-go", True),
        ("?pretty=0", "curl/8", False),
    ],
)
async def test_people_get_indented_answers(
    cluster: Cluster, deployments: Store, query: str, agent: str, indented: bool
) -> None:
    answer = await cluster.get(f"{SHOP}/web{query}", headers={"user-agent": agent})
    assert answer.text.startswith('{\n  "kind"') is indented
    assert answer.text.endswith("}" if indented else "}\n")  # as upstream has it
    assert answer.json()["metadata"]["name"] == "web"


async def test_bodies_beyond_128_kib_are_compressed_when_asked(cluster: Cluster, deployments: Store) -> None:
    deployments.apply("big", 101, spec={"filling": "x" * 130 * 1024})
    asked = {"headers": {"accept-encoding": "gzip, deflate"}}
    answer = await cluster.get(f"{SHOP}/big", **asked)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.json()["metadata"]["name"] == "big"
    assert "content-encoding" not in (await cluster.get(f"{SHOP}/web", **asked)).headers
    assert "content-encoding" not in (await cluster.get(f"{SHOP}/big")).headers


@pytest.mark.parametrize("accept", ["application/json", TABLE, METADATA_LIST])
@pytest.mark.parametrize("query", ["", "?limit=500", "?limit=140", "?labelSelector=app", "?includeObject=Object"])
@pytest.mark.parametrize("count", [85, 90, 150, 300, 1300])
async def test_a_list_is_the_same_compressed_or_not(cluster: Cluster, accept: str, query: str, count: int) -> None:
    """From what is far below 128 KiB to what is far above: how long an answer becomes is not known beforehand."""
    store = cluster.add(DEPLOYMENTS)
    store.sync(9999, *(store.object(f"d{number:04}", 101 + number, labels={"app": "d"}) for number in range(count)))
    path = "/apis/apps/v1/deployments" + query
    plain = await cluster.get(path, accept=accept, headers={"accept-encoding": "identity"})
    asked = await cluster.get(path, accept=accept, headers={"accept-encoding": "gzip"})

    body = plain.json()
    limit = int(query.removeprefix("?limit=")) if "limit" in query else count
    assert len(body.get("items") or body["rows"]) == min(count, limit)
    assert asked.content == plain.content
    assert ("content-encoding" in asked.headers) is (len(plain.content) > 128 * 1024)


async def test_a_long_list_is_sent_in_chunks_as_it_is_made(cluster: Cluster, deployments: Store) -> None:
    for number in range(700):
        deployments.apply(f"d{number:04}", 101 + number, spec={"filling": "x" * 4000})
    sizes: list[int] = []
    heads: list[dict[str, str]] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            heads.append({name.decode(): value.decode() for name, value in message["headers"]})  # type: ignore[attr-defined]
        else:
            bodies.append(message["body"])  # type: ignore[arg-type]
            sizes.append(len(message["body"]))  # type: ignore[arg-type]

    for headers in ([], [(b"accept-encoding", b"gzip")]):
        bodies: list[bytes] = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": SHOP,
            "raw_path": SHOP.encode(),
            "query_string": b"",
            "headers": headers,
        }
        await cluster.app(scope, None, send)
        body = b"".join(bodies)
        if headers:
            assert heads[-1]["content-encoding"] == "gzip"
            body = gzip.decompress(body)
        assert len(json.loads(body)["items"]) == 703
    assert max(sizes) < 300 * 1024
    assert len(sizes) > 15


async def test_a_table_has_upstreams_cells_and_the_rows_metadata(cluster: Cluster, deployments: Store) -> None:
    table = (await cluster.get(SHOP, accept=TABLE)).json()
    assert list(table) == ["kind", "apiVersion", "metadata", "columnDefinitions", "rows"]
    assert table["columnDefinitions"] == json.loads(DEFINITIONS)
    assert [row["cells"] for row in table["rows"]] == [["api", "1/1"], ["db", "1/1"], ["web", "1/1"]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["metadata"] == {"resourceVersion": "100"}
    one = (await cluster.get(f"{SHOP}/web", accept=TABLE)).json()
    assert one["metadata"] == {"resourceVersion": "12"}
    assert len(one["rows"]) == 1


async def test_rows_include_what_was_asked(cluster: Cluster, deployments: Store) -> None:
    async def row(include: str) -> object:
        return (await cluster.get(f"{SHOP}/web?includeObject={include}", accept=TABLE)).json()["rows"][0]["object"]

    assert await row("None") is None
    assert (await row("Object"))["spec"] == {"replicas": 1}  # type: ignore[index]
    answer = await cluster.get(f"{SHOP}?includeObject=All", accept=TABLE)
    assert answer.status_code == 400


async def test_a_watched_table_tells_its_columns_once(cluster: Cluster, deployments: Store) -> None:
    query = "watch=1&resourceVersion=100&allowWatchBookmarks=true&timeoutSeconds=3"
    async with cluster.watch(f"{SHOP}?{query}", accept=TABLE) as stream:
        deployments.apply("web", 101, cells=["web", "0/1"])
        deployments.apply("web", 102, cells=["web", "1/1"])
        first, second = await stream.next(), await stream.next()
        assert first is not None
        assert second is not None
        assert first["object"]["columnDefinitions"] == json.loads(DEFINITIONS)
        assert first["object"]["rows"][0]["cells"] == ["web", "0/1"]
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["metadata"] == {"resourceVersion": "102"}


async def test_another_served_version_is_the_same_object_under_its_own_name_and_columns(
    cluster: Cluster, widgets: Store
) -> None:
    answer = await cluster.get("/apis/example.com/v1beta1/namespaces/shop/widgets/blue")
    assert answer.headers["warning"] == '299 - "use v1"'
    assert answer.json()["apiVersion"] == "example.com/v1beta1"
    assert answer.json()["spec"] == {"color": "blue", "size": 2}
    table = (await cluster.get("/apis/example.com/v1beta1/widgets", accept=TABLE)).json()
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Age"]
    table = (await cluster.get("/apis/example.com/v1/widgets", accept=TABLE)).json()
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Color", "Size"]
