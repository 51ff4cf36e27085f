from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ProgramError
from tests.contract.servers import Real
from tests.days.day import Day


@pytest.fixture(scope="package")
def harmed() -> Iterator[ControlPlane]:
    """A plain control plane of this folder's: nobody else notices what is done to it."""
    try:
        with ControlPlane() as plane:
            yield plane
    except ProgramError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def plane(harmed: ControlPlane) -> Iterator[ControlPlane]:
    """It, whole again for the next test, whatever this one has left of it."""
    yield harmed
    for process in harmed.processes.values():
        process.thaw()
    if "etcd" not in harmed.processes:
        harmed.start_etcd()
    if "kube-apiserver" not in harmed.processes:
        harmed.start_api_server()
    harmed.until_ready()


@pytest.fixture
async def real(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Real]:
    real = Real(plane, tmp_path)
    yield real
    await real.close()


@pytest.fixture
async def day(plane: ControlPlane, real: Real) -> Day:
    return Day(plane, real)
