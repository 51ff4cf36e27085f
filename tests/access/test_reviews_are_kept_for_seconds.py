"""What the API server said about a token and a tuple holds for seconds, is asked for once, and never past its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kubemirror.access import reviewed, tokens
from kubemirror.access.authorizer import ANONYMOUS, Allow, Caller, Deny, PathAttributes, ResourceAttributes
from kubemirror.access.modes import Mode
from kubemirror.access.presented import Presented
from kubemirror.access.reviewer import ALLOWED_SECONDS, REFUSED_SECONDS
from kubemirror.errors import UnauthenticatedError, UpstreamUnavailableError
from tests.access.api_server import Reviews, jwt
from tests.access.conftest import START

pytestmark = pytest.mark.looptime

PODS = ResourceAttributes("list", "", "v1", "pods")


def bearing(token: str) -> Presented:
    return Presented([(b"authorization", f"Bearer {token}".encode())])


async def who(mode: Mode, token: str) -> Caller:
    return await mode.authenticator.authenticate(bearing(token))


async def test_a_token_is_asked_about_once_in_ten_seconds(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("t", "jane", "devs", uid="7", extra={"k": ["v"]})
    for _ in range(3):
        caller = await who(delegated, "t")
    await asyncio.sleep(ALLOWED_SECONDS - 0.1)
    await who(delegated, "t")

    assert reviews.count("TokenReview") == 1
    assert caller == Caller("jane", "7", ("devs", "system:authenticated"), {"k": ("v",)})
    await asyncio.sleep(0.2)
    await who(delegated, "t")
    assert reviews.count("TokenReview") == 2


async def test_a_token_that_does_not_hold_is_asked_about_again_sooner(reviews: Reviews, delegated: Mode) -> None:
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await who(delegated, "new")
    assert reviews.count("TokenReview") == 1
    reviews.user("new", "jane")
    await asyncio.sleep(REFUSED_SECONDS + 0.1)

    assert (await who(delegated, "new")).user == "jane"


async def test_a_tuple_is_asked_about_once_in_ten_seconds_a_no_in_five(reviews: Reviews, delegated: Mode) -> None:
    jane = Caller("jane")
    reviews.allow("jane", "pods", "shop")
    shop, dev = (ResourceAttributes("list", "", "v1", "pods", namespace=each) for each in ("shop", "dev"))
    loop = asyncio.get_running_loop()
    for _ in range(2):
        assert await delegated.authorizer.authorize(jane, shop) == Allow(loop.time() + ALLOWED_SECONDS)
        assert await delegated.authorizer.authorize(jane, dev) == Deny("", loop.time() + REFUSED_SECONDS)
    await asyncio.sleep(REFUSED_SECONDS + 0.1)
    await delegated.authorizer.authorize(jane, shop)
    await delegated.authorizer.authorize(jane, dev)
    await asyncio.sleep(ALLOWED_SECONDS - REFUSED_SECONDS)
    await delegated.authorizer.authorize(jane, shop)

    namespaces = [spec["resourceAttributes"]["namespace"] for _, spec, _ in reviews.asked]
    assert namespaces == ["shop", "dev", "dev", "shop"]


@pytest.mark.parametrize(
    "other",
    [
        (Caller("joe"), PODS),
        (Caller("jane", "8"), PODS),
        (Caller("jane", groups=("a",)), PODS),
        (Caller("jane", extra={"scopes": ("none",)}), PODS),
        (Caller("jane", token_key=b"k"), PODS),
        (Caller("jane"), ResourceAttributes("watch", "", "v1", "pods")),
        (Caller("jane"), ResourceAttributes("list", "x", "v1", "pods")),
        (Caller("jane"), ResourceAttributes("list", "", "v1", "pods", subresource="status")),
        (Caller("jane"), ResourceAttributes("list", "", "v1", "pods", namespace="shop")),
        (Caller("jane"), ResourceAttributes("list", "", "v1", "pods", name="a")),
        (Caller("jane"), ResourceAttributes("list", "", "v1", "pods", label_selector="a=b")),
        (Caller("jane"), ResourceAttributes("list", "", "v1", "pods", field_selector="a=b")),
        (Caller("jane"), PathAttributes("list", "/pods")),
    ],
    ids=str,
)
async def test_an_answer_is_nobody_elses_and_about_nothing_else(
    reviews: Reviews, delegated: Mode, other: tuple[Caller, ResourceAttributes]
) -> None:
    reviews.allow("jane", "pods")
    await delegated.authorizer.authorize(Caller("jane"), PODS)
    await delegated.authorizer.authorize(*other)

    assert reviews.count("SubjectAccessReview") == 2


async def test_the_exact_tuple_is_asked_about(reviews: Reviews, delegated: Mode) -> None:
    caller = Caller("jane", "7", ("devs",), {"k": ("v", "w")})
    await delegated.authorizer.authorize(
        caller,
        ResourceAttributes(
            "watch", "apps", "v1", "deployments", "status", "shop", "web", "a in (b)", "metadata.name=a"
        ),
    )
    await delegated.authorizer.authorize(caller, PathAttributes("get", "/metrics"))

    who_ = {"user": "jane", "uid": "7", "groups": ["devs"], "extra": {"k": ["v", "w"]}}
    assert [spec for _, spec, _ in reviews.asked] == [
        {
            **who_,
            "resourceAttributes": {
                "verb": "watch",
                "group": "apps",
                "version": "v1",
                "resource": "deployments",
                "subresource": "status",
                "namespace": "shop",
                "name": "web",
                "labelSelector": {"rawSelector": "a in (b)"},
                "fieldSelector": {"rawSelector": "metadata.name=a"},
            },
        },
        {**who_, "nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
    ]


async def test_a_crowd_that_asks_the_same_costs_one_review_of_each_kind(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("t", "jane")
    reviews.allow("jane", "pods")
    reviews.gate = asyncio.Event()

    async def one() -> object:
        return await delegated.authorizer.authorize(await who(delegated, "t"), PODS)

    crowd = [asyncio.create_task(one()) for _ in range(50)]
    await asyncio.sleep(1)
    reviews.gate.set()
    answers = await asyncio.gather(*crowd)

    assert all(isinstance(each, Allow) for each in answers)
    assert [kind for kind, _, _ in reviews.asked] == ["TokenReview", "SubjectAccessReview"]


async def test_one_of_a_crowd_may_leave_without_harm_to_the_others(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("t", "jane")
    reviews.gate = asyncio.Event()
    first, second = (asyncio.create_task(who(delegated, "t")) for _ in range(2))
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.sleep(0)
    reviews.gate.set()

    assert (await second).user == "jane"
    assert reviews.count("TokenReview") == 1


async def test_a_token_is_believed_no_longer_than_it_says(
    reviews: Reviews, delegated: Mode, wall: Callable[[], float]
) -> None:
    token = jwt(START + 4)
    reviews.user(token, "jane")
    caller = await who(delegated, token)
    assert caller.until == pytest.approx(asyncio.get_running_loop().time() + 4)
    await asyncio.sleep(4.1)

    for ended in (token, jwt(START - 1)):
        with pytest.raises(UnauthenticatedError, match="has expired"):
            await who(delegated, ended)
    assert reviews.count("TokenReview") == 1


@pytest.mark.parametrize("token", ["a.b.c", "e30.bnVsbA.x", jwt(0).replace(".", ".."), "x" * 100])
async def test_what_is_no_json_web_token_is_the_api_servers_to_judge(
    reviews: Reviews, delegated: Mode, token: str
) -> None:
    reviews.user(token, "jane")

    assert (await who(delegated, token)).user == "jane"


async def test_what_could_be_no_token_is_not_asked_about(reviews: Reviews, delegated: Mode) -> None:
    with pytest.raises(UnauthenticatedError, match="too long"):
        await who(delegated, "x" * (tokens.LONGEST_TOKEN + 1))
    assert reviews.asked == []


@pytest.mark.parametrize("header", ["", "Basic amFuZTpzZWNyZXQ=", "Bearer", "Bearer ", "bearer  two", "Token t"])
async def test_who_presents_no_token_is_anonymous(reviews: Reviews, delegated: Mode, header: str) -> None:
    presented = Presented([(b"authorization", header.encode())] if header else [])

    assert await delegated.authenticator.authenticate(presented) == ANONYMOUS
    await delegated.authorizer.authorize(ANONYMOUS, PODS)
    assert reviews.asked[0][1]["user"] == "system:anonymous"
    assert reviews.asked[0][1]["groups"] == ["system:unauthenticated"]


async def test_the_first_of_two_tokens_counts_as_it_does_upstream(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("one", "jane")
    reviews.user("two", "joe")
    presented = Presented([(b"authorization", b"Bearer one"), (b"authorization", b"Bearer two")])

    assert (await delegated.authenticator.authenticate(presented)).user == "jane"


async def test_while_reviews_cannot_be_had_nobody_new_is_answered_and_the_known_for_seconds(
    reviews: Reviews, delegated: Mode
) -> None:
    reviews.user("t", "jane")
    reviews.allow("jane", "pods")
    jane = await who(delegated, "t")
    await delegated.authorizer.authorize(jane, PODS)
    reviews.down = True

    assert isinstance(await delegated.authorizer.authorize(await who(delegated, "t"), PODS), Allow)
    with pytest.raises(UpstreamUnavailableError):
        await who(delegated, "other")
    with pytest.raises(UpstreamUnavailableError):
        await delegated.authorizer.authorize(Caller("joe"), PODS)
    await asyncio.sleep(ALLOWED_SECONDS + 0.1)
    with pytest.raises(UpstreamUnavailableError):
        await who(delegated, "t")
    with pytest.raises(UpstreamUnavailableError):
        await delegated.authorizer.authorize(jane, PODS)
    reviews.down = False  # no failure is kept
    assert (await who(delegated, "t")).user == "jane"


async def test_what_is_kept_is_bounded(reviews: Reviews, delegated: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = vars(delegated.authorizer)["_kept"]
    monkeypatch.setattr(kept, "_most", 10)
    for number in range(30):
        await delegated.authorizer.authorize(Caller(f"u{number}"), PODS)

    assert len(kept) == 10
    assert reviewed.DECISIONS == 16_384


async def test_no_token_is_kept_beside_its_hash(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("c4n4ry", "jane")
    caller = await who(delegated, "c4n4ry")
    reviews.asked.clear()
    assert delegated.sign_in is not None
    kept = vars(vars(delegated.sign_in.tokens)["_kept"])

    assert "c4n4ry" not in repr(kept)
    assert "c4n4ry" not in repr(caller)
