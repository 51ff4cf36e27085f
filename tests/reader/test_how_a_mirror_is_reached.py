"""Credentials, certificates, base paths and pauses; and one answer at a time."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trustme

from kubemirror import client
from kubemirror.access.authorizer import Caller
from kubemirror.access.presented import Presented
from kubemirror.client import Mirror, MirrorError, NotFoundError, RefusedError, UnreachableError
from kubemirror.client.backoff import FIRST_SECONDS, LONGEST_SECONDS, Backoff
from kubemirror.client.errors import refused
from kubemirror.errors import ConfigError, UnauthenticatedError
from kubemirror.serve.certificate import Certificate, read_pair
from kubemirror.settings import Settings
from tests.serve.live import Live, running
from tests.serve.world import Store, World


def test_every_public_name_is_there() -> None:
    assert [name for name in client.__all__ if not hasattr(client, name)] == []
    assert sorted(client.__all__) == client.__all__


class Tokens:
    """Lets in who sends the right token."""

    async def authenticate(self, presented: Presented) -> Caller:
        if presented.bearer_token != "right":
            raise UnauthenticatedError("this token does not hold")
        return Caller("someone")


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue", labels={"app": "web"}), store.object(8, "api", "green"))
    return store


async def test_a_list_is_what_is_selected_and_where_to_watch_from(live: Live) -> None:
    async with Mirror(live.url) as mirror:
        everything = await mirror.list("deploy")
        selected = await mirror.list("deployments.apps", label_selector="app=web", namespace="blue")
        searched = await mirror.list("deploy", q="api")

    assert (len(everything.items), everything.resource_version) == (2, "100")
    assert [each["metadata"]["name"] for each in selected.items] == ["web"]
    assert [each["metadata"]["name"] for each in searched.items] == ["api"]


async def test_one_object_is_got_by_name(live: Live) -> None:
    async with Mirror(live.url) as mirror:
        web = await mirror.get("deploy", "web", namespace="blue")
        with pytest.raises(NotFoundError, match="nothing"):
            await mirror.get("deploy", "nothing", namespace="blue")
        with pytest.raises(MirrorError, match="namespace="):
            await mirror.get("deploy", "blue")

    assert web["metadata"]["uid"] == "uid-blue-web"


async def test_versions_are_version_rs_items(live: Live) -> None:
    async with Mirror(live.url) as mirror:
        (version,) = await mirror.versions(namespace="blue")
        (wide,) = await mirror.versions(namespace="blue", wide=True)

    assert version == {
        "container": "registry.example:5000/team/web",
        "name": "web",
        "namespace": "blue",
        "version": "1.0",
    }
    assert wide.keys() > version.keys()


async def test_a_mirror_that_is_not_complete_says_when_it_may_be(world: World) -> None:
    world.mirror()
    async with running(world) as live, Mirror(live.url) as mirror:
        with pytest.raises(RefusedError) as error:
            await mirror.versions()

    assert (error.value.code, error.value.passing) == (503, True)
    assert error.value.retry_after is not None


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_token_is_read_anew_for_each_connection(store: Store, tmp_path: Path, transport: str) -> None:
    world = World(authenticator=Tokens())  # type: ignore[arg-type]
    again = world.mirror()
    again.sync()
    file = tmp_path / "token"
    file.write_text("wrong\n")
    async with running(world) as live, Mirror(live.url, token_file=file, transport=transport) as mirror:  # type: ignore[arg-type]
        with pytest.raises(RefusedError, match="--token-file") as error:
            await anext(mirror.watch("deploy"))
        file.write_text("right\n")
        async with aclosing(mirror.watch("deploy")) as events:
            first = await anext(events)

    assert error.value.code == 401
    assert first.type == "BOOKMARK"


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_tls_is_checked_against_the_certificate_that_is_named(
    world: World, store: Store, tmp_path: Path, transport: str
) -> None:
    ca = trustme.CA()
    issued = ca.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    world.certificate = Certificate(read_pair(certificate, key), (certificate, key))
    async with running(world) as live:
        url = live.url.replace("http://", "https://")
        async with Mirror(url, transport=transport) as unknowing:  # type: ignore[arg-type]
            with pytest.raises(UnreachableError, match="name the certificate to trust"):
                await anext(unknowing.watch("deploy"))
        async with (
            Mirror(url, ca=tmp_path / "ca.crt", transport=transport) as mirror,  # type: ignore[arg-type]
            aclosing(mirror.watch("deploy")) as events,
        ):
            first = await anext(events)

    assert first.type == "ADDED"


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_base_path_is_part_of_the_url(transport: str) -> None:
    world = World(settings=Settings(root_path="/mirrors/one"))
    store = world.mirror()
    store.sync()
    async with (
        running(world) as live,
        Mirror(f"{live.url}/mirrors/one/", transport=transport) as mirror,  # type: ignore[arg-type]
        aclosing(mirror.watch("deploy")) as events,
    ):
        first = await anext(events)
        listed = await mirror.list("deploy")

    assert (first.resource_version, listed.resource_version) == ("100", "100")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("mirror.example", {}, "is no URL of a mirror"),
        ("http://mirror.example?x=1", {}, "is no URL of a mirror"),
        ("http://mirror.example", {"token": "t"}, "in the clear: write https://"),
        ("http://mirror.example", {"ca": "/ca.crt"}, "has no use for a certificate authority"),
        ("https://mirror.example", {"token": "t", "token_file": "/t"}, "not both"),
    ],
)
def test_what_cannot_be_is_said_at_once(url: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Mirror(url, **options)  # type: ignore[arg-type]


def test_what_a_proxy_says_is_quoted_in_one_line() -> None:
    error = refused(502, None, text="<html>\n Bad\n Gateway" + "x" * 1000, retry_after="7")

    assert str(error).startswith("the mirror answers 502: <html> Bad Gateway")
    assert len(str(error)) < 300
    assert (error.passing, error.retry_after) == (True, 7.0)


def test_pauses_grow_and_are_never_shorter_than_was_asked() -> None:
    backoff = Backoff(random=lambda: 0.5)
    pauses = [backoff.next() for _ in range(12)]
    asked = backoff.next(60)
    backoff.succeeded()

    assert pauses[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert pauses[-1] == LONGEST_SECONDS
    assert asked == 75
    assert backoff.next() == FIRST_SECONDS


def test_no_two_readers_wait_alike() -> None:
    assert len({Backoff().next(5) for _ in range(20)}) == 20
    assert all(5 <= Backoff().next(5) <= 7.5 for _ in range(100))
