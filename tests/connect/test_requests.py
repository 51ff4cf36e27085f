"""A request arrives as it was asked, and its answer comes back as it was given."""

from __future__ import annotations

import asyncio
import gzip
import importlib.metadata
from typing import Any

import pytest

from tests.connect.conftest import Connect
from tests.connect.stub import Request, Stub, ask, respond


async def test_path_and_query_arrive_as_given(connect: Connect) -> None:
    async with Stub() as stub:
        connection = await connect(stub.url)
        await ask(
            connection,
            "/apis/apps/v1/namespaces/a%2Fb/deployments",
            query=(("labelSelector", "a in (b,c), d!=e+f"), ("limit", "500"), ("limit", "1"), ("continue", "x/y=&z")),
        )

    assert stub.requests[0].target == (
        "/apis/apps/v1/namespaces/a%2Fb/deployments"
        "?labelSelector=a%20in%20%28b%2Cc%29%2C%20d%21%3De%2Bf&limit=500&limit=1&continue=x%2Fy%3D%26z"
    )


@pytest.mark.parametrize("suffix", ["/k8s/clusters/c-1", "/k8s/clusters/c-1/"])
async def test_a_path_prefix_of_the_server_is_kept(connect: Connect, suffix: str) -> None:
    async with Stub() as stub:
        await ask(await connect(stub.url + suffix), "/api/v1/pods")

    assert stub.requests[0].target == "/k8s/clusters/c-1/api/v1/pods"


async def test_the_api_server_sees_our_own_user_agent(connect: Connect) -> None:
    async with Stub() as stub:
        await ask(await connect(stub.url))

    agent = stub.requests[0].header("user-agent") or ""
    assert agent.startswith(f"kubemirror/{importlib.metadata.version('kubemirror')} (")


async def test_lists_may_come_compressed_and_are_read_plain(connect: Connect) -> None:
    text = b'{"items":[' + b"1," * 100_000 + b"1]}"

    async def compress(request: Request, writer: asyncio.StreamWriter) -> None:
        assert request.header("accept-encoding") == "gzip"
        writer.write(respond(body=gzip.compress(text), headers={"Content-Encoding": "gzip"}))

    async with Stub(compress) as stub:
        reply = await ask(await connect(stub.url))

    assert reply.body == text


async def test_a_watch_is_asked_for_uncompressed(connect: Connect) -> None:
    async with Stub() as stub:
        connection = await connect(stub.url)
        await ask(connection, query=(("watch", "true"),))
        await ask(connection, query=(("watch", "1"),))
        await ask(connection, query=(("watch", "false"),))

    assert [request.header("accept-encoding") for request in stub.requests] == ["identity", "identity", "gzip"]


async def test_a_cluster_that_disables_compression_is_obeyed(connect: Connect) -> None:
    async with Stub() as stub:
        await ask(await connect(stub.url, cluster={"disable-compression": True}))

    assert stub.requests[0].header("accept-encoding") == "identity"


@pytest.mark.parametrize("status", [200, 304, 403, 404, 410, 429, 500, 503])
async def test_every_status_is_an_answer(connect: Connect, status: int) -> None:
    async def refuse(request: Request, writer: asyncio.StreamWriter) -> None:
        body = b"" if status == 304 else b"Too many requests, please try again later.\n"
        writer.write(respond(status, body, {"Retry-After": "7", "Content-Type": "text/plain"}))

    async with Stub(refuse) as stub:
        reply = await ask(await connect(stub.url))

    assert (reply.status, reply.headers["retry-after"]) == (status, "7")
    assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(connect: Connect, status: int) -> None:
    async with Stub() as elsewhere:

        async def redirect(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(respond(status, b"", {"Location": f"{elsewhere.url}/stolen"}))

        async with Stub(redirect) as stub:
            reply = await ask(await connect(stub.url, user={"token": "t0k3n"}))

    assert reply.status == status
    assert elsewhere.requests == []


async def test_headers_of_one_name_are_joined(connect: Connect) -> None:
    async def warn(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nWarning: 299 - "a"\r\nWARNING: 299 - "b"\r\nContent-Length: 0\r\n\r\n')

    async with Stub(warn) as stub:
        reply = await ask(await connect(stub.url))

    assert reply.headers["warning"] == '299 - "a", 299 - "b"'


async def test_no_cookie_is_kept(connect: Connect) -> None:
    async def bake(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(headers={"Set-Cookie": "sticky=1; Path=/"}))

    async with Stub(bake) as stub:
        connection = await connect(stub.url)
        await ask(connection)
        await ask(connection)

    assert [request.header("cookie") for request in stub.requests] == [None, None]


async def test_netrc_is_not_read(connect: Connect, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login joe password hidden\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with Stub() as stub:
        await ask(await connect(stub.url))

    assert stub.requests[0].header("authorization") is None


async def test_a_review_is_posted_as_json(connect: Connect) -> None:
    async with Stub() as stub:
        await ask(await connect(stub.url), "/apis/x", method="POST", body=b'{"kind":"TokenReview"}')

    request = stub.requests[0]
    assert (request.method, request.body) == ("POST", b'{"kind":"TokenReview"}')
    assert request.header("content-type") == "application/json"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, None),
        ({"token": "t0k3n\n"}, "Bearer t0k3n"),
        ({"username": "joe", "password": "pa:ss"}, "Basic am9lOnBhOnNz"),
    ],
)
async def test_credentials_of_the_kubeconfig_are_sent(
    connect: Connect, user: dict[str, str], expected: str | None
) -> None:
    async with Stub() as stub:
        await ask(await connect(stub.url, user=user))

    assert stub.requests[0].header("authorization") == expected


async def test_many_watches_do_not_wait_for_each_other(connect: Connect) -> None:
    async def hold(request: Request, writer: asyncio.StreamWriter) -> None:
        if "watch" in request.target:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        else:
            writer.write(respond())

    async with Stub(hold) as stub:
        connection = await connect(stub.url)
        watches = await asyncio.gather(
            *(connection.request("GET", "/watched", query=[("watch", "1")], seconds=30) for _ in range(150))
        )
        reply = await ask(connection)
        for watch in watches:
            await watch.body.close()

    assert reply.status == 200
    assert stub.connections == 151
