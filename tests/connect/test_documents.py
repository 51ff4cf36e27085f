"""/version and /openapi are passed on, kept, revalidated, and still served when upstream is gone."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.errors import UpstreamUnavailableError
from kubemirror.kube import upstream
from kubemirror.kube.transport import Response, TransportError
from kubemirror.kube.upstream import FRESH_SECONDS, HASH_SECONDS, ApiServer
from tests.connect.scripted import Asked, Refreshes, Scripted, give
from tests.connect.stub import Clock

GONE = TransportError("10.0.0.1:6443 refused the connection", kind="refused")


def server(transport: Scripted, clock: Clock) -> ApiServer:
    return ApiServer(transport, Refreshes(), clock=clock)


async def test_a_document_is_asked_for_once_while_it_is_fresh(clock: Clock) -> None:
    transport = Scripted(lambda asked: give(body=b"spec", content_type="text/plain", etag='"A"'))
    api = server(transport, clock)

    first = await api.fetch("/openapi/v3")
    clock.advance(FRESH_SECONDS - 0.1)
    second = await api.fetch("/openapi/v3")

    assert (first.status, first.content_type, first.body, first.etag) == (200, "text/plain", b"spec", '"A"')
    assert second is first
    assert len(transport.asked) == 1
    assert transport.bodies[0].closed == 1


async def test_an_old_document_is_revalidated_by_its_etag(clock: Clock) -> None:
    def answer(asked: Asked) -> Response:
        return give(304, b"") if asked.headers.get("if-none-match") == '"A"' else give(body=b"spec", etag='"A"')

    transport = Scripted(answer)
    api = server(transport, clock)
    first = await api.fetch("/openapi/v2")
    clock.advance(FRESH_SECONDS)

    assert await api.fetch("/openapi/v2") is first
    assert [asked.headers.get("if-none-match") for asked in transport.asked] == [None, '"A"']
    clock.advance(1)
    await api.fetch("/openapi/v2")
    assert len(transport.asked) == 2


async def test_a_document_without_an_etag_gets_one_from_its_content(clock: Clock) -> None:
    bodies = [b"one", b"one", b"two"]
    api = server(Scripted(lambda asked: give(body=bodies.pop(0))), clock)

    etags = []
    for _ in range(3):
        etags.append((await api.fetch("/version")).etag)
        clock.advance(FRESH_SECONDS)

    assert etags[0] == etags[1] != etags[2]
    assert etags[0].startswith('"')


async def test_each_form_is_a_document_of_its_own(clock: Clock) -> None:
    api = server(Scripted(lambda asked: give(body=asked.headers["accept"].encode())), clock)

    protobuf = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"

    assert (await api.fetch("/openapi/v3/api/v1", accept=protobuf)).body == protobuf.encode()
    assert (await api.fetch("/openapi/v3/api/v1")).body == b"application/json"


@pytest.mark.parametrize("trouble", [GONE, 500, 503, 429])
async def test_a_held_document_is_served_while_upstream_is_gone(clock: Clock, trouble: TransportError | int) -> None:
    answers: list[Response | TransportError] = [give(body=b"spec")]

    def answer(asked: Asked) -> Response | TransportError:
        if answers:
            return answers.pop(0)
        return give(trouble, b"busy") if isinstance(trouble, int) else trouble

    transport = Scripted(answer)
    api = server(transport, clock)
    first = await api.fetch("/openapi/v2")
    clock.advance(3600)

    assert await api.fetch("/openapi/v2") is first
    assert await api.fetch("/openapi/v2") is first
    assert len(transport.asked) == 2


async def test_a_document_that_was_never_had_cannot_be_served(clock: Clock) -> None:
    api = server(Scripted(lambda asked: GONE), clock)

    with pytest.raises(UpstreamUnavailableError, match="refused the connection"):
        await api.fetch("/version")


async def test_upstreams_refusal_is_passed_on(clock: Clock) -> None:
    api = server(Scripted(lambda asked: give(403, b'{"kind":"Status"}')), clock)

    document = await api.fetch("/openapi/v2")

    assert (document.status, document.body) == (403, b'{"kind":"Status"}')


async def test_many_readers_cost_one_request(clock: Clock) -> None:
    transport = Scripted(lambda asked: give(body=b"spec"), gate=asyncio.Event())
    api = server(transport, clock)
    readers = [asyncio.create_task(api.fetch("/openapi/v2")) for _ in range(50)]
    await asyncio.sleep(0)
    readers[0].cancel()
    assert transport.gate is not None
    transport.gate.set()
    documents = await asyncio.gather(*readers, return_exceptions=True)

    assert isinstance(documents[0], asyncio.CancelledError)
    assert {getattr(document, "body", None) for document in documents[1:]} == {b"spec"}
    assert len(transport.asked) == 1


async def test_a_hash_we_do_not_hold_is_asked_for_but_not_endlessly(clock: Clock) -> None:
    etags = ['"OLD"', '"NEW"', '"NEW"']
    transport = Scripted(lambda asked: give(body=b"spec", etag=etags.pop(0)))
    api = server(transport, clock)
    await api.fetch("/openapi/v3/apis/apps/v1", query="hash=OLD")
    clock.advance(HASH_SECONDS)

    assert (await api.fetch("/openapi/v3/apis/apps/v1", query="hash=OLD")).etag == '"OLD"'
    assert (await api.fetch("/openapi/v3/apis/apps/v1", query="hash=NEW")).etag == '"NEW"'
    for _ in range(10):
        await api.fetch("/openapi/v3/apis/apps/v1", query="hash=WRONG")
    assert len(transport.asked) == 2
    clock.advance(HASH_SECONDS)
    await api.fetch("/openapi/v3/apis/apps/v1", query="hash=WRONG")
    assert len(transport.asked) == 3
    assert {asked.query for asked in transport.asked} == {()}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets",
        "/version/",
        "/versions",
        "/openapi",
        "/openapi/v3/../../api/v1/secrets",
        "/openapi/v3/apis/..",
        "/openapi/v3/./x",
        "/openapi/v3//x",
        "/openapi/v3/%2e%2e/x",
        "/openapi/v3/a?b",
        "/openapi/v3/a#b",
        "/openapi/v3/a\nb",
        "/openapi/v2\n",
        "http://169.254.169.254/",
    ],
)
async def test_nothing_but_documents_is_asked_for(clock: Clock, path: str) -> None:
    transport = Scripted(lambda asked: give())

    document = await server(transport, clock).fetch(path)

    assert document.status == 404
    assert b'"reason":"NotFound"' in document.body
    assert transport.asked == []


async def test_documents_are_held_within_a_budget(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "DOCUMENT_BYTES", 1000)
    transport = Scripted(lambda asked: give(body=b"x" * 400))
    api = server(transport, clock)
    for group in ("a", "b", "a", "c", "a", "b"):
        await api.fetch(f"/openapi/v3/apis/{group}/v1")

    # b, the least recently read, made room for c; then c for b.
    assert [asked.path[-4:] for asked in transport.asked] == ["a/v1", "b/v1", "c/v1", "b/v1"]


async def test_a_document_beyond_the_budget_is_refused(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "DOCUMENT_BYTES", 1000)
    transport = Scripted(lambda asked: give(body=b"x" * 1001))

    with pytest.raises(UpstreamUnavailableError, match="larger than 1000 bytes"):
        await server(transport, clock).fetch("/openapi/v2")
    assert transport.bodies[0].closed == 1


async def test_only_few_documents_are_asked_for_at_a_time(clock: Clock) -> None:
    transport = Scripted(lambda asked: give(), gate=asyncio.Event())
    api = server(transport, clock)
    readers = [asyncio.create_task(api.fetch(f"/openapi/v3/apis/g{n}/v1")) for n in range(20)]
    for _ in range(10):
        await asyncio.sleep(0)

    assert len(transport.asked) == upstream.DOCUMENT_REQUESTS
    assert transport.gate is not None
    transport.gate.set()
    await asyncio.gather(*readers)
    assert len(transport.asked) == 20


async def test_closing_ends_what_is_under_way(clock: Clock) -> None:
    transport = Scripted(lambda asked: give(), gate=asyncio.Event())
    api = server(transport, clock)
    reader = asyncio.create_task(api.fetch("/version"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await api.close()

    with pytest.raises(UpstreamUnavailableError, match="stopping"):
        await reader
