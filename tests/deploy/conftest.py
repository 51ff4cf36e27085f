"""The base as written and everything as rendered, for checks that hold for all of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY, OVERLAYS, Manifests, rendered, written


@pytest.fixture(scope="session")
def kubectl() -> str:
    """Path of kubectl: $KUBEBUILDER_ASSETS, what was built into the cache, or PATH."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubemirror"
    built = sorted((cache / "cluster").glob("**/kubectl"), key=lambda path: path.stat().st_mtime, reverse=True)
    folders = [os.environ.get("KUBEBUILDER_ASSETS"), *(str(path.parent) for path in built), str(cache / "bin")]
    for folder in folders:
        found = shutil.which("kubectl", path=folder) if folder else None
        if found is not None:
            return found
    found = shutil.which("kubectl")
    if found is None:
        pytest.fail("kubectl is missing: put it on PATH, or name its folder in KUBEBUILDER_ASSETS", pytrace=False)
    return found


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
