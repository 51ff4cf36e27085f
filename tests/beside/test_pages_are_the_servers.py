"""Lists in pages: the same pages, at one resourceVersion, whichever server's token is followed, under writes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.beside.comparing import Pairs, normal, read, same
from tests.beside.corpus import CONFIGMAPS, JSON, PARTIAL_LIST, TABLE, WIDGETS, with_query
from tests.beside.pair import Answer, Pair
from tests.beside.world import configmap


def token(answer: Answer) -> str:
    return read(answer.body).get("metadata").get("continue") or ""


def walk(pair: Pair, path: str, accept: str, *, first: str = "", swap: bool = False) -> Iterator[tuple[Pairs, Pairs]]:
    """Page by page, theirs and ours. first: asked with the first alone. swap: each is given the other's tokens."""
    theirs_token = ours_token = ""
    while True:
        tokens = (theirs_token, ours_token)
        asked = [with_query(path, f"continue={quote(each)}" if each else first) for each in tokens]
        theirs = pair.theirs(asked[0], headers={"Accept": accept})
        ours = pair.ours(asked[1], headers={"Accept": accept})
        assert (ours.status, theirs.status) == (200, 200), (theirs.body[:300], ours.body[:300])
        yield read(theirs.body), read(ours.body)
        theirs_token, ours_token = token(theirs), token(ours)
        if swap:
            theirs_token, ours_token = ours_token, theirs_token
        if not (theirs_token and ours_token):
            assert theirs_token == ours_token
            return


def version(page: Pairs) -> str:
    told: str = page.get("metadata").get("resourceVersion")
    return told


@pytest.mark.parametrize("swap", [False, True], ids=["own tokens", "each other's tokens"])
@pytest.mark.parametrize("accept", [JSON, TABLE, PARTIAL_LIST])
@pytest.mark.parametrize(
    "path",
    [
        f"{CONFIGMAPS}?limit=7",
        f"{CONFIGMAPS}?limit=50",
        f"{CONFIGMAPS}?limit=5&labelSelector=odd%3D1",
        f"{CONFIGMAPS}?limit=1&fieldSelector=metadata.name%3Dmany-003",
        "/api/v1/configmaps?limit=20",
        f"{WIDGETS}/widgets?limit=1",
        "/api/v1/nodes?limit=1",
    ],
)
def test_pages_are_the_servers(pair: Pair, path: str, accept: str, *, swap: bool) -> None:
    bare = f"{WIDGETS}/namespaces/team-a/widgets/bare"
    newest = pair.world.touch(f"{CONFIGMAPS}/many-000", bare, "/api/v1/nodes/cordoned")
    pair.mirroring.reach(newest, "configmaps", "widgets.example.dev", "nodes")
    at = pair.versions_of(path)
    exact = f"resourceVersion={at}&resourceVersionMatch=Exact"
    versions = set()
    for theirs, ours in walk(pair, path, accept, first=exact, swap=swap):
        same(normal(theirs), normal(ours))
        versions |= {version(theirs), version(ours)}
    assert versions == {at}


def test_pages_stay_as_they_were_while_the_collection_changes(pair: Pair) -> None:
    world = pair.world
    pages = walk(pair, f"{CONFIGMAPS}?limit=20", JSON)
    first, mine = next(pages)
    world.patch(f"{CONFIGMAPS}/many-040", {"data": {"changed": "yes"}})
    world.delete(f"{CONFIGMAPS}/many-050")
    newest = world.create(configmap("many-045x", namespace="team-b"))["metadata"]["resourceVersion"]
    pair.mirroring.reach(int(newest), "configmaps")

    rest = list(pages)

    assert first.get("items") is not None
    for theirs, ours in [(first, mine), *rest]:
        same([normal(item) for item in theirs.get("items")], [normal(item) for item in ours.get("items")])
        assert version(ours) == version(mine)
    world.create(configmap("many-050", namespace="team-b", labels={"at": "50", "odd": "0"}))
    world.delete(f"{CONFIGMAPS}/many-045x")


def test_an_inconsistent_token_goes_on_from_the_newest_state(pair: Pair) -> None:
    expired = with_query(CONFIGMAPS, f"limit=9&continue={pair.versions['token']}")
    refused = pair.ask(expired, headers={"Accept": JSON})
    tokens = [token(answer) for answer in refused]

    answers = [
        ask(with_query(CONFIGMAPS, f"limit=9&continue={quote(each)}"), headers={"Accept": JSON})
        for ask, each in zip((pair.theirs, pair.ours), tokens, strict=True)
    ]

    assert [answer.status for answer in refused] == [410, 410]
    assert [answer.status for answer in answers] == [200, 200]
    theirs, ours = (read(answer.body).get("items") for answer in answers)
    same([normal(item) for item in theirs], [normal(item) for item in ours])
