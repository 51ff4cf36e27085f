"""Open mode: everyone reads what is listed, and nothing else of the cluster; never Secrets."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from kubemirror.access.authorizer import ANONYMOUS, Allow, ResourceAttributes
from kubemirror.access.listed import Listed
from kubemirror.access.modes import check
from kubemirror.errors import ConfigError
from kubemirror.settings import Access, Settings
from kubemirror.state.catalog import Resource, ServedVersion
from tests.access.api_server import Reviews
from tests.access.site import a_world, site
from tests.serve.world import World

SECRETS = Resource("", "v1", "secrets", "secret", "Secret", True, (ServedVersion("v1"),))


async def test_what_is_listed_is_read_by_everyone_and_nothing_else(reviews: Reviews) -> None:
    async with site(reviews, access=Access.OPEN, open_resource=("deploy",)) as (client, _):
        codes = {
            path: (await client.get(path)).status_code
            for path in (
                "/versions",
                "/resources/deployments?output=json",
                "/apis/apps/v1/deployments",
                "/apis/apps/v1/namespaces/blue/deployments/web",
                "/apis",
                "/-/status",
                "/metrics",
                "/healthz",
                "/api/v1/nodes",
                "/resources/nodes",
                "/watch?resource=nodes",
                "/api/v1/secrets",
            )
        }
        refresh = await client.post("/-/refresh")
        acting = await client.get("/versions", headers={"impersonate-user": "jane"})
        overview = await client.get("/", headers={"accept": "text/html"})

    assert {path for path, code in codes.items() if code == 403} == {
        "/api/v1/nodes",
        "/resources/nodes",
        "/watch?resource=nodes",
        "/api/v1/secrets",
    }
    assert set(codes.values()) == {200, 403}
    assert (refresh.status_code, acting.status_code) == (403, 403)
    assert "/resources/nodes" not in overview.text
    assert reviews.asked == []


@pytest.mark.looptime
async def test_what_is_listed_and_not_there_is_told_at_start_and_no_more(reviews: Reviews) -> None:
    """A slip of the pen opens nothing; a definition may come later, and is told when it has gone again."""
    world = a_world()
    world.catalog.complete = False  # as while discovery is read
    with capture_logs() as logs:
        async with site(reviews, world=world, access=Access.OPEN, open_resource=("deploymets", "nodes")) as (_, mode):
            assert mode.run is not None
            running = asyncio.create_task(mode.run(), name="open")
            await asyncio.sleep(3)
            early = len(logs)
            world.catalog.complete = True
            await asyncio.sleep(600)
            missing = [each["resource"] for each in logs]
            world.catalog.remove("nodes")
            await asyncio.sleep(600)
            later = [each["resource"] for each in logs]
            running.cancel()

    assert (early, missing, later) == (0, ["deploymets"], ["deploymets", "nodes"])
    assert logs[0]["event"] == "access.open_resource_missing"
    assert logs[0]["log_level"] == "warning"
    assert logs[0]["nearest"] == ["deployments"]


def test_what_is_open_must_be_listed() -> None:
    with pytest.raises(ConfigError, match="--open-resource deployments"):
        check(Settings(access=Access.OPEN))


@pytest.mark.parametrize("name", ["secrets", "secret", "Secrets", "secrets.v1", "secrets.v1."])
def test_secrets_cannot_be_listed(name: str) -> None:
    with pytest.raises(ConfigError, match="Secrets are never open"):
        check(Settings(access=Access.OPEN, open_resource=("pods", name)))


async def test_secrets_are_refused_by_whatever_name_they_were_listed() -> None:
    world = World()
    world.mirror(SECRETS).sync()
    listed = Listed(world.catalog, ("secrets", "sec*", "secret"))
    for verb in ("get", "list", "watch"):
        decision = await listed.authorize(ANONYMOUS, ResourceAttributes(verb, "", "v1", "secrets", namespace="a"))
        assert not isinstance(decision, Allow)
