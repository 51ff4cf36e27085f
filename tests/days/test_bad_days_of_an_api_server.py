"""Killed, compacted, restored: each time the store equals the server, soon after that is ready again."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kubemirror.demo.users import TOKENS
from kubemirror.errors import ExpiredError
from kubemirror.state.events import Phase
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ProgramError
from tests.contract.mirrored import Mirrored, digest_of, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Real

DEPLOYMENTS = "deployments.apps"
PATH = "/apis/apps/v1/namespaces/shop/deployments"
ALL = "/apis/apps/v1/deployments"
# The promise: after the API server is ready again.
CONVERGED_SECONDS = 5.0
# A rollback shows in the next audit, or in a bookmark, which come each minute. Settings' default is minutes.
AUDIT_SECONDS = 5.0

pytestmark = pytest.mark.timeout(120)  # an API server takes up to ten seconds to be ready, some tests start two


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """One of this test's own: nobody else notices what is done to it."""
    try:
        with ControlPlane() as plane:
            yield plane
    except ProgramError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
async def real(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Real]:
    real = Real(plane, tmp_path)
    yield real
    await real.close()


async def converged(real: Real, mirrored: Mirrored, *, seconds: float = CONVERGED_SECONDS) -> None:
    """Wait until the store is the server's state, by digest, and has heard of its newest resourceVersion."""
    listed = await real.done("GET", ALL)
    wanted = digest_of(listed)
    reader = mirrored.held(DEPLOYMENTS)
    await mirrored.until(lambda: reader.phase is Phase.SYNCED and reader.digest() == wanted, seconds=seconds)


async def again(plane: ControlPlane) -> None:
    """Start the API server and wait until it is ready, while everybody else goes on."""
    plane.start_api_server()
    await asyncio.to_thread(plane.until_ready)


async def test_killed_and_started_again(plane: ControlPlane, real: Real) -> None:
    async with mirror_of(real) as mirrored:
        for at in range(20):
            await real.done("POST", PATH, deployment(f"before-{at}"))
        reader = mirrored.held(DEPLOYMENTS)
        await mirrored.until(lambda: len(reader) == 20)
        position = reader.follow(lambda: None)
        plane.end_process("kube-apiserver", kill=True)
        await again(plane)
        assert len(reader) == 20  # what was held is served on
        for at in range(5):
            await real.done("DELETE", f"{PATH}/before-{at}")

        await converged(real, mirrored)

        assert len(reader) == 15
        assert sum(change.type.value == "DELETED" for change in position.read()) == 5
        assert reader.epoch == 0
        assert reader.statistics.lists == 1  # it resumed where it was


async def test_compacted_while_away(plane: ControlPlane, real: Real) -> None:
    async with mirror_of(real) as mirrored:
        newest = await real.done("POST", PATH, deployment("kept"))
        await mirrored.reaches(DEPLOYMENTS, newest["metadata"]["resourceVersion"])
        plane.end_process("kube-apiserver", kill=True)
        await again(plane)
        await real.done("DELETE", f"{PATH}/kept")
        written = await real.done("POST", PATH, deployment("new"))
        compact(plane, int(written["metadata"]["resourceVersion"]))

        await converged(real, mirrored)

        assert [held.name for held in mirrored.held(DEPLOYMENTS).snapshot("shop").objects] == ["new"]


def compact(plane: ControlPlane, revision: int) -> None:
    """etcd's own compaction, through its JSON gateway."""
    asked = urllib.request.Request(
        f"{plane.etcd_url}/v3/kv/compaction", json.dumps({"revision": str(revision), "physical": True}).encode()
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200


async def test_etcd_restored_from_an_older_state(plane: ControlPlane, real: Real, tmp_path: Path) -> None:
    await real.done("POST", PATH, deployment("old"))
    assert plane.folder is not None
    data = plane.folder / "etcd"
    plane.end_process("kube-apiserver")
    plane.end_process("etcd")
    shutil.copytree(data, tmp_path / "saved")
    plane.start_etcd()
    await again(plane)

    async with mirror_of(real, audit_seconds=AUDIT_SECONDS) as mirrored:
        for at in range(40):
            await real.done("POST", PATH, deployment(f"lost-{at}"))
        last = await real.patch(f"{PATH}/old", {"spec": {"replicas": 9}})
        reader = await mirrored.reaches(DEPLOYMENTS, last["metadata"]["resourceVersion"])
        position = reader.follow(lambda: None)

        plane.end_process("kube-apiserver", kill=True)
        plane.end_process("etcd", kill=True)
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "saved", data)
        plane.start_etcd()
        await again(plane)

        await converged(real, mirrored, seconds=6 * AUDIT_SECONDS)
        assert [held.name for held in reader.snapshot("shop").objects] == ["old"]
        assert reader.epoch == 1
        with pytest.raises(ExpiredError):
            position.read()


async def test_a_rotated_token(plane: ControlPlane, real: Real) -> None:
    async with mirror_of(real) as mirrored:
        await real.done("POST", PATH, deployment("before"))
        renamed = {("rotated-token" if token == "mirror-token" else token): who for token, who in TOKENS.items()}
        plane.write_tokens(renamed)
        plane.end_process("kube-apiserver", kill=True)
        await again(plane)
        await real.done("POST", PATH, deployment("while-locked-out"))
        plane.write_kubeconfig(real.kubeconfig("mirror-token"), token="rotated-token")

        await converged(real, mirrored, seconds=30)  # credentials are read again when refused, with a backoff
        assert mirrored.held(DEPLOYMENTS).get("while-locked-out", "shop") is not None
