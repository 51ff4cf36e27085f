"""Proxy mode over real TLS: the front proxy is known by the certificate that it shows in the handshake."""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from pathlib import Path

import httpx
import trustme

from kubemirror.access.modes import mode_of
from kubemirror.serve.certificate import certificate_of
from kubemirror.settings import Access, Settings
from tests.access.api_server import Reviews
from tests.access.site import a_world
from tests.serve.live import running


class Served:
    def __init__(self, settings: Settings, reviews: Reviews) -> None:
        world = a_world()
        self.mode = mode_of(settings, reviews, world.catalog, wall=time.time)
        self.context = replace(
            world.context,
            authorizer=self.mode.authorizer,
            authenticator=self.mode.authenticator,
            settings=settings,
            certificate=certificate_of(settings),
        )


async def test_only_the_named_proxy_is_believed(reviews: Reviews, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    server.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    settings = Settings(
        access=Access.PROXY,
        tls_cert=tmp_path / "server.crt",
        tls_key=tmp_path / "server.key",
        client_ca=tmp_path / "ca.crt",
        proxy_name=("front-proxy",),
    )
    reviews.allow("jane", "deployments", "blue")

    def shows(issuer: trustme.CA | None, name: str = "front-proxy") -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        if issuer is not None:
            issuer.issue_cert("proxy.example", common_name=name).configure_cert(context)
        return context

    async def asked(context: ssl.SSLContext, url: str, **headers: str) -> int:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            try:
                sent = {"x-remote-user": "jane"} | headers
                first = await client.get(f"{url}/versions", headers=sent)
                again = await client.get(f"{url}/versions", headers=sent)  # by the fast lane, where there was an answer
            except (httpx.ReadError, httpx.RemoteProtocolError):
                return 0  # the handshake was refused
            assert first.status_code == again.status_code
            return first.status_code

    served = Served(settings, reviews)
    async with running(served) as live:
        url = f"https://{live.address}"
        told = {
            "the proxy": await asked(shows(authority), url),
            "nobody": await asked(shows(None), url),
            "another name": await asked(shows(authority, "somebody"), url),
            "another issuer": await asked(shows(other), url),
            "the proxy again": await asked(shows(authority), url),
            "nobody again": await asked(shows(None), url),
        }
    await served.mode.close()

    assert told == {
        "the proxy": 200,
        "nobody": 401,
        "another name": 401,
        "another issuer": 0,
        "the proxy again": 200,
        "nobody again": 401,
    }
