"""The base as written and everything as rendered, for checks that hold for all of them."""

from __future__ import annotations

import pytest

from tests.cluster.programs import ProgramError, require
from tests.deploy.manifests import DEPLOY, OVERLAYS, Manifests, rendered, written


@pytest.fixture(scope="session")
def kubectl() -> str:
    """Path of the kubectl that comes with the control plane."""
    try:
        return str(require("kubectl"))
    except ProgramError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def base() -> Manifests:
    """deploy/base, as its files say it."""
    return written()


@pytest.fixture(scope="session")
def renderings(kubectl: str) -> dict[str, Manifests]:
    """The base and every overlay as kubectl renders them."""
    folders = {"base": DEPLOY / "base"} | {name: DEPLOY / "overlays" / name for name in OVERLAYS}
    return {name: rendered(kubectl, folder) for name, folder in folders.items()}


@pytest.fixture(params=["written", "base", *OVERLAYS])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Each in turn: the base as written, then what is rendered."""
    if request.param == "written":
        return written()
    found: dict[str, Manifests] = request.getfixturevalue("renderings")
    return found[request.param]
