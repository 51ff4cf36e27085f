"""Access and token reviews are passed on to the API server, so many at a time, and never under somebody else's name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kubemirror.errors import ReviewRefusedError, UnauthenticatedError, UpstreamUnavailableError
from kubemirror.kube.transport import Response, TransportError
from kubemirror.kube.upstream import REVIEW_REQUESTS, REVIEW_SECONDS, ApiServer
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


async def test_a_callers_own_review_carries_the_callers_token(clock: Clock) -> None:
    transport = reviewing({"allowed": True})

    await api(transport, clock).create(GROUP, "SelfSubjectAccessReview", {}, token="theirs")

    assert transport.asked[0].headers["authorization"] == "Bearer theirs"


@pytest.mark.parametrize(("token", "asked"), [("expired", 1), ("two\nlines", 0), ("", 0)])
async def test_a_callers_token_that_does_not_hold_is_the_callers_trouble(clock: Clock, token: str, asked: int) -> None:
    transport = Scripted(lambda asked: give(401, b'{"kind":"Status","message":"Unauthorized"}'))

    with pytest.raises(UnauthenticatedError) as caught:
        await api(transport, clock).create(GROUP, "SelfSubjectAccessReview", {}, token=token)
    assert len(transport.asked) == asked
    assert not token or token not in str(caught.value)


async def test_no_token_is_kept(clock: Clock) -> None:
    transport = reviewing({"authenticated": True})
    server = api(transport, clock)
    await server.create("authentication.k8s.io", "TokenReview", {"token": "c4n4ry"})
    await server.create(GROUP, "SelfSubjectAccessReview", {}, token="c4n4ry")

    transport.asked.clear()
    assert "c4n4ry" not in repr(vars(server))


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


async def test_a_review_that_is_not_granted_is_told_from_one_that_cannot_be_had(clock: Clock) -> None:
    transport = Scripted(lambda asked: give(403, b'{"kind":"Status","message":"cannot create resource"}'))

    with pytest.raises(ReviewRefusedError):
        await api(transport, clock).create(GROUP, "SubjectAccessReview", {"user": "jane"})


@pytest.mark.looptime
@pytest.mark.parametrize("few", [2, REVIEW_REQUESTS])
async def test_a_crowd_of_questions_is_asked_a_few_at_a_time_and_none_waits_for_ever(clock: Clock, few: int) -> None:
    asked: list[int] = []

    class Silent:
        async def request(self, *_: Any, **__: Any) -> Response:
            asked.append(1)
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    server = ApiServer(Silent(), Refreshes(), clock=clock, reviews=few)
    before = asyncio.get_running_loop().time()
    crowd = [server.create(GROUP, "SubjectAccessReview", {"user": f"u{n}"}) for n in range(few + 10)]
    ended = await asyncio.gather(*crowd, return_exceptions=True)

    assert len(asked) == few
    assert all(isinstance(each, UpstreamUnavailableError) for each in ended)
    assert asyncio.get_running_loop().time() - before == pytest.approx(REVIEW_SECONDS, abs=0.1)
