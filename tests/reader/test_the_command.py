"""``kubemirror watch`` in a process of its own: rows as kubectl prints them, trouble on standard error, a quiet end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kubemirror.__main__ import main
from kubemirror.state.events import Phase
from tests.reader.wire import Wire
from tests.serve.process import ROOT
from tests.serve.world import NODES, Store, World

# Two cores are shared with whatever else runs.
SECONDS = 30.0


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}, cells=["web", "1/1", "3d", "team/web:1.0"]),
        store.object(8, "a-long-name", "green", cells=["a-long-name", "0/1", "3d", "team/api:1.0"]),
    )
    return store


class Command:
    """The running command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.out, self.err = process.stdout, process.stderr

    async def lines(self, count: int) -> list[str]:
        async with asyncio.timeout(SECONDS):
            return [(await self.out.readline()).decode().rstrip("\n") for _ in range(count)]

    async def said(self) -> str:
        async with asyncio.timeout(SECONDS):
            return (await self.err.readline()).decode().strip()

    async def ended(self) -> int:
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def watch(wire: Wire, *arguments: str) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubemirror", "watch", *arguments, "--server", wire.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "service")},
    )
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else it is closed when it is collected: a warning


async def test_rows_are_printed_as_kubectl_prints_them(wire: Wire, store: Store) -> None:
    async with watch(wire, "deploy") as command:
        table = await command.lines(3)
        store.apply(101, "web", "blue", cells=["web", "2/2", "3d", "team/web:1.1"])
        store.delete(102, "a-long-name", "green", cells=["a-long-name", "0/1", "3d", "team/api:1.0"])
        changes = await command.lines(2)

    assert [line.split()[:3] for line in table] == [
        ["NAMESPACE", "NAME", "READY"],
        ["blue", "web", "1/1"],
        ["green", "a-long-name", "0/1"],
    ]
    assert {line.index(word) for line, word in zip(table, ["NAME ", "web", "a-long-name"], strict=True)} == {12}
    assert [line.split()[:3] for line in changes] == [["blue", "web", "2/2"], ["green", "a-long-name", "0/1"]]
    assert changes[0].index("2/2") == table[1].index("1/1")


async def test_one_namespace_needs_no_column_and_wide_shows_all(wire: Wire) -> None:
    async with watch(wire, "deploy", "-n", "blue", "-o", "wide", "-l", "app=web") as command:
        table = await command.lines(2)

    assert table[0].split() == ["NAME", "READY", "AGE", "IMAGES"]
    assert (table[1].split()[0], table[1].split()[-1]) == ("web", "team/web:1.0")


async def test_only_what_meets_a_filter_is_printed_in_the_columns_that_are_named(wire: Wire, store: Store) -> None:
    async with watch(wire, "deploy", "--filter", "Ready<1", "--columns", "Name,Tag=Images") as command:
        table = await command.lines(2)
        store.apply(101, "web", "blue", cells=["web", "0/1", "3d", "team/web:1.1"])
        (change,) = await command.lines(1)

    assert [line.split() for line in [*table, change]] == [
        ["NAME", "TAG"],
        ["a-long-name", "team/api:1.0"],
        ["web", "team/web:1.1"],
    ]


async def test_what_is_in_no_namespace_has_no_such_column(world: World, wire: Wire) -> None:
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""), resource_version=50)
    async with watch(wire, "no", "node-1") as command:
        table = await command.lines(2)

    assert (table[0].split()[0], table[1].split()[0]) == ("NAME", "node-1")


async def test_objects_are_printed_whole_or_by_name(wire: Wire, store: Store) -> None:
    async with watch(wire, "deploy", "web", "-n", "blue", "-o", "json") as command:
        printed = ""
        while not printed.endswith("\n}\n"):
            printed += (await command.lines(1))[0] + "\n"
    async with watch(wire, "deploy", "-o", "name") as command:
        names = await command.lines(2)

    assert json.loads(printed)["metadata"]["name"] == "web"
    assert sorted(names) == ["deployment.apps/a-long-name", "deployment.apps/web"]


