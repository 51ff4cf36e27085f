"""What every test may count on; fixtures of one behaviour live beside its tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ProgramError
from tests.reader.wire import Wire, wire_to
from tests.serve.live import Live, running
from tests.serve.world import Store, World

# Examples are not timed: two cores are shared with whatever else runs, and a slow one proves nothing.
hypothesis.settings.register_profile("kubemirror", deadline=None, print_blob=True)
hypothesis.settings.load_profile("kubemirror")

TESTS = Path(__file__).parent

# Else pytest-asyncio, which puts back the loop it found, makes one to find (Python 3.11) and never closes it.
asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=("demo", "real"),
        help="run what is tested against both servers on one of them only: the demo cluster, or a real control plane",
    )


# Folders whose tests share one world, made by the first of them: they stay together.
WORLDS = {"beside", "browser", "chain", "days", "kubectl"}
# Files that take long by themselves go first: what starts last decides when all is done.
LONG = ("clients", "days", "ship/test_bench", "deploy/test_the_image", "beside", "kubectl", "word", "access")


class Worlds(LoadScopeScheduling):
    """What one worker has to run: a file, or a whole folder with one world."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.removeprefix("tests/").partition("/")[0]
        return folder if folder in WORLDS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Worlds:
    """In place of any ``--dist``: xdist's own groups are told by node ids, which pytest 9 lets nobody change."""
    config.option.loadscopereorder = False
    return Worlds(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)  # stable: what needs the same fixtures stays together


def _turn(item: pytest.Item) -> int:
    file = str(item.path.relative_to(TESTS))
    return next((turn for turn, start in enumerate(LONG) if file.startswith(start)), len(LONG))


@pytest.fixture
def free_port() -> int:
    """A loopback port nobody listens on (for a process that must be told its port beforehand)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tool(program: str) -> str:
    """Path of a program, from PATH or from where ``make tools`` unpacks it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubemirror" / "bin"
    found = shutil.which(program) or shutil.which(program, path=str(cache))
    if found is None:
        pytest.fail(f"{program} is missing: run `make tools`", pytrace=False)
    return found


@pytest.fixture
def world() -> World:
    """A mirror without a cluster; what it holds, a test or its ``store`` says."""
    return World()


@pytest.fixture
async def live(world: World, store: Store) -> AsyncIterator[Live]:
    """It on a socket."""
    async with running(world) as live:
        yield live


@pytest.fixture
async def wire(live: Live) -> AsyncIterator[Wire]:
    """The network between a reader and it."""
    async with wire_to(int(live.address.rpartition(":")[2])) as wire:
        yield wire


@pytest.fixture(scope="session")
def promtool() -> str:
    return tool("promtool")


def _control_plane(*, full: bool) -> Iterator[ControlPlane]:
    try:
        with ControlPlane(full=full) as plane:
            yield plane
    except ProgramError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real API server on loopback, started by the first test that asks and shared: leave it as it was."""
    yield from _control_plane(full=False)


@pytest.fixture(scope="session")
def full_control_plane() -> Iterator[ControlPlane]:
    """One with controllers, a scheduler and a fake node, on which Deployments really roll out; shared too."""
    yield from _control_plane(full=True)
