"""A real API server that is written to all the time, two mirrors of it as processes, and the harm done to them."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import httpx
import orjson

from kubemirror.demo.users import ADMIN_TOKEN
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_ports
from tests.contract.line import Line, line_to
from tests.serve.process import Process, serving
from tests.word.history import History, State

NAMESPACE = "word"
PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
NAMES = [f"n{number}" for number in range(12)]
MERGE = {"content-type": "application/merge-patch+json"}
# As a cluster in which something rolls out all the time.
BETWEEN_WRITES_SECONDS = 0.03
# Enough for a reader that lost its connection, too little for one that finds its mirror killed: both ways are taken.
JOURNAL_SECONDS = 2.0
# Two crowded cores.
PATIENCE_SECONDS = 40.0


class Recorder:
    """Writes down what etcd has really stored, from the first revision on."""

    def __init__(self, plane: ControlPlane) -> None:
        self.history = History()
        self._plane = plane
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        first, beyond = f"/registry/deployments/{NAMESPACE}/", f"/registry/deployments/{NAMESPACE}0"
        asked = {"key": _base64(first), "range_end": _base64(beyond), "start_revision": "1"}
        url = f"{self._plane.etcd_url}/v3/watch"
        async with (
            httpx.AsyncClient(timeout=None) as client,
            client.stream("POST", url, json={"create_request": asked}) as answer,
        ):
            async for line in answer.aiter_lines():
                async with self._moved:
                    for event in orjson.loads(line)["result"].get("events", ()):
                        self._write_down(event)
                    self._moved.notify_all()
        raise AssertionError("etcd ended the watch")

    def _write_down(self, event: dict[str, Any]) -> None:
        kv = event["kv"]
        version, name = int(kv["mod_revision"]), base64.b64decode(kv["key"]).decode().rpartition("/")[2]
        if event.get("type") == "DELETE":
            self.history.drop(version, name)
            return
        body = base64.b64decode(kv["value"])
        held = orjson.loads(body)
        image = held["spec"]["template"]["spec"]["containers"][0]["image"]
        metadata = held["metadata"]
        self.history.put(State(name, metadata["uid"], version, metadata["labels"]["color"], image, body))

    async def reaches(self, version: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._moved:
            await self._moved.wait_for(lambda: self.history.version >= version)


class Mirror:
    """One of the two, at one address through all its lives, behind a line of its own to the API server."""

    def __init__(self, name: str, folder: Path, plane: ControlPlane, line: Line) -> None:
        self.line = line
        self.lives = 0
        self.relists = 0
        self._name = name
        self._folder = folder
        self._kubeconfig = folder / f"{name}.kubeconfig"
        plane.write_kubeconfig(self._kubeconfig, token="mirror-token", server=line.url)
        self._port = free_ports(1)[0]
        self._living = ExitStack()
        self.process: Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        self.lives += 1
        flags = ["--port", str(self._port), "--kubeconfig", str(self._kubeconfig)]
        flags += ["--journal-seconds", str(JOURNAL_SECONDS), "--freshness-seconds", "0.5"]
        flags += ["--shutdown-delay-seconds", "0", "--shutdown-seconds", "3", "--audit-seconds", "100000"]
        alive = serving(self._folder, *flags, name=f"{self._name}-{self.lives}")
        self.process = await asyncio.to_thread(self._living.enter_context, alive)

    async def end(self, signal: Signals) -> None:
        """SIGKILL leaves it no time for a word."""
        if self.process is not None:
            self.process.signal(signal)
            await asyncio.to_thread(self.process.wait, 20)
        self._living.close()

    async def look(self, client: httpx.AsyncClient) -> None:
        """Count its relists, as long as it lives."""
        text = (await client.get(f"http://{self.address}/metrics")).text
        told = re.findall(r'kubemirror_relists_total\{reason="(\w+)",resource="deployments.apps"\} (\d+)', text)
        told += re.findall(r'kubemirror_relists_total\{resource="deployments.apps",reason="(\w+)"\} (\d+)', text)
        assert any(reason == "start" for reason, _ in told), text
        self.relists += sum(int(number) for reason, number in told if reason != "start")


class Scene:
    """See the module."""

    def __init__(self, plane: ControlPlane, mirrors: list[Mirror], recorder: Recorder, random: Random) -> None:
        self.plane = plane
        self.mirrors = mirrors
        self.recorder = recorder
        self.random = random
        self.written = 0
        tls = ssl.create_default_context(cafile=str(plane.certificate))
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        self.client = httpx.AsyncClient(base_url=plane.url, verify=tls, headers=headers, timeout=10)

    # -- writes -----------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Until cancelled, whether the API server is there or not."""
        while True:
            with suppress(httpx.TransportError):  # it is being restarted
                self.written += (await self._write_once()).is_success
            await asyncio.sleep(BETWEEN_WRITES_SECONDS)

    async def _write_once(self) -> httpx.Response:
        random = self.random
        name, color = random.choice(NAMES), random.choice(("red", "blue"))
        match random.randrange(8):
            case 0 | 1:
                return await self.client.post(PATH, json=deployment(name, color))
            case 2:
                return await self.client.delete(f"{PATH}/{name}")
            case 3 | 4:
                return await self.client.patch(
                    f"{PATH}/{name}", json={"metadata": {"labels": {"color": color}}}, headers=MERGE
                )
            case _:
                container = {"name": "web", "image": f"web:{random.randrange(1000)}"}
                spec = {"template": {"spec": {"containers": [container]}}}
                return await self.client.patch(f"{PATH}/{name}", json={"spec": spec}, headers=MERGE)

    async def last_write(self) -> None:
        """Until it is written down, and everything before it."""
        name = f"end-{self.random.randrange(10**6)}"
        written = (await self.client.post(PATH, json=deployment(name, "red"))).raise_for_status().json()
        await self.recorder.reaches(int(written["metadata"]["resourceVersion"]))

    # -- harm -------------------------------------------------------------------------------------------

    async def killed(self) -> None:
        """kill -9, and started again."""
        await self._ended(self.random.choice(self.mirrors), SIGKILL)

    async def both_killed(self) -> None:
        """Nobody is left who knows what happened before."""
        await asyncio.gather(*(self._ended(mirror, SIGKILL) for mirror in self.mirrors))

    async def stopped(self) -> None:
        """SIGTERM: its readers are told to come back."""
        await self._ended(self.random.choice(self.mirrors), SIGTERM)

    async def _ended(self, mirror: Mirror, signal: Signals) -> None:
        await mirror.look(self.client)
        await mirror.end(signal)
        await asyncio.sleep(self.random.random())
        await mirror.start()

    async def cut(self) -> None:
        """A mirror loses its connections to the API server."""
        self.random.choice(self.mirrors).line.cut()
        await asyncio.sleep(self.random.random())

    async def held(self) -> None:
        """A mirror falls behind."""
        mirror = self.random.choice(self.mirrors)
        mirror.line.hold()
        await asyncio.sleep(2 * self.random.random())
        mirror.line.release()

    async def restarted(self) -> None:
        """The API server is killed, and comes back without its memory."""
        await asyncio.to_thread(self.plane.end_process, "kube-apiserver", kill=True)
        self.plane.start_api_server()
        await asyncio.to_thread(self.plane.until_ready)

    async def compacted(self) -> None:
        """etcd forgets what a mirror has not heard of, whose API server has begun anew."""
        mirror = self.random.choice(self.mirrors)
        await mirror.line.down()
        await asyncio.sleep(self.random.random())
        newest = self.recorder.history.version
        asked = {"revision": str(newest), "physical": True}
        (await self.client.post(f"{self.plane.etcd_url}/v3/kv/compaction", json=asked)).raise_for_status()
        await self.restarted()
        await mirror.line.up()

    async def listed_again(self) -> None:
        """A mirror is told to list again."""
        mirror = self.random.choice(self.mirrors)
        answer = await self.client.post(f"http://{mirror.address}/-/refresh/deployments.apps")
        assert answer.status_code in (202, 429), answer.text
        await asyncio.sleep(self.random.random())