async def test_a_cut_line_is_said_and_nothing_is_printed_twice(wire: Wire, store: Store) -> None:
    async with watch(wire, "deploy", "-n", "blue") as command:
        await command.lines(2)
        wire.cut()
        said = await command.said()
        store.apply(101, "web", "blue", cells=["web", "2/2", "3d", "team/web:1.1"])
        (change,) = await command.lines(1)
        again = await command.said()

    assert said.startswith(f"kubemirror: the connection to {wire.url} broke; again in ")
    assert again == "kubemirror: connected again"
    assert change.split()[:2] == ["web", "2/2"]


async def test_what_could_not_be_told_is_said(wire: Wire, store: Store) -> None:
    async with watch(wire, "deploy", "-o", "name") as command:
        await command.lines(2)
        store.apply(101, "web", "blue")
        await command.lines(1)  # it has a cursor
        wire.closed = True
        wire.cut()
        store.apply(102, "web", "blue")
        store.writer.compact(102)
        said = [await command.said()]
        wire.closed = False
        while "different" not in said[-1]:
            said.append(await command.said())
        (again,) = await command.lines(1)

    assert again == "deployment.apps/web"


async def test_a_cluster_that_is_lost_is_said(wire: Wire, store: Store) -> None:
    store.phase(Phase.STALE, "connection refused")
    async with watch(wire, "deploy", "-o", "name") as command:
        stale = await command.said()
        store.phase(Phase.SYNCED)
        wire.cut()
        said = [await command.said() for _ in range(3)]

    assert re.fullmatch(r"kubemirror: the mirror has lost its cluster since \d\d:\d\d:\d\d UTC: .*", stale)
    assert said[-1] == "kubemirror: the mirror hears its cluster again"


async def test_ctrl_c_is_a_quiet_end(wire: Wire) -> None:
    async with watch(wire, "deploy") as command:
        await command.lines(3)
        command.process.send_signal(signal.SIGINT)
        code = await command.ended()
        said = await command.err.read()

    assert (code, said) == (130, b"")


async def test_a_pipe_that_nobody_reads_is_a_quiet_end(wire: Wire, store: Store) -> None:
    program = f"{sys.executable} -m kubemirror watch deploy --server {wire.url} | head -n 1; echo ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "service")},
    )
    command = Command(process)
    (title,) = await command.lines(1)
    version = 101
    while process.returncode is None and version < 2000:  # it notices when it prints
        store.apply(version, "web", "blue")
        version += 1
        await asyncio.sleep(0.01)
    (code,) = await command.lines(1)
    said = await command.err.read()
    process._transport.close()  # type: ignore[attr-defined]

    assert title.startswith("NAMESPACE")
    assert (code, said) == ("141", b"")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["deploymnts"], 1, 'did you mean "deployments"?'),
        (["deploy", "-l", "a=b=c"], 1, "answers 400"),
        (["deploy", "--filter", "Redy<1"], 1, 'did you mean "Ready"?'),
        (["deploy", "--token-file", "/nowhere"], 2, "--token-file /nowhere: No such file"),
        (["deploy", "--selctor", "a=b"], 2, "did you mean --selector?"),
    ],
)
async def test_what_cannot_be_is_one_line(wire: Wire, arguments: list[str], code: int, said: str) -> None:
    async with watch(wire, *arguments) as command:
        ended = await command.ended()
        out, err = await command.out.read(), await command.err.read()

    assert (ended, out) == (code, b"")
    assert said in err.decode()
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--server", "nowhere"], 2, "is no URL of a mirror"),
        (["--server", "http://mirror.example", "--token-file", "/t"], 2, "in the clear: write https://"),
        (["--server", "http://127.0.0.1:1"], 1, "does not answer: Connection refused"),
        (["--server", "https://127.0.0.1:1", "--ca", "/nowhere"], 2, "--ca /nowhere: No such file"),
        (["--server", "https://127.0.0.1:1", "--ca", __file__], 2, "no certificate in PEM"),
    ],
)
def test_a_mirror_that_cannot_be_reached_is_one_line(
    arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", "deploy", *arguments]) == code
    out, err = capfd.readouterr()

    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
