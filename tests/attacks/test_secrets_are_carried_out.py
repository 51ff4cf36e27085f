"""What is secret in a cluster is looked for in everything that a mirror says."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import orjson
import pytest
import structlog

from kubemirror.access.audit import Audit, Audited
from kubemirror.access.authorizer import AllowAll
from kubemirror.serve.application import site
from kubemirror.serve.forms import As
from kubemirror.serve.serving import Serving
from kubemirror.settings import Access, Settings
from kubemirror.state.masking import redaction_of
from kubemirror.state.objects import Ingest
from tests.attacks import canaries as planted
from tests.attacks.canaries import CONFIG_MAPS, EVENTS, LOGINS, PODS, WEBHOOKS, Canaries
from tests.attacks.conftest import a_world
from tests.attacks.wire import asked, upgraded
from tests.serve.live import Live, running
from tests.serve.test_every_route_asks_the_authorizer import routes_of
from tests.serve.world import DEPLOYMENTS, Store, World

RESOURCES = (DEPLOYMENTS, PODS, CONFIG_MAPS, EVENTS, LOGINS, WEBHOOKS)
ACCEPTS = (
    "application/json",
    "application/yaml",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
    "text/html",
)
OUTPUTS = ("html", "json", "yaml", "ndjson", "csv", "tsv", "table", "wide", "name", "markdown")


class Planted:
    """A mirror as others are shown it, its canaries, and all that it said."""

    def __init__(self) -> None:
        self.canaries = Canaries()
        self.lines: list[str] = []
        settings = Settings(host="127.0.0.1", access=Access.OPEN, access_log=True)
        audit = Audit(self.lines.append, wall=lambda: 0.0)
        self.world = World(settings=settings, audit=audit, authorizer=Audited(AllowAll(), audit))
        self.stores = {resource.name: self.world.mirror(resource) for resource in RESOURCES}
        for resource in RESOURCES:
            store = self.stores[resource.name]
            store.sync(*(self.make(store, number, f"it-{number}") for number in (1, 2)), resource_version=10)

    def make(self, store: Store, resource_version: int, name: str) -> object:
        return store.object(resource_version, name, "shop" if store.resource.namespaced else "", **self.fields(store))

    def fields(self, store: Store) -> dict[str, object]:
        canaries, resource = self.canaries, store.resource
        fields: dict[str, object] = {"annotations": planted.annotations(canaries)}
        cells: list[object] = ["it", "1/1", "3d"]
        match resource:
            case _ if resource is DEPLOYMENTS:
                fields |= {"spec": {"template": planted.pod_template(canaries)}, "status": planted.status(canaries)}
            case _ if resource is PODS:
                fields |= {"spec": planted.pod_template(canaries)["spec"], "status": planted.status(canaries)}
            case _ if resource is CONFIG_MAPS:
                fields |= planted.config_map(canaries)
            case _ if resource is EVENTS:
                shapes = list(canaries.shaped())
                fields |= {"message": f"failed with {shapes[0]}", "reason": "Failed", "note": " ".join(shapes[1:])}
                cells = ["it", "1/1", f"failed with {shapes[0]}"]
            case _ if resource is LOGINS:
                fields |= planted.login(canaries)
                cells = ["it", fields["spec"]["password"], f"as {fields['spec']['password']}"]  # type: ignore[index]
            case _:
                fields |= planted.webhook(canaries)
        return {**fields, "cells": [*cells, "image"]}

    def change(self) -> None:
        """Everything is changed once more, and one of each leaves."""
        for resource in RESOURCES:
            store = self.stores[resource.name]
            namespace = "shop" if resource.namespaced else ""
            store.apply(20, "it-1", namespace, **self.fields(store))
            store.delete(21, "it-2", namespace, **self.fields(store))

    def found(self, said: bytes) -> list[str]:
        """The canaries in ``said``, plain or within base64."""
        low = said.lower()
        decoded = b"".join(_decoded(word) for word in said.replace(b"\\n", b" ").split(b'"') if len(word) >= 24)
        return [each for each in self.canaries.all if each.encode() in low or each.encode() in decoded.lower()]


def _decoded(word: bytes) -> bytes:
    try:
        return b64decode(word + b"=" * (-len(word) % 4), validate=True)
    except ValueError:
        return b""


@pytest.fixture
async def mirror() -> AsyncIterator[tuple[Planted, Live]]:
    planted_ = Planted()
    async with running(planted_.world) as live:
        yield planted_, live


def targets(planted_: Planted) -> list[str]:
    """Every route there is, filled with everything there is, in every form."""
    found: set[str] = set()
    for route in routes_of(site(Serving(planted_.world.context))):
        if "GET" not in route.methods or route.path == "/watch":
            continue
        for resource in RESOURCES:
            filled = {"resource": resource.name, "namespace": "shop", "name": "it-1", "digest": "x"}
            path = route.path
            for key, value in filled.items():
                path = path.replace(f"{{{key}}}", value)
            found.add(path)
            if path.startswith("/resources/"):
                found |= {f"{path}?output={output}" for output in OUTPUTS}
            if path.startswith("/versions"):
                found |= {f"{path}?wide=true"} if path == "/versions" else set()
    for resource in RESOURCES:
        base = f"/apis/{resource.group}/v1" if resource.group else "/api/v1"
        place = f"{base}/namespaces/shop/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
        found |= {f"{base}/{resource.plural}", place, f"{place}/it-1", f"{place}/it-1/status"}
    return sorted(found)


async def test_two_hundred_canaries_are_found_in_no_answer(mirror: tuple[Planted, Live]) -> None:
    planted_, live = mirror
    told = 0
    async with httpx.AsyncClient(base_url=live.url, timeout=20) as client:
        for target in targets(planted_):
            for accept in ACCEPTS if target.startswith("/api") else ACCEPTS[::4]:
                answer = await client.get(target, headers={"accept": accept})
                told += len(answer.content)
                assert planted_.found(answer.content) == [], f"{target} as {accept}"

    assert len(planted_.canaries.all) >= 200
    assert told > 200_000
    assert planted_.found(orjson.dumps(planted_.lines)) == []


async def test_and_in_no_stream(mirror: tuple[Planted, Live]) -> None:
    planted_, live = mirror
    said: list[bytes] = []
    queries = [f"resource={resource.name}&as={form}" for resource in RESOURCES for form in As]
    queries = [query for query in queries if "as=version" not in query or "deployments" in query]

    async def listen(target: str, accept: str) -> None:
        async with (
            httpx.AsyncClient(base_url=live.url, timeout=30) as client,
            client.stream("GET", target, headers={"accept": accept}) as answer,
        ):
            async for part in answer.aiter_bytes():
                said.append(part)  # noqa: PERF401 - it has no end

    async def listen_on_a_socket(query: str) -> None:
        async with live.socket(query) as socket:
            async for message in socket:
                said.append(str(message).encode())  # noqa: PERF401 - it has no end

    kubernetes = [
        f"{'/apis/' + resource.group if resource.group else '/api'}/v1/{resource.plural}?watch=true"
        for resource in RESOURCES
    ]
    listening = [asyncio.create_task(listen(f"/watch?{query}", "text/event-stream")) for query in queries]
    listening += [asyncio.create_task(listen_on_a_socket(query)) for query in queries]
    listening += [asyncio.create_task(listen(target, accept)) for target in kubernetes for accept in ACCEPTS[:3]]
    seats = live.app.serving.traffic.open_streams
    async with asyncio.timeout(30):
        # Some forms no event has: those are refused.
        while seats.total() < sum(not task.done() for task in listening):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        planted_.change()
        before = -1
        while sum(map(len, said)) > before:  # until nothing more comes
            before = sum(map(len, said))
            await asyncio.sleep(0.3)
    for task in listening:
        task.cancel()
    ended = await asyncio.gather(*listening, return_exceptions=True)
    assert [each for each in ended if isinstance(each, Exception)] == []
    assert sum(isinstance(each, asyncio.CancelledError) for each in ended) > 0.9 * len(ended)

    assert sum(map(len, said)) > 200_000
    assert any(b"DELETED" in part for part in said)
    assert planted_.found(b"\n".join(said)) == []


async def test_and_in_no_log(mirror: tuple[Planted, Live], caplog: pytest.LogCaptureFixture) -> None:
    planted_, live = mirror
    caplog.set_level(logging.DEBUG)
    for target in (
        "/watch?resource=pods&name=x",
        "/apis/apps/v1/deployments?fieldSelector=spec.x%3Dy",
        "/versions?x=y",
    ):
        await asked(live, target)
    planted_.change()

    assert planted_.found(caplog.text.encode()) == []


async def test_metrics_hold_no_label_and_no_annotation() -> None:
    """kube-state-metrics CVE-2019-10223, CVE-2019-17110."""
    world = a_world()
    world.mirror(PODS).sync()
    store = world.mirror()
    store.sync(
        store.object(7, "canary-name", "canary-namespace", labels={"canary": "canary"}, annotations={"c": "canary"})
    )
    async with running(world) as live:
        await asked(live, "/resources/deployments/canary-namespace/canary-name")
        await asked(live, "/versions/canary-namespace/canary-name?canary=canary")
        body = (await asked(live, "/metrics")).body

    assert b"kubemirror_" in body
    assert b"canary" not in body


def test_a_secret_is_never_held_with_its_data() -> None:
    """KubeView CVE-2022-45933 gave away certificates; GHSA-w23h-64x4-22h9 masked by how they were asked for."""
    redaction = redaction_of(Settings(access=Access.OPEN, unredacted=True))
    secret = Ingest(api_version="v1", kind="Secret", redaction=redaction, replace_type=True)
    raw = b'{"metadata":{"name":"db"},"type":"Opaque","data":{"p":"Y2FuYXJ5"},"stringData":{"q":"canary"}}'

    assert b"Y2FuYXJ5" not in secret.object(raw).raw
    assert b"canary" not in secret.object(raw).raw


@pytest.mark.parametrize("settings", [Settings(), Settings(access=Access.OPEN, keep_last_applied=True)])
@pytest.mark.parametrize("resource", RESOURCES)
def test_the_last_applied_annotation_is_cut_from_every_kind(settings: Settings, resource: object) -> None:
    """Argo CD CVE-2023-40029, CVE-2026-42880 and its incomplete fix: the same annotation, again and again."""
    store = World(settings=settings).mirror(resource)  # type: ignore[arg-type]
    note = {"kubectl.kubernetes.io/last-applied-configuration": '{"password":"canary"}'}

    assert b"canary" not in store.object(1, "web", annotations=note).raw


async def test_a_clusters_token_in_a_url_is_refused_and_kept_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """URLs are kept by everyone between here and a reader (ASVS 14.2.1)."""
    caplog.set_level(logging.WARNING, "uvicorn.error")  # as log.py has it: at info uvicorn logs targets
    lines: list[str] = []
    world = a_world(access_log=True)
    world.audit = Audit(lines.append, wall=lambda: 0.0)
    with structlog.testing.capture_logs() as logged:
        async with running(world) as live:
            for path in ("/versions", "/apis/apps/v1/deployments", "/watch", "/livez", "/nothing", "/"):
                for name in ("token", "access_token", "id_token", "Token", "%74oken", "access%5Ftoken", "bearer"):
                    answer = await asked(live, f"{path}?resource=deployments&{name}=canary-token")
                    upgrade = await upgraded(live, f"{path}?{name}=canary-token")
                    assert (answer.code, upgrade.code) == (400, 400), (path, name)
                    assert b"canary-token" not in answer.body
                    assert b"Authorization: Bearer" in answer.body

    assert "canary-token" not in caplog.text + "".join(lines) + str(logged)
    assert str(logged).count("[redacted]") == 2 * 6 * 7


async def test_a_token_in_a_continue_or_a_selector_is_nobodys_credential() -> None:
    async with running(a_world()) as live:
        assert (await asked(live, f"/apis/apps/v1/deployments?labelSelector={quote('token=x')}")).code == 200
