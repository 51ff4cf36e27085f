"""client-go's informers and kubernetes_asyncio's Watch, through restarts of the mirror and of the API server.

KUBEMIRROR_CLIENT_SECONDS says for how long there is churn.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, config

from tests.clients.follower import Follower, followers
from tests.clients.informers import Informers
from tests.clients.scene import Scene, scene

SECONDS = float(os.environ.get("KUBEMIRROR_CLIENT_SECONDS", "12"))
# A round has one harm in it, and some seconds of peace, in which everybody comes back.
ROUND_SECONDS = 4.0
PATIENCE_SECONDS = 60.0
WRITERS = 3

pytestmark = pytest.mark.timeout(SECONDS * 4 + 300)


async def mirror_killed(scene: Scene) -> None:
    scene.mirror.signal(signal.SIGKILL)
    await asyncio.to_thread(scene.mirror.wait, 10)
    scene.end_mirror()
    await asyncio.to_thread(scene.start_mirror)


async def server_restarted(scene: Scene) -> None:
    plane = scene.plane
    await asyncio.to_thread(plane.end_process, "kube-apiserver")
    plane.start_api_server()
    await asyncio.to_thread(plane.until_ready)


async def mirror_restarted(scene: Scene) -> None:
    scene.mirror.signal(signal.SIGTERM)
    assert await asyncio.to_thread(scene.mirror.wait, 25) == 0
    scene.end_mirror()
    await asyncio.to_thread(scene.start_mirror)


HARMS: tuple[Callable[[Scene], Any], ...] = (mirror_killed, server_restarted, mirror_restarted)


@asynccontextmanager
async def following(scene: Scene) -> AsyncIterator[dict[str, Follower]]:
    """kubernetes_asyncio, following four resources."""
    configuration = client.Configuration()
    await config.load_kube_config(str(scene.kubeconfig), client_configuration=configuration, persist_config=False)
    async with client.ApiClient(configuration) as api:
        all_of_them = followers(api)
        tasks = [asyncio.create_task(each.run(), name=path) for path, each in all_of_them.items()]
        try:
            yield all_of_them
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_clients_end_with_what_there_is(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with scene(tmp_path, seed=int(SECONDS)) as acted:
        await asyncio.to_thread(acted.mirror.until_ready)
        async with AsyncExitStack() as stack:
            programs = {}
            for way in ("watch list", "list and watch"):
                log = tmp_path / f"{way}.log"
                program = await Informers.started(
                    acted.kubeconfig, acted.plane.kubeconfig, log, watch_list=way == "watch list"
                )
                stack.push_async_callback(program.end)
                programs[way] = program
            python = await stack.enter_async_context(following(acted))
            await asyncio.gather(*(program.ask("sync") for program in programs.values()))

            writers = [asyncio.create_task(acted.write(), name="writes") for _ in range(WRITERS)]
            until, number = loop.time() + SECONDS, 0
            while loop.time() < until or number < len(HARMS):
                await asyncio.wait(writers, timeout=ROUND_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                await HARMS[number % len(HARMS)](acted)
                number += 1
            await asyncio.wait(writers, timeout=ROUND_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for writer in writers:
                writer.cancel()
            await asyncio.wait(writers)
            assert all(writer.cancelled() for writer in writers), writers

            answers = dict(
                zip(programs, await asyncio.gather(*(p.ask("equal") for p in programs.values())), strict=True)
            )
            await python_is_equal(acted, python)

        for way, answer in answers.items():
            print(way, answer["asked"])
            for each in answer["informers"]:
                print(" ", each)
                assert (each["different"], each["violations"]) == ("", ""), each
                assert each["objects"], each
            assert sum(each["updates"] for each in answer["informers"]) > 100
        asked = {way: answer["asked"] for way, answer in answers.items()}
        assert asked["watch list"]["watchLists"] > 0
        assert asked["list and watch"]["lists"] > 0
        assert asked["list and watch"]["watchLists"] == 0
        for path, each in python.items():
            print(path, len(each.held), dict(each.seen))
            assert each.held
        print(f"{acted.written} writes, {number} harms")
        assert acted.written > SECONDS


async def python_is_equal(acted: Scene, python: dict[str, Follower]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for path, each in python.items():
            while each.differs(await asyncio.to_thread(acted.plane.request, "GET", path)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
