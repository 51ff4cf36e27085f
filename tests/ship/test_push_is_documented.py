"""docs/push.md shows what a mirror sends, letter by letter, and its recipes run."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from kubemirror.state.events import Phase
from tests.serve.live import Live, frame_of
from tests.serve.world import NODES, Store, World
from tests.ship.conftest import DemoMirror
from tests.ship.repository import ROOT

PODS = replace(NODES, plural="pods", singular="pod", kind="Pod", namespaced=True, short_names=("po",))
TEXT = (ROOT / "docs" / "push.md").read_text()
# Moments and chances: shown as they may be.
CHANCES = re.compile(
    r'(?<=")\d+[a-z](?="],"tones)|'
    r'(?<="upstreamAgeSeconds":)[\d.]+|(?<="staleSince":")[^"]+|(?<=retry: )\d+|(?<=Seconds":)\d+|(?<=resume in )\d+'
)


def shown(kind: str, name: str) -> str:
    """The block that documents it."""
    found = re.findall(rf"<!-- {kind}: {name}(?: of \S+)? -->\n```\w*\n(.*?)```", TEXT, re.DOTALL)
    assert len(found) == 1, name
    text: str = found[0]
    return CHANCES.sub("…", text)


def sent(*frames: object) -> str:
    return CHANCES.sub("…", "".join(f"{frame}\n" for frame in frames))


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(4705, "cart", "shop", uid="3f0c7a52"),
        store.object(4711, "web", "shop", uid="9b1d44e0", image="shop/web:1.4.0"),
        resource_version=4720,
    )
    return store


def change(store: Store) -> None:
    store.apply(4731, "web", "shop", uid="9b1d44e0", image="shop/web:1.5.0")
    store.delete(4733, "cart", "shop", uid="3f0c7a52")


async def test_a_snapshot_and_changes(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deployments&as=key") as stream:
        snapshot = [await stream.line() for _ in range(3)]
        change(store)
        changes = [await stream.line() for _ in range(2)]

    assert sent(*snapshot) == shown("frames", "snapshot")
    assert sent(*changes) == shown("frames", "changes")


async def test_a_mirror_that_has_lost_its_cluster(live: Live, store: Store) -> None:
    change(store)
    store.phase(Phase.STALE, "connection refused")
    async with live.ndjson("resource=deployments&as=key&resourceVersion=4733") as stream:
        bookmark = await stream.line()

    # The first one after a resumption ends nothing, but says so all the same.
    assert sent(bookmark.replace(',"annotations":{"k8s.io/initial-events-end":"true"}', "")) == shown("frames", "stale")


async def test_a_cursor_that_is_too_old(live: Live, store: Store) -> None:
    change(store)
    store.writer.compact(4733)
    async with live.ndjson("resource=deployments&as=key&resourceVersion=4705") as stream:
        lines = await stream.rest()

    assert sent(*lines) == shown("frames", "expired")


async def test_a_mirror_that_stops(world: World, live: Live, store: Store) -> None:
    change(store)
    async with live.ndjson("resource=deployments&as=key") as stream:
        await stream.frames(2)
        world.context.lifecycle.close()
        lines = await stream.rest()

    assert sent(lines[-1]) == shown("frames", "leaving")


async def test_server_sent_events(live: Live, store: Store) -> None:
    headers = {"accept": "text/event-stream"}
    async with live.ndjson("resource=deployments&as=key&name=web", **headers) as stream:
        lines = [await stream.line() for _ in range(7)]

    assert sent(*lines) == shown("events", "sse")


async def test_a_cursor_that_is_too_old_and_a_new_snapshot(live: Live, store: Store) -> None:
    change(store)
    store.writer.compact(4733)
    async with live.ndjson("resource=deployments&as=key&resourceVersion=4705&onExpired=snapshot") as stream:
        reset, *_, end = [await stream.line() for _ in range(3)]

    assert sent(reset) == shown("frames", "reset")
    assert "initial-events-end" in end


async def test_messages_and_their_answers(world: World, live: Live) -> None:
    pods = world.mirror(PODS)
    pods.sync()
    (said,) = re.findall(r'```json\n(\{"action".*?)```', TEXT, re.DOTALL)
    answers: list[str] = []
    async with connect(f"ws://{live.address}/watch") as socket:
        for message in said.splitlines():
            await socket.send(message)
            while "BOOKMARK" in (answer := str(await asyncio.wait_for(socket.recv(), 5))):
                pass
            answers.append(answer)
            if "SUBSCRIBED" in answer and "UN" not in answer:
                assert "BOOKMARK" in str(await asyncio.wait_for(socket.recv(), 5))

    assert sent(*answers) == shown("frames", "control")


async def test_a_batch(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deployments&as=key&snapshot=false&batch=true") as stream:
        await stream.line()
        change(store)
        batch = await stream.line()

    assert sent(batch) == shown("frames", "batch")


async def test_a_difference(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deployments&as=diff&snapshot=false&changes=image,scale") as stream:
        await stream.line()
        change(store)
        difference = await stream.line()

    assert sent(difference) == shown("frames", "diff")


async def test_rows_and_versions(live: Live, store: Store) -> None:
    cells = ["web", "1/2", "3d", "shop/web:1.4.0"]
    store.sync(
        store.object(4711, "web", "shop", uid="9b1d44e0", image="shop/web:1.4.0", cells=cells), resource_version=4720
    )
    async with live.ndjson("resource=deployments&as=row&columns=Name,Ready,Age&name=web") as stream:
        rows = [await stream.line() for _ in range(3)]
    async with live.ndjson("resource=deployments&as=version&name=web") as stream:
        version = await stream.line()

    assert sent(*rows) == shown("frames", "rows")
    assert sent(version) == shown("frames", "version")


# -- recipes ------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT.partition("## Recipes")[2], re.DOTALL)


def lines_of(command: list[str], count: int) -> list[str]:
    """The first lines that a command prints; it is ended then."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().rstrip("\n") for _ in range(count)]
            if not all(lines[:1]):
                assert process.stderr is not None
                process.kill()
                raise AssertionError(process.stderr.read())
            return lines
        finally:
            process.kill()


