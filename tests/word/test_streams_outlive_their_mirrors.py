"""No stream lies when mirrors are killed, readers are led from one to the other, and the API server restarts.

Everything is real: API server, etcd, two mirrors as processes, sockets. Readers of every framing lose their connections
at random, resume by the cursor at either mirror, and are held to etcd's watch validators (listener.py) against what
etcd has stored. In the first run no mirror lists again but when it starts, which is checked: every step must be told.

KUBEMIRROR_WORD_SECONDS is how long each run takes, KUBEMIRROR_SEED which dice it throws.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.cluster.control_plane import ControlPlane
from tests.word.listener import WISHES, Listener, Speech, Wish, never
from tests.word.scene import NAMESPACE, PATH, PATIENCE_SECONDS, Mirror, Scene, scene

SECONDS = float(os.environ.get("KUBEMIRROR_WORD_SECONDS", "7"))
SEED = int(os.environ.get("KUBEMIRROR_SEED", "1"))
AGAIN = f"KUBEMIRROR_SEED={SEED} KUBEMIRROR_WORD_SECONDS={SECONDS:g} .venv/bin/pytest tests/word/{Path(__file__).name}"
READERS_OF_EACH = 3
# A connection lasts this long on average.
CONNECTION_SECONDS = 0.7

LOST = (TimeoutError, OSError, httpx.TransportError, ConnectionClosed, InvalidHandshake, EOFError)

pytestmark = pytest.mark.timeout(SECONDS * 3 + 240)

Harm = Callable[[Scene], Awaitable[None]]
GENTLE: tuple[Harm, ...] = (Scene.held, Scene.killed, Scene.cut, Scene.both_killed, Scene.stopped)
ROUGH: tuple[Harm, ...] = (Scene.listed_again, Scene.compacted, Scene.restarted, *GENTLE)


class Reader:
    """One listener, and its connections to either mirror. gaps: whether mirrors may have listed again."""

    def __init__(self, listener: Listener, mirrors: list[Mirror], random: Random, *, gaps: bool) -> None:
        self.listener = listener
        self.ending = asyncio.Event()  # nothing is written any more: until it holds what there is
        self._mirrors = mirrors
        self._random = random
        self._gaps = gaps
        self._client = httpx.AsyncClient(timeout=PATIENCE_SECONDS)

    async def run(self) -> None:
        async with self._client:
            while not self._done:
                mirror = self._random.choice(self._mirrors)
                seconds = self._random.expovariate(1 / CONNECTION_SECONDS) if not self.ending.is_set() else 5.0
                try:
                    async with asyncio.timeout(seconds):
                        await (self._socket if self.listener.wish.speech is Speech.WEBSOCKET else self._answer)(mirror)
                except InvalidStatus as error:
                    self.listener.refused(error.response.status_code)
                except (
                    TimeoutError,
                    OSError,
                    httpx.TransportError,
                    ConnectionClosed,
                    InvalidHandshake,
                    EOFError,
                ) as lost:
                    self.listener.met[type(lost).__name__] += 1
                self.listener.lost()
                await asyncio.sleep(self._random.random() * 0.1)

    @property
    def _done(self) -> bool:
        return self.ending.is_set() and self.listener.live and self.listener.equal

    def _opened(self) -> None:
        self.listener.opened((lambda: True) if self._gaps else never, gaps=self._gaps)

    async def _socket(self, mirror: Mirror) -> None:
        url = f"ws://{mirror.address}/watch?{urlencode(self.listener.asks())}"
        socket = await connect(url, compression=None, max_size=None)
        try:
            self._opened()
            while not self._done:
                self.listener.take(orjson.loads(await socket.recv()))
        finally:
            socket.transport.abort()
            await socket.wait_closed()

    async def _answer(self, mirror: Mirror) -> None:
        asked, headers = self.listener.asks(), {"accept-encoding": "identity"}
        path = PATH if self.listener.wish.speech is Speech.KUBERNETES else "/watch"
        if self.listener.wish.speech is Speech.SSE:
            asked["output"] = "sse"
            if self.listener.cursor:  # as a browser does that comes back: its URL says what it wanted at first
                headers["last-event-id"] = asked.pop("resourceVersion")
        url = f"http://{mirror.address}{path}"
        async with self._client.stream("GET", url, params=asked, headers=headers) as answer:
            if answer.status_code != 200:
                self.listener.refused(answer.status_code)
                return
            self._opened()
            async for chunk in answer.aiter_raw():
                self.listener.hear(chunk)
                if self._done:
                    return


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server of its own, which stores what can be read by us as well."""
    flags = ["--storage-media-type=application/json"]
    with ControlPlane(folder=tmp_path_factory.mktemp("plane"), audit=False, flags=flags) as plane:
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield plane


@pytest.mark.parametrize("rough", [False, True], ids=["every step is known", "mirrors list again"])
async def test_every_reader_is_told_the_truth(plane: ControlPlane, tmp_path: Path, *, rough: bool) -> None:
    random = Random(SEED)
    loop = asyncio.get_running_loop()
    async with scene(plane, tmp_path, Random(random.random())) as acted:
        wishes = [w for speech in Speech for w in _some(random, speech)]
        history = acted.recorder.history
        listeners = [Listener(wish, history) for wish in wishes]
        readers = [Reader(each, acted.mirrors, Random(random.random()), gaps=rough) for each in listeners]
        reading = [asyncio.create_task(each.run(), name=str(each.listener.wish)) for each in readers]
        writing = asyncio.create_task(acted.write(), name="writes")
        try:
            harms = ROUGH if rough else GENTLE
            done: Counter[str] = Counter()
            until = loop.time() + SECONDS
            while loop.time() < until or len(done) < len(set(harms)):
                harm = harms[done.total()] if done.total() < len(harms) else random.choice(harms)
                await harm(acted)
                done[harm.__name__] += 1
                _none_has_died([*reading, writing])
            writing.cancel()
            await asyncio.wait([writing])
            await acted.last_write()
            for each in readers:
                each.ending.set()
            _, behind = await asyncio.wait(reading, timeout=PATIENCE_SECONDS)
        finally:
            for task in (*reading, writing):
                task.cancel()
            ended = await asyncio.gather(*reading, writing, return_exceptions=True)
        for mirror in acted.mirrors:
            await mirror.look(acted.client)
    died = [each for each in ended if isinstance(each, Exception)]
    met: Counter[str] = Counter()
    for listener in listeners:
        listener.judge()
        met += listener.met
    problems = {str(each.wish): each.problems[:3] for each in listeners if each.problems}
    print(f"{AGAIN}: {acted.written} writes, {dict(done)}, {dict(met)}")

    assert not problems, AGAIN
    assert not died, AGAIN
    assert not behind, AGAIN
    assert rough or not sum(mirror.relists for mirror in acted.mirrors), "a run in which every step is known"
    assert not rough or sum(mirror.relists for mirror in acted.mirrors), "a run in which mirrors list again"
    assert met.keys() >= {"resumed", "expired", "snapshot", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"}
    assert rough or met["judged"] > acted.written, "most of it was followed from step to step"


def _some(random: Random, speech: Speech) -> list[Wish]:
    return random.sample([each for each in WISHES if each.speech is speech], READERS_OF_EACH)


def _none_has_died(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
            raise AssertionError(f"{task.get_name()} is over")
