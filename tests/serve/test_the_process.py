"""A real process on bad days: stalls, signals, no descriptors, no memory, and a death in between (F31-F36)."""

from __future__ import annotations

import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.serve.process import Demo, Process, demo_cluster, serving

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_cluster(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture(scope="module")
def mirror(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A mirror of the demo cluster that tests leave as they found it."""
    with serving(tmp_path_factory.mktemp("mirror"), *demo.flags) as process:
        process.until_ready()
        yield process


class Reading(threading.Thread):
    """Reads a stream to its end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.lines: list[str] = []
        self.opened = threading.Event()
        self.cut = False  # it ended without the end of a body
        self.start()
        assert self.opened.wait(20)

    def run(self) -> None:
        try:
            with httpx.stream("GET", self.url, timeout=60) as answer:
                for line in answer.iter_lines():
                    self.lines.append(line)
                    self.opened.set()
        except httpx.TransportError:
            self.cut = True

    @property
    def last(self) -> Any:
        return json.loads([line for line in self.lines if line][-1])


def version_of(client: httpx.Client, deployment: tuple[str, str]) -> str:
    version: str = client.get("/versions/{}/{}".format(*deployment)).json()["version"]
    return version


def test_the_first_line_is_the_url_and_the_log_names_the_settings_but_no_credential(mirror: Process) -> None:
    log = mirror.log.read_text()
    events = [json.loads(line) for line in log.splitlines()]

    assert mirror.first.startswith("http://127.0.0.1:")
    assert mirror.first.endswith("/")
    settings = next(event for event in events if event["event"] == "settings")
    assert settings["scope"] == "whole cluster"
    assert settings["host"] == "127.0.0.1"
    assert "admin-token" not in log
    assert httpx.get(f"{mirror.url}/versions").json() != []


def test_a_process_that_was_suspended_catches_up(mirror: Process, demo: Demo) -> None:
    deployment = demo.deployments()[0]
    with connect(f"{mirror.url.replace('http', 'ws')}/watch?resource=deploy&snapshot=false&as=key") as watching:
        watching.recv(timeout=10)
        mirror.signal(signal.SIGSTOP)
        reached = demo.set_image(deployment, "api:suspended")
        time.sleep(1)
        mirror.signal(signal.SIGCONT)
        mirror.until(lambda client: version_of(client, deployment) == "suspended", seconds=20)
        heard = json.loads(watching.recv(timeout=10))

    assert heard["resourceVersion"] == str(reached)


FEW_DESCRIPTORS = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"


def test_without_descriptors_it_refuses_politely_and_keeps_its_watches(demo: Demo, tmp_path: Path) -> None:
    with serving(tmp_path, *demo.flags, before=FEW_DESCRIPTORS) as process:
        process.until_ready()
        address = process.url.removeprefix("http://").split(":")
        sockets = [socket.create_connection((address[0], int(address[1])), timeout=5) for _ in range(100)]
        before = process.cpu_seconds()
        refused = sockets[-1].recv(4096)
        demo.set_image(demo.deployments()[1], "query:while-full")
        time.sleep(1)
        spent = process.cpu_seconds() - before
        for each in sockets:
            each.close()
        process.until(lambda client: version_of(client, demo.deployments()[1]) == "while-full", seconds=20)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"too many connections" in refused
    assert spent < 0.8  # a loop that accepts in vain burns a whole core
    assert "accept" not in (tmp_path / "serve.log").read_text()


def test_when_memory_is_nearly_used_up_new_streams_are_refused_and_reads_are_not(mirror: Process) -> None:
    pages = int(Path(f"/proc/{mirror.pid}/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    unlimited = resource.prlimit(mirror.pid, resource.RLIMIT_AS)
    resource.prlimit(mirror.pid, resource.RLIMIT_AS, (int(used / 0.9), unlimited[1]))
    try:
        mirror.until(lambda client: stream_code(client) == 503, seconds=20)
        reads = httpx.get(f"{mirror.url}/versions").status_code
        ready = httpx.get(f"{mirror.url}/readyz").status_code
    finally:
        resource.prlimit(mirror.pid, resource.RLIMIT_AS, unlimited)
    mirror.until(lambda client: stream_code(client) == 200, seconds=20)

    assert (reads, ready) == (200, 200)


def stream_code(client: httpx.Client) -> int:
    with client.stream("GET", "/watch?resource=deployments&snapshot=false") as answer:
        return answer.status_code


def test_a_killed_process_is_back_with_everything_and_readers_resume_or_are_told(demo: Demo, tmp_path: Path) -> None:
    with serving(tmp_path, *demo.flags, name="first") as first:
        first.until_ready()
        cursor = httpx.get(f"{first.url}/versions").headers["kubemirror-resource-version"]
        first.signal(signal.SIGKILL)
        first.wait(10)
    demo.set_image(demo.deployments()[2], "ledger:meanwhile")
    with serving(tmp_path, *demo.flags, name="second") as second:
        second.until_ready()
        with httpx.stream("GET", f"{second.url}/watch?resource=deployments&resourceVersion={cursor}") as answer:
            frame = json.loads(next(answer.iter_lines()))
        with httpx.Client(base_url=second.url) as client:
            version = version_of(client, demo.deployments()[2])

    assert (frame["type"], frame["object"]["code"]) == ("ERROR", 410)
    assert version == "meanwhile"


STALL = """
import asyncio, threading, time
import kubemirror.serve.lag as lag
run = lag.LoopLag.run
async def stalled(self):
    asyncio.get_running_loop().call_later(1.0, time.sleep, 3.0)
    await run(self)
lag.LoopLag.run = stalled
"""


def test_a_stalled_loop_is_reported_by_a_thread_and_kills_nobody(demo: Demo, tmp_path: Path) -> None:
    with serving(tmp_path, *demo.flags, before=STALL) as process:
        process.until(lambda _: "loop.stalled" in process.log.read_text(), seconds=30)
        process.until_ready()
        alive = httpx.get(f"{process.url}/livez").status_code
        lag = httpx.get(f"{process.url}/-/status").json()["process"]

    assert alive == 200
    assert lag["loopStalls"] == 1
    assert lag["loopLagSeconds"] > 2


def test_sigterm_fails_readiness_first_then_tells_every_stream_and_exits(demo: Demo, tmp_path: Path) -> None:
    flags = ("--shutdown-delay-seconds", "2", "--shutdown-seconds", "8")
    with serving(tmp_path, *demo.flags, *flags) as process:
        process.until_ready()
        ours = Reading(f"{process.url}/watch?resource=deployments&as=key")
        upstream = Reading(f"{process.url}/apis/apps/v1/deployments?watch=true&resourceVersion=0")
        with connect(f"{process.url.replace('http', 'ws')}/watch?resource=deployments&as=key") as ws:
            started = time.monotonic()
            process.signal(signal.SIGTERM)
            process.until(lambda client: client.get("/readyz").status_code == 503, seconds=5)
            still = httpx.get(f"{process.url}/versions").status_code
            frames = []
            try:
                while True:
                    frames.append(json.loads(ws.recv(timeout=20)))
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
            exit_code = process.wait(20)
        took = time.monotonic() - started
        ours.join(5)
        upstream.join(5)

    assert still == 200
    assert exit_code == 0
    assert 2 <= took < 12
    assert (frames[-1]["type"], frames[-1]["object"]["code"], code) == ("ERROR", 503, 1012)
    assert frames[-1]["resourceVersion"].isdigit()
    assert frames[-1]["object"]["details"]["retryAfterSeconds"] >= 1
    assert ours.last["object"]["reason"] == "ServiceUnavailable"
    assert (ours.cut, upstream.cut, upstream.is_alive()) == (False, False, False)


def test_a_second_signal_exits_at_once(demo: Demo, tmp_path: Path) -> None:
    with serving(tmp_path, *demo.flags) as process:
        process.until_ready()
        stream = Reading(f"{process.url}/watch?resource=deployments&as=key")
        process.signal(signal.SIGTERM)
        process.until(lambda client: client.get("/readyz").status_code == 503, seconds=5)
        process.signal(signal.SIGTERM)
        code = process.wait(3)
        stream.join(5)

    assert code == 130
    assert stream.cut


def test_with_nobody_connected_it_leaves_at_once(demo: Demo, tmp_path: Path) -> None:
    with serving(tmp_path, *demo.flags) as process:
        process.until_ready()
        process.signal(signal.SIGTERM)

        assert process.wait(4) == 0


DIES = """
from kubemirror.kube.reflector import Reflector
async def dies(self):
    raise ZeroDivisionError("a bug in a reflector")
Reflector.run = dies
"""


def test_a_dead_reflector_ends_the_process_with_its_traceback(demo: Demo, tmp_path: Path) -> None:
    with serving(tmp_path, *demo.flags, before=DIES) as process:
        code = process.wait(20)
    log = (tmp_path / "serve.log").read_text()

    assert code == 1
    assert "mirror.died" in log
    assert "ZeroDivisionError: a bug in a reflector" in log


def test_a_port_that_is_taken_is_one_line(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from kubemirror.__main__ import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code = main(["serve", *demo.flags, "--port", port, "--log-level", "error"])
    out, err = capfd.readouterr()

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"kubemirror: cannot listen on 127.0.0.1:{port}: Address already in use: choose another with --host or --port"
    )
