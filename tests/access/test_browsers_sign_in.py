"""Sign-in in delegated mode: checked by the API server, kept where no script reads it, no longer than the token."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from kubemirror.access import session
from kubemirror.access.presented import Presented
from kubemirror.access.session import COOKIE, LONGEST_SECONDS, Sessions, secret_of
from kubemirror.errors import ConfigError, UnauthenticatedError
from kubemirror.serve.context import Context
from kubemirror.serve.sign_in import local
from kubemirror.settings import Access, Settings
from tests.access.api_server import Reviews, jwt
from tests.access.site import SITE, a_world, site
from tests.serve.live import running

HTML = {"accept": "text/html"}
OWN = {"origin": SITE}


@dataclass
class Served:
    context: Context


@pytest.fixture
def reviews() -> Reviews:
    reviews = Reviews()
    reviews.user("secret-token", "jane")
    reviews.allow("jane", "deployments", "blue")
    return reviews


@pytest.fixture
async def client(reviews: Reviews) -> AsyncIterator[httpx.AsyncClient]:
    async with site(reviews, access=Access.DELEGATED) as (client, _):
        yield client


async def sign_in(client: httpx.AsyncClient, token: str, **form: str) -> httpx.Response:
    return await client.post("/-/sign-in", data={"token": token, **form}, headers={**HTML, **OWN})


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/-/sign-in?next=/"),
        ("/resources/deployments?q=a%20b", "/-/sign-in?next=/resources/deployments%3Fq%3Da%2520b"),
        ("/versions", "/-/sign-in?next=/versions"),
        ("/-/status", "/-/sign-in?next=/-/status"),
    ],
)
async def test_a_browser_without_rights_is_sent_to_sign_in(client: httpx.AsyncClient, path: str, location: str) -> None:
    answer = await client.get(path, headers=HTML)
    script = await client.get(path)

    assert (answer.status_code, answer.headers["location"]) == (303, location)
    assert answer.headers["cache-control"] == "no-store"
    assert script.status_code == 403
    assert 'User "system:anonymous" cannot' in script.json()["message"]


async def test_the_way_to_sign_in_is_told_in_words(client: httpx.AsyncClient) -> None:
    answer = await client.get("/versions", headers=HTML)

    assert "<h1>Sign in first</h1>" in answer.text
    assert "<title>Sign in first · kubemirror</title>" in answer.text
    assert '<a href="/-/sign-in?next=/versions">Sign in</a>' in answer.text
    assert "SeeOther" not in answer.text


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/resources/deployments?q=a b", "/resources/deployments?q=a%20b"),
        ("/resources/deployments?q=a%20b&sort=-name,age", "/resources/deployments?q=a%20b&sort=-name,age"),
        ('/resources/x"y<z>', "/resources/x%22y%3Cz%3E"),
    ],
)
async def test_where_it_leads_is_written_as_urls_are(client: httpx.AsyncClient, target: str, location: str) -> None:
    answer = await sign_in(client, "secret-token", next=target)

    assert (answer.status_code, answer.headers["location"]) == (303, location)


async def test_what_is_escaped_is_come_back_to(client: httpx.AsyncClient) -> None:
    answer = await client.get("/resources/deployments/blue?q=%C3%BC%20x", headers=HTML)
    form = await client.get(answer.headers["location"], headers=HTML)
    back = await sign_in(client, "secret-token", next="/resources/deployments/blue?q=%C3%BC%20x")

    assert 'value="/resources/deployments/blue?q=%C3%BC%20x"' in form.text
    assert back.headers["location"] == "/resources/deployments/blue?q=%C3%BC%20x"


async def test_the_api_servers_own_paths_answer_browsers_as_it_does(client: httpx.AsyncClient) -> None:
    answer = await client.get("/apis/apps/v1/deployments", headers=HTML)

    assert (answer.status_code, answer.json()["kind"]) == (403, "Status")


async def test_who_signs_in_comes_back_and_sees_what_they_may(client: httpx.AsyncClient) -> None:
    page = await client.get("/-/sign-in?next=/resources/deployments%3Fwide%3Dtrue", headers=HTML)
    assert 'value="/resources/deployments?wide=true"' in page.text
    answer = await sign_in(client, " secret-\n token ", next="/resources/deployments?wide=true")

    assert (answer.status_code, answer.headers["location"]) == (303, "/resources/deployments?wide=true")
    shown = await client.get("/resources/deployments", headers=HTML)
    assert shown.status_code == 200
    assert "blue" in shown.text
    assert "green" not in shown.text
    assert "You may not see all namespaces" in shown.text
    assert shown.headers["kubemirror-omitted"] == "namespaces"
    assert ">jane</a>" in shown.text
    assert (await client.get("/", headers=HTML)).status_code == 200
    assert (await client.get("/apis/apps/v1/namespaces/blue/deployments")).status_code == 200


async def test_the_session_is_a_cookie_for_this_host_alone(client: httpx.AsyncClient) -> None:
    token = jwt(time.time() + 600)
    answer = await sign_in(client, token)
    assert answer.status_code == 401  # nobody's
    answer = await sign_in(client, "secret-token")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    value, *attributes = rest.split("; ")

    assert name == "__Host-kubemirror-session"
    assert set(attributes) == {
        "Path=/",
        f"Max-Age={int(LONGEST_SECONDS)}",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
    }
    assert "secret-token" not in value
    assert "set-cookie" not in (await sign_in(client, "wrong")).headers


def token_of(sessions: Sessions, presented: Presented) -> str:
    session = sessions.of(presented)
    return session.token if session is not None else ""


async def test_the_session_ends_with_the_token(reviews: Reviews) -> None:
    now = time.time()
    clock = [now]
    sessions = Sessions(b"k" * 32, wall=lambda: clock[0])
    value, seconds = sessions.seal(jwt(now + 600))
    cookies = Presented([(b"cookie", f"other=1; {COOKIE}={value}".encode())])

    assert 598 <= seconds <= 600
    assert token_of(sessions, cookies) == jwt(now + 600)
    clock[0] = now + 601
    assert token_of(sessions, cookies) == ""


@pytest.mark.parametrize("changed", [0, 5, 40, -1])
async def test_a_changed_cookie_is_none(changed: int) -> None:
    sessions = Sessions(b"k" * 32, wall=time.time)
    value, _ = sessions.seal("token")
    letters = list(value)
    letters[changed] = "A" if letters[changed] != "A" else "B"
    other = Sessions(b"l" * 32, wall=time.time)

    for keeper, text in (
        (sessions, "".join(letters)),
        (other, value),
        (sessions, "%%%"),
        (sessions, "é"),
        (sessions, ""),
    ):
        assert token_of(keeper, Presented([(b"cookie", f"{COOKIE}={text}".encode())])) == ""


async def test_replicas_that_share_a_key_share_sessions(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef\n")
    one, other = (Sessions(secret_of(key, "--session-key-file"), wall=time.time) for _ in range(2))
    value, _ = one.seal("token")

    assert token_of(other, Presented([(b"cookie", f"{COOKIE}={value}".encode())])) == "token"
    assert secret_of(None, "") != secret_of(None, "")


def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("password")
    for name in ("short", "missing"):
        with pytest.raises(ConfigError, match="--session-key-file"):
            secret_of(tmp_path / name, "--session-key-file")


async def test_a_token_that_fits_no_cookie_is_refused_in_words(reviews: Reviews, client: httpx.AsyncClient) -> None:
    reviews.user("x" * 4000, "jane")
    answer = await sign_in(client, "x" * 4000)

    assert answer.status_code == 400
    assert "too long for a cookie" in answer.text


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://mirror.example"}]
)
@pytest.mark.parametrize("path", ["/-/sign-in", "/-/sign-out"])
async def test_a_form_of_another_site_signs_nobody_in_or_out(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    answer = await client.post(path, data={"token": "secret-token"}, headers={**HTML, **headers})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_the_pages_that_post_let_their_origin_be_told(client: httpx.AsyncClient) -> None:
    page = await client.get("/-/sign-in", headers=HTML)

    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in page.headers["content-security-policy"]


async def test_signing_out_ends_the_session(client: httpx.AsyncClient) -> None:
    await sign_in(client, "secret-token")
    assert (await client.get("/versions")).status_code == 200
    answer = await client.post("/-/sign-out", headers={**HTML, **OWN})

    assert (answer.status_code, answer.headers["location"]) == (303, "/-/sign-in")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await client.get("/versions")).status_code == 403


async def test_a_copy_of_the_cookie_of_who_signed_out_is_none(client: httpx.AsyncClient) -> None:
    """Of this sign-in alone, at this replica; a stream that is open under it ends when it is next asked about."""
    first = (await sign_in(client, "secret-token")).headers["set-cookie"].partition(";")[0]
    second = (await sign_in(client, "secret-token")).headers["set-cookie"].partition(";")[0]
    client.cookies.clear()
    held = await client.get("/versions", headers={"cookie": first})
    for _ in range(2):
        await client.post("/-/sign-out", headers={**HTML, **OWN, "cookie": first})
    copied = await client.get("/versions", headers={"cookie": first})

    assert (held.status_code, copied.status_code) == (200, 403)
    assert (await client.get("/versions", headers={"cookie": second})).status_code == 200


async def test_signing_out_is_not_undone_by_what_was_finished_for_the_cookie(reviews: Reviews) -> None:
    """The fast lane gives an answer again for as long as its review holds, and knows nothing of sessions."""
    world = a_world()
    async with site(reviews, world=world, access=Access.DELEGATED) as (client, mode):
        cookie = (await sign_in(client, "secret-token")).headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        context = replace(
            world.context, authorizer=mode.authorizer, authenticator=mode.authenticator, sign_in=mode.sign_in,
            settings=Settings(access=Access.DELEGATED),
        )  # fmt: skip
        async with running(Served(context)) as live, httpx.AsyncClient(base_url=live.url, trust_env=False) as browser:
            browser.headers["cookie"] = cookie
            before = [(await browser.get("/versions")).status_code for _ in range(3)]
            kept = len(live.app.serving.lane)
            await browser.post("/-/sign-out", headers={"origin": live.url})
            after = (await browser.get("/versions")).status_code

    assert (before, after) == ([200] * 3, 403)
    assert kept > 0


async def test_an_open_stream_ends_after_signing_out(reviews: Reviews) -> None:
    async with site(reviews, access=Access.DELEGATED) as (client, mode):
        cookie = (await sign_in(client, "secret-token")).headers["set-cookie"].partition(";")[0]
        caller = await mode.authenticator.authenticate(Presented([(b"cookie", cookie.encode())]))
        assert caller.credential is not None
        again = await caller.credential.again()
        await client.post("/-/sign-out", headers={**HTML, **OWN})

    assert again.user == "jane"
    for credential in (caller.credential, again.credential):
        assert credential is not None
        for ask in (credential.again, credential.now):
            with pytest.raises(UnauthenticatedError, match="signed out"):
                await ask()


async def test_ended_sessions_are_forgotten_once_they_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_ENDED", 3)
    clock = [time.time()]
    sessions = Sessions(b"k" * 32, wall=lambda: clock[0])

    def signed_in() -> session.Session:
        value, _ = sessions.seal("token")
        found = sessions.of(Presented([(b"cookie", f"{COOKIE}={value}".encode())]))
        assert found is not None
        return found

    several = [signed_in() for _ in range(5)]
    for each in several:
        sessions.end(each)
    remembered = [sessions.ended(each.id) for each in several]
    clock[0] += LONGEST_SECONDS + 1
    sessions.end(signed_in())

    assert remembered == [False, False, True, True, True]
    assert not any(sessions.ended(each.id) for each in several)


async def test_without_tls_nobody_signs_in(reviews: Reviews) -> None:
    async with site(reviews, base="http://mirror.example", access=Access.DELEGATED) as (client, _):
        page = await client.get("/-/sign-in", headers=HTML)
        answer = await client.post(
            "/-/sign-in", data={"token": "secret-token"}, headers={"origin": "http://mirror.example"}
        )

    assert "Signing in needs TLS" in page.text
    assert 'name="token"' not in page.text
    assert answer.status_code == 400
    for remedy in ("--tls-cert", "X-Forwarded-Proto: https", "--trusted-proxies"):
        assert remedy in page.text
        assert remedy in answer.text
    assert reviews.asked == []


async def test_a_proxy_that_ends_tls_may_say_so(reviews: Reviews) -> None:
    async with site(reviews, base="http://mirror.example", access=Access.DELEGATED) as (client, _):
        client.headers["x-forwarded-proto"] = "https"
        answer = await sign_in(client, "secret-token")

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("target", "goes"),
    [
        ("/versions", "/versions"),
        ("/resources/x?a=b", "/resources/x?a=b"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nset-cookie: b", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_nobody_is_led_elsewhere(target: str, goes: str) -> None:
    assert local(target) == goes


async def test_a_header_wins_over_a_cookie(reviews: Reviews, client: httpx.AsyncClient) -> None:
    reviews.user("other", "joe")
    await sign_in(client, "secret-token")
    answer = await client.get("/versions", headers={"authorization": "Bearer other"})

    assert answer.status_code == 403
    assert 'User "joe"' in answer.json()["message"]


async def test_a_session_whose_token_was_taken_back_is_sent_to_sign_in(reviews: Reviews) -> None:
    async with site(reviews, access=Access.DELEGATED) as (client, _):
        value = (await sign_in(client, "secret-token")).headers["set-cookie"]
    del reviews.users["secret-token"]
    async with site(reviews, access=Access.DELEGATED) as (client, _):
        client.headers["cookie"] = value.partition(";")[0]
        page = await client.get("/versions", headers=HTML)
        sign = await client.get("/-/sign-in", headers=HTML)

    assert page.status_code == 303
    assert sign.status_code == 200


async def test_while_the_api_server_cannot_be_asked_the_page_says_so(
    reviews: Reviews, client: httpx.AsyncClient
) -> None:
    reviews.down = True
    answer = await sign_in(client, "secret-token")

    assert answer.status_code == 503
    assert "cannot be asked" in answer.text


async def test_a_form_larger_than_any_of_ours_is_refused(client: httpx.AsyncClient) -> None:
    answer = await sign_in(client, "x" * 70_000)

    assert answer.status_code == 413


@pytest.mark.parametrize("settings", [{}, {"access": Access.OPEN, "open_resource": ("deployments",)}])
async def test_where_nobody_signs_in_there_is_no_such_page(reviews: Reviews, settings: dict[str, object]) -> None:
    async with site(reviews, **settings) as (client, _):
        assert (await client.get("/-/sign-in")).status_code == 404
