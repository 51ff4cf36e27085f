"""A client's certificate is asked for, verified against --client-ca, and told to whoever authenticates."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.presented import Presented
from kubemirror.errors import ConfigError
from kubemirror.serve.certificate import certificate_of
from kubemirror.settings import Settings
from tests.serve.live import running
from tests.serve.world import World


class Noting:
    """Keeps whose certificate each request came with."""

    def __init__(self) -> None:
        self.names: list[str | None] = []

    async def authenticate(self, presented: Presented) -> Caller:
        self.names.append(presented.certificate.common_name if presented.certificate is not None else None)
        return ANONYMOUS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def settings(authority: trustme.CA, tmp_path: Path) -> Settings:
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_pem.write_to_path(str(tmp_path / "tls.key"))
    for each in server.cert_chain_pems:
        each.write_to_path(str(tmp_path / "tls.crt"), append=True)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    return Settings(tls_cert=tmp_path / "tls.crt", tls_key=tmp_path / "tls.key", client_ca=tmp_path / "ca.crt")


def trusting(authority: trustme.CA, client: trustme.LeafCert | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return context


async def test_each_connection_is_told_apart_by_it_in_both_lanes(settings: Settings, authority: trustme.CA) -> None:
    noting = Noting()
    world = World(settings=settings, authenticator=noting, certificate=certificate_of(settings))
    store = world.mirror()
    store.sync(store.object(7, "web"))
    proxy = authority.issue_cert(common_name="front-proxy")
    other = authority.issue_cert(common_name="somebody")
    async with running(world) as live:
        url = live.url.replace("http://", "https://")
        for certificate in (None, proxy, other):
            async with httpx.AsyncClient(verify=trusting(authority, certificate), base_url=url) as client:
                for _ in range(3):
                    assert (await client.get("/versions")).status_code == 200

    assert noting.names == [None, "front-proxy", "somebody"]  # and then from the fast lane, each its own answer


async def test_a_certificate_of_someone_elses_making_is_refused(settings: Settings, authority: trustme.CA) -> None:
    noting = Noting()
    world = World(settings=settings, authenticator=noting, certificate=certificate_of(settings))
    world.mirror().sync()
    forged = trustme.CA().issue_cert(common_name="front-proxy")
    async with running(world) as live:
        url = live.url.replace("http://", "https://")
        async with httpx.AsyncClient(verify=trusting(authority, forged), base_url=url) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("/versions")

    assert noting.names == []


async def test_issuers_are_read_again(settings: Settings, authority: trustme.CA) -> None:
    noting = Noting()
    certificate = certificate_of(settings)
    assert certificate is not None
    world = World(settings=settings, authenticator=noting, certificate=certificate)
    world.mirror().sync()
    newer = trustme.CA()
    assert settings.client_ca is not None
    settings.client_ca.write_bytes(newer.cert_pem.bytes())
    await certificate.look()
    async with running(world) as live:
        url = live.url.replace("http://", "https://")
        client_certificate = newer.issue_cert(common_name="newer")
        async with httpx.AsyncClient(verify=trusting(authority, client_certificate), base_url=url) as client:
            await client.get("/versions")

    assert noting.names == ["newer"]


def test_without_tls_nobody_shows_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--client-ca"):
        certificate_of(Settings(client_ca=tmp_path / "ca.crt"))
