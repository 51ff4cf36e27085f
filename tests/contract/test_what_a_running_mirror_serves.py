"""The whole application over a mirror of each server: /versions, /resources, probes, status and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.programs import ProgramError, require
from tests.contract.both import comparable, is_age
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import STRATEGIC_PATCH, Server
from tests.serve.live import Live, running

DIGEST = "sha256:" + "a" * 64
IMAGES = {
    "bare": "nginx",
    "both": f"ghcr.io/team/both:1.3@{DIGEST}",
    "digest": f"ghcr.io/team/digest@{DIGEST}",
    "port": "registry.example:5000/team/port:1.2",
}
DEPLOYMENTS, REPLICA_SETS = "deployments.apps", "replicasets.apps"


@pytest.fixture
async def client(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
async def path(server: Server, mirrored: Mirrored, namespace: str) -> str:
    """Of a Deployment for each image, which the mirror has heard of."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for name, image in IMAGES.items():
        written = await server.done("POST", path, deployment(name, image=image, labels={"app": name}))
    await mirrored.reaches(DEPLOYMENTS, written["metadata"]["resourceVersion"])
    return path


# -- /versions ----------------------------------------------------------------------------------------------


async def test_versions_tell_what_runs(client: httpx.AsyncClient, path: str, namespace: str) -> None:
    answer = await client.get("/versions", params={"namespace": namespace})
    everything = await client.get("/versions")
    one = await client.get(f"/versions/{namespace}/port")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [
        {"container": "nginx", "name": "bare", "namespace": namespace, "version": "latest"},
        {"container": "ghcr.io/team/both", "name": "both", "namespace": namespace, "version": "1.3"},
        {"container": "ghcr.io/team/digest", "name": "digest", "namespace": namespace, "version": DIGEST},
        {"container": "registry.example:5000/team/port", "name": "port", "namespace": namespace, "version": "1.2"},
    ]
    assert [each for each in everything.json() if each["namespace"] == namespace] == answer.json()
    assert one.json() == answer.json()[-1]


async def test_versions_follow_what_is_written(
    server: Server, mirrored: Mirrored, client: httpx.AsyncClient, path: str, namespace: str
) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:1.29"}]}}}}
    changed = await server.patch(f"{path}/bare", patch, STRATEGIC_PATCH)
    await mirrored.reaches(DEPLOYMENTS, changed["metadata"]["resourceVersion"])
    after = await client.get(f"/versions/{namespace}/bare")
    await server.done("DELETE", f"{path}/bare")
    await mirrored.until(lambda: mirrored.held(DEPLOYMENTS).get("bare", namespace) is None)
    gone = await client.get(f"/versions/{namespace}/bare")
    rest = await client.get("/versions", params={"namespace": namespace, "labelSelector": "app notin (port)"})

    assert after.json()["version"] == "1.29"
    assert after.headers["kubemirror-resource-version"] == changed["metadata"]["resourceVersion"]
    assert (gone.status_code, gone.json()["reason"]) == (404, "NotFound")
    assert [each["name"] for each in rest.json()] == ["both", "digest"]


