"""Acting as somebody else: ``as`` of the kubeconfig is sent, and a caller's own token is sent alone."""

from __future__ import annotations

import asyncio
import base64

import trustme

from tests.connect.conftest import Connect
from tests.connect.stub import Request, Stub, ask, respond, server_tls

ACTING = {
    "token": "t0k3n",
    "as": "jane",
    "as-uid": "u-1",
    "as-groups": ["developers", "team a"],
    "as-user-extra": {"example.org/Scope": ["read", "list"]},
}


async def test_the_kubeconfigs_as_becomes_impersonation_headers(connect: Connect) -> None:
    async with Stub() as stub:
        await ask(await connect(stub.url, user=ACTING))

    request = stub.requests[0]
    assert request.header("authorization") == "Bearer t0k3n"
    assert request.header("impersonate-user") == "jane"
    assert request.header("impersonate-uid") == "u-1"
    assert request.all("impersonate-group") == ["developers", "team a"]
    assert request.all("impersonate-extra-example.org%2fscope") == ["read", "list"]


async def test_a_callers_token_goes_without_any_of_ours(connect: Connect, ca: trustme.CA) -> None:
    """The API server prefers a client certificate to a token: ours would answer for the caller."""
    ours = ca.issue_cert("us@example.org")
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"), clients=ca)) as stub:
        connection = await connect(
            stub.url,
            cluster={"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()},
            user={
                "as": "jane",
                "client-certificate-data": base64.b64encode(
                    b"".join(pem.bytes() for pem in ours.cert_chain_pems)
                ).decode(),
                "client-key-data": base64.b64encode(ours.private_key_pem.bytes()).decode(),
            },
        )
        await ask(connection)
        await ask(connection, headers={"Authorization": "Bearer theirs"})
        await ask(connection)

    assert [bool(request.certificate) for request in stub.requests] == [True, False, True]
    assert [request.header("authorization") for request in stub.requests] == [None, "Bearer theirs", None]
    assert [request.header("impersonate-user") for request in stub.requests] == ["jane", None, "jane"]


async def test_a_callers_refused_token_is_not_replaced_by_ours(connect: Connect) -> None:
    async def refuse(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(401))

    async with Stub(refuse) as stub:
        reply = await ask(await connect(stub.url, user={"token": "ours"}), headers={"authorization": "Bearer theirs"})

    assert reply.status == 401
    assert [request.all("authorization") for request in stub.requests] == [["Bearer theirs"]]
