"""Where a caller may not see everything: the namespaces that hold what was asked for are asked about, within bounds."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.access.authorizer import Allow, AllowNamespaces, Budget, Caller, Candidates, Deny, ResourceAttributes
from kubemirror.access.modes import Mode
from tests.access.api_server import Reviews

pytestmark = pytest.mark.looptime

PODS = ResourceAttributes("list", "", "v1", "pods")
JANE = Caller("jane")


def candidates(*matching: str, others: tuple[str, ...] = (), budget: Budget | None = None) -> Candidates:
    return Candidates(lambda: matching, lambda: (*matching, *others), budget or Budget())


async def test_who_may_see_all_is_asked_about_once(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")

    assert isinstance(await delegated.authorizer.authorize(JANE, PODS, partial=candidates("a", "b")), Allow)
    assert len(reviews.asked) == 1


async def test_only_namespaces_that_hold_something_are_asked_about(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "b", "z")
    decision = await delegated.authorizer.authorize(JANE, PODS, partial=candidates("a", "b", others=("z",)))

    assert isinstance(decision, AllowNamespaces)
    assert decision.namespaces == {"b"}
    asked = [spec["resourceAttributes"].get("namespace", "") for _, spec, _ in reviews.asked]
    assert asked == ["", "a", "b"]


async def test_the_answers_are_shared_by_identity(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "b")
    for _ in range(10):
        await delegated.authorizer.authorize(Caller("jane"), PODS, partial=candidates("a", "b"))
    assert len(reviews.asked) == 3
    await delegated.authorizer.authorize(Caller("joe"), PODS, partial=candidates("a", "b"))
    assert len(reviews.asked) == 6


async def test_beyond_two_hundred_a_namespace_must_be_named(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "n7")
    some = await delegated.authorizer.authorize(JANE, PODS, partial=candidates(*(f"n{n}" for n in range(200))))
    reviews.asked.clear()
    await asyncio.sleep(11)
    more = await delegated.authorizer.authorize(JANE, PODS, partial=candidates(*(f"n{n}" for n in range(201))))

    assert isinstance(some, AllowNamespaces)
    assert isinstance(more, Deny)
    assert "namespace=" in more.reason
    assert len(reviews.asked) == 1


async def test_a_request_for_many_resources_has_one_budget(reviews: Reviews, delegated: Mode) -> None:
    budget = Budget()
    for number in range(300):
        attributes = ResourceAttributes("list", "", "v1", f"r{number}")
        await delegated.authorizer.authorize(JANE, attributes, partial=candidates("a", "b", budget=budget))
    single = sum("namespace" in spec["resourceAttributes"] for _, spec, _ in reviews.asked)

    assert single <= 200


async def test_whether_something_matches_elsewhere_is_not_told(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "own")
    nowhere = await delegated.authorizer.authorize(JANE, PODS, partial=candidates(others=("own", "secret")))
    hidden = await delegated.authorizer.authorize(JANE, PODS, partial=candidates("secret", others=("own",)))
    joe = [
        await delegated.authorizer.authorize(Caller("joe"), PODS, partial=each)
        for each in (candidates(others=("own", "secret")), candidates("secret", others=("own",)))
    ]

    assert isinstance(nowhere, AllowNamespaces)
    assert isinstance(hidden, AllowNamespaces)
    assert nowhere.namespaces == hidden.namespaces == {"own"}
    assert all(isinstance(each, Deny) for each in joe)


async def test_the_answer_holds_no_longer_than_its_shortest_part(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "b")
    decision = await delegated.authorizer.authorize(JANE, PODS, partial=candidates("a", "b"))

    assert decision.until == pytest.approx(5)
