from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubemirror.demo.server import DemoServer
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.servers import Demo, Real, Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--server")
        metafunc.parametrize("server", [chosen] if chosen else ("demo", "real"), indirect=True)


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """The demo cluster without a life of its own, fresh; or the real one that all tests share."""
    if request.param == "demo":
        async with DemoServer(life=False) as running:
            demo = Demo(running, tmp_path)
            yield demo
            await demo.close()
    else:
        real = Real(request.getfixturevalue("control_plane"), tmp_path)
        yield real
        await real.close()


@pytest.fixture
async def namespace(server: Server) -> str:
    return await server.namespace()


@pytest.fixture
async def mirrored(server: Server) -> AsyncIterator[Mirrored]:
    """A mirror of ``server`` with nothing but the rights to read, which has synced."""
    async with mirror_of(server) as mirrored:
        yield mirrored
