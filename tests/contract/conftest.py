from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from kubemirror.demo.life import Life
from kubemirror.demo.server import DemoServer
from tests.contract.both import Both
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.objects import COLOR, V1, definition
from tests.contract.servers import DEFINITIONS, Demo, Real, Server
from tests.serve.live import Live, running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--server")
        metafunc.parametrize("server", [chosen] if chosen else ("demo", "real"), indirect=True)


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """The demo cluster, fresh; or the real one that all tests share.

    Nothing happens in either by itself, unless the test is marked ``controllers``: then workloads roll out and what
    has lost its owner or its namespace is collected.
    """
    controllers = request.node.get_closest_marker("controllers") is not None
    if request.param == "demo":
        clock = fast if controllers else time.monotonic
        async with DemoServer(life=False, clock=clock) as running, living(running, controllers=controllers):
            demo = Demo(running, tmp_path)
            yield demo
            await demo.close()
    else:
        plane = request.getfixturevalue("full_control_plane" if controllers else "control_plane")
        real = Real(plane, tmp_path)
        yield real
        await real.close()


# The demo's kubelet takes its time, as one is used to see it; the fake one beside the real servers takes none.
FASTER = 20.0


def fast() -> float:
    return time.monotonic() * FASTER


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / FASTER)


@asynccontextmanager
async def living(demo: DemoServer, *, controllers: bool) -> AsyncIterator[None]:
    """The demo's controllers and kubelet, without its script; their death is the test's."""
    if not controllers:
        yield
        return
    task = asyncio.create_task(Life(demo.cluster, random=Random(1), sleep=_sleep, script=False).run(), name="life")
    try:
        yield
        assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def namespace(server: Server) -> str:
    return await server.namespace()


@pytest.fixture
async def mirrored(server: Server) -> AsyncIterator[Mirrored]:
    """A mirror of ``server`` with nothing but the rights to read, which has synced."""
    async with mirror_of(server) as mirrored:
        yield mirrored


@pytest.fixture
async def live(mirrored: Mirrored) -> AsyncIterator[Live]:
    """The whole application over that mirror, on a socket."""
    async with running(mirrored) as live:
        yield live


@pytest.fixture
async def both(server: Server, mirrored: Mirrored) -> Both:
    return Both(server, mirrored)


@pytest.fixture
async def bars(server: Server, mirrored: Mirrored) -> AsyncIterator[str]:
    """The group of a definition of bars (with a Color column) that is mirrored."""
    group = server.group()
    await server.done("POST", DEFINITIONS, definition(group, {**V1, "additionalPrinterColumns": [COLOR]}))
    try:
        await mirrored.until(lambda: mirrored.synced(f"bars.{group}"))
        yield group
    finally:
        await server("DELETE", f"{DEFINITIONS}/bars.{group}")
