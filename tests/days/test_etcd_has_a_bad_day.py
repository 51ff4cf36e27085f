"""Compacted, defragmented, gone, restored: an API server without a past or a present takes nothing from us."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from kubemirror.errors import ExpiredError
from kubemirror.state.events import Phase
from tests.cluster.control_plane import ControlPlane
from tests.contract.line import line_to
from tests.contract.mirrored import mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Real
from tests.days.day import DEPLOYMENTS, Day
from tests.days.load import load_on

PATH = "/apis/apps/v1/namespaces/{}/deployments"
# A rollback shows in the next audit; Settings' default is minutes.
AUDIT_SECONDS = 5.0
# How long etcd is gone. `make soak` takes longer than the mirror bears silence.
GONE_SECONDS = float(os.environ.get("KUBEMIRROR_ETCD_GONE_SECONDS", "8"))

pytestmark = pytest.mark.timeout(120 + 2 * GONE_SECONDS)


def etcd(plane: ControlPlane, path: str, body: dict[str, Any]) -> None:
    """Ask etcd itself, through its JSON gateway."""
    asked = urllib.request.Request(f"{plane.etcd_url}/v3/{path}", json.dumps(body).encode())
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200


async def test_compacted_and_defragmented_while_we_watch(day: Day, plane: ControlPlane, real: Real) -> None:
    namespace = await real.namespace()
    async with mirror_of(real) as mirrored:
        reader = mirrored.held(DEPLOYMENTS)
        async with load_on(real, namespace) as load:
            await load.reaches(100)
            day.begins()
            newest = max(version for _, version in load.written)
            etcd(plane, "kv/compaction", {"revision": str(newest), "physical": True})
            await asyncio.to_thread(etcd, plane, "maintenance/defragment", {})
            await load.reaches(100)

        await day.converged(mirrored)
        assert day.lists() == 0
        assert reader.statistics.errors == {}


async def test_compacted_while_we_were_away(day: Day, plane: ControlPlane, real: Real) -> None:
    """And the API server has begun anew, so that nobody knows any more what happened to us."""
    namespace = await real.namespace()
    path = PATH.format(namespace)
    kubeconfig = real.kubeconfig("mirror-token")
    async with line_to(plane.url) as line:
        plane.write_kubeconfig(kubeconfig, token="mirror-token", server=line.url)
        async with mirror_of(real, kubeconfig=kubeconfig) as mirrored:
            newest = await real.done("POST", path, deployment("kept"))
            reader = await mirrored.reaches(DEPLOYMENTS, newest["metadata"]["resourceVersion"])
            position = reader.follow(lambda: None)
            day.begins()

            await line.down()
            await real.done("DELETE", f"{path}/kept")
            written = await real.done("POST", path, deployment("new"))
            etcd(plane, "kv/compaction", {"revision": written["metadata"]["resourceVersion"], "physical": True})
            plane.end_process("kube-apiserver", kill=True)
            await day.again()
            await line.up()
            await day.converged(mirrored)

            assert [held.name for held in reader.snapshot(namespace).objects] == ["new"]
            assert [(change.type.value, change.object.name) for change in position.read()] == [
                ("DELETED", "kept"),
                ("ADDED", "new"),
            ]
            assert reader.statistics.relists == {"start": 1, "expired": 1}
            assert day.lists() == 1


async def test_gone_while_the_api_server_stays(day: Day, plane: ControlPlane, real: Real) -> None:
    namespace = await real.namespace()
    path = PATH.format(namespace)
    async with mirror_of(real) as mirrored:
        written = await real.done("POST", path, deployment("before"))
        reader = await mirrored.reaches(DEPLOYMENTS, written["metadata"]["resourceVersion"])
        day.begins()

        plane.end_process("etcd", kill=True)
        await asyncio.sleep(GONE_SECONDS)
        answer = await mirrored.get(path)
        assert (answer.status_code, len(answer.json()["items"])) == (200, 1)
        assert reader.phase in (Phase.SYNCED, Phase.STALE)
        plane.start_etcd()
        await asyncio.to_thread(plane.until_ready)
        await real.done("POST", path, deployment("after"))  # once the API server has found it again
        await day.converged(mirrored)

        assert day.lists() == reader.statistics.relists["expired"] <= 1


async def test_restored_from_an_older_state(day: Day, plane: ControlPlane, real: Real, tmp_path: Path) -> None:
    namespace = await real.namespace()
    path = PATH.format(namespace)
    await real.done("POST", path, deployment("old"))
    assert plane.folder is not None
    data = plane.folder / "etcd"
    plane.end_process("kube-apiserver")
    plane.end_process("etcd")
    shutil.copytree(data, tmp_path / "saved")
    plane.start_etcd()
    await day.again()

    async with mirror_of(real, audit_seconds=AUDIT_SECONDS) as mirrored:
        for at in range(40):
            await real.done("POST", path, deployment(f"lost-{at}"))
        last = await real.patch(f"{path}/old", {"spec": {"replicas": 9}})
        reader = await mirrored.reaches(DEPLOYMENTS, last["metadata"]["resourceVersion"])
        position = reader.follow(lambda: None)
        before = reader.statistics.lists

        plane.end_process("kube-apiserver", kill=True)
        plane.end_process("etcd", kill=True)
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "saved", data)
        plane.start_etcd()
        await day.again()
        await day.converged(mirrored, within=6 * AUDIT_SECONDS)

        assert [held.name for held in reader.snapshot(namespace).objects] == ["old"]
        assert reader.epoch == 1
        with pytest.raises(ExpiredError):
            position.read()
        # Besides what the audits ask: identities, a page at a time.
        assert reader.statistics.relists == {"start": 1, "rollback": 1}
        assert reader.statistics.lists == before + 1
