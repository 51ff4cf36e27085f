"""One object with the worst in every field is data on every page and in every form; templates cannot say otherwise."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from bs4 import BeautifulSoup
from jinja2 import UndefinedError

from kubemirror.serve.assets import web
from kubemirror.serve.pages import Pages
from kubemirror.serve.visible import cell, cut, ratio, visible, web_url
from kubemirror.state.events import Apply, Columns, Phase
from tests.serve.conftest import Asking
from tests.serve.test_pages import BROWSER
from tests.serve.test_the_overview_tells_what_is_wrong import PODS, REPLICA_SETS
from tests.serve.test_the_page_of_an_object import DEFINITIONS, EVENTS
from tests.serve.world import COLUMNS, DEPLOYMENTS, WIDGETS, Store, World

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe{{7*7}}${7*7}\x1b[2J\u200b\x00&#x22;"
URL = "javascript:alert(1)//https://x"
MEGABYTE = "A" * 1_000_000
# Names that no API server takes; what is mirrored is another's word.
NAMES = ["web", "..", "a/b?c#d", "a\x1b[2J", EVIL.replace("/", "|").replace("\x1b", "").replace("\x00", "")]
# No path leads to these: a slash parts it, two dots lead out of it, and control characters are refused.
UNREACHABLE = frozenset({"..", "a/b?c#d", "a\x1b[2J"})


def evil_fields(name: str, namespace: str, uid: str) -> dict[str, Any]:
    """Every field that a page reads, with the worst in it."""
    long = MEGABYTE if name == "web" else MEGABYTE[:10_000]
    properties = {EVIL: {"type": EVIL, "description": EVIL + long, "enum": [EVIL], "default": EVIL}}
    condition = dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime", URL), EVIL)
    conditions = [condition, {**condition, "type": "Ready", "status": "False"}, {"type": "Progressing", "reason": EVIL}]
    container = {"name": EVIL, "image": EVIL, "env": [{"name": EVIL, "value": long}]}
    versions = [
        {
            "name": EVIL,
            "served": True,
            "deprecationWarning": EVIL,
            "deprecated": True,
            "subresources": {EVIL: {}},
            "selectableFields": [{"jsonPath": EVIL}],
            "additionalPrinterColumns": [dict.fromkeys(("name", "type", "jsonPath", "description"), EVIL)],
            "schema": {"openAPIV3Schema": {"properties": properties}},
        }
    ]
    about = {"kind": EVIL, "name": EVIL, "uid": uid}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": "7",
            "generation": 2,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {EVIL: EVIL, "href": URL},
            "annotations": {EVIL: long, "deployment.kubernetes.io/revision": EVIL},
            "finalizers": [EVIL],
            "managedFields": [{"manager": EVIL, "operation": EVIL, "time": "2026-01-02T03:04:05Z"}],
            "ownerReferences": [{"apiVersion": EVIL, "kind": EVIL, "name": EVIL, "uid": uid, "controller": True}],
        },
        "spec": {
            "group": EVIL,
            "scope": EVIL,
            "names": {"kind": EVIL, "plural": EVIL, "shortNames": [EVIL], "categories": [EVIL]},
            "versions": versions,
            "replicas": 3,
            "containers": [container],
            "template": {"spec": {"containers": [container], "initContainers": [container]}},
        },
        "status": {"conditions": conditions, "phase": EVIL, "url": URL, "image": EVIL, EVIL: EVIL},
        "involvedObject": about,
        "reason": EVIL,
        "message": EVIL + long,
        "type": "Warning",
        "source": {"component": EVIL},
        "lastTimestamp": "2026-01-02T03:04:05Z",
    }


@pytest.fixture
def hostile(world: World) -> dict[str, Store]:
    """Stores of six kinds, each with an object of every name, all of them owned by each other."""
    columns = json.loads(COLUMNS)
    columns[1] |= {"name": EVIL, "description": EVIL, "type": EVIL}
    stores = {}
    for resource in (DEPLOYMENTS, REPLICA_SETS, PODS, EVENTS, WIDGETS, DEFINITIONS):
        store = stores[resource.name] = world.mirror(resource)
        namespace = "evil" if resource.namespaced else ""
        objects = []
        for number, name in enumerate(NAMES):
            body = evil_fields(name, namespace, f"uid-{EVIL}-{number}")
            objects.append(
                store._ingest.object(json.dumps(body).encode(), json.dumps([name, EVIL, URL, MEGABYTE]).encode())
            )
        store.sync(*objects)
        store.writer.handle(Columns(json.dumps(columns).encode()))
        store.phase(Phase.STALE, EVIL)
    return stores


@pytest.fixture
def client(world: World, directly: Asking) -> httpx.AsyncClient:
    return directly(world)


def one_of_each() -> list[str]:
    """The page of one object of each kind and each name."""
    paths = []
    for name in NAMES:
        if name in UNREACHABLE:
            continue
        part = quote(name, safe="")
        paths += [f"/resources/{each}/evil/{part}" for each in ("deployments", "replicasets", "pods", "widgets")]
    return [*paths, "/resources/crds/web", f"/resources/crds/{quote(NAMES[-1], safe='')}", "/resources/events/evil/web"]


LISTS = ["/", "/versions", *(f"/resources/{each}" for each in ("deployments?wide=true", "deployments", "pods", "crds"))]
FORMS = ["csv", "tsv", "table", "wide", "markdown", "name", "yaml", "json", "ndjson"]


def assert_inert(answer: httpx.Response) -> None:
    page = BeautifulSoup(answer.text, "html.parser")
    scripts = [str(each.get("src")) for each in page.find_all("script")]
    assert [each for each in scripts if not each.startswith("/-/static/")] == []
    assert [each.text for each in page.find_all("script") if each.text] == []
    assert {str(each["src"]).split("/")[1] for each in page.find_all("img")} == {"-"}
    for element in page.find_all(True):
        assert [name for name in element.attrs if name.startswith("on") or name == "style"] == []
    links = [str(each["href"]) for each in page.find_all("a")]
    assert [link for link in links if not link.startswith(("/", "#", "https://", "http://"))] == []
    assert page.find(["iframe", "object", "embed", "base"]) is None
    for odd in ("\u202e", "\x1b", "\u200b", "\x00"):
        assert odd not in answer.text
    assert "49" not in re.findall(r"gnp\.exe(.{0,8})", answer.text)
    assert len(answer.content) < 2_000_000


async def test_every_page_is_inert(hostile: dict[str, Store], client: httpx.AsyncClient) -> None:
    for path in LISTS:
        answer = await client.get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        assert_inert(answer)


async def test_every_page_of_one_object_is_inert(hostile: dict[str, Store], client: httpx.AsyncClient) -> None:
    for path in one_of_each():
        answer = await client.get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        assert_inert(answer)


async def test_the_history_of_hostile_changes_is_inert(hostile: dict[str, Store], client: httpx.AsyncClient) -> None:
    await client.get("/")
    store = hostile["deployments.apps"]
    body = evil_fields("web", "evil", f"uid-{EVIL}-0")
    body["metadata"]["resourceVersion"] = "101"
    body["metadata"]["labels"] |= {EVIL + "2": MEGABYTE}
    body["spec"]["template"]["spec"]["containers"][0] |= {"image": EVIL + ":2", EVIL: EVIL}
    body["status"]["conditions"][0]["status"] = URL
    store.writer.handle(Apply(store._ingest.object(json.dumps(body).encode(), b"[]")))
    for path in ("/", "/resources/deployments/evil/web"):
        answer = await client.get(path, headers=BROWSER)
        assert "⟨U+202E⟩" in answer.text
        assert_inert(answer)


async def test_every_form_of_it_is_answered_as_what_it_is(hostile: dict[str, Store], client: httpx.AsyncClient) -> None:
    for path in ("/resources/deployments", "/resources/deployments/evil/web", "/resources/crds"):
        for output in FORMS:
            answer = await client.get(f"{path}?output={output}")

            assert answer.status_code == 200
            assert not answer.headers["content-type"].startswith("text/html")
            assert answer.headers["x-content-type-options"] == "nosniff"
            if output in ("table", "wide", "csv", "tsv", "markdown"):
                assert "\x1b" not in answer.text


def test_no_template_calls_anything_safe_or_runs_anything() -> None:
    for path in (web() / "templates").iterdir():
        text = path.read_text()
        for forbidden in ("|safe", "| safe", "autoescape", "<script>", "<style", "style=", "javascript:"):
            assert forbidden not in text, f"{path.name}: {forbidden}"
        assert re.search(r"\son\w+=", text) is None, path.name


def test_the_environment_escapes_everything_and_refuses_what_is_missing() -> None:
    environment = Pages()._environment
    render = environment.from_string("<p title='{{ value }}'>{{ value }}</p>").render

    assert render(value="<b>'\"\u202e") == "<p title='&lt;b&gt;&#39;&#34;⟨U+202E⟩'>&lt;b&gt;&#39;&#34;⟨U+202E⟩</p>"
    with pytest.raises(UndefinedError):
        render()


@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//example.com",
        "https:example.com",
        "https://",
        "https://user:secret@example.com",
        "https://example.com/\u202e",
        "https://example.com/ x",
        "https://[::1",
        "https://example.com/" + "x" * 3000,
        "https://example.com/a?b=<c>",
        "https://example.com/a|b",
        "https://example.com/{a}",
        "https://example.com/100%",
        "https://example.com/a#b#c",
        "https://example.com/[a]",
        "https://a<b>.example/",
        "https://a..example/",
        "https://xn--a/",
        "https://1.2.3.999/",
        "https://example.com:99999/",
        "https://example.com:a/",
        "https://[::g]/",
        "https://example.com\\a",
        None,
        7,
    ],
)
def test_what_is_no_address_of_the_web_is_no_link(value: object) -> None:
    assert web_url(value) == ""


@pytest.mark.parametrize(
    "value",
    [
        "https://example.com:8443/a?b=c#d",
        "http://a_b.example",
        "https://example.com?a='(b)'&c=%3Cd%3E",
        "https://[2001:db8::1]:80/x",
        "http://10.0.0.1/",
        "https://xn--bcher-kva.example/~a;b/@c!",
    ],
)
def test_an_address_of_the_web_is_a_link(value: str) -> None:
    assert web_url(value) == value


def test_what_cannot_be_seen_is_shown_and_writing_is_left_alone() -> None:
    assert visible("a\u202eb\x07\u200bc\x9b") == "a⟨U+202E⟩b⟨U+0007⟩⟨U+200B⟩c⟨U+009B⟩"
    assert visible("Größe 価格 שלום 👩\u200d💻 line\nnext\ttab") == "Größe 価格 שלום 👩\u200d💻 line\nnext\ttab"
    assert cut("x" * 10, 4) == "xxxx… (10 characters)"
    assert len(cell("x" * 10_000)) == 300
    assert [ratio(each) for each in ("2/3", "0/0", "x", None, "1/2/3")] == [(2, 3), None, None, None, None]