async def test_versions_of_other_workloads(server: Server, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    body = deployment("rs", image="postgres:17")
    del body["kind"], body["apiVersion"]
    await server.done("POST", path, body)
    async with mirror_of(server, mirror=(REPLICA_SETS,)) as mirrored, running(mirrored) as live:
        await mirrored.until(lambda: mirrored.held(REPLICA_SETS).count(namespace) == 1)
        async with httpx.AsyncClient(base_url=live.url, trust_env=False) as client:
            answer = await client.get("/versions", params={"resource": "rs", "namespace": namespace, "wide": "true"})

    (item,) = answer.json()
    assert (item["container"], item["name"], item["version"], item["image"]) == ("postgres", "rs", "17", "postgres:17")
    assert [each["name"] for each in item["containers"]] == ["c"]


# -- /resources ---------------------------------------------------------------------------------------------


async def test_resources_in_the_forms_that_carry_objects(
    server: Server, client: httpx.AsyncClient, path: str, namespace: str
) -> None:
    listed = await server.done("GET", path)
    wanted = [comparable(item) for item in listed["items"]]

    async def got(output: str, one: str = "") -> httpx.Response:
        answer = await client.get(f"/resources/deploy/{namespace}{one}", params={"output": output})
        assert answer.status_code == 200, answer.text
        return answer

    typed = [{"kind": "Deployment", "apiVersion": "apps/v1", **item} for item in wanted]
    as_json, as_yaml = (await got("json")).json(), yaml.safe_load((await got("yaml")).text)
    assert [_typed(item) for item in as_json["items"]] == typed
    assert [_typed(item) for item in as_yaml["items"]] == typed
    assert [_typed(orjson.loads(line)) for line in (await got("ndjson")).text.splitlines()] == typed
    assert _typed((await got("json", "/port")).json()) == typed[-1]
    assert _typed(yaml.safe_load((await got("yaml", "/port")).text)) == typed[-1]


def _typed(item: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Deployment", "apiVersion": "apps/v1", **item}


async def test_resources_in_the_forms_that_carry_cells(
    server: Server, client: httpx.AsyncClient, path: str, namespace: str
) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = (await server("GET", path, accept=accept)).json()
    columns = [column["name"] for column in table["columnDefinitions"]]
    cells = [[_cell(cell) for cell in row["cells"]] for row in table["rows"]]

    async def rows(output: str, separator: str) -> list[list[str]]:
        answer = await client.get(f"/resources/deployments/{namespace}", params={"output": output, "wide": "true"})
        return [[_cell(cell) for cell in line.split(separator)] for line in answer.text.splitlines()]

    head, *tabbed = await rows("tsv", "\t")
    assert [name.lower() for name in head] == [name.lower() for name in columns]
    assert tabbed == cells
    assert (await rows("csv", ","))[1:] == cells
    markdown = await client.get(f"/resources/deployments/{namespace}", params={"output": "markdown"})
    named = await client.get(f"/resources/deployments/{namespace}", params={"output": "name"})
    assert [f"| {name} " in markdown.text for name in IMAGES] == [True] * 4
    assert named.text.splitlines() == [f"deployment.apps/{name}" for name in IMAGES]


def _cell(cell: Any) -> str:
    return "" if is_age(cell) else str(cell)


@pytest.mark.parametrize("flags", [(), ("-o", "wide"), ("-l", "app in (bare,port)"), ("-o", "name")], ids=str)
async def test_kubectl_gets_the_same_from_both(
    server: Server, live: Live, path: str, namespace: str, flags: tuple[str, ...]
) -> None:
    theirs = await kubectl("--kubeconfig", str(server.kubeconfig("reader-token")), "-n", namespace, *flags)
    ours = await kubectl("--server", live.url, "-n", namespace, *flags)

    assert theirs
    assert [[_cell(cell) for cell in line.split()] for line in ours] == [
        [_cell(cell) for cell in line.split()] for line in theirs
    ]


async def kubectl(*arguments: str) -> list[str]:
    """Lines of ``kubectl get deployments``."""
    try:
        program = require("kubectl")
    except ProgramError as error:
        pytest.fail(str(error), pytrace=False)
    process = await asyncio.create_subprocess_exec(
        program,
        "get",
        "deployments",
        "--cache-dir",
        "/nonexistent",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": "/nonexistent"},
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    return said.decode().splitlines()


# -- how it is doing ----------------------------------------------------------------------------------------


async def test_probes_say_that_every_store_has_synced(client: httpx.AsyncClient, mirrored: Mirrored, bars: str) -> None:
    ready = await client.get("/readyz?verbose")
    alive = await client.get("/livez")

    assert (ready.status_code, alive.status_code, alive.text) == (200, 200, "ok")
    assert f"[+]store/{DEPLOYMENTS} ok (SYNCED)" in ready.text.splitlines()


async def test_status_and_metrics_tell_what_the_server_holds(
    server: Server, client: httpx.AsyncClient, mirrored: Mirrored, path: str, bars: str
) -> None:
    listed = await server.done("GET", "/apis/apps/v1/deployments")
    await mirrored.equals(DEPLOYMENTS, listed)
    newest = max(int(item["metadata"]["resourceVersion"]) for item in listed["items"])

    status = (await client.get("/-/status")).json()
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families((await client.get("/metrics")).text)
        for sample in family.samples
    }

    assert (status["ready"], status["notReady"]) == (True, [])
    resources = {each["resource"]: each for each in status["resources"]}
    assert {DEPLOYMENTS, f"bars.{bars}", "customresourcedefinitions.apiextensions.k8s.io"} <= set(resources)
    (store,) = resources[DEPLOYMENTS]["stores"]
    assert (store["phase"], store["objects"], store["reason"]) == ("SYNCED", len(listed["items"]), None)
    assert int(store["resourceVersion"]) >= newest
    assert (store["reflector"]["lists"], store["reflector"]["errors"], store["epoch"]) == (1, {}, 0)
    assert store["upstreamAgeSeconds"] < 60
    assert told["kubemirror_objects", DEPLOYMENTS] == len(listed["items"])
    assert told["reflector_lists_total", DEPLOYMENTS] == 1
    assert told["reflector_last_resource_version", DEPLOYMENTS] >= newest
    assert told["kubemirror_ready",] == 1


async def test_no_read_reaches_the_server(
    server: Server, client: httpx.AsyncClient, mirrored: Mirrored, path: str, namespace: str
) -> None:
    await client.get("/version")  # asked once, and then kept
    await mirrored.until(lambda: _hashed(mirrored))  # the last of what a mirror asks for by itself
    before = server.asked()
    assert before > 0
    for where in (
        "/versions",
        f"/versions/{namespace}/port",
        f"/resources/deployments/{namespace}",
        path,
        f"{path}/port",
        f"{path}?watch=1&timeoutSeconds=1",
        "/apis",
        "/api",
        "/apis/apps/v1",
        "/version",
        "/",
        "/-/status",
        "/metrics",
        "/readyz",
    ):
        answer = await client.get(where)
        assert answer.status_code == 200, where

    assert server.asked() == before


def _hashed(mirrored: Mirrored) -> bool:
    entry = mirrored.catalog.get(DEPLOYMENTS)
    return entry is not None and bool(entry.resource.versions[0].storage_version_hash)
