"""Access and token reviews are created upstream, kept for seconds, and never under somebody else's name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kubemirror.errors import UnauthenticatedError, UpstreamUnavailableError
from kubemirror.kube.transport import Response, TransportError
from kubemirror.kube.upstream import ALLOWED_SECONDS, REFUSED_SECONDS, REVIEWS, ApiServer
from tests.connect.scripted import Refreshes, Scripted, give
from tests.connect.stub import Clock

GROUP = "authorization.k8s.io"


def reviewing(status: dict[str, Any], code: int = 201) -> Scripted:
    return Scripted(lambda asked: give(code, json.dumps({"kind": "Review", "status": status}).encode()))


def api(transport: Scripted, clock: Clock) -> ApiServer:
    return ApiServer(transport, Refreshes(), clock=clock)


async def test_a_review_is_posted_and_its_status_returned(clock: Clock) -> None:
    transport = reviewing({"allowed": True})

    status = await api(transport, clock).create(GROUP, "SubjectAccessReview", {"user": "jane"})

    assert status == {"allowed": True}
    asked = transport.asked[0]
    assert (asked.method, asked.path) == ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews")
    assert json.loads(asked.body) == {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": "jane"},
    }
    assert "authorization" not in asked.headers


async def test_a_local_review_goes_to_its_namespace(clock: Clock) -> None:
    transport = reviewing({"allowed": True})

    await api(transport, clock).create(
        GROUP, "LocalSubjectAccessReview", {"user": "jane", "resourceAttributes": {"namespace": "team-a"}}
    )

    assert transport.asked[0].path.endswith("/v1/namespaces/team-a/localsubjectaccessreviews")
    assert json.loads(transport.asked[0].body)["metadata"] == {"namespace": "team-a"}


async def test_a_callers_own_review_carries_the_callers_token(clock: Clock) -> None:
    transport = reviewing({"allowed": True})

    await api(transport, clock).create(GROUP, "SelfSubjectAccessReview", {}, token="theirs")

    assert transport.asked[0].headers["authorization"] == "Bearer theirs"


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ({"allowed": True}, ALLOWED_SECONDS),
        ({"allowed": False, "reason": "no"}, REFUSED_SECONDS),
        ({"authenticated": True, "user": {"username": "jane"}}, ALLOWED_SECONDS),
        ({"authenticated": False}, REFUSED_SECONDS),
        ({"allowed": False, "evaluationError": "webhook down"}, 0.0),
        ({"error": "invalid token"}, 0.0),
    ],
)
async def test_an_answer_holds_for_seconds(clock: Clock, status: dict[str, Any], seconds: float) -> None:
    transport = reviewing(status)
    server = api(transport, clock)

    async def ask() -> int:
        await server.create(GROUP, "SubjectAccessReview", {"user": "jane"})
        return len(transport.asked)

    assert await ask() == 1
    clock.advance(max(seconds - 0.1, 0))
    assert await ask() == (1 if seconds else 2)
    clock.advance(0.2)
    assert await ask() == (2 if seconds else 3)


@pytest.mark.parametrize(("token", "asked"), [("expired", 1), ("two\nlines", 0), ("", 0)])
async def test_a_callers_token_that_does_not_hold_is_the_callers_trouble(clock: Clock, token: str, asked: int) -> None:
    transport = Scripted(lambda asked: give(401, b'{"kind":"Status","message":"Unauthorized"}'))

    with pytest.raises(UnauthenticatedError) as caught:
        await api(transport, clock).create(GROUP, "SelfSubjectAccessReview", {}, token=token)
    assert len(transport.asked) == asked
    assert not token or token not in str(caught.value)


async def test_another_question_or_another_token_is_asked_anew(clock: Clock) -> None:
    transport = reviewing({"allowed": True})
    server = api(transport, clock)
    await server.create(GROUP, "SelfSubjectAccessReview", {"a": 1}, token="one")
    await server.create(GROUP, "SelfSubjectAccessReview", {"a": 1}, token="two")
    await server.create(GROUP, "SelfSubjectAccessReview", {"a": 1})
    await server.create(GROUP, "SelfSubjectAccessReview", {"a": 2}, token="one")
    await server.create(GROUP, "SelfSubjectAccessReview", {"a": 1}, token="one")

    assert len(transport.asked) == 4


async def test_a_crowd_asking_the_same_costs_one_request(clock: Clock) -> None:
    transport = reviewing({"allowed": True})
    server = api(transport, clock)
    await asyncio.gather(*(server.create(GROUP, "SubjectAccessReview", {"user": "jane"}) for _ in range(50)))

    assert len(transport.asked) == 1


async def test_no_token_is_kept(clock: Clock) -> None:
    transport = reviewing({"authenticated": True})
    server = api(transport, clock)
    await server.create("authentication.k8s.io", "TokenReview", {"token": "c4n4ry"})
    await server.create(GROUP, "SelfSubjectAccessReview", {}, token="c4n4ry")

    transport.asked.clear()
    assert "c4n4ry" not in repr(vars(server))


async def test_the_cache_is_bounded(clock: Clock) -> None:
    server = api(reviewing({"allowed": True}), clock)
    for number in range(REVIEWS + 10):
        await server.create(GROUP, "SubjectAccessReview", {"user": f"u{number}"})

    assert len(vars(server)["_reviews"]) == REVIEWS


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        (Scripted(lambda asked: TransportError("nobody there", kind="refused")), "nobody there"),
        (
            Scripted(lambda asked: give(403, b'{"kind":"Status","message":"cannot create resource"}')),
            r"refused a SubjectAccessReview: cannot create resource \(403\)",
        ),
        (Scripted(lambda asked: give(502, b"<html>secret page</html>")), r"SubjectAccessReview: status 502$"),
        (Scripted(lambda asked: give(201, b"<html>")), "is not a JSON object"),
        (Scripted(lambda asked: give(201, b"{}")), "without a status"),
    ],
)
async def test_a_review_that_cannot_be_had_is_an_error(clock: Clock, transport: Scripted, message: str) -> None:
    server = api(transport, clock)

    with pytest.raises(UpstreamUnavailableError, match=message):
        await server.create(GROUP, "SubjectAccessReview", {"user": "jane"})


async def test_a_connection_that_had_just_been_closed_is_replaced_once(clock: Clock) -> None:
    answers: list[Response | TransportError] = [
        TransportError("closed", kind="reset"),
        give(201, b'{"status":{"allowed":true}}'),
        TransportError("closed", kind="reset"),
        TransportError("closed", kind="reset"),
    ]
    transport = Scripted(lambda asked: answers.pop(0))
    server = api(transport, clock)

    assert await server.create(GROUP, "SubjectAccessReview", {"user": "jane"}) == {"allowed": True}
    with pytest.raises(UpstreamUnavailableError, match="closed"):
        await server.create(GROUP, "SubjectAccessReview", {"user": "joe"})
    assert len(transport.asked) == 4
