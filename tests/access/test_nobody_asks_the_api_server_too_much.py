"""What a caller may cost the API server: so many reviews at a time, and a burst and a rate of new ones for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from kubemirror.access.allowance import OWNERS, Allowance
from kubemirror.access.audit import Asking, asking
from kubemirror.access.authorizer import (
    ANONYMOUS,
    Allow,
    AllowNamespaces,
    Caller,
    Candidates,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.modes import Mode
from kubemirror.access.presented import Presented
from kubemirror.access.reviewer import ALLOWED_SECONDS, REFUSED_SECONDS
from kubemirror.errors import TooManyReviewsError, UnauthenticatedError
from kubemirror.settings import Access, Settings
from tests.access.api_server import Reviews
from tests.access.site import site

BURST, RATE = Settings().review_burst, Settings().review_rate
FAILURES, AT_ONCE = Settings().max_token_failures, Settings().max_reviews
JANE = Caller("jane")
NAMESPACES = tuple(f"n{number}" for number in range(200))


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    noting = asking.set(Asking(client=address))
    yield
    asking.reset(noting)


async def who(mode: Mode, token: str) -> Caller | type[Exception]:
    """The caller, or which error there was."""
    try:
        return await mode.authenticator.authenticate(Presented([(b"authorization", f"Bearer {token}".encode())]))
    except (UnauthenticatedError, TooManyReviewsError) as error:
        return type(error)


def selecting(selector: str) -> ResourceAttributes:
    return ResourceAttributes("list", "apps", "v1", "deployments", label_selector=selector)


async def refused(mode: Mode, caller: Caller, selector: str) -> bool:
    try:
        await mode.authorizer.authorize(caller, selecting(selector))
    except TooManyReviewsError:
        return True
    return False


# -- tokens ---------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_who_guesses_tokens_is_asked_about_a_few_times(reviews: Reviews, delegated: Mode) -> None:
    with coming_from("203.0.113.7"):
        told = [await who(delegated, f"guess-{number}") for number in range(50)]
        assert told == [UnauthenticatedError] * FAILURES + [TooManyReviewsError] * (50 - FAILURES)
        assert reviews.count("TokenReview") == FAILURES

        await asyncio.sleep(1)
        told = [await who(delegated, f"more-{number}") for number in range(50)]
        assert told.count(UnauthenticatedError) == FAILURES // 4


@pytest.mark.looptime
async def test_who_shares_an_address_with_a_guesser_goes_on(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("jane's", "jane")
    reviews.user("joe's", "joe")
    with coming_from("203.0.113.7"):
        await who(delegated, "jane's")
        await asyncio.sleep(ALLOWED_SECONDS + 1)
        for number in range(50):
            await who(delegated, f"guess-{number}")
        jane, joe = await who(delegated, "jane's"), await who(delegated, "joe's")
        assert isinstance(jane, Caller)  # it held lately
        assert joe is TooManyReviewsError  # nobody knows that yet
    with coming_from("203.0.113.8"):
        assert isinstance(await who(delegated, "joe's"), Caller)


@pytest.mark.looptime
async def test_tokens_that_hold_are_never_too_many(reviews: Reviews, delegated: Mode) -> None:
    """Thousands of readers may come back at once through one load balancer."""
    for number in range(1000):
        reviews.user(f"token-{number}", f"user-{number}")
    with coming_from("203.0.113.7"):
        told = await asyncio.gather(*(who(delegated, f"token-{number}") for number in range(1000)))

    assert all(isinstance(each, Caller) for each in told)


@pytest.mark.looptime
async def test_a_token_that_holds_no_longer_is_a_strangers_again(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("t", "jane")
    await who(delegated, "t")
    del reviews.users["t"]
    await asyncio.sleep(ALLOWED_SECONDS + 1)
    assert await who(delegated, "t") is UnauthenticatedError
    await asyncio.sleep(REFUSED_SECONDS + 1)
    for number in range(FAILURES):
        await who(delegated, f"guess-{number}")

    assert await who(delegated, "t") is TooManyReviewsError


@pytest.mark.looptime
async def test_one_address_has_half_of_what_is_asked_at_a_time(reviews: Reviews, delegated: Mode) -> None:
    reviews.gate = asyncio.Event()
    with coming_from("203.0.113.7"):
        crowd = [asyncio.create_task(who(delegated, f"guess-{number}")) for number in range(200)]
    await asyncio.sleep(0.1)
    assert reviews.count("TokenReview") == AT_ONCE // 2
    with coming_from("203.0.113.8"):
        other = asyncio.create_task(who(delegated, "other"))
    await asyncio.sleep(0.1)
    assert reviews.count("TokenReview") == AT_ONCE // 2 + 1

    reviews.gate.set()
    told = await asyncio.gather(*crowd, other)
    assert reviews.count("TokenReview") <= 1 + FAILURES + AT_ONCE // 2
    assert told[-1] is UnauthenticatedError


# -- tuples ---------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_who_changes_the_question_has_a_burst_and_a_rate(reviews: Reviews, delegated: Mode) -> None:
    told = [await refused(delegated, JANE, f"a!=x{number}") for number in range(BURST + 50)]
    assert told == [False] * BURST + [True] * 50
    assert not await refused(delegated, JANE, "a!=x1")  # what is kept costs nothing
    assert not await refused(delegated, Caller("joe"), "a!=y")  # and is nobody else's matter

    reviews.asked.clear()
    await asyncio.sleep(1)
    told = [await refused(delegated, JANE, f"a!=z{number}") for number in range(BURST)]
    assert (told.count(False), len(reviews.asked)) == (RATE, RATE)


@pytest.mark.looptime
async def test_nobody_in_particular_is_told_apart_by_address(reviews: Reviews, delegated: Mode) -> None:
    with coming_from("203.0.113.7"):
        for number in range(BURST):
            assert not await refused(delegated, ANONYMOUS, f"a!=x{number}")
        assert await refused(delegated, ANONYMOUS, "a!=y")
        with pytest.raises(TooManyReviewsError, match=r"203\.0\.113\.7 causes more access reviews"):
            await delegated.authorizer.authorize(ANONYMOUS, PathAttributes("get", "/metrics"))
        assert not await refused(delegated, JANE, "a!=y")
    with coming_from("203.0.113.8"):
        assert not await refused(delegated, ANONYMOUS, "a!=z")


@pytest.mark.looptime
async def test_a_dashboard_of_who_may_see_some_of_two_hundred_namespaces_is_within_it(
    reviews: Reviews, delegated: Mode
) -> None:
    """Four panels at once, one of which is then asked for again as soon as what is kept has run out."""
    reviews.allow("jane", "deployments", "n7")

    async def panel(number: int) -> Decision:
        some = Candidates(lambda: NAMESPACES)
        return await delegated.authorizer.authorize(JANE, selecting(f"p={number}"), partial=some)

    panels = await asyncio.gather(*(panel(number) for number in range(4)))
    assert [type(each) for each in panels] == [AllowNamespaces] * 4
    for _ in range(20):
        await asyncio.sleep(REFUSED_SECONDS + 0.1)
        assert isinstance(await panel(0), AllowNamespaces)


@pytest.mark.looptime
async def test_open_streams_are_asked_about_all_the_same(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "deployments")
    watching = await delegated.authorizer.authorize(JANE, selecting("a=b"))
    for number in range(BURST):
        await refused(delegated, JANE, f"a!=x{number}")
    reviews.rights.clear()

    again = await delegated.authorizer.authorize(JANE, selecting("a=b"), held=watching)
    assert isinstance(watching, Allow)
    assert isinstance(again, Deny)


@pytest.mark.looptime
async def test_who_was_not_seen_for_longest_is_forgotten() -> None:
    allowance = Allowance(burst=2, per_second=1)
    for number in range(OWNERS + 5):
        assert allowance.take(f"user:{number}")

    assert len(allowance) == OWNERS


# -- how it is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/versions?labelSelector=a!=x{}", "--review-rate"),
        ("/apis/apps/v1/deployments?labelSelector=a!=x{}", "one namespace"),
    ],
)
async def test_beyond_it_a_caller_is_told_when_to_come_back(path: str, remedy: str) -> None:
    reviews = Reviews()
    reviews.user("t", "jane")
    async with site(reviews, access=Access.DELEGATED, review_burst=201, review_rate=0.001) as (client, _):
        client.headers["authorization"] = "Bearer t"
        answers = [await client.get(path.format(number)) for number in range(202)]

    assert {each.status_code for each in answers[:60]} == {403}
    _is_too_many(answers[-1], remedy)
    assert reviews.count("SubjectAccessReview") == 201


@pytest.mark.parametrize("path", ["/versions", "/apis/apps/v1/deployments", "/watch?resource=deployments"])
async def test_too_many_bad_tokens_are_told_when_to_come_back(path: str) -> None:
    reviews = Reviews()
    async with site(reviews, access=Access.DELEGATED, max_token_failures=3) as (client, _):
        answers = [await client.get(path, headers={"authorization": f"Bearer {number}"}) for number in range(4)]

    assert [each.status_code for each in answers] == [401, 401, 401, 429]
    _is_too_many(answers[-1], "--trusted-proxies")
    assert reviews.count("TokenReview") == 3


def _is_too_many(answer: httpx.Response, remedy: str) -> None:
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["reason"]) == (429, "1", "TooManyRequests")
    assert remedy in answer.json()["message"]
