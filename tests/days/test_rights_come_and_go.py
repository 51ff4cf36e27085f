"""All our rights are cut, and given back: what may no longer be read is not shown, and then it is there again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kubemirror.errors import DeniedError
from kubemirror.state.events import Phase
from tests.contract.mirrored import DEFINITIONS, Mirrored, mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Real
from tests.days.day import DEPLOYMENTS, Day

PATH = "/apis/apps/v1/namespaces/{}/deployments"
READERS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/tests-readers"
# Settings' default is a minute. Noticed within a third more, and the one or two seconds in which a 403 is confirmed.
RIGHTS_SECONDS = 6.0
CONFIRMED_SECONDS = 5.0

pytestmark = pytest.mark.timeout(120)


async def bind(real: Real, *groups: str) -> None:
    """Who may read everything."""
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group} for group in groups]
    await real.patch(READERS, {"subjects": subjects})


async def all_in(mirrored: Mirrored, phase: Phase, *, seconds: float) -> float:
    """Wait until every store is; the seconds it took."""
    began = time.monotonic()
    readers = [mirrored.held(name) for name in (DEPLOYMENTS, DEFINITIONS)]
    await mirrored.until(lambda: all(reader.phase is phase for reader in readers), seconds=seconds)
    return time.monotonic() - began


async def test_all_rights_cut_and_given_back(day: Day, real: Real) -> None:
    path = PATH.format(await real.namespace())
    await real.done("POST", path, deployment("before"))
    async with mirror_of(real, rights_seconds=RIGHTS_SECONDS) as mirrored:
        reader = mirrored.held(DEPLOYMENTS)
        position = reader.follow(lambda: None)
        day.begins()

        await bind(real, "readers")
        try:
            took = await all_in(mirrored, Phase.FORBIDDEN, seconds=RIGHTS_SECONDS * 4 / 3 + CONFIRMED_SECONDS)
            print(f"FORBIDDEN after {took:.1f} s")
            answer = await mirrored.get(path)
            told: dict[str, Any] = answer.json()
            assert answer.status_code == told["code"] == 403
            assert "kubemirror rbac" in told["message"]
            assert len(reader) == 0
            with pytest.raises(DeniedError):
                position.read()
            await real.done("POST", path, deployment("unseen"))
        finally:
            await bind(real, "readers", "mirrors")
        took = await all_in(mirrored, Phase.SYNCED, seconds=RIGHTS_SECONDS + CONFIRMED_SECONDS)
        print(f"SYNCED after {took:.1f} s")

        await day.converged(mirrored)
        assert day.lists() == 1  # one that was not refused
        assert len((await mirrored.get(path)).json()["items"]) == 2
