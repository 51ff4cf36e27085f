"""Proxy mode: X-Remote-* is believed from the proxy alone, and then the API server decides for that user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.front_proxy import FrontProxy
from kubemirror.access.modes import check
from kubemirror.access.presented import Presented
from kubemirror.errors import ConfigError, UnauthenticatedError
from kubemirror.settings import Access, Settings
from tests.access.api_server import Reviews
from tests.access.site import site

SECRET = b"s" * 32
KNOWN = (b"kubemirror-proxy-secret", SECRET)
JANE = (b"x-remote-user", b"jane")


@dataclass(frozen=True)
class Certificate:
    common_name: str


async def test_a_user_with_groups_and_more_is_named() -> None:
    presented = Presented(
        [
            KNOWN,
            JANE,
            (b"x-remote-group", b"devs"),
            (b"x-remote-group", b"ops, night"),
            (b"x-remote-uid", b"7"),
            (b"x-remote-extra-scopes%2fof", b"view"),
            (b"x-remote-extra-scopes%2fof", b"list"),
        ]
    )

    assert await FrontProxy(names=None, secret=SECRET, extra=["Scopes/of"]).authenticate(presented) == Caller(
        "jane", "7", ("devs", "ops, night", "system:authenticated"), {"scopes/of": ("view", "list")}
    )


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("jane", [], ("system:authenticated",)),
        ("jane", ["system:authenticated", "devs"], ("system:authenticated", "devs")),
        ("jane", ["system:unauthenticated"], ("system:unauthenticated",)),
        ("system:anonymous", [], ()),
    ],
)
async def test_whoever_is_named_is_authenticated_as_at_the_api_server(
    user: str, groups: list[str], expected: tuple[str, ...]
) -> None:
    """apiserver pkg/authentication/group: behind its own request-header authenticator, too."""
    headers = [KNOWN, (b"x-remote-user", user.encode()), *((b"x-remote-group", each.encode()) for each in groups)]

    assert (await FrontProxy(names=None, secret=SECRET).authenticate(Presented(headers))).groups == expected


@pytest.mark.parametrize("name", ["scopes", "role", "scop%65s", "scopes%2fof", "scopes%"])
async def test_extras_are_believed_by_name_and_others_refused(name: str) -> None:
    """Clients send what they like after X-Remote-Extra-, and few proxies can take all of that away."""
    sent = [KNOWN, JANE, (f"x-remote-extra-{name}".encode(), b"root")]

    with pytest.raises(UnauthenticatedError, match=f"X-Remote-Extra-{name} .* --proxy-extra"):
        await FrontProxy(names=None, secret=SECRET).authenticate(Presented(sent))
    if name != "role":
        with pytest.raises(UnauthenticatedError):
            await FrontProxy(names=None, secret=SECRET, extra=["role"]).authenticate(Presented(sent))
    if name != "scopes":
        with pytest.raises(UnauthenticatedError):
            await FrontProxy(names=None, secret=SECRET, extra=["scopes"]).authenticate(Presented(sent))


async def test_a_name_with_underscores_is_nobodys() -> None:
    """A proxy that takes away X-Remote-Group lets X_Remote_Group pass: where the two are one, so are their senders."""
    odd = [(b"x_remote_user", b"root"), (b"x_remote_group", b"system:masters"), (b"x_remote_extra_scopes", b"root")]
    proxy = FrontProxy(names=None, secret=SECRET, extra=["scopes"])

    assert await proxy.authenticate(Presented([KNOWN, *odd])) == ANONYMOUS
    assert await proxy.authenticate(Presented([KNOWN, JANE, *odd])) == Caller("jane", groups=("system:authenticated",))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"kubemirror-proxy-secret", b"t" * 32)],
        [(b"kubemirror-proxy-secret", SECRET[:-1])],
        [(b"kubemirror-proxy-secret", b"")],
        [(b"kubemirror-proxy-secret", b"t" * 32), KNOWN],
        [KNOWN, KNOWN],
        [(b"x-forwarded-user", b"jane")],
    ],
    ids=str,
)
async def test_without_the_secret_nobody_is_believed(headers: list[tuple[bytes, bytes]]) -> None:
    for told in (JANE, (b"x-remote-group", b"system:masters"), (b"x-remote-extra-a", b"b"), (b"x-remote-uid", b"1")):
        with pytest.raises(UnauthenticatedError):
            await FrontProxy(names=None, secret=SECRET).authenticate(Presented([*headers, told]))


@pytest.mark.parametrize(
    ("names", "certificate", "believed"),
    [
        ((), None, False),
        ((), "anyone", True),
        (("front",), None, False),
        (("front",), "other", False),
        (("front", "side"), "side", True),
    ],
)
async def test_a_verified_certificate_of_an_allowed_name_is_believed(
    names: tuple[str, ...], certificate: str | None, believed: bool
) -> None:
    presented = Presented([JANE], certificate=Certificate(certificate) if certificate else None)
    proxy = FrontProxy(names=names, secret=b"")

    if believed:
        assert (await proxy.authenticate(presented)).user == "jane"
    else:
        with pytest.raises(UnauthenticatedError):
            await proxy.authenticate(presented)


async def test_where_both_are_set_both_must_hold() -> None:
    proxy = FrontProxy(names=("front",), secret=SECRET)
    certificate = Certificate("front")

    assert (await proxy.authenticate(Presented([JANE, KNOWN], certificate=certificate))).user == "jane"
    for presented in (Presented([JANE, KNOWN]), Presented([JANE], certificate=certificate)):
        with pytest.raises(UnauthenticatedError):
            await proxy.authenticate(presented)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-remote-group", b"devs")],
        [(b"x-remote-user", b"")],
        [JANE, (b"x-remote-user", b"root")],
        [JANE, (b"x-remote-uid", b"1"), (b"x-remote-uid", b"2")],
    ],
    ids=str,
)
async def test_the_proxy_must_name_one_user(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(UnauthenticatedError, match="one user"):
        await FrontProxy(names=None, secret=SECRET).authenticate(Presented([KNOWN, *headers]))


async def test_who_is_not_named_is_anonymous_whatever_else_is_sent() -> None:
    for headers in ([], [KNOWN], [(b"authorization", b"Bearer t")], [(b"x-remote-addr", b"1.2.3.4")]):
        assert await FrontProxy(names=None, secret=SECRET).authenticate(Presented(headers)) == ANONYMOUS


def test_a_proxy_that_anybody_could_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="how that proxy is known"):
        check(Settings(access=Access.PROXY))
    with pytest.raises(ConfigError, match="TLS only"):
        check(Settings(access=Access.PROXY, client_ca=Path("/ca")))
    with pytest.raises(ValueError, match="anybody"):
        FrontProxy(names=None, secret=b"")


async def test_the_api_server_decides_for_the_named_user(reviews: Reviews, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    reviews.allow("jane", "deployments", "blue")
    async with site(reviews, access=Access.PROXY, proxy_secret_file=secret) as (client, _):
        client.headers["kubemirror-proxy-secret"] = SECRET.decode()
        seen = await client.get("/versions", headers={"x-remote-user": "jane", "x-remote-group": "devs"})
        joe = await client.get("/versions", headers={"x-remote-user": "joe"})
        del client.headers["kubemirror-proxy-secret"]
        forged = await client.get("/versions", headers={"x-remote-user": "jane"})
        page = await client.get("/versions", headers={"accept": "text/html"})

    assert [each["namespace"] for each in seen.json()] == ["blue"]
    assert (joe.status_code, forged.status_code, page.status_code) == (403, 401, 403)
    asked = [spec for kind, spec, _ in reviews.asked if kind == "SubjectAccessReview"]
    assert asked[0]["groups"] == ["devs", "system:authenticated"]
    assert reviews.count("TokenReview") == 0


async def test_without_the_right_to_ask_nobody_is_answered(reviews: Reviews, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    reviews.granted = False
    async with site(reviews, access=Access.PROXY, proxy_secret_file=secret) as (client, _):
        client.headers["kubemirror-proxy-secret"] = SECRET.decode()
        answer = await client.get("/versions", headers={"x-remote-user": "jane"})

    assert answer.status_code == 503
    assert "may not create subjectaccessreviews" in answer.json()["message"]
