"""Each half minute, once for all who hang on the answer, past what is kept for new requests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from kubemirror.access.authorizer import (
    Allow,
    AllowNamespaces,
    Caller,
    Candidates,
    Decision,
    Deny,
    ResourceAttributes,
)
from kubemirror.access.modes import Mode
from kubemirror.access.presented import Presented
from kubemirror.errors import UnauthenticatedError, UpstreamUnavailableError
from tests.access.api_server import Reviews

pytestmark = pytest.mark.looptime

PODS = ResourceAttributes("watch", "", "v1", "pods")
JANE = Caller("jane")


def time() -> float:
    return asyncio.get_running_loop().time()


async def stream(mode: Mode, caller: Caller = JANE, *, ends: float = 1e9) -> tuple[float, Decision | Exception]:
    """What a stream does: ask when its decision runs out. When, and by what, it ended."""
    try:
        decision = await mode.authorizer.authorize(caller, PODS)
        while isinstance(decision, Allow) and time() < ends:
            await asyncio.sleep(min(decision.until, ends) - time())
            if time() < ends:
                decision = await mode.authorizer.authorize(caller, PODS, held=decision)
    except UpstreamUnavailableError as error:
        return time(), error
    return time(), decision


async def test_a_withdrawn_right_ends_every_stream_within_45_seconds(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")
    streams = []
    for _ in range(20):
        streams.append(asyncio.create_task(stream(delegated)))
        await asyncio.sleep(7)
    withdrawn = time()
    reviews.rights.clear()
    ended = await asyncio.gather(*streams)

    assert all(isinstance(decision, Deny) for _, decision in ended)
    assert max(at for at, _ in ended) - withdrawn < 45 - 10  # a review may take ten


async def test_a_thousand_streams_of_fifty_cost_less_than_two_reviews_a_second(
    reviews: Reviews, delegated: Mode
) -> None:
    for number in range(50):
        reviews.allow(f"u{number}", "pods")
    callers = [Caller(f"u{number % 50}") for number in range(1000)]
    streams = [asyncio.create_task(stream(delegated, caller, ends=700)) for caller in callers]
    await asyncio.sleep(100)
    before = len(reviews.asked)
    await asyncio.gather(*streams)
    asked = len(reviews.asked) - before

    assert asked / 600 <= 2
    assert asked / 600 >= 50 / 35  # and none is forgotten


async def test_streams_that_come_at_different_times_share_a_turn(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")
    streams = []
    for _ in range(30):
        streams.append(asyncio.create_task(stream(delegated, ends=120)))
        await asyncio.sleep(1)
    before = len(reviews.asked)
    await asyncio.gather(*streams)

    assert len(reviews.asked) - before <= 4


async def test_turns_are_apart_by_jitter(reviews: Reviews, delegated: Mode) -> None:
    untils = set()
    for number in range(20):
        reviews.allow(f"u{number}", "pods")
        again = await delegated.authorizer.authorize(Caller(f"u{number}"), PODS, held=Allow())
        untils.add(round(again.until - time(), 3))

    assert len(untils) > 10
    assert all(27 <= each <= 33 for each in untils)


async def test_what_is_kept_for_new_requests_does_not_answer_a_stream(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")
    held = await delegated.authorizer.authorize(JANE, PODS)
    reviews.rights.clear()

    assert isinstance(await delegated.authorizer.authorize(JANE, PODS), Allow)
    assert isinstance(await delegated.authorizer.authorize(JANE, PODS, held=held), Deny)
    assert isinstance(await delegated.authorizer.authorize(JANE, PODS), Deny)  # and now new requests know it too


async def test_while_nobody_can_be_asked_streams_go_on_for_five_minutes(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")
    streams = [asyncio.create_task(stream(delegated)) for _ in range(10)]
    await asyncio.sleep(60)
    reviews.down = True
    down = time()
    await asyncio.sleep(240)
    assert not any(each.done() for each in streams)
    ended = await asyncio.gather(*streams)

    assert all("could not be confirmed for 300 s: nobody there" in str(error) for _, error in ended)
    assert all(300 - 34 <= at - down <= 301 for at, _ in ended)


async def test_after_an_outage_streams_go_on_and_are_asked_about_soon(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")
    going_on = asyncio.create_task(stream(delegated, ends=1000))
    await asyncio.sleep(60)
    reviews.down = True
    await asyncio.sleep(200)
    reviews.down = False
    reviews.asked.clear()
    await asyncio.sleep(5.1)
    assert len(reviews.asked) == 1
    reviews.rights.clear()
    at, decision = await going_on

    assert isinstance(decision, Deny)
    assert at < 60 + 200 + 5.1 + 34


async def test_who_a_stream_is_from_is_asked_again_too(reviews: Reviews, delegated: Mode) -> None:
    reviews.user("t", "jane")
    caller = await delegated.authenticator.authenticate(Presented([(b"authorization", b"Bearer t")]))
    assert caller.credential is not None
    again = await caller.credential.again()
    assert 27 <= again.until - time() <= 33
    for _ in range(20):
        await caller.credential.again()
    assert reviews.count("TokenReview") == 2
    reviews.user("t", "jane", "new-group")
    await asyncio.sleep(34)
    assert (await caller.credential.again()).groups == ("new-group", "system:authenticated")
    del reviews.users["t"]
    await asyncio.sleep(34)

    for _ in range(5):
        with pytest.raises(UnauthenticatedError):
            await caller.credential.again()
    assert reviews.count("TokenReview") == 4
    with pytest.raises(UnauthenticatedError):
        await caller.credential.now()


async def test_a_stream_of_some_namespaces_learns_of_more_and_of_fewer(reviews: Reviews, delegated: Mode) -> None:
    holding = {"a", "b"}
    reviews.allow("jane", "pods", "a", "c")

    def candidates() -> Candidates:
        return Candidates(lambda: set(holding))

    async def again(held: Decision) -> Decision:
        await asyncio.sleep(40)
        return await delegated.authorizer.authorize(JANE, PODS, partial=candidates(), held=held)

    first = await delegated.authorizer.authorize(JANE, PODS, partial=candidates())
    holding.add("c")
    more = await again(first)
    holding.remove("c")  # nothing is left in it: that is no loss of rights
    same = await again(more)
    reviews.rights -= {("jane", "watch", "pods", "c")}
    fewer = await again(same)
    reviews.allow("jane", "pods")
    everything = await again(fewer)

    assert isinstance(first, AllowNamespaces)
    assert [getattr(each, "namespaces", None) for each in (first, more, same, fewer, everything)] == [
        {"a"},
        {"a", "c"},
        {"a", "c"},
        {"a"},
        None,
    ]
    assert isinstance(everything, Allow)


async def test_streams_that_share_a_turn_do_not_lose_what_only_one_of_them_knows(
    reviews: Reviews, delegated: Mode
) -> None:
    reviews.allow("jane", "pods", "a", "b")
    empty = Candidates(lambda: {"a"})
    one = await delegated.authorizer.authorize(JANE, PODS, partial=empty, held=AllowNamespaces(frozenset({"a"})))
    other = await delegated.authorizer.authorize(JANE, PODS, partial=empty, held=AllowNamespaces(frozenset({"a", "b"})))
    third = await delegated.authorizer.authorize(JANE, PODS, partial=empty, held=AllowNamespaces(frozenset({"a", "z"})))

    assert [each.namespaces for each in (one, other, third) if isinstance(each, AllowNamespaces)] == [
        {"a"},
        {"a", "b"},
        {"a"},
    ]


async def test_turns_nobody_asks_for_are_forgotten(reviews: Reviews, delegated: Mode) -> None:
    for number in range(50):
        await delegated.authorizer.authorize(Caller(f"u{number}"), PODS, held=Allow())
    turns = vars(delegated.authorizer)["_turns"]
    assert len(turns) == 50
    await asyncio.sleep(200)
    await delegated.authorizer.authorize(replace(JANE, user="last"), PODS, held=Allow())

    assert len(turns) == 1
