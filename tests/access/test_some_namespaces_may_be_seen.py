"""Where a caller may not see everything: namespaces are asked about one by one, within bounds, whatever is selected."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.access.authorizer import Allow, AllowNamespaces, Budget, Caller, Candidates, Deny, ResourceAttributes
from kubemirror.access.modes import Mode
from tests.access.api_server import Reviews

pytestmark = pytest.mark.looptime

PODS = ResourceAttributes("list", "", "v1", "pods")
JANE = Caller("jane")


def candidates(*namespaces: str, budget: Budget | None = None) -> Candidates:
    return Candidates(lambda: namespaces, budget or Budget())


def asked_about(reviews: Reviews) -> list[tuple[str, str]]:
    asked = [spec["resourceAttributes"] for _, spec, _ in reviews.asked]
    return [(each["resource"], each["namespace"]) for each in asked if "namespace" in each]


async def test_who_may_see_all_is_asked_about_once(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods")

    assert isinstance(await delegated.authorizer.authorize(JANE, PODS, partial=candidates("a", "b")), Allow)
    assert len(reviews.asked) == 1


async def test_each_namespace_is_asked_about_by_itself(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "b", "z")
    decision = await delegated.authorizer.authorize(JANE, PODS, partial=candidates("a", "b"))

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


async def test_nothing_granted_and_too_many_are_told_alike(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "n7")
    few = await delegated.authorizer.authorize(Caller("nobody"), PODS, partial=candidates("a"))
    many = [
        await delegated.authorizer.authorize(each, PODS, partial=candidates(*(f"n{n}" for n in range(201))))
        for each in (Caller("other"), JANE)
    ]

    assert isinstance(few, Deny)
    assert [each.reason for each in many if isinstance(each, Deny)] == [few.reason] * 2


async def test_a_request_for_many_resources_has_one_budget(reviews: Reviews, delegated: Mode) -> None:
    budget = Budget()
    for number in range(300):
        attributes = ResourceAttributes("list", "", "v1", f"r{number}")
        await delegated.authorizer.authorize(JANE, attributes, partial=candidates("a", "b", budget=budget))
    single = sum("namespace" in spec["resourceAttributes"] for _, spec, _ in reviews.asked)

    assert single <= 2 * 200  # to look in all, and once more while nothing is found


async def test_beyond_the_budget_further_resources_are_looked_for_where_one_was_found(
    reviews: Reviews, delegated: Mode
) -> None:
    everywhere = [f"n{number:03}" for number in range(146)]
    for resource in ("deployments", "configmaps", "jobs"):
        reviews.allow("jane", resource, "n007", "n008")
    budget = Budget()
    decisions = [
        await delegated.authorizer.authorize(
            JANE, ResourceAttributes("list", "", "v1", each), partial=candidates(*everywhere, budget=budget)
        )
        for each in ("deployments", "configmaps", "secrets", "jobs")
    ]

    assert [getattr(each, "namespaces", None) for each in decisions] == [
        {"n007", "n008"},
        {"n007", "n008"},
        None,
        {"n007", "n008"},
    ]
    later = [each for each in asked_about(reviews) if each[0] != "deployments"]
    assert later == [(resource, each) for resource in ("configmaps", "secrets", "jobs") for each in ("n007", "n008")]


async def test_while_nothing_is_found_all_are_looked_through_once_more(reviews: Reviews, delegated: Mode) -> None:
    everywhere = [f"n{number:03}" for number in range(146)]
    reviews.allow("jane", "pods", "n007")
    budget = Budget()
    decisions = [
        await delegated.authorizer.authorize(
            JANE, ResourceAttributes("list", "", "v1", each), partial=candidates(*everywhere, budget=budget)
        )
        for each in ("deployments", "pods")
    ]

    assert isinstance(decisions[0], Deny)
    assert isinstance(decisions[1], AllowNamespaces)
    assert decisions[1].namespaces == {"n007"}


async def test_a_stream_goes_on_with_what_it_shows_where_there_are_too_many(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "n007", "n300")
    held = AllowNamespaces(frozenset({"n007"}))
    many = candidates(*(f"n{number:03}" for number in range(301)))
    decision = await delegated.authorizer.authorize(JANE, PODS, partial=many, held=held)

    assert isinstance(decision, AllowNamespaces)
    assert decision.namespaces == {"n007"}
    assert asked_about(reviews) == [("pods", "n007")]


async def test_the_answer_holds_no_longer_than_its_shortest_part(reviews: Reviews, delegated: Mode) -> None:
    reviews.allow("jane", "pods", "b")
    decision = await delegated.authorizer.authorize(JANE, PODS, partial=candidates("a", "b"))

    assert decision.until == pytest.approx(5)
