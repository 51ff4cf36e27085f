"""A control plane of its own, furnished and still, and a mirror of it: every test here asks both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.beside.pair import Mirroring, Pair
from tests.beside.world import World
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ProgramError


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    try:
        with ControlPlane(full=True) as plane:
            world = World(plane)
            world.furnish()
            yield world
    except ProgramError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="package")
def pair(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    # However long two crowded cores take: resourceVersions of the beginning are asked for until the end.
    mirroring = Mirroring(world, tmp_path_factory.mktemp("beside"), journal_seconds=3600)
    mirroring.start()
    try:
        pair = Pair(world, mirroring)
        pair.write_history()
        yield pair
        pair.close()
    finally:
        mirroring.stop()