def here(text: str, mirror: DemoMirror) -> str:
    return text.replace("http://127.0.0.1:8080", mirror.url.rstrip("/"))


@pytest.mark.parametrize("command", [line for line in "\n".join(blocks("sh")).splitlines() if line.startswith("curl")])
def test_what_curl_prints_are_frames(demo_mirror: DemoMirror, command: str) -> None:
    lines = lines_of(["bash", "-c", f"exec {here(command, demo_mirror)}"], 5)
    frames: list[dict[str, Any]] = [
        json.loads(line.removeprefix("data: ")) for line in lines if line.startswith(("data: ", "{"))
    ]

    assert frames
    assert {frame["type"] for frame in frames} <= {"ADDED", "MODIFIED", "BOOKMARK", "DELETED"}


@pytest.mark.parametrize("command", [line for line in "\n".join(blocks("sh")).splitlines() if line.startswith("kubem")])
def test_the_command_prints_what_there_is(demo_mirror: DemoMirror, command: str) -> None:
    arguments = command.split()[1:]
    server = ["--server", demo_mirror.url.rstrip("/")]
    (first,) = lines_of([sys.executable, "-m", "kubemirror", *arguments, *server], 1)

    assert first.startswith(("NAMESPACE", "deployment.apps/"))


@pytest.mark.parametrize("program", blocks("python"), ids=["client", "alone"])
def test_what_python_does_with_it(demo_mirror: DemoMirror, tmp_path: Path, program: str) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(here(program, demo_mirror))
    lines = lines_of([sys.executable, "-u", str(file)], 3)

    assert all(len(line.split()) >= 2 for line in lines)


def test_websocat_is_told_of_a_socket_that_opens(demo_mirror: DemoMirror) -> None:
    """websocat is in no package of the tests: the same address is opened by another client."""
    (address,) = re.findall(r"websocat '(\S+)'", TEXT)

    async def first() -> dict[str, Any]:
        async with connect(address.replace("127.0.0.1:8080", httpx.URL(demo_mirror.url).netloc.decode())) as socket:
            return await frame_of(socket)

    assert asyncio.run(first())["type"] == "ADDED"
