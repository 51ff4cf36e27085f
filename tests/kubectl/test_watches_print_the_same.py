"""What kubectl prints as things happen is the same, in the same order, from a mirror as from the API server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.kubectl.conftest import OBJECTS, PATIENCE_SECONDS, Books, until
from tests.kubectl.kubectl import Kubectl, ageless

pytestmark = pytest.mark.timeout(240)

WATCHES = """
get deploy -n books -w
get deploy -n books -w --output-watch-events
get deploy -n books -o wide --watch-only --show-labels
get deploy -n books -w -o name
get deploy -n books -w -o json
get deploy -n books -w -o yaml
get deploy -n books --watch-only -o custom-columns=A:.metadata.name,B:.status.readyReplicas,C:.metadata.resourceVersion
get deploy -n books -w -l watched=yes
get deploy -A -w --field-selector metadata.namespace=books
get pods -n books -w -o wide
get pods -n books -w --output-watch-events -L app
get rs -n books -w
get events -n books -w -o wide
get books -n books -w -o wide
get books -n books --watch-only --field-selector spec.author=Austen --output-watch-events
get cm -n books -w -o jsonpath='{.metadata.name} {.data}{"\\n"}'
"""
# One object of each kind that is watched, as the sign that a watch runs, and that it has told all.
MARKERS = """
{apiVersion: apps/v1, kind: Deployment, metadata: {name: NAME, namespace: books, labels: {watched: "yes"}},
  spec: {replicas: 0, selector: {matchLabels: {a: NAME}},
    template: {metadata: {labels: {a: NAME}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: NAME, namespace: books}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: NAME, namespace: books},
  spec: {replicas: 0, selector: {matchLabels: {a: NAME}},
    template: {metadata: {labels: {a: NAME}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: v1, kind: Event, metadata: {name: NAME, namespace: books}, involvedObject: {name: NAME, namespace: books}}
---
{apiVersion: library.example.com/v1, kind: Book, metadata: {name: NAME, namespace: books}, spec: {author: Austen}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME, namespace: books}}
"""


class Watching:
    """One watch, at the server and at the mirror."""

    def __init__(self, line: str, logs: dict[str, Path]) -> None:
        self.line = line
        self._logs = logs

    def all_told(self, name: str) -> bool:
        return all(name in log.read_text() for log in self._logs.values())

    def told_between(self, begin: str, end: str) -> dict[str, str]:
        """What each printed of what happened between two markers."""
        return {of: ageless(log.read_text()).partition(begin)[2].partition(end)[0] for of, log in self._logs.items()}


def mark(books: Books, name: str) -> None:
    books.server.done("create", "-f", "-", given=MARKERS.replace("NAME", name))


@contextmanager
def running(kubectl: Kubectl, line: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = kubectl.start(line, log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def test_watches_print_the_same(books: Books, tmp_path: Path) -> None:
    watches = []
    with ExitStack() as stack:
        for number, line in enumerate(line for line in WATCHES.splitlines() if line):
            logs = {of: tmp_path / f"{of}-{number}" for of in ("server", "mirror")}
            for of, kubectl in (("server", books.server), ("mirror", books.mirrored)):
                stack.enter_context(running(kubectl, line, logs[of]))
            watches.append(Watching(line, logs))
        stack.callback(clean_up, books)
        ticks = 0

        def all_run() -> bool:
            nonlocal ticks
            ticks += 1
            mark(books, f"zz-tick-{ticks}")
            return all(watch.all_told("zz-tick-") for watch in watches)

        until(all_run, watches)
        mark(books, "zz-begin")
        things_happen(books)
        mark(books, "zz-end")
        until(lambda: all(watch.all_told("zz-end") for watch in watches), watches)

        told = {watch.line: watch.told_between("zz-begin", "zz-end") for watch in watches}

    for line, printed in told.items():
        assert printed["mirror"] == printed["server"], line
    assert [line for line, printed in told.items() if printed["server"].count("\n") < 2] == []


def things_happen(books: Books) -> None:
    server, web = books.server, ("-n", "books", "deploy/web")
    server.done("set", "image", *web, "web=registry.example.com:5000/web:2")
    server.done("rollout", "status", *web, f"--timeout={PATIENCE_SECONDS:.0f}s")
    server.done("label", *web, "watched=yes")
    server.done("scale", *web, "--replicas=1")
    server.done("rollout", "status", *web, f"--timeout={PATIENCE_SECONDS:.0f}s")
    server.done("label", *web, "watched-")
    book = "book/walden"
    server.done("patch", book, "-n", "books", "--type=merge", "-p", '{"spec":{"author":"Austen"}}')
    server.done("patch", book, "-n", "books", "--type=merge", "-p", '{"spec":{"pages":7}}')
    server.done("patch", book, "-n", "books", "--type=merge", "-p", '{"spec":{"author":"Thoreau"}}')
    server.done("patch", "cm", "settings", "-n", "books", "-p", '{"data":{"plain":"other"}}')
    server.done("delete", "book", "blank", "-n", "books")
    blank = {
        "apiVersion": "library.example.com/v1",
        "kind": "Book",
        "metadata": {"name": "blank", "namespace": "books"},
        "spec": {"author": ""},
    }
    server.done("create", "-f", "-", given=json.dumps(blank))
    server.done("delete", "deploy", "api", "-n", "books", "--cascade=foreground")
    api = next(each for each in yaml.safe_load_all(OBJECTS.read_text()) if each["metadata"]["name"] == "api")
    server.done("create", "-f", "-", given=json.dumps(api))
    server.done("rollout", "status", "-n", "books", "deploy/api", f"--timeout={PATIENCE_SECONDS:.0f}s")


def clean_up(books: Books) -> None:
    kinds = "deploy,pods,rs,events,books,cm"
    names = books.server.done("get", kinds, "-n", "books", "-o", "name").split()
    marked = [name for name in names if "/zz-" in name]
    books.server.done("delete", "-n", "books", "--ignore-not-found", *marked)


def test_a_rollout_is_told_as_it_goes(books: Books, tmp_path: Path) -> None:
    scheduler = books.plane.processes["kube-scheduler"]
    web = ("-n", "books", "deploy/web")
    lines = [
        "rollout status deploy/web -n books",
        "wait --for=jsonpath={.spec.replicas}=2 deploy/web -n books --timeout=60s",
        "wait --for=create cm/late -n books --timeout=60s",
        "wait --for=delete cm/early -n books --timeout=60s",
    ]
    books.server.done("create", "configmap", "early", "-n", "books")
    # New pods wait for a node, so that everybody who looks sees the same beginning.
    scheduler.freeze()
    try:
        books.server.done("set", "image", *web, "web=registry.example.com:5000/web:3")
        generation = "{.status.observedGeneration}{.metadata.generation}"
        until(lambda: len(set(books.mirrored.done("get", *web, "-o", f"jsonpath={generation}"))) == 1, "seen")
        with ExitStack() as stack:
            started = {}
            for number, line in enumerate(lines):
                for of, kubectl in (("server", books.server), ("mirror", books.mirrored)):
                    log = tmp_path / f"{of}-{number}"
                    started[of, line] = stack.enter_context(running(kubectl, line, log)), log
            rollouts = [log for (_, line), (_, log) in started.items() if line.startswith("rollout")]
            until(lambda: all("Waiting for" in log.read_text() for log in rollouts), rollouts)
            until(lambda: early_is_watched(books), "nobody waits")
            scheduler.thaw()
            books.server.done("scale", *web, "--replicas=2")
            books.server.done("create", "configmap", "late", "-n", "books")
            books.server.done("delete", "configmap", "early", "-n", "books")
            ended = {key: process.wait(PATIENCE_SECONDS) for key, (process, _) in started.items()}
            told = {key: log.read_text() for key, (_, log) in started.items()}
    finally:
        scheduler.thaw()
        books.server.done("delete", "configmap", "early", "late", "-n", "books", "--ignore-not-found")

    assert set(ended.values()) == {0}
    for line in lines:
        assert told["mirror", line] == told["server", line]


def early_is_watched(books: Books) -> bool:
    """Whether both kubectls that wait for its end have begun to: they print nothing until then."""
    named = "metadata.name%3Dearly"
    at_server = any(each.verb == "watch" and named in each.uri for each in books.plane.requests())
    with httpx.Client(base_url=books.mirror.url, verify=books.mirror.verify) as client:
        lines = client.get("/metrics").text.splitlines()
    # One by the rollout, one for a number of replicas, and the one that is looked for.
    streams = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("kubemirror_streams{"))
    return at_server and streams >= 3
