"""The fixed users: who they are and what they may do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.demo.api import Client

AUTHENTICATION = "/apis/authentication.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


async def test_a_token_is_reviewed(api: Client) -> None:
    known = await api("POST", f"{AUTHENTICATION}/tokenreviews", {"spec": {"token": "reader-token"}})
    unknown = await api("POST", f"{AUTHENTICATION}/tokenreviews", {"spec": {"token": "nope"}})

    assert known.json()["status"] == {
        "authenticated": True,
        "user": {"username": "reader", "uid": "3", "groups": ["readers", "system:authenticated"]},
        "audiences": ["https://kubernetes.default.svc"],
    }
    assert unknown.json()["status"] == {"user": {}, "error": "invalid bearer token"}


@pytest.mark.parametrize(
    ("groups", "attributes", "allowed"),
    [
        (["readers"], {"verb": "list", "resource": "pods"}, True),
        (["readers"], {"verb": "create", "resource": "pods"}, False),
        (["shop-readers"], {"verb": "list", "resource": "pods", "namespace": "shop"}, True),
        (["shop-readers"], {"verb": "list", "resource": "pods"}, False),
        (["mirrors"], {"verb": "create", "group": "authorization.k8s.io", "resource": "subjectaccessreviews"}, True),
        (["system:masters"], {"verb": "delete", "resource": "pods"}, True),
        ([], {"verb": "get", "resource": "pods"}, False),
    ],
)
async def test_access_is_reviewed(api: Client, groups: list[str], attributes: Any, allowed: bool) -> None:
    spec = {"user": "someone", "groups": groups, "resourceAttributes": attributes}

    answer = await api("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})

    assert (answer.status, answer.json()["status"]) == (201, {"allowed": allowed})


async def test_a_review_of_nobody_is_refused(api: Client) -> None:
    answer = await api("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": {"resourceAttributes": {}}})

    assert answer.json()["message"] == (
        '.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be '
        "specified"
    )


async def test_callers_ask_about_themselves(api: Client) -> None:
    shop = {"authorization": "Bearer shop-token"}
    spec = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}}

    who = await api("POST", f"{AUTHENTICATION}/selfsubjectreviews", {}, headers=shop)
    can = await api("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", spec, headers=shop)

    assert who.json()["status"]["userInfo"]["username"] == "shop-reader"
    assert can.json()["status"] == {"allowed": True}
