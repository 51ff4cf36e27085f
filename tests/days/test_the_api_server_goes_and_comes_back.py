"""Killed idle and under load, frozen: what is held is served on, and soon after its return it is the server's state."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from kubemirror.settings import Settings
from kubemirror.state.events import Phase
from kubemirror.state.store import Reader
from tests.cluster.control_plane import ControlPlane
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Real
from tests.days.day import DEPLOYMENTS, NOTICED_SECONDS, Day
from tests.days.listener import listening
from tests.days.load import load_on

PATH = "/apis/apps/v1/namespaces/{}/deployments"
# How long the API server is frozen. `make soak` takes two minutes, with the mirror's own patience of 85 s.
FROZEN_SECONDS = float(os.environ.get("KUBEMIRROR_FROZEN_SECONDS", "10"))
IDLE_SECONDS = Settings().idle_seconds if FROZEN_SECONDS > NOTICED_SECONDS else FROZEN_SECONDS / 5
# Long enough for the first reconnects to fail, and for waits to have grown beyond the promise.
AWAY_SECONDS = 12.0

pytestmark = pytest.mark.timeout(120 + 2 * FROZEN_SECONDS)


async def serves(mirrored: Mirrored, path: str, count: int) -> str:
    """The Cache-Status of a list that is served whole, whatever goes on upstream."""
    answer = await mirrored.get(path)
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == count
    return answer.headers["cache-status"]


def demanded(reader: Reader) -> int:
    """LISTs that the server asked for: its new watch cache may begin after what we have, and then it says 410."""
    return reader.statistics.relists["expired"]


async def test_killed_and_started_again_at_once(day: Day, plane: ControlPlane, real: Real) -> None:
    namespace = await real.namespace()
    path = PATH.format(namespace)
    async with mirror_of(real) as mirrored:
        for at in range(20):
            await real.done("POST", path, deployment(f"before-{at}"))
        reader = mirrored.held(DEPLOYMENTS)
        await mirrored.until(lambda: reader.count(namespace) == 20)
        position = reader.follow(lambda: None)
        day.begins()

        plane.end_process("kube-apiserver", kill=True)
        await day.again()
        await serves(mirrored, path, 20)
        for at in range(5):
            await real.done("DELETE", f"{path}/before-{at}")
        await day.converged(mirrored)

        assert sum(change.type.value == "DELETED" for change in position.read()) == 5
        assert (reader.count(namespace), reader.epoch) == (15, 0)
        assert day.lists() == demanded(reader) <= 1


async def test_away_for_longer_than_the_first_waits(day: Day, plane: ControlPlane, real: Real) -> None:
    namespace = await real.namespace()
    path = PATH.format(namespace)
    async with mirror_of(real) as mirrored:
        await real.done("POST", path, deployment("before"))
        reader = mirrored.held(DEPLOYMENTS)
        await mirrored.until(lambda: reader.count(namespace) == 1)
        day.begins()

        plane.end_process("kube-apiserver", kill=True)
        await mirrored.until(lambda: reader.phase is Phase.STALE)
        await asyncio.sleep(AWAY_SECONDS)
        assert "detail=STALE" in await serves(mirrored, path, 1)
        await day.again()
        await real.done("DELETE", f"{path}/before")
        await day.converged(mirrored)

        assert day.lists() == demanded(reader) <= 1


@pytest.mark.parametrize("away_seconds", [0.0, AWAY_SECONDS], ids=["at_once", "after_a_while"])
async def test_killed_under_load(day: Day, plane: ControlPlane, real: Real, away_seconds: float) -> None:
    namespace = await real.namespace()
    path = PATH.format(namespace)
    async with mirror_of(real) as mirrored, listening(mirrored, namespace) as listener:
        reader = mirrored.held(DEPLOYMENTS)
        async with load_on(real, namespace) as load:
            await load.reaches(200)
            day.begins()
            plane.end_process("kube-apiserver", kill=True)
            await mirrored.until(lambda: reader.phase is Phase.STALE)
            await asyncio.sleep(away_seconds)
            assert "detail=STALE" in await serves(mirrored, path, reader.count(namespace))
            await day.again()
            await load.reaches(200)
        await day.converged(mirrored)

        items = [item["metadata"] for item in (await real.done("GET", path))["items"]]
        async with asyncio.timeout(5):
            await listener.holds({each["name"]: (each["uid"], int(each["resourceVersion"])) for each in items})
        gaps = [(gap.low, gap.high) for gap in reader.journal.gaps]
        missed = {
            (name, version)
            for name, version in load.written - listener.told
            if not any(low < version <= (high or version) for low, high in gaps)
        }
        print(f"{len(load.written)} writes, {len(listener.told)} told, gaps {gaps}, LISTs {day.lists()}")
        assert missed == set()
        assert reader.epoch == 0
        assert len(gaps) == day.lists() == demanded(reader) <= 1


async def test_frozen(day: Day, plane: ControlPlane, real: Real) -> None:
    path = PATH.format(await real.namespace())
    async with mirror_of(real, idle_seconds=IDLE_SECONDS) as mirrored:
        written = await real.done("POST", path, deployment("before"))
        reader = await mirrored.reaches(DEPLOYMENTS, written["metadata"]["resourceVersion"])
        held = len(reader)
        day.begins()
        frozen = time.monotonic()

        plane.processes["kube-apiserver"].freeze()
        await mirrored.until(lambda: reader.phase is Phase.STALE, seconds=IDLE_SECONDS + 5)
        noticed = time.monotonic() - frozen
        print(f"noticed after {noticed:.1f} s: {reader.reason}")
        assert noticed < NOTICED_SECONDS
        assert "detail=STALE" in await serves(mirrored, path, 1)
        await asyncio.sleep(FROZEN_SECONDS - (time.monotonic() - frozen))
        assert (reader.phase, len(reader)) == (Phase.STALE, held)
        plane.processes["kube-apiserver"].thaw()
        thawed = time.monotonic()
        await real.done("DELETE", f"{path}/before")
        await day.converged(mirrored, since=thawed)

        assert day.lists() == 0
