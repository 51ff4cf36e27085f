"""A proxy is used where it was asked for, tunnels TLS end to end, and is named when it fails."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import trustme

from kubemirror.kube.transport import TransportError
from tests.connect.conftest import Connect
from tests.connect.stub import Stub, ask, server_tls


@dataclass
class Tunnel:
    """A CONNECT proxy that takes every tunnel to ``port`` of this machine, whatever its host."""

    port: int
    status: int = 200
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        self.asked.append((first, {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}))
        if self.status != 200:
            writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))


def trusting(ca: trustme.CA, **cluster: Any) -> dict[str, Any]:
    return {"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode(), **cluster}


async def test_tls_goes_through_the_environments_proxy(connect: Connect, ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("cluster.example"))) as stub, Tunnel(stub.port) as tunnel:
        connection = await connect(
            "https://cluster.example:6443",
            cluster=trusting(ca),
            user={"token": "t0k3n"},
            env={"HTTPS_PROXY": tunnel.url.replace("http://", "http://joe:hidden@")},
        )
        reply = await ask(connection)
        await connection.close()

    assert reply.status == 200
    line, headers = tunnel.asked[0]
    assert line == "CONNECT cluster.example:6443 HTTP/1.1"
    assert headers["proxy-authorization"] == "Basic " + base64.b64encode(b"joe:hidden").decode()
    assert "authorization" not in headers
    assert stub.requests[0].header("authorization") == "Bearer t0k3n"
    assert stub.requests[0].header("proxy-authorization") is None


async def test_the_kubeconfigs_proxy_is_used_even_for_loopback(connect: Connect, ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub, Tunnel(stub.port) as tunnel:
        connection = await connect(stub.url, cluster=trusting(ca, **{"proxy-url": tunnel.url}), env={"NO_PROXY": "*"})
        reply = await ask(connection)
        await connection.close()

    assert reply.status == 200
    assert len(tunnel.asked) == 1


async def test_the_servers_name_is_verified_through_a_proxy_too(connect: Connect, ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("elsewhere.example"))) as stub, Tunnel(stub.port) as tunnel:
        connection = await connect("https://cluster.example", cluster=trusting(ca), env={"HTTPS_PROXY": tunnel.url})
        with pytest.raises(TransportError, match="is for another name") as caught:
            await ask(connection)
        await connection.close()

    assert caught.value.kind == "tls"


async def test_loopback_needs_no_proxy(connect: Connect, ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub, Tunnel(stub.port) as tunnel:
        connection = await connect(stub.url, cluster=trusting(ca), env={"HTTPS_PROXY": tunnel.url})
        assert (await ask(connection)).status == 200

    assert tunnel.asked == []


async def test_the_processes_own_environment_means_nothing(
    connect: Connect, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        assert (await ask(await connect(stub.url, cluster=trusting(ca), env={}))).status == 200


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (407, "credentials", "refused to connect to cluster.example:443 (status 407): give it credentials in its URL"),
        (403, "other", "refused to connect to cluster.example:443 (status 403): check the proxy"),
        (502, "other", "(status 502)"),
    ],
)
async def test_a_proxy_that_refuses_is_named(connect: Connect, status: int, kind: str, message: str) -> None:
    async with Tunnel(1, status) as tunnel:
        connection = await connect("https://cluster.example", env={"HTTPS_PROXY": tunnel.url})
        with pytest.raises(TransportError) as caught:
            await ask(connection)
        await connection.close()

    assert caught.value.kind == kind
    assert message in str(caught.value)
    assert tunnel.url.removeprefix("http://") in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named(connect: Connect, free_port: int) -> None:
    connection = await connect("https://cluster.example", env={"HTTPS_PROXY": f"http://127.0.0.1:{free_port}"})
    with pytest.raises(TransportError) as caught:
        await ask(connection)

    assert caught.value.kind == "refused"
    assert str(caught.value) == f"the proxy 127.0.0.1:{free_port} refused the connection: is the proxy running there?"