def deployment(name: str, color: str) -> dict[str, Any]:
    container = {"name": "web", "image": "web:1"}
    template = {"metadata": {"labels": {"app": "word"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "word"}}, "template": template}
    return {"metadata": {"name": name, "labels": {"color": color}}, "spec": spec}


@asynccontextmanager
async def scene(plane: ControlPlane, folder: Path, random: Random) -> AsyncIterator[Scene]:
    """Two mirrors that have synced, and what is written down from the first revision on."""
    recorder = Recorder(plane)
    async with line_to(plane.url) as one, line_to(plane.url) as other:
        mirrors = [Mirror(name, folder, plane, line) for name, line in (("one", one), ("other", other))]
        made = Scene(plane, mirrors, recorder, random)
        recording = asyncio.create_task(recorder.run(), name="recorder")
        try:
            await asyncio.gather(*(mirror.start() for mirror in mirrors))
            await asyncio.gather(*(_ready(mirror) for mirror in mirrors))
            yield made
            assert not recording.done(), recording.exception()
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
            await asyncio.gather(*(mirror.end(SIGKILL) for mirror in mirrors))
            await made.client.aclose()


async def _ready(mirror: Mirror) -> None:
    assert mirror.process is not None
    await asyncio.to_thread(mirror.process.until_ready)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
