"""Liveness never depends on the API server; readiness is: every required store has been complete once."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from kubemirror.state.events import Phase
from tests.serve.world import NODES, WIDGETS, World


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez"])
async def test_a_process_is_alive_before_it_ever_heard_the_api_server(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.text) == (200, "ok")


async def test_nothing_is_ready_before_discovery(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert "[-]discovery failed" in answer.text


async def test_ready_once_every_required_store_was_complete(world: World, client: httpx.AsyncClient) -> None:
    deployments, nodes = world.mirror(), world.mirror(NODES)
    deployments.sync()
    before = await client.get("/readyz")
    nodes.sync()
    after = await client.get("/readyz")

    assert before.status_code == 503
    assert "[-]store/nodes failed: INIT" in before.text
    assert "deployments" not in before.text
    assert (after.status_code, after.text) == (200, "ok")


async def test_what_is_not_required_is_not_waited_for(world: World, client: httpx.AsyncClient) -> None:
    world.mirror().sync()
    world.mirror(WIDGETS, required=False)

    assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("phase", [Phase.FORBIDDEN, Phase.GONE])
async def test_a_custom_resource_that_may_not_be_read_is_not_waited_for(
    world: World, client: httpx.AsyncClient, phase: Phase
) -> None:
    world.mirror().sync()
    world.mirror(WIDGETS).phase(phase, "no")

    assert (await client.get("/readyz")).status_code == 200


async def test_a_forbidden_required_resource_is_never_ready_and_says_why(
    world: World, client: httpx.AsyncClient
) -> None:
    world.mirror().phase(Phase.FORBIDDEN, "cannot list deployments: run kubemirror rbac")

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert "run kubemirror rbac" in answer.text


async def test_a_store_that_lost_upstream_stays_ready(world: World, client: httpx.AsyncClient) -> None:
    deployments = world.mirror()
    deployments.sync()
    deployments.phase(Phase.STALE, "connection refused")

    assert (await client.get("/readyz")).status_code == 200
    assert (await client.get("/livez")).status_code == 200


async def test_verbose_lists_each_store(world: World, client: httpx.AsyncClient) -> None:
    world.mirror().sync()
    world.mirror(NODES).sync()

    answer = await client.get("/readyz?verbose")

    assert answer.text.splitlines() == [
        "[+]shutdown ok",
        "[+]store/deployments.apps ok (SYNCED)",
        "[+]store/nodes ok (SYNCED)",
        "readyz check passed",
    ]


async def test_readiness_fails_at_sigterm_and_liveness_does_not(world: World, client: httpx.AsyncClient) -> None:
    world.mirror().sync()
    world.context.lifecycle.stop()

    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_a_dead_task_fails_liveness(world: World, client: httpx.AsyncClient) -> None:
    async def die() -> None:
        raise RuntimeError("bug")

    task = asyncio.create_task(die(), name="mirror")
    await asyncio.wait([task])
    task.exception()  # seen: else it is reported as never retrieved
    world.context.lifecycle.tasks["mirror"] = task

    answer = await client.get("/livez")

    assert answer.status_code == 503
    assert "[-]task/mirror failed: the task has ended" in answer.text


async def test_health_answers_any_host_as_probes_name_an_address(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez", headers={"host": "10.1.2.3:8080"})

    assert answer.status_code == 200


async def test_head_answers_too(client: httpx.AsyncClient) -> None:
    answer = await client.head("/livez")

    assert answer.status_code == 200
