"""One clear line with the remedy and the right code, in the form that whoever asked can read."""

from __future__ import annotations

import httpx
import pytest
from bs4 import BeautifulSoup

from kubemirror.state.events import Phase
from tests.serve.conftest import Asking
from tests.serve.world import World

CURL = {"user-agent": "curl/8.5", "accept": "*/*"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(autouse=True)
def synced(world: World) -> None:
    world.mirror().sync()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/versions?namespce=x", 'unknown parameter "namespce": did you mean "namespace"?'),
        ("/versions?labelselector=x", 'unknown parameter "labelselector": did you mean "labelSelector"?'),
        ("/watch?resource=deploy&resourceversion=1", 'did you mean "resourceVersion"?'),
        ("/resources/deployments?filtr=x", 'unknown parameter "filtr": did you mean "filter"?'),
        ("/-/status?verbose=1", 'unknown parameter "verbose"; this path takes none'),
        ("/?x=1", 'unknown parameter "x"; this path takes none'),
        ("/readyz?verbos", 'did you mean "verbose"?'),
    ],
)
async def test_an_unknown_parameter_is_refused_and_the_nearest_named(
    client: httpx.AsyncClient, path: str, said: str
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 400
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/versions?wide=perhaps", 'parameter "wide":'),
        ("/watch", 'parameter "resource" is missing'),
        ("/watch?resource=deploy&as=picture", 'parameter "as":'),
        ("/watch?resource=deploy&resourceVersion=abc", 'invalid resourceVersion "abc"'),
        ("/resources/deployments?output=pdf", 'parameter "output":'),
        ("/resources/deployments?limit=0", 'parameter "limit":'),
        ("/resources/deployments?sort=Agee", 'there is no column "Agee": did you mean "Age"?'),
        ("/resources/deployments?continue=!!", "continue: this is no token"),
        ("/versions?labelSelector=a%3D%3D%3Db", "labelSelector"),
        ("/resources/deployments?fieldSelector=spec.nope%3D1", "spec.nope"),
    ],
)
async def test_a_value_that_cannot_be_is_a_400_that_names_it(client: httpx.AsyncClient, path: str, said: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 400
    status = answer.json()
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "BadRequest", 400)
    assert "\n" not in status["message"]
    if said != "labelSelector":
        assert said in status["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/versions/default",
        "/versions/a/b/c",
        "/resources",
        "/resources/a/b/c/d",
        "/watch/x",
        "/-/",
        "/-/statu",
    ],
)
async def test_a_path_of_another_number_of_parts_is_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.json()["reason"] == "NotFound"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/versions/shop", "there are /versions, /versions/{namespace}/{name}"),
        ("/resource/deployments", "there are /resources/{resource}, /resources/{resource}/{namespace}"),
        ("/nowhere", "/ shows what there is"),
    ],
)
async def test_a_path_that_leads_nowhere_names_those_that_begin_alike(
    client: httpx.AsyncClient, path: str, hint: str
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.json()["message"].startswith(f"nothing is at {path}: {hint}")


async def test_a_resource_unlike_any_other_says_how_to_have_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/resources/secrets")

    assert answer.json()["message"] == 'the mirror has no resource "secrets"; / shows what it has, --mirror adds'


async def test_an_unknown_resource_is_a_404_that_suggests(client: httpx.AsyncClient) -> None:
    answer = await client.get("/watch?resource=deploymnts")

    assert answer.status_code == 404
    assert answer.json()["message"] == 'the mirror has no resource "deploymnts": did you mean "deployments"?'


async def test_a_missing_object_is_named_as_upstream_names_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/versions/default/nobody")

    assert answer.status_code == 404
    assert answer.json()["message"] == 'deployments.apps "nobody" not found'
    assert answer.json()["details"] == {"name": "nobody", "group": "apps", "kind": "deployments"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_is_written_here(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/versions")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert "read-only" in answer.json()["message"]


async def test_curl_reads_one_line_where_it_would_read_a_table(client: httpx.AsyncClient) -> None:
    answer = await client.get("/resources/deploymnts", headers=CURL)

    assert answer.status_code == 404
    assert answer.text == 'error: the mirror has no resource "deploymnts": did you mean "deployments"?\n'


async def test_an_error_line_holds_nothing_that_a_terminal_would_obey(client: httpx.AsyncClient) -> None:
    answer = await client.get("/resources/%1b%5b2J%0ax", headers=CURL)

    assert answer.text.count("\n") == 1
    assert "\x1b" not in answer.text


async def test_a_browser_reads_a_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/resources/%3Cimg%20src=x%20onerror=alert(1)%3E", headers=BROWSER)

    page = BeautifulSoup(answer.text, "html.parser")
    assert answer.status_code == 404
    assert [image["src"] for image in page.find_all("img")] == [page.select_one("link[rel=icon]")["href"]]  # type: ignore[index]
    assert "<img src=x onerror=alert(1)>" in page.select_one(".banner").text  # type: ignore[union-attr]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_store_that_is_not_complete_is_503_with_when_to_ask_again(
    world: World, client: httpx.AsyncClient
) -> None:
    world.mirror()  # in place of the synced one

    for path in ("/versions", "/resources/deployments", "/watch?resource=deployments", "/versions/default/web"):
        answer = await client.get(path)

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
        assert answer.json()["reason"] == "ServiceUnavailable"


async def test_a_resource_refused_to_the_mirror_is_403_with_the_remedy(world: World, client: httpx.AsyncClient) -> None:
    store = world.mirror()
    store.sync(store.object(1, "web"))
    store.phase(Phase.FORBIDDEN, "the API server forbids deployments.apps: apply `kubemirror rbac`")

    for path in ("/versions", "/resources/deployments", "/watch?resource=deployments", "/versions/default/web"):
        answer = await client.get(path)

        assert answer.status_code == 403, path
        assert "kubemirror rbac" in answer.json()["message"]
        assert "web" not in answer.text.replace("/web", "")


async def test_a_bug_is_a_500_without_a_traceback(world: World, directly: Asking) -> None:
    client = directly(world)

    async def broken(name: str | None) -> list[str]:
        raise ZeroDivisionError("secret detail")

    world.upstream.refresh = broken  # type: ignore[method-assign]

    with pytest.raises(ZeroDivisionError):  # the server logs it; the client gets a Status first
        await client.post("/-/refresh")


@pytest.mark.parametrize("output", ["jsn", "xml"])
async def test_an_unknown_form_is_told_in_a_terminal_with_those_that_there_are(
    client: httpx.AsyncClient, output: str
) -> None:
    answer = await client.get(f"/resources/deployments?output={output}", headers=CURL)
    program = await client.get(f"/resources/deployments?output={output}")

    known = "html, json, yaml, ndjson, csv, tsv, table, wide, name, markdown"
    assert answer.status_code == 400
    assert answer.text.startswith(f'error: parameter "output": there is no "{output}", but {known}')
    assert answer.text.count("\n") == 1
    assert program.json()["message"] == answer.text.removeprefix("error: ").rstrip()
    assert 'did you mean "json"?' in (await client.get("/resources/deployments?output=jsn", headers=CURL)).text
