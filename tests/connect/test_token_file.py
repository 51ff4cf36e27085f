"""A service account's token is rotated under load, and its writer is sometimes caught half way (F10)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog.testing
import trustme

from kubemirror.kube.connection import Connection
from kubemirror.kube.credential_files import RECHECK_SECONDS
from tests.connect.conftest import Connect
from tests.connect.stub import Clock, Stub, ask, server_tls


async def test_a_rotated_token_is_sent_within_a_minute(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with Stub() as stub:
        connection = await connect(stub.url, user={"tokenFile": str(token)}, clock=clock)
        await ask(connection)
        token.write_text("second\n")
        await ask(connection)
        clock.advance(RECHECK_SECONDS)
        await ask(connection)

    assert RECHECK_SECONDS <= 60
    assert [request.header("authorization") for request in stub.requests] == [
        "Bearer first",
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize("content", ["", "\n", " \n\n", "two words", "smörgås", None])
async def test_a_file_without_a_token_keeps_the_old_one_and_says_so_once(
    connect: Connect, tmp_path: Path, clock: Clock, content: str | None
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    async with Stub() as stub:
        connection = await connect(stub.url, user={"tokenFile": str(token)}, clock=clock)
        with structlog.testing.capture_logs() as logs:
            if content is None:
                token.unlink()
            else:
                token.write_text(content)
            for _ in range(3):
                clock.advance(RECHECK_SECONDS)
                await ask(connection)
            token.write_text("second")
            clock.advance(RECHECK_SECONDS)
            await ask(connection)

    assert [request.header("authorization") for request in stub.requests] == ["Bearer first"] * 3 + ["Bearer second"]
    kept = [entry for entry in logs if entry["event"] == "credentials.kept"]
    assert len(kept) == 1
    assert kept[0]["file"] == f"token file {token}"


async def test_the_kubelets_swap_of_a_link_is_noticed(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    """A projected volume changes by renaming a link to a directory; size and time may well be equal."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(f"{name}")
        os.utime(tmp_path / name / "token", (1, 1))
    (tmp_path / "data").symlink_to("one")
    async with Stub() as stub:
        connection = await connect(stub.url, user={"tokenFile": str(tmp_path / "data" / "token")}, clock=clock)
        await ask(connection)
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(tmp_path / "data")
        clock.advance(RECHECK_SECONDS)
        await ask(connection)

    assert [request.header("authorization") for request in stub.requests] == ["Bearer one", "Bearer two"]


async def test_the_token_file_wins_over_the_token(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file")
    async with Stub() as stub:
        await ask(await connect(stub.url, user={"tokenFile": str(tmp_path / "token"), "token": "inline"}))

    assert stub.requests[0].header("authorization") == "Bearer from-file"


async def test_a_pod_sends_its_token_to_its_own_cluster(tmp_path: Path, ca: trustme.CA, clock: Clock) -> None:
    (tmp_path / "token").write_text("pod-token\n")
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        env = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(stub.port),
            "HTTPS_PROXY": "http://127.0.0.1:1",
        }
        async with await Connection.open(env=env, service_account=tmp_path, clock=clock) as connection:
            assert (await ask(connection)).status == 200
            assert connection.describe()["source"] == "in-cluster service account"

    assert stub.requests[0].header("authorization") == "Bearer pod-token"
