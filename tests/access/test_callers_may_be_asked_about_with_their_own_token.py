"""A mirror without the right to create reviews asks with the caller's own token; rights that come are noticed."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.access.authorizer import Allow, Caller, Deny, ResourceAttributes
from kubemirror.access.modes import Mode
from kubemirror.access.presented import Presented
from kubemirror.access.reviewer import RIGHTS_SECONDS, Reviewer
from kubemirror.errors import ImpersonationError, UnauthenticatedError
from kubemirror.settings import Access
from tests.access.api_server import Reviews
from tests.access.site import site

pytestmark = pytest.mark.looptime

PODS = ResourceAttributes("list", "", "v1", "pods")


async def who(mode: Mode, token: str) -> Caller:
    return await mode.authenticator.authenticate(Presented([(b"authorization", f"Bearer {token}".encode())]))


@pytest.fixture(params=["told at the start", "told by a refusal"])
async def without(request: pytest.FixtureRequest, reviews: Reviews, delegated: Mode) -> Mode:
    reviews.granted = False
    reviews.user("t", "jane", "devs")
    reviews.allow("jane", "pods")
    if request.param == "told at the start":
        reviewer: Reviewer = vars(delegated.authorizer)["_reviewer"]
        await reviewer.probe()
        assert not reviewer.own
    return delegated


async def test_who_and_what_are_asked_with_the_callers_token(reviews: Reviews, without: Mode) -> None:
    jane = await who(without, "t")
    reviews.asked.clear()
    decision = await without.authorizer.authorize(jane, PODS)

    assert (jane.user, jane.groups) == ("jane", ("devs", "system:authenticated"))
    assert isinstance(decision, Allow)
    assert [(kind, token) for kind, _, token in reviews.asked] == [("SelfSubjectAccessReview", "t")]
    with pytest.raises(UnauthenticatedError):
        await who(without, "wrong")


async def test_another_token_of_the_same_user_is_asked_about_itself(reviews: Reviews, without: Mode) -> None:
    reviews.user("u", "jane", "devs")
    first, second = await who(without, "t"), await who(without, "u")
    reviews.asked.clear()
    for caller in (first, second, first):
        await without.authorizer.authorize(caller, PODS)

    assert first != second
    assert [token for _, _, token in reviews.asked] == ["t", "u"]


async def test_who_brings_none_is_refused(reviews: Reviews, without: Mode) -> None:
    await who(without, "t")  # from here on it is known that reviews are not granted
    anonymous = await without.authenticator.authenticate(Presented([]))

    assert isinstance(await without.authorizer.authorize(anonymous, PODS), Deny)


async def test_streams_are_asked_again_with_it_too(reviews: Reviews, without: Mode) -> None:
    jane = await who(without, "t")
    held = await without.authorizer.authorize(jane, PODS)
    reviews.rights.clear()
    assert jane.credential is not None
    again = await jane.credential.again()

    assert isinstance(await without.authorizer.authorize(again, PODS, held=held), Deny)


async def test_nobody_acts_as_others(reviews: Reviews, without: Mode) -> None:
    await who(without, "t")
    headers = [(b"authorization", b"Bearer t"), (b"impersonate-user", b"joe")]
    reviews.rights.add(("jane", "impersonate", "users", ""))

    with pytest.raises(ImpersonationError, match="own token only"):
        await without.authenticator.authenticate(Presented(headers))


async def test_who_acted_as_others_before_does_so_no_more(reviews: Reviews, delegated: Mode) -> None:
    """The right to create reviews went while a connection was open."""
    reviews.user("t", "jane")
    reviews.rights.add(("jane", "impersonate", "users", ""))
    headers = [(b"authorization", b"Bearer t"), (b"impersonate-user", b"joe")]
    acting = await delegated.authenticator.authenticate(Presented(headers))
    reviews.granted = False

    with pytest.raises(ImpersonationError, match="own token only"):
        await delegated.authorizer.authorize(acting, PODS)


async def test_acting_as_others_is_forbidden_on_every_path(reviews: Reviews) -> None:
    reviews.granted = False
    reviews.user("t", "jane")
    reviews.rights.add(("jane", "impersonate", "users", ""))
    headers = {"authorization": "Bearer t", "impersonate-user": "joe"}
    async with site(reviews, access=Access.DELEGATED) as (client, _):
        answers = [await client.get(path, headers=headers) for path in ("/apis/apps/v1/deployments", "/versions", "/")]

    assert [each.status_code for each in answers] == [403] * 3
    assert all("nobody can be impersonated here" in each.json()["message"] for each in answers)


async def test_a_right_that_is_granted_later_is_used(reviews: Reviews, delegated: Mode) -> None:
    reviews.granted = False
    reviews.user("t", "jane")
    assert delegated.run is not None
    looking = asyncio.create_task(delegated.run())
    await asyncio.sleep(1)
    await who(delegated, "t")
    assert reviews.asked[-1][0] == "SelfSubjectReview"
    reviews.granted = True
    await asyncio.sleep(RIGHTS_SECONDS)
    await who(delegated, "t")
    looking.cancel()

    assert reviews.asked[-1][0] == "TokenReview"


async def test_audiences_are_checked_or_nobody_is_believed(reviews: Reviews) -> None:
    reviews.user("t", "jane")
    reviews.allow("jane", "deployments")
    bearer = {"authorization": "Bearer t"}
    async with site(reviews, access=Access.DELEGATED, token_audience=("mirror",)) as (client, _):
        meant = await client.get("/versions", headers=bearer)
    assert reviews.asked[0][1] == {"token": "t", "audiences": ["mirror"]}
    reviews.audiences = False  # a webhook that knows nothing of them
    async with site(reviews, access=Access.DELEGATED, token_audience=("mirror",)) as (client, _):
        unchecked = await client.get("/versions", headers=bearer)
    reviews.granted = False
    async with site(reviews, access=Access.DELEGATED, token_audience=("mirror",)) as (client, _):
        uncheckable = await client.get("/versions", headers=bearer)

    assert (meant.status_code, unchecked.status_code, uncheckable.status_code) == (200, 401, 503)
