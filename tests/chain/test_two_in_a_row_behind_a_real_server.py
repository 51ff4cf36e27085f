"""Two mirrors in a row behind a real API server: the same answers, and streams that outlive the first."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_ports
from tests.serve.process import Process, serving

GROUP = "chain.example.com"
MIRRORED = ("namespaces", "configmaps", "clusterroles.rbac.authorization.k8s.io")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
BOOKS = f"/apis/{GROUP}/v1/books"
CONFIG = "/api/v1/namespaces/chain/configmaps"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
# Two crowded cores; client-side backoff after a restart is up to some seconds.
PATIENCE_SECONDS = 60.0

pytestmark = pytest.mark.timeout(240)

REQUESTS = [
    (path, accept)
    for path in (
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps/v1",
        f"/apis/{GROUP}",
        f"/apis/{GROUP}/v1",
        "/version",
        "/openapi/v3",
    )
    for accept in ("application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,*/*")
] + [
    (path, accept)
    for path in (
        f"{CONFIG}/n1",
        CONFIG,
        f"{CONFIG}?labelSelector=number%3D1",
        f"{CONFIG}?fieldSelector=metadata.name%3Dn2",
        f"{CONFIG}?limit=3",
        f"{CONFIG}?resourceVersion=1&resourceVersionMatch=Exact",
        f"{CONFIG}/nothing",
        "/api/v1/configmaps",
        BOOKS,
        f"/apis/{GROUP}/v1beta1/books",
        f"{BOOKS}?limit=1&resourceVersion=0",
        f"/apis/{GROUP}/v1/namespaces/chain/books/b1",
        f"/apis/{GROUP}/v1/namespaces/chain/books/b1/status",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ROLES,
        f"{ROLES}/view",
        "/api/v1/namespaces",
        "/api/v1/secrets",
        "/apis/nothing/v1/things",
    )
    for accept in ("application/json", "application/yaml", f"{TABLE},application/json", METADATA)
]
REQUESTS.append((f"{CONFIG}?resourceVersion=99999999", "application/json"))  # three seconds


def definition() -> dict[str, Any]:
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "deprecated": name != "v1",
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "Pages", "type": "integer", "jsonPath": ".spec.pages"}],
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        for name in ("v1", "v1beta1")
    ]
    names = {"plural": "books", "singular": "book", "kind": "Book", "shortNames": ["bk"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"books.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions},
    }


class Chain:
    """server <- first <- second, each a process."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self._folder = folder
        self._port = free_ports(1)[0]
        self._first = ExitStack()
        self._second = ExitStack()
        self.first = self.start_first()
        self.first.until_ready()
        kubeconfig = folder / "kubeconfig"
        command = [sys.executable, "-m", "kubemirror", "kubeconfig", "--server", self.first.url]
        command += ["--ca", str(folder / "tls.crt")]
        kubeconfig.write_text(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)
        flags = ["--kubeconfig", str(kubeconfig), "--idle-seconds", "30", *mirrored()]
        self.second = self._second.enter_context(serving(folder, *flags, name="second"))
        self.second.until_ready()

    def start_first(self) -> Process:
        pair = ["--tls-self-signed", "--tls-cert", f"{self._folder}/tls.crt", "--tls-key", f"{self._folder}/tls.key"]
        flags = [*pair, "--port", str(self._port), "--kubeconfig", str(self.plane.kubeconfig), *mirrored()]
        self.first = self._first.enter_context(serving(self._folder, *flags, name="first"))
        self.first.verify = ssl.create_default_context(cafile=f"{self._folder}/tls.crt")
        return self.first

    def kill_first(self) -> None:
        self.first.signal(signal.SIGKILL)
        self.first.wait(10)
        self._first.close()

    def end(self) -> None:
        self._second.close()
        self._first.close()

    def client(self, mirror: Process) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=mirror.url, verify=mirror.verify, timeout=PATIENCE_SECONDS)

    def write(self, method: str, path: str, body: Any = None) -> Any:
        return self.plane.request(method, path, body, content_type="application/json")

    def config(self, name: str, **data: str) -> dict[str, Any]:
        written: dict[str, Any] = self.write("POST", CONFIG, {"metadata": {"name": name}, "data": data})
        return written

    def shows(self, mirror: Process, path: str) -> None:
        """Wait until ``mirror`` has of ``path`` what the server has."""
        wanted = identities(self.plane.request("GET", path))

        def has(client: httpx.Client) -> bool:
            answer = client.get(path)
            return answer.status_code == 200 and identities(answer.json()) == wanted

        mirror.until(has, seconds=PATIENCE_SECONDS)


def mirrored() -> list[str]:
    return [flag for each in MIRRORED for flag in ("--mirror", each)]


def identities(listed: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in listed["items"]}


