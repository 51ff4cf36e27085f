"""A 401 renews the credential once for all who met it, and asks once more (F09)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.connect.conftest import Connect
from tests.connect.stub import Clock, Request, Stub, ask, respond

VERSION = "client.authentication.k8s.io/v1"


class Door:
    """Accepts one token."""

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        allowed = request.header("authorization") == f"Bearer {self.accepted}"
        writer.write(respond(200 if allowed else 401, b"{}" if allowed else b"Unauthorized"))


def counting_plugin(folder: Path) -> dict[str, Any]:
    """An exec plugin that hands out token-1, token-2, ..., one a run."""
    script = folder / "plugin.py"
    script.write_text(
        "import json, pathlib\n"
        f"runs = pathlib.Path({str(folder / 'runs')!r})\n"
        "with runs.open('a') as file: file.write('x')\n"
        f"print(json.dumps({{'apiVersion': {VERSION!r}, 'kind': 'ExecCredential',"
        " 'status': {'token': f'token-{len(runs.read_text())}'}}))\n"
    )
    return {"exec": {"apiVersion": VERSION, "command": sys.executable, "args": ["-S", str(script)]}}


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


async def test_a_rotated_token_file_is_read_at_once(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "token").write_text("old")
    door = Door("old")
    async with Stub(door) as stub:
        connection = await connect(stub.url, user={"tokenFile": str(tmp_path / "token")}, clock=clock)
        assert (await ask(connection)).status == 200
        (tmp_path / "token").write_text("new")
        door.accepted = "new"

        assert (await ask(connection)).status == 200

    assert [request.header("authorization") for request in stub.requests] == ["Bearer old", "Bearer old", "Bearer new"]


async def test_a_token_that_is_not_newer_is_not_sent_again(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    async with Stub(Door("new")) as stub:
        reply = await ask(await connect(stub.url, user={"tokenFile": str(tmp_path / "token")}))

    assert (reply.status, reply.body) == (401, b"Unauthorized")
    assert len(stub.requests) == 1


async def test_a_fixed_token_is_not_sent_again(connect: Connect) -> None:
    async with Stub(Door("new")) as stub:
        assert (await ask(await connect(stub.url, user={"token": "old"}))).status == 401

    assert len(stub.requests) == 1


async def test_a_plugin_runs_at_the_first_request_and_then_no_more(connect: Connect, tmp_path: Path) -> None:
    async with Stub(Door("token-1")) as stub:
        connection = await connect(stub.url, user=counting_plugin(tmp_path))
        assert not (tmp_path / "runs").exists()
        replies = await asyncio.gather(*(ask(connection) for _ in range(20)))

    assert {reply.status for reply in replies} == {200}
    assert runs(tmp_path) == 1


async def test_twenty_refused_requests_run_the_plugin_once(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    door = Door("token-1")
    async with Stub(door) as stub:
        connection = await connect(stub.url, user=counting_plugin(tmp_path), clock=clock)
        await ask(connection)
        clock.advance(3600)
        door.accepted = "token-2"
        replies = await asyncio.gather(*(ask(connection) for _ in range(20)))

    assert {reply.status for reply in replies} == {200}
    assert runs(tmp_path) == 2


async def test_a_second_refusal_is_the_answer(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    async with Stub(Door("never")) as stub:
        connection = await connect(stub.url, user=counting_plugin(tmp_path), clock=clock)
        await ask(connection)
        clock.advance(3600)
        reply = await ask(connection)

    assert reply.status == 401
    assert [request.header("authorization") for request in stub.requests[-2:]] == ["Bearer token-1", "Bearer token-2"]


async def test_endless_refusals_do_not_run_the_plugin_endlessly(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    async with Stub(Door("never")) as stub:
        connection = await connect(stub.url, user=counting_plugin(tmp_path), clock=clock)
        for _ in range(10):
            clock.advance(1)
            await ask(connection)

    assert runs(tmp_path) <= 3
