"""The API server and a whole mirror of it, each behind its own socket, and one request put to both."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import ssl
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import uvloop

from kubemirror.demo.users import ADMIN_TOKEN
from kubemirror.serve.application import application
from kubemirror.serve.server import Server, listen
from tests.beside.world import World, configmap
from tests.contract.mirrored import Mirrored, mirror_of
from tests.contract.servers import Real

# Requests for an RV that never comes are refused after 3 s; everything else is answered at once.
ANSWER_SECONDS = 30.0
START_SECONDS = 60.0
Result = TypeVar("Result")
# What changes while both look on.
CHANGED = {
    "deployments.apps": "/apis/apps/v1/namespaces/team-a/deployments/web",
    "configmaps": "/api/v1/namespaces/team-a/configmaps/a.b-c.9",
    "pods": "/api/v1/namespaces/team-b/pods/bare",
    "widgets.example.dev": "/apis/example.dev/v1/namespaces/team-a/widgets/first",
    "planets.example.dev": "/apis/example.dev/v1/planets/mars",
}


@dataclass(frozen=True)
class Answer:
    """What came back. body: decoded where it was compressed; ``encoding`` tells."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    encoding: str = ""


class Mirroring:
    """A mirror in a thread with a loop of its own, serving on loopback: as far from the test as a process is."""

    def __init__(self, world: World, folder: Path, **settings: Any) -> None:
        """settings: the mirror's, beside what it mirrors."""
        self._world = world
        self._settings = settings
        self._folder = folder
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._server: Server
        self.mirrored: Mirrored
        self.url = ""
        self._thread = threading.Thread(target=self._run, name="mirror")

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(START_SECONDS), "the mirror does not sync"
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if self.url:
            self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(START_SECONDS)
        if self._failure is not None:
            raise self._failure

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` in the mirror's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)

    def reach(self, resource_version: int, *names: str) -> None:
        """Wait until these stores know of ``resource_version``."""
        for name in names:
            self.run(self.mirrored.reaches(name, str(resource_version)))

    def _stop(self) -> None:
        self._server.should_exit = True
        self.mirrored.context.lifecycle.close()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._live())
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            self._failure = error
        finally:
            self._started.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        real = Real(self._world.plane, self._folder)
        mirrored_names = tuple(self._world.watchable())
        try:
            async with mirror_of(real, mirror=mirrored_names, **self._settings) as mirrored:
                self.mirrored = mirrored
                await self._hear_bookmarks()
                listening = listen("127.0.0.1", 0)
                self._server = Server(application(mirrored.context), mirrored.context, listening, None)
                self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
                self._started.set()
                await self._server.run_until_stopped()
        finally:
            await real.close()

    async def _hear_bookmarks(self) -> None:
        """The mirror writes bookmarks as it has heard one; the first comes within a minute, or with a list again."""
        mirrored = self.mirrored
        await mirrored.mirror.refresh(None)
        await mirrored.until(lambda: all(mirrored.held(each.resource.name).blank.raw for each in mirrored.catalog))


@dataclass
class Pair:
    """versions: resourceVersions by name, put in place of ``$name`` in a target."""

    world: World
    mirroring: Mirroring
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._theirs = _Client(self.world.plane.url, self.world.plane.certificate)
        self._ours = _Client(self.mirroring.url)

    def close(self) -> None:
        self._pool.shutdown()
        self._theirs.close()
        self._ours.close()

    def write_history(self) -> None:
        """Changes that both have seen, and the resourceVersions between them.

        ``one`` and ``two`` are known to the stores of what is changed here, with changes after them.
        """
        world = self.world
        self.versions["token"] = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"
        self.versions["ahead"] = str(world.rv + 1_000_000_000)
        for at, version in enumerate(("one", "two", "now")):
            for path in CHANGED.values():
                world.patch(path, {"metadata": {"labels": {"round": str(at)}}})
            world.create(configmap(f"came-{at}"))
            if at:
                world.delete(f"/api/v1/namespaces/team-a/configmaps/came-{at - 1}")
            self.versions[version] = str(world.rv)
        world.delete(f"/api/v1/namespaces/team-a/configmaps/came-{at}")
        self.mirroring.reach(int(self.versions["two"]), *CHANGED)

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str],
        theirs: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[Answer, Answer]:
        """The API server's answer and the mirror's, to the same request at the same time.

        theirs: what the API server is sent in place of ``headers``.
        """
        theirs_ = self._pool.submit(self._theirs.ask, method, target, headers if theirs is None else theirs, body)
        ours = self._pool.submit(self._ours.ask, method, target, headers, body)
        return theirs_.result(), ours.result()

    def version_of(self, path: str) -> str:
        """A resourceVersion of the collection's resource that both know: its store's own."""
        base, _, plural = path.partition("?")[0].rpartition("/")
        group = base.split("/")[2] if base.startswith("/apis/") else ""
        name = f"{plural}.{group}" if group else plural
        return str(self.mirroring.mirrored.held(name).resource_version)

    @contextmanager
    def streams(self, target: str) -> Iterator[tuple[http.client.HTTPResponse, http.client.HTTPResponse]]:
        """Answers that go on, theirs and ours, on connections of their own."""
        with self._theirs.stream(target) as theirs, self._ours.stream(target) as ours:
            yield theirs, ours

    def theirs(self, target: str, *, headers: Mapping[str, str]) -> Answer:
        return self._theirs.ask("GET", target, headers, None)

    def ours(self, target: str, *, method: str = "GET", headers: Mapping[str, str]) -> Answer:
        return self._ours.ask(method, target, headers, None)


class _Client:
    """One kept connection; the request line is sent as it is given."""

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        self._host = urlsplit(url).netloc
        self._certificate = certificate
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        if self._certificate is None:
            return http.client.HTTPConnection(self._host, timeout=ANSWER_SECONDS)
        context = ssl.create_default_context(cafile=str(self._certificate))
        return http.client.HTTPSConnection(self._host, timeout=ANSWER_SECONDS, context=context)

    @contextmanager
    def stream(self, target: str) -> Iterator[http.client.HTTPResponse]:
        connection = self._connect()
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Accept": "application/json"}
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        try:
            yield answer
        finally:
            answer.close()
            connection.close()

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        try:
            return self._ask(method, target, headers, body)
        except (ConnectionError, http.client.HTTPException):
            self._connection.close()
            return self._ask(method, target, headers, body)

    def _ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        connection = self._connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": self._host, "Authorization": f"Bearer {ADMIN_TOKEN}", **headers}
        if body is not None:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        told: dict[str, str] = {}
        for name, value in answer.getheaders():
            told[name.lower()] = f"{told[name.lower()]}, {value}" if name.lower() in told else value
        encoding = told.get("content-encoding", "")
        if encoding == "gzip" and content:
            content = gzip.decompress(content)
        return Answer(answer.status, told, content, encoding)

    def close(self) -> None:
        self._connection.close()
