"""The demo cluster on a real loopback socket."""

from __future__ import annotations

import asyncio
import json
import stat
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from kubemirror.demo.server import DemoServer, after_earlier_ones

DEPLOYMENTS = "/apis/apps/v1/deployments"


async def test_it_serves_and_leaves_a_kubeconfig_that_only_its_owner_can_read() -> None:
    async with DemoServer(life=False) as demo:
        config = json.loads(demo.kubeconfig.read_text())
        mode = stat.S_IMODE(demo.kubeconfig.stat().st_mode)
        path = demo.kubeconfig
        async with httpx.AsyncClient(base_url=demo.url) as client:
            crds = await client.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
            ready = await client.get("/readyz")
            version = await client.get("/version")

    assert config["clusters"][0]["cluster"]["server"] == demo.url
    assert mode == 0o600
    assert not path.exists()
    assert [item["metadata"]["name"] for item in crds.json()["items"]] == [
        "documents.kube.rs",
        "foos.clux.dev",
        "previewenvironments.platform9.com",
    ]
    assert (ready.text, version.json()["minor"]) == ("ok", "36")


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def test_the_kubeconfig_of_one_that_was_killed_is_taken_away_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "kubemirror-demo-killed.demo.kubeconfig"
    left.write_text("{}")
    async with DemoServer(life=False) as first, DemoServer(life=False) as second:
        there = names_in(tmp_path)
        paths = {first.kubeconfig.name, second.kubeconfig.name}

    assert there == paths
    assert len(paths) == 2
    assert names_in(tmp_path) == set()


async def test_it_lives() -> None:
    async with DemoServer(seed=1) as demo, httpx.AsyncClient(base_url=demo.url) as client:
        async with asyncio.timeout(20), client.stream("GET", f"{DEPLOYMENTS}?watch=1") as stream:
            async for line in stream.aiter_lines():
                status = json.loads(line)["object"].get("status", {})
                if status.get("availableReplicas"):
                    break

        assert (await client.get(DEPLOYMENTS)).json()["items"]


async def test_it_fills_up() -> None:
    async with DemoServer(objects=300, life=False) as demo, httpx.AsyncClient(base_url=demo.url) as client:
        listed = (await client.get(f"{DEPLOYMENTS}?limit=1")).json()
        namespaces = (await client.get("/api/v1/namespaces")).json()["items"]

    assert len(listed["items"]) + listed["metadata"]["remainingItemCount"] == 300
    assert sum(1 for item in namespaces if item["metadata"]["name"].startswith("team-")) == 100
    assert len(json.dumps(listed["items"][0], separators=(",", ":"))) == pytest.approx(4600, rel=0.05)


async def test_a_demo_goes_on_above_the_one_before() -> None:
    began = time.time()
    async with DemoServer(objects=300, life=False, resource_version=after_earlier_ones(began)) as first:
        last = first.cluster.resource_version
    async with DemoServer(life=False, resource_version=after_earlier_ones(time.time())) as second:
        assert after_earlier_ones(began) < last < second.cluster.resource_version


async def test_a_restart_loses_connections_and_nothing_else() -> None:
    async with DemoServer(life=False) as demo, httpx.AsyncClient(base_url=demo.url) as client:
        before = demo.cluster.resource_version
        async with client.stream("GET", f"{DEPLOYMENTS}?watch=1&resourceVersion={before}") as stream:
            await demo.faults.restart()
            with pytest.raises(httpx.HTTPError):
                async for _ in stream.aiter_lines():
                    pass
        again = await client.get(DEPLOYMENTS)

    assert again.json()["metadata"]["resourceVersion"] == str(before)


async def test_refused_is_refused_by_the_kernel() -> None:
    async with DemoServer(life=False) as demo, httpx.AsyncClient(base_url=demo.url) as client:
        await demo.faults.refuse()
        with pytest.raises(httpx.ConnectError):
            await client.get("/readyz")
        await demo.faults.accept()

        assert (await client.get("/readyz")).status_code == 200


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with DemoServer(life=False) as demo:
        port = int(demo.url.rpartition(":")[2])
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            await DemoServer(life=False, port=port).__aenter__()
