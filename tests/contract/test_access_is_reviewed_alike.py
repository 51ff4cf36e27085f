"""Reviews: who a token is, and what its owner may do; the users are the same on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.servers import Server

AUTHENTICATION = "/apis/authentication.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


async def test_a_token_is_reviewed(server: Server) -> None:
    path = f"{AUTHENTICATION}/tokenreviews"
    known = await server.done("POST", path, {"spec": {"token": "reader-token"}}, token="mirror-token")
    unknown = await server.done("POST", path, {"spec": {"token": "nope"}}, token="mirror-token")

    assert (known["kind"], known["apiVersion"]) == ("TokenReview", "authentication.k8s.io/v1")
    assert known["spec"] == {"token": "reader-token"}
    assert known["status"] == {
        "authenticated": True,
        "user": {"username": "reader", "uid": "3", "groups": ["readers", "system:authenticated"]},
        "audiences": ["https://kubernetes.default.svc"],
    }
    assert unknown["status"]["user"] == {}
    assert "authenticated" not in unknown["status"]
    assert "invalid bearer token" in unknown["status"]["error"]  # among what other authenticators say


async def test_a_token_is_reviewed_for_an_audience(server: Server) -> None:
    spec = {"token": "reader-token", "audiences": ["someone-else"]}
    other = await server.done("POST", f"{AUTHENTICATION}/tokenreviews", {"spec": spec}, token="mirror-token")

    assert other["status"] == {"user": {}, "error": "invalid bearer token"}


@pytest.mark.parametrize(
    ("user", "groups", "attributes", "allowed"),
    [
        ("someone", ["readers"], {"verb": "list", "resource": "pods"}, True),
        ("someone", ["readers"], {"verb": "create", "resource": "pods"}, False),
        ("someone", ["shop-readers"], {"verb": "list", "resource": "pods", "namespace": "shop"}, True),
        ("someone", ["shop-readers"], {"verb": "list", "resource": "pods", "namespace": "default"}, False),
        ("someone", ["shop-readers"], {"verb": "list", "resource": "pods"}, False),
        ("someone", ["system:masters"], {"verb": "delete", "resource": "pods"}, True),
        ("nobody", [], {"verb": "get", "resource": "pods"}, False),
        (
            "someone",
            ["mirrors"],
            {"verb": "create", "group": "authorization.k8s.io", "resource": "subjectaccessreviews"},
            True,
        ),
    ],
)
async def test_access_is_reviewed(
    server: Server, user: str, groups: list[str], attributes: dict[str, Any], allowed: bool
) -> None:
    spec = {"user": user, "groups": groups, "resourceAttributes": attributes}

    answer = await server("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec}, token="mirror-token")

    assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)
    assert answer.json()["spec"] == {name: value for name, value in spec.items() if value}


async def test_a_review_of_nobody_is_refused(server: Server) -> None:
    answer = await server("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": {"resourceAttributes": {}}})

    assert (answer.status_code, answer.json()["message"]) == (
        422,
        (
            '.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be '
            "specified"
        ),
    )


async def test_callers_ask_about_themselves(server: Server) -> None:
    spec = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}}

    who = await server.done("POST", f"{AUTHENTICATION}/selfsubjectreviews", {}, token="shop-token")
    can = await server.done("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", spec, token="shop-token")

    assert who["status"]["userInfo"]["username"] == "shop-reader"
    assert who["status"]["userInfo"]["groups"] == ["shop-readers", "system:authenticated"]
    assert can["status"]["allowed"] is True


async def test_who_has_no_right_to_review_is_refused(server: Server) -> None:
    spec = {"spec": {"user": "someone", "resourceAttributes": {"verb": "list", "resource": "pods"}}}

    answer = await server("POST", f"{AUTHORIZATION}/subjectaccessreviews", spec, token="reader-token")

    assert (answer.status_code, answer.json()["message"]) == (
        403,
        (
            'subjectaccessreviews.authorization.k8s.io is forbidden: User "reader" cannot create resource '
            '"subjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope'
        ),
    )


async def test_who_may_not_is_refused(server: Server, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    refused = await server("GET", path, token="nobody-token")
    unknown = await server("GET", path, token="nope")

    assert refused.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": (
            'deployments.apps is forbidden: User "nobody" cannot list resource "deployments" in API group "apps" in '
            f'the namespace "{namespace}"'
        ),
        "reason": "Forbidden",
        "details": {"group": "apps", "kind": "deployments"},
        "code": 403,
    }
    assert (unknown.status_code, unknown.json()["reason"]) == (401, "Unauthorized")
