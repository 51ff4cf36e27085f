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

    user = known["status"]["user"]
    assert known["status"]["authenticated"] is True
    assert (user["username"], user["uid"], user["groups"]) == ("reader", "3", ["readers", "system:authenticated"])
    assert not unknown["status"].get("authenticated", False)
    assert "invalid bearer token" in unknown["status"]["error"]


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


async def test_callers_ask_about_themselves(server: Server) -> None:
    spec = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}}

    who = await server.done("POST", f"{AUTHENTICATION}/selfsubjectreviews", {}, token="shop-token")
    can = await server.done("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", spec, token="shop-token")

    assert who["status"]["userInfo"]["username"] == "shop-reader"
    assert can["status"]["allowed"] is True


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
