"""What can go wrong on the way: each failure has a kind, one line, and the remedy in it."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import socket
from typing import Any

import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from kubemirror.kube.transport import TransportError
from tests.connect.conftest import Connect
from tests.connect.stub import Request, Stub, ask, server_tls


def trusting(ca: trustme.CA) -> dict[str, Any]:
    return {"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()}


async def failing(connection: Any, **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await ask(connection, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.value


async def test_nobody_listens(connect: Connect, free_port: int) -> None:
    error = await failing(await connect(f"http://127.0.0.1:{free_port}"))

    assert error.kind == "refused"
    assert str(error) == f"127.0.0.1:{free_port} refused the connection: is the API server running there?"


async def test_headers_do_not_come_in_time(connect: Connect) -> None:
    async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with Stub(silent) as stub:
        error = await failing(await connect(stub.url), seconds=0.05)

    assert error.kind == "timeout"
    assert "did not answer in time" in str(error)


class Names(AbstractResolver):
    """Resolves to what a test says; an empty list is NXDOMAIN."""

    def __init__(self, *answers: list[tuple[str, int]]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError(None, "Domain name not found")
        return [
            ResolveResult(hostname=host, host=address, port=at, family=socket.AF_INET, proto=0, flags=0)
            for address, at in answer
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_does_not_resolve(connect: Connect) -> None:
    connection = await connect("http://cluster.example:6443", resolver=Names([]))

    error = await failing(connection)

    assert error.kind == "dns"
    assert "cluster.example:6443 cannot be resolved" in str(error)


async def test_a_name_that_resolves_again_is_found_again(connect: Connect) -> None:
    async with Stub() as stub:
        names = Names([], [("127.0.0.1", stub.port)])
        connection = await connect("http://cluster.example:6443", resolver=names)
        await failing(connection)
        reply = await ask(connection)

    assert reply.status == 200
    assert names.asked == ["cluster.example", "cluster.example"]


async def test_a_certificate_of_another_ca(connect: Connect, ca: trustme.CA, other_ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(other_ca.issue_cert("127.0.0.1"))) as stub:
        error = await failing(await connect(stub.url, cluster=trusting(ca), user={"token": "t0k3n"}))

    assert error.kind == "tls"
    assert "not signed by the CA we were given: check certificate-authority" in str(error)
    assert stub.requests == []


async def test_a_private_ca_that_the_kubeconfig_does_not_name(connect: Connect, ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        error = await failing(await connect(stub.url))

    assert error.kind == "tls"


async def test_a_certificate_for_another_name(connect: Connect, ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("kubernetes.default"))) as stub:
        error = await failing(await connect(stub.url, cluster=trusting(ca)))

        assert error.kind == "tls"
        assert "is for another name: use a server name it has, or set tls-server-name" in str(error)

        named = await connect(stub.url, cluster={**trusting(ca), "tls-server-name": "kubernetes.default"})
        assert (await ask(named)).status == 200


async def test_an_expired_certificate(connect: Connect, ca: trustme.CA) -> None:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    expired = ca.issue_cert("127.0.0.1", not_before=past - dt.timedelta(days=1), not_after=past)
    async with Stub(tls=server_tls(expired)) as stub:
        error = await failing(await connect(stub.url, cluster=trusting(ca)))

    assert error.kind == "tls"
    assert "has expired: renew it, and check this machine's clock" in str(error)


async def test_a_client_certificate_that_is_refused(connect: Connect, ca: trustme.CA, other_ca: trustme.CA) -> None:
    ours = other_ca.issue_cert("us@example.org")
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"), clients=ca)) as stub:
        error = await failing(
            await connect(
                stub.url,
                cluster=trusting(ca),
                user={
                    "client-certificate-data": base64.b64encode(ours.cert_chain_pems[0].bytes()).decode(),
                    "client-key-data": base64.b64encode(ours.private_key_pem.bytes()).decode(),
                },
            )
        )

    assert error.kind in {"tls", "reset"}


async def test_https_to_a_server_that_speaks_http(connect: Connect, ca: trustme.CA) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failing(await connect(f"https://127.0.0.1:{port}", cluster=trusting(ca)))

    assert error.kind == "tls"
    assert "is its URL really https://?" in str(error)


async def test_something_that_does_not_speak_http(connect: Connect) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failing(await connect(f"http://127.0.0.1:{port}"))

    assert error.kind == "other"
    assert "did not answer in HTTP: is http:// right for this port?" in str(error)


async def test_a_server_that_hangs_up_before_it_answers(connect: Connect) -> None:
    async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with Stub(hang_up) as stub:
        error = await failing(await connect(stub.url))

    assert error.kind == "reset"


async def test_verification_can_be_switched_off_only_by_saying_so(connect: Connect, other_ca: trustme.CA) -> None:
    async with Stub(tls=server_tls(other_ca.issue_cert("elsewhere"))) as stub:
        reply = await ask(await connect(stub.url, cluster={"insecure-skip-tls-verify": True}))

    assert reply.status == 200
