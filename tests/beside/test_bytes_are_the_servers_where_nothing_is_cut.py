"""A mirror that is told to keep managedFields and the last-applied annotation answers with the very same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.beside.corpus import COLLECTIONS, JSON, OBJECTS, PARTIAL, PARTIAL_LIST, WIDGETS, YAML, A, with_query
from tests.beside.pair import Mirroring, Pair
from tests.beside.world import World

TOUCHED = {
    "deployments": "deployments.apps",
    "configmaps": "configmaps",
    "planets": "planets.example.dev",
    "widgets": "widgets.example.dev",
}
CONFIGMAPS = f"/api/v1{A}/configmaps"
NOT_STILL = {"replicasets", "pods"}  # of these nothing is written here that would name a resourceVersion


@pytest.fixture(scope="module")
def whole(pair: Pair, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """``pair`` comes first: the history it writes is over."""
    folder = tmp_path_factory.mktemp("whole")
    mirroring = Mirroring(world, folder, keep_managed_fields=True, keep_last_applied=True)
    mirroring.start()
    try:
        whole = Pair(world, mirroring)
        yield whole
        whole.close()
    finally:
        mirroring.stop()


@pytest.mark.parametrize("form", ["", "?pretty=true"])
@pytest.mark.parametrize("accept", [JSON, PARTIAL, YAML])
@pytest.mark.parametrize("resource", OBJECTS)
def test_an_object_is_the_same_bytes(whole: Pair, resource: str, accept: str, form: str) -> None:
    path, name = OBJECTS[resource]

    theirs, ours = whole.ask(f"{path}/{quote(name)}{form}", headers={"Accept": accept})

    assert theirs.status == 200
    assert ours.body == theirs.body


@pytest.mark.parametrize("accept", [JSON, YAML])
@pytest.mark.parametrize("path", [f"{CONFIGMAPS}/odd-texts", f"{CONFIGMAPS}/odd-keys", f"{WIDGETS}{A}/widgets/numbers"])
def test_odd_content_is_the_same_bytes(whole: Pair, path: str, accept: str) -> None:
    theirs, ours = whole.ask(path, headers={"Accept": accept})

    assert theirs.status == 200
    assert ours.body.decode() == theirs.body.decode()


@pytest.mark.parametrize("accept", [JSON, PARTIAL_LIST])
@pytest.mark.parametrize("path", [path for words, path in COLLECTIONS.items() if words not in NOT_STILL])
def test_a_list_is_the_same_bytes(whole: Pair, path: str, accept: str) -> None:
    world = whole.world
    patched = world.touch(*(f"{path}/{name}" for path, name in OBJECTS.values() if path.rpartition("/")[2] in TOUCHED))
    whole.mirroring.reach(patched, *(TOUCHED.values()))
    version = whole.version_of(path)

    exact = with_query(path, f"resourceVersion={version}&resourceVersionMatch=Exact")
    theirs, ours = whole.ask(exact, headers={"Accept": accept, "Accept-Encoding": "gzip"})

    assert theirs.status == 200
    assert (ours.body, ours.encoding) == (theirs.body, theirs.encoding)
