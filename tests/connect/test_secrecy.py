"""No credential is ever in a log line, a repr or an error, whatever goes wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trustme

from kubemirror.errors import KubemirrorError
from kubemirror.kube.connection import Connection
from kubemirror.kube.kubeconfig import find_target
from tests.connect.stub import Clock, Request, Stub, ask, respond, server_tls, write_kubeconfig

SECRET = "c4n4ry"


def users(folder: Path, ca: trustme.CA) -> dict[str, dict[str, Any]]:
    """Every way to hold a secret."""
    token = folder / "token"
    token.write_text(f"{SECRET}-file")
    ours = ca.issue_cert("us@example.org")
    status = {"token": f"{SECRET}-plugin"}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return {
        "token": {"token": f"{SECRET}-token"},
        "token-file": {"tokenFile": str(token)},
        "basic": {"username": "joe", "password": f"{SECRET}-password"},
        "certificate": {
            "client-certificate-data": base64.b64encode(ours.cert_chain_pems[0].bytes()).decode(),
            "client-key-data": base64.b64encode(ours.private_key_pem.bytes()).decode(),
        },
        "exec": {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": ["-S", "-c", f"print({str(answer)!r}.replace(chr(39), chr(34)))"],
                "env": [{"name": "PASSWORD", "value": f"{SECRET}-env"}],
            }
        },
    }


@pytest.mark.parametrize("kind", ["token", "token-file", "basic", "certificate", "exec"])
@pytest.mark.parametrize("trouble", ["none", "401", "500", "hang-up", "slow", "wrong-ca", "refused", "proxy"])
async def test_nothing_that_is_written_holds_a_secret(
    kind: str,
    trouble: str,
    tmp_path: Path,
    ca: trustme.CA,
    other_ca: trustme.CA,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    user = users(tmp_path, ca)[kind]
    written: list[str] = []

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        match trouble:
            case "401":
                writer.write(respond(401, b"Unauthorized"))
            case "500":
                writer.write(respond(500, b"oops"))
            case "hang-up":
                writer.transport.abort()
            case "slow":
                await asyncio.Event().wait()
            case _:
                writer.write(respond())

    issuer = other_ca if trouble == "wrong-ca" else ca
    async with Stub(answer, tls=server_tls(issuer.issue_cert("127.0.0.1"), clients=ca)) as stub:
        cluster = {"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()}
        server = stub.url
        if trouble == "proxy":
            cluster["proxy-url"] = f"http://joe:{SECRET}-proxy@127.0.0.1:1"
        if trouble == "refused":
            server = "https://127.0.0.1:1"
        path = write_kubeconfig(tmp_path / "config", server, cluster=cluster, user=user)
        caplog.set_level(logging.DEBUG)
        with structlog.testing.capture_logs() as logs:
            target = find_target(kubeconfig=path, context=None, env={})
            written += [repr(target), str(target)]
            connection = await Connection.open(kubeconfig=path, env={}, clock=clock)
            identity = vars(connection)["_identity"].current
            written += [repr(connection), repr(connection.describe()), repr(vars(connection))]
            for _ in range(2):
                clock.advance(100)
                try:
                    written.append(repr(await ask(connection, seconds=0.3 if trouble == "slow" else 10)))
                except KubemirrorError:
                    written.append(traceback.format_exc())
            written += [repr(vars(identity.credentials)), repr(vars(identity.tls)), repr(identity)]
            await connection.close()
    written += [repr(logs), caplog.text, *capfd.readouterr()]

    key = user.get("client-key-data", SECRET)
    for text in written:
        assert SECRET not in text
        assert key not in text
        assert "PRIVATE KEY" not in text


@pytest.mark.parametrize(
    "user",
    [
        {"token": f"two {SECRET}"},
        {"token": f"{SECRET}", "username": "x", "password": SECRET},
        {"client-certificate-data": base64.b64encode(SECRET.encode()).decode(), "client-key-data": "eA=="},
        {"client-key-data": base64.b64encode(SECRET.encode()).decode()},
        {"client-key-data": f"%{SECRET}"},
        {"auth-provider": {"name": "oidc", "config": {"client-secret": SECRET}}},
        {"exec": {"apiVersion": "x", "command": "y", "env": [{"name": "a", "value": SECRET}]}},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "y", "env": [{"value": SECRET}]}},
    ],
)
async def test_no_refused_kubeconfig_is_quoted(tmp_path: Path, user: dict[str, Any]) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", user=user)
    said = ""
    with contextlib.suppress(KubemirrorError):
        try:
            await Connection.open(kubeconfig=path, env={})
        except KubemirrorError:
            said = traceback.format_exc()
            raise

    assert "ConfigError" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("server", "env"),
    [
        (f"https://joe:{SECRET}@cluster.example", {}),
        ("https://cluster.example", {"HTTPS_PROXY": f"socks5://joe:{SECRET}@proxy:1"}),
        ("https://cluster.example", {"HTTPS_PROXY": f"http://joe:{SECRET}@proxy:port"}),
    ],
)
async def test_no_refused_url_is_quoted(tmp_path: Path, server: str, env: dict[str, str]) -> None:
    path = write_kubeconfig(tmp_path / "config", server)
    try:
        await Connection.open(kubeconfig=path, env=env)
    except KubemirrorError:
        said = traceback.format_exc()

    assert SECRET not in said


async def test_an_unverified_server_is_warned_of(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", cluster={"insecure-skip-tls-verify": True})
    with structlog.testing.capture_logs() as logs:
        async with await Connection.open(kubeconfig=path, env={}):
            pass

    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("info", "connection.opened"),
        ("warning", "connection.insecure"),
    ]


async def test_credentials_in_the_clear_are_warned_of(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "http://cluster.example")
    with structlog.testing.capture_logs() as logs:
        async with await Connection.open(kubeconfig=path, env={}):
            pass

    assert "in the clear" in logs[1]["reason"]