@pytest.fixture(scope="module")
def chain(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Two mirrors in a row of the API server that all tests share; what is written here is deleted again."""
    plane = control_plane
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chain"}})
    plane.apply(definition())
    chain = Chain(plane, tmp_path_factory.mktemp("chain"))
    try:
        yield chain
    finally:
        chain.end()
        plane.request("DELETE", CONFIG)
        plane.request("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/books.{GROUP}")


@pytest.fixture(scope="module")
def filled(chain: Chain) -> Chain:
    """With objects of each kind that is asked for, which both mirrors have."""
    for number in range(8):
        body = {"metadata": {"name": f"n{number}", "labels": {"number": str(number % 3)}}, "data": {"k": "<&>"}}
        chain.write("POST", CONFIG, body)
    for number in range(3):
        book = {"apiVersion": f"{GROUP}/v1", "kind": "Book", "spec": {"pages": number}}
        path = f"/apis/{GROUP}/v1/namespaces/chain/books"
        chain.write("POST", path, {**book, "metadata": {"name": f"b{number}"}})
    for path in (CONFIG, BOOKS):
        chain.shows(chain.second, path)
    return chain


@pytest.mark.parametrize(("path", "accept"), REQUESTS)
async def test_both_give_the_same_answer(filled: Chain, path: str, accept: str) -> None:
    async with filled.client(filled.first) as first, filled.client(filled.second) as second:
        headers = {"accept": accept, "accept-encoding": "identity"}
        of_first, of_second = await asyncio.gather(first.get(path, headers=headers), second.get(path, headers=headers))

    assert of_second.status_code == of_first.status_code
    assert comparable(of_second) == comparable(of_first)
    for name in ("content-type", "cache-control", "vary", "warning", "retry-after", "cache-status"):
        assert of_second.headers.get(name) == of_first.headers.get(name), name


def comparable(answer: httpx.Response) -> object:
    """The body, but for the newest resourceVersion that a mirror knows of (that of a bookmark, or in a 504) and for
    ages, which go on between one answer and the other.
    """
    try:
        body = answer.json()
    except json.JSONDecodeError:
        return [line for line in answer.text.splitlines() if not line.startswith("  resourceVersion:")]
    if isinstance(body, dict) and ("items" in body or "rows" in body):
        body["metadata"].pop("resourceVersion", None)
        body["metadata"].pop("continue", None)
    for at, column in enumerate(body.get("columnDefinitions") or ()):
        if column["name"] == "Age":
            for row in body["rows"]:
                assert row["cells"].pop(at), "an age"
    if answer.status_code in (410, 504):
        body["message"] = body["message"].partition(", current")[0]
        body["metadata"].pop("continue", None)
    return json.dumps(body)


async def test_a_page_of_one_is_continued_at_the_other(filled: Chain) -> None:
    names: list[str] = []
    versions = set()
    async with filled.client(filled.first) as first, filled.client(filled.second) as second:
        token, asked = "", [first, second, second, first]
        while asked:
            answer = await asked[0].get(CONFIG, params={"limit": "3", "continue": token})
            if answer.status_code == 504:  # the other has not heard of the token's resourceVersion yet
                continue
            del asked[0]
            assert answer.is_success, answer.text
            page = answer.json()
            names += [item["metadata"]["name"] for item in page["items"]]
            versions.add(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue", "")
            if not token:
                break

    there = [item["metadata"]["name"] for item in filled.plane.request("GET", CONFIG)["items"]]
    assert names == there
    assert len(versions) == 1


@asynccontextmanager
async def watching(client: httpx.AsyncClient, path: str, version: str) -> AsyncIterator[AsyncIterator[str]]:
    query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
    async with client.stream("GET", path, params=query) as answer:
        assert answer.status_code == 200
        yield answer.aiter_lines()


async def until_told(lines: AsyncIterator[str], name: str) -> list[dict[str, Any]]:
    """Every event up to that of ``name``, bookmarks aside."""
    events = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in lines:
            event = json.loads(line)
            if event["type"] != "BOOKMARK":
                events.append(event)
                if event["object"]["metadata"].get("name") == name:
                    return events
    raise AssertionError(f"the stream ended: {events[-1:]}")


async def test_the_same_events_in_the_same_bytes(filled: Chain) -> None:
    version = filled.config("begin")["metadata"]["resourceVersion"]
    async with (
        filled.client(filled.first) as first,
        filled.client(filled.second) as second,
        watching(first, CONFIG, version) as of_first,
        watching(second, CONFIG, version) as of_second,
    ):
        filled.config("one", key="a")
        filled.write("DELETE", f"{CONFIG}/one")
        filled.config("two")
        filled.write("DELETE", f"{CONFIG}/begin")
        filled.config("end")
        told = await asyncio.gather(until_told(of_first, "end"), until_told(of_second, "end"))
    for name in ("two", "end"):
        filled.write("DELETE", f"{CONFIG}/{name}")

    assert json.dumps(told[1]) == json.dumps(told[0])
    assert [event["type"] for event in told[0]] == ["ADDED", "DELETED", "ADDED", "DELETED", "ADDED"]


async def test_a_stream_at_the_second_outlives_the_first_and_tells_what_happened_meanwhile(filled: Chain) -> None:
    version = filled.config("before")["metadata"]["resourceVersion"]
    await asyncio.to_thread(filled.shows, filled.second, CONFIG)
    state = identities_by_name(filled.plane.request("GET", CONFIG))
    async with filled.client(filled.second) as second, watching(second, CONFIG, version) as lines:
        for life in range(2):
            filled.kill_first()
            filled.config(f"created-{life}")
            filled.write("DELETE", f"{CONFIG}/n{life}")
            held = (await second.get(CONFIG)).json()
            assert f"created-{life}" not in identities_by_name(held), "the second has what it had"
            filled.start_first()
            await asyncio.to_thread(filled.shows, filled.second, CONFIG)
            filled.config(f"after-{life}")
            last = int(version)
            for event in await until_told(lines, f"after-{life}"):
                metadata = event["object"]["metadata"]
                assert int(metadata["resourceVersion"]) >= last
                last = int(metadata["resourceVersion"])
                if event["type"] == "DELETED":
                    del state[metadata["name"]]
                else:
                    state[metadata["name"]] = metadata["resourceVersion"]
            version = str(last)
            assert state == identities_by_name(filled.plane.request("GET", CONFIG))


def identities_by_name(listed: dict[str, Any]) -> dict[str, str]:
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in listed["items"]}
