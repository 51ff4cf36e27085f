"""What /metrics tells, in a form that promtool finds nothing to say about, and that never names an object."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kubemirror.serve.metrics import MirrorCollector
from kubemirror.serve.serving import Serving
from kubemirror.state.events import Phase
from tests.serve.conftest import Asking
from tests.serve.world import NODES, World

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture(autouse=True)
def lived_in(world: World) -> None:
    store = world.mirror()
    store.sync(store.object(7, "canary-object", "canary-namespace"))
    store.apply(101, "canary-object", "canary-namespace", image="x:2")
    counted = store.writer.statistics
    counted.lists, counted.watches, counted.short_watches = 2, 3, 1
    counted.events.update({"ADDED": 5, "BOOKMARK": 1})
    counted.relists.update({"start": 1, "expired": 1})
    counted.errors.update({"refused": 4})
    counted.list_seconds, counted.list_items = 1.5, 10
    counted.backoff_seconds = 0.8
    world.mirror(NODES).phase(Phase.FORBIDDEN, "no")


async def scrape(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await client.get("/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


async def value(client: httpx.AsyncClient, family: str, /, **labels: str) -> float:
    return (await scrape(client))[family, frozenset(labels.items())]


async def test_promtool_finds_nothing_to_say(client: httpx.AsyncClient, promtool: str) -> None:
    await client.get("/versions")
    text = (await client.get("/metrics")).text

    assert said_by(promtool, text) == (0, "", "")


def said_by(promtool: str, text: str) -> tuple[int, str, str]:
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, check=False, input=text, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


async def test_openmetrics_is_told_to_who_accepts_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})

    families = {family.name for family in parse_openmetrics(answer.text)}
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert "kubemirror_objects" in families


async def test_every_store_is_told(client: httpx.AsyncClient) -> None:
    resource = {"resource": "deployments.apps"}

    assert await value(client, "kubemirror_objects", **resource) == 1
    assert await value(client, "kubemirror_journal_records", **resource) == 1
    assert await value(client, "kubemirror_object_bytes", **resource) > 100
    assert await value(client, "kubemirror_store_phase", **resource, kubemirror_store_phase="SYNCED") == 1
    assert await value(client, "kubemirror_store_phase", resource="nodes", kubemirror_store_phase="FORBIDDEN") == 1
    assert await value(client, "kubemirror_upstream_last_heard_seconds", **resource) < 60
    assert await value(client, "kubemirror_ready") == 0


async def test_the_reflector_is_told_under_the_names_that_client_go_has(client: httpx.AsyncClient) -> None:
    name = {"name": "deployments.apps"}

    assert await value(client, "reflector_lists_total", **name) == 2
    assert await value(client, "reflector_watches_total", **name) == 3
    assert await value(client, "reflector_short_watches_total", **name) == 1
    assert await value(client, "reflector_list_duration_seconds_sum", **name) == 1.5
    assert await value(client, "reflector_last_resource_version", **name) == 101
    assert await value(client, "kubemirror_relists_total", resource="deployments.apps", reason="expired") == 1
    assert (
        await value(client, "kubemirror_upstream_errors_total", **{"resource": "deployments.apps", "class": "refused"})
        == 4
    )
    assert await value(client, "kubemirror_backoff_seconds", resource="deployments.apps") == 0.8


async def test_requests_are_counted_by_route_template_and_never_by_path(world: World, directly: Asking) -> None:
    client = directly(world)
    await client.get("/versions/canary-namespace/canary-object")
    await client.get("/versions/canary-namespace/canary-object")  # from finished bytes
    await client.get("/resources/deployments/canary-namespace/canary-object")
    await client.get("/apis/apps/v1/namespaces/canary-namespace/deployments/canary-object")
    await client.get("/canary-path")
    await client.request("CANARY", "/versions")

    told = await scrape(client)

    def count(route: str, method: str, code: int) -> float:
        labels = {"route": route, "method": method, "code": str(code)}
        return told["kubemirror_http_requests_total", frozenset(labels.items())]

    assert count("/versions/{namespace}/{name}", "GET", 200) == 2
    assert count("/resources/{resource}/{namespace}/{name}", "GET", 200) == 1
    assert count("/apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}", "GET", 200) == 1
    assert count("unmatched", "GET", 404) == 1
    assert count("/versions", "other", 405) == 1
    assert "canary" not in (await client.get("/metrics")).text.lower()


async def test_no_object_or_namespace_is_ever_a_label(client: httpx.AsyncClient) -> None:
    for path in ("/versions", "/resources/deployments", "/", "/-/status"):
        await client.get(path)

    assert "canary" not in (await client.get("/metrics")).text


async def test_stores_of_single_namespaces_are_summed(world: World, client: httpx.AsyncClient) -> None:
    for namespace, store in world.mirror_namespaces("blue", "green").items():
        store.sync(store.object(7, "web", namespace))

    assert await value(client, "kubemirror_objects", resource="deployments.apps") == 2
    assert "blue" not in (await client.get("/metrics")).text


def test_every_family_is_documented_and_every_documented_one_exists(world: World) -> None:
    families = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in MirrorCollector(Serving(world.context)).collect()
    }
    documented = set(re.findall(r"^\| `(\w+)`", DOCUMENT.read_text(), flags=re.MULTILINE))

    assert families == documented
