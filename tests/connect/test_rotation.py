"""CA and client certificate are rotated while we run: new connections believe the new, good watches go on (F13)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import structlog.testing
import trustme

from kubemirror.kube.credential_files import RECHECK_SECONDS
from kubemirror.kube.transport import TransportError
from tests.connect.conftest import Connect
from tests.connect.stub import CHUNKED, Clock, Request, Stub, ask, chunk, respond, server_tls


def write_identity(folder: Path, certificate: trustme.LeafCert) -> None:
    (folder / "client.crt").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    (folder / "client.key").write_bytes(certificate.private_key_pem.bytes())


async def test_a_rotated_ca_is_believed_without_cutting_a_watch(
    connect: Connect, tmp_path: Path, ca: trustme.CA, other_ca: trustme.CA, clock: Clock
) -> None:
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    more = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if "watch=1" in request.target:
            writer.write(CHUNKED + chunk(b"first"))
            await more.wait()
            writer.write(chunk(b"second") + chunk(b""))
        else:
            writer.write(respond(headers={"Connection": "close"}))

    tls = server_tls(ca.issue_cert("127.0.0.1"))
    async with Stub(answer, tls=tls) as stub:
        connection = await connect(stub.url, cluster={"certificate-authority": str(tmp_path / "ca.crt")}, clock=clock)
        watch = await connection.request("GET", "/watch", query=[("watch", "1")], seconds=5)
        assert await watch.body.read() == b"first"

        other_ca.issue_cert("127.0.0.1").configure_cert(tls)
        with pytest.raises(TransportError, match="not signed by the CA we were given"):
            await ask(connection)
        (tmp_path / "ca.crt").write_bytes(other_ca.cert_pem.bytes())
        clock.advance(RECHECK_SECONDS)
        assert (await ask(connection)).status == 200

        more.set()
        assert await watch.body.read() == b"second"
        await watch.body.close()


async def test_a_failed_handshake_looks_at_the_files_at_once(
    connect: Connect, tmp_path: Path, ca: trustme.CA, other_ca: trustme.CA, clock: Clock
) -> None:
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    async with Stub(tls=server_tls(other_ca.issue_cert("127.0.0.1"))) as stub:
        connection = await connect(stub.url, cluster={"certificate-authority": str(tmp_path / "ca.crt")}, clock=clock)
        (tmp_path / "ca.crt").write_bytes(other_ca.cert_pem.bytes())
        with pytest.raises(TransportError):
            await ask(connection)

        assert (await ask(connection)).status == 200


@pytest.mark.parametrize("content", [b"", b"\n", b"-----BEGIN CERTIFICATE-----\nMIIB", None])
async def test_a_ca_caught_half_way_changes_nothing(
    connect: Connect, tmp_path: Path, ca: trustme.CA, clock: Clock, content: bytes | None
) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(ca.cert_pem.bytes())

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(headers={"Connection": "close"}))

    async with Stub(answer, tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        connection = await connect(stub.url, cluster={"certificate-authority": str(path)}, clock=clock)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                clock.advance(RECHECK_SECONDS)
                assert (await ask(connection)).status == 200

    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["credentials.kept"]


async def test_a_rotated_client_certificate_is_shown_on_new_connections(
    connect: Connect, tmp_path: Path, ca: trustme.CA, clock: Clock
) -> None:
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    write_identity(tmp_path, ca.issue_cert("first@example.org"))
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"), clients=ca)) as stub:
        connection = await connect(
            stub.url,
            cluster={"certificate-authority": str(tmp_path / "ca.crt")},
            user={"client-certificate": str(tmp_path / "client.crt"), "client-key": str(tmp_path / "client.key")},
            clock=clock,
        )
        await ask(connection)
        write_identity(tmp_path, ca.issue_cert("second@example.org"))
        await ask(connection)
        clock.advance(RECHECK_SECONDS)
        await ask(connection)

    shown = [json.dumps(request.certificate["subjectAltName"]) for request in stub.requests]
    assert ["first" in name for name in shown] == [True, True, False]
    assert "second@example.org" in shown[2]


async def test_a_refused_client_certificate_is_read_again_at_once(
    connect: Connect, tmp_path: Path, ca: trustme.CA, clock: Clock
) -> None:
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    write_identity(tmp_path, ca.issue_cert("first@example.org"))

    async def only_the_second(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(200 if "second" in json.dumps(request.certificate["subjectAltName"]) else 401))

    async with Stub(only_the_second, tls=server_tls(ca.issue_cert("127.0.0.1"), clients=ca)) as stub:
        connection = await connect(
            stub.url,
            cluster={"certificate-authority": str(tmp_path / "ca.crt")},
            user={"client-certificate": str(tmp_path / "client.crt"), "client-key": str(tmp_path / "client.key")},
            clock=clock,
        )
        assert (await ask(connection)).status == 401
        assert len(stub.requests) == 1  # what has not changed is not shown again
        write_identity(tmp_path, ca.issue_cert("second@example.org"))

        answers = await asyncio.gather(*(ask(connection) for _ in range(3)))

        assert [answer.status for answer in answers] == [200] * 3


async def test_a_certificate_whose_key_has_not_come_yet_waits_for_it(
    connect: Connect, tmp_path: Path, ca: trustme.CA, clock: Clock
) -> None:
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    write_identity(tmp_path, ca.issue_cert("first@example.org"))
    second = ca.issue_cert("second@example.org")
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"), clients=ca)) as stub:
        connection = await connect(
            stub.url,
            cluster={"certificate-authority": str(tmp_path / "ca.crt")},
            user={"client-certificate": str(tmp_path / "client.crt"), "client-key": str(tmp_path / "client.key")},
            clock=clock,
        )
        (tmp_path / "client.crt").write_bytes(second.cert_chain_pems[0].bytes())
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                clock.advance(RECHECK_SECONDS)
                await ask(connection)
        (tmp_path / "client.key").write_bytes(second.private_key_pem.bytes())
        clock.advance(RECHECK_SECONDS)
        await ask(connection)

    assert [entry["reason"] for entry in logs if entry["event"] == "credentials.kept"] == [
        "the client certificate and the client key do not belong together"
    ]
    shown = [json.dumps(request.certificate["subjectAltName"]) for request in stub.requests]
    assert ["second" in name for name in shown] == [False, False, True]
