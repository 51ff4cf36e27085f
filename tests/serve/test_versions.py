"""/versions is version-rs' API, right where version-rs is wrong."""

from __future__ import annotations

import httpx
import pytest

from kubemirror.state.catalog import Resource, ServedVersion
from tests.serve.world import Store, World

STATEFUL_SETS = Resource(
    group="apps",
    version="v1",
    plural="statefulsets",
    singular="statefulset",
    kind="StatefulSet",
    namespaced=True,
    versions=(ServedVersion("v1"),),
    short_names=("sts",),
)
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(1, "web", "green", image="registry.example:5000/team/web:1.2", labels={"app": "web"}),
        store.object(2, "web", "blue", image=f"ghcr.io/team/web:1.3@{DIGEST}", labels={"app": "web"}),
        store.object(3, "api", "blue", image=f"ghcr.io/team/api@{DIGEST}"),
        store.object(4, "old", "blue", image="nginx"),
        store.object(5, "empty", "blue", spec={}),
    )
    return store


async def test_items_have_exactly_four_fields_sorted_by_namespace_and_name(
    store: Store, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/versions")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [
        {"container": "ghcr.io/team/api", "name": "api", "namespace": "blue", "version": DIGEST},
        {"container": "nginx", "name": "old", "namespace": "blue", "version": "latest"},
        {"container": "ghcr.io/team/web", "name": "web", "namespace": "blue", "version": "1.3"},
        {"container": "registry.example:5000/team/web", "name": "web", "namespace": "green", "version": "1.2"},
    ]


async def test_one_of_them(store: Store, client: httpx.AsyncClient) -> None:
    answer = await client.get("/versions/green/web")

    assert answer.json() == {
        "container": "registry.example:5000/team/web",
        "name": "web",
        "namespace": "green",
        "version": "1.2",
    }


@pytest.mark.parametrize("name", ["nobody", "empty"])
async def test_what_has_no_version_is_not_found(store: Store, client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/versions/blue/{name}")

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("namespace=blue", ["api", "old", "web"]),
        ("namespace=nowhere", []),
        ("labelSelector=app%3Dweb", ["web", "web"]),
        ("labelSelector=!app", ["api", "old"]),
        ("image=nginx", ["old"]),
        ("image=web", ["web", "web"]),
        ("image=team/web", ["web", "web"]),
        ("image=web:1.2", ["web"]),
        ("image=eb", []),
        ("image=ghcr.io/team/web&namespace=green", []),
    ],
)
async def test_filters(store: Store, client: httpx.AsyncClient, query: str, names: list[str]) -> None:
    assert [item["name"] for item in (await client.get(f"/versions?{query}")).json()] == names


async def test_wide_tells_every_container(store: Store, client: httpx.AsyncClient) -> None:
    item = (await client.get("/versions/blue/web?wide=true")).json()

    assert item["image"] == f"ghcr.io/team/web:1.3@{DIGEST}"
    assert item["digest"] == DIGEST
    assert [each["kind"] for each in item["containers"]] == ["container"]


async def test_other_workloads_by_any_of_their_names(world: World, store: Store, client: httpx.AsyncClient) -> None:
    sets = world.mirror(STATEFUL_SETS)
    template = {"spec": {"containers": [{"name": "db", "image": "postgres:17"}]}}
    sets.sync(sets.object(9, "db", "blue", spec={"template": template}))

    items = (await client.get("/versions?resource=sts")).json()

    assert items == [{"container": "postgres", "name": "db", "namespace": "blue", "version": "17"}]


async def test_what_runs_no_containers_is_refused(world: World, store: Store, client: httpx.AsyncClient) -> None:
    from tests.serve.world import WIDGETS

    world.mirror(WIDGETS).sync()

    answer = await client.get("/versions?resource=widgets")

    assert answer.status_code == 400
    assert "deployments.apps" in answer.json()["message"]


async def test_changes_show_at_once(store: Store, client: httpx.AsyncClient) -> None:
    versions = []
    for number in range(3):
        store.apply(101 + number, "web", "green", image=f"web:{number}")
        versions.append((await client.get("/versions/green/web")).json()["version"])
    store.delete(200, "web", "green")

    assert versions == ["0", "1", "2"]
    assert (await client.get("/versions/green/web")).status_code == 404
    assert len((await client.get("/versions")).json()) == 3


async def test_items_of_objects_that_did_not_change_are_not_made_again(
    store: Store, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubemirror.serve import versions

    made: list[str] = []
    encoded = versions.encoded

    def counted(held, entry, *, wide):  # type: ignore[no-untyped-def]
        made.append(held.name)
        return encoded(held, entry, wide=wide)

    monkeypatch.setattr(versions, "encoded", counted)
    await client.get("/versions")
    made.clear()
    store.apply(101, "web", "green", image="web:9")
    await client.get("/versions")

    assert made == ["web"]
