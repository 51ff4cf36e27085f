"""Somebody logs in again and their tool rewrites the kubeconfig: when we are refused, it is read again."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
import structlog.testing
import trustme

from kubemirror.kube.connection import Connection
from kubemirror.kube.transport import TransportError
from tests.connect.stub import Request, Stub, ask, respond, server_tls, write_kubeconfig


class Door:
    def __init__(self, accepted: str) -> None:
        self.accepted = accepted

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(200 if request.header("authorization") == f"Bearer {self.accepted}" else 401))


async def test_a_new_token_is_taken_when_the_old_is_refused(tmp_path: Path) -> None:
    door = Door("old")
    async with Stub(door) as stub:
        path = write_kubeconfig(tmp_path / "config", stub.url, user={"token": "old"})
        async with await Connection.open(kubeconfig=path, env={}) as connection:
            assert (await ask(connection)).status == 200
            write_kubeconfig(path, stub.url, user={"token": "new", "as": "jane"})
            assert (await ask(connection)).status == 200
            door.accepted = "new"
            replies = await asyncio.gather(*(ask(connection) for _ in range(5)))
            assert (await ask(connection)).status == 200

    assert {reply.status for reply in replies} == {200}
    assert [stub.requests[index].header("authorization") for index in (0, 1, -1)] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]
    assert stub.requests[-1].header("impersonate-user") == "jane"


async def test_an_unchanged_file_changes_nothing(tmp_path: Path) -> None:
    async with Stub(Door("new")) as stub:
        path = write_kubeconfig(tmp_path / "config", stub.url, user={"token": "old"})
        async with await Connection.open(kubeconfig=path, env={}) as connection:
            assert [(await ask(connection)).status for _ in range(3)] == [401] * 3

    assert len(stub.requests) == 3


async def test_the_context_of_the_start_is_followed_not_the_current_one(tmp_path: Path) -> None:
    async with Stub(Door("new")) as stub:
        path = write_kubeconfig(tmp_path / "config", stub.url, user={"token": "old"}, name="here")
        other = write_kubeconfig(tmp_path / "other", "http://127.0.0.1:1", user={"token": "other"}, name="there")
        env = {"KUBECONFIG": f"{path}:{other}"}
        async with await Connection.open(env=env) as connection:
            text = write_kubeconfig(path, stub.url, user={"token": "new"}, name="here").read_text()
            path.write_text(text.replace('"current-context": "here"', '"current-context": "there"'))
            assert (await ask(connection)).status == 200


@pytest.mark.parametrize("content", ["", "{", "current-context: elsewhere", None])
async def test_a_file_that_cannot_be_used_is_said_once(tmp_path: Path, content: str | None) -> None:
    async with Stub(Door("new")) as stub:
        path = write_kubeconfig(tmp_path / "config", stub.url, user={"token": "old"})
        async with await Connection.open(kubeconfig=path, env={}) as connection:
            if content is None:
                write_kubeconfig(path, "http://127.0.0.1:1", user={"token": "new"})
            else:
                path.write_text(content)
            with structlog.testing.capture_logs() as logs:
                assert [(await ask(connection)).status for _ in range(3)] == [401] * 3

    assert [entry["event"] for entry in logs] == ["credentials.kept"]


async def test_a_new_ca_is_taken_when_the_servers_certificate_is_refused(
    tmp_path: Path, ca: trustme.CA, other_ca: trustme.CA
) -> None:
    def trusting(authority: trustme.CA) -> dict[str, str]:
        return {"certificate-authority-data": base64.b64encode(authority.cert_pem.bytes()).decode()}

    async with Stub(tls=server_tls(other_ca.issue_cert("127.0.0.1"))) as stub:
        path = write_kubeconfig(tmp_path / "config", stub.url, cluster=trusting(ca))
        async with await Connection.open(kubeconfig=path, env={}) as connection:
            with pytest.raises(TransportError):
                await ask(connection)
            write_kubeconfig(path, stub.url, cluster=trusting(other_ca))
            with pytest.raises(TransportError):
                await ask(connection)
            assert (await ask(connection)).status == 200
