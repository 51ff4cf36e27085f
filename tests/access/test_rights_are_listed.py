"""SelfSubjectRulesReview (``kubectl auth can-i --list``): what this mirror would answer, or that it cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from kubemirror.settings import Access
from tests.access.api_server import Reviews
from tests.access.cluster import Asker, cluster_of, guarded, rule
from tests.access.site import site
from tests.cluster.control_plane import ControlPlane

PATH = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
ABOUT_BLUE = {"spec": {"namespace": "blue"}}
TOLD = {
    "resourceRules": [
        {"verbs": ["create", "get", "delete"], "apiGroups": ["apps"], "resources": ["deployments"]},
        {"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["web"]},
        {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectrulesreviews"]},
    ],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*"]}, {"verbs": ["post"]}],
    "incomplete": True,
    "evaluationError": "webhook authorizer does not support user rule resolution",
}
READING = {
    "resourceRules": [
        {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments"]},
        {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["web"]},
    ],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*"]}],
    "incomplete": True,
    "evaluationError": "webhook authorizer does not support user rule resolution",
}


async def status(client: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
    answer = await client.post(PATH, json=ABOUT_BLUE, headers=headers)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()["status"]
    return told


async def test_the_api_servers_list_is_told_without_what_writes(reviews: Reviews) -> None:
    reviews.user("t", "jane")
    reviews.lists["jane"] = TOLD
    async with site(reviews, access=Access.DELEGATED) as (client, _):
        told = [await status(client, authorization="Bearer t") for _ in range(3)]

    assert told == [READING] * 3
    assert [token for kind, _, token in reviews.asked if kind == "SelfSubjectRulesReview"] == ["t"]  # kept for seconds


async def test_what_cannot_be_listed_is_said_to_be_incomplete(reviews: Reviews, tmp_path: Path) -> None:
    """As jane through a front proxy, as whom she acts, as nobody, and where the API server does not tell her."""
    (tmp_path / "secret").write_text("s" * 44)
    reviews.user("t", "jane")
    reviews.user("root", "root")
    reviews.allow("jane", "*", "blue", verbs=("list",))
    reviews.rights.add(("root", "impersonate", "users", ""))
    reviews.lists["root"] = TOLD
    proxied = {"kubemirror-proxy-secret": "s" * 44, "x-remote-user": "jane"}
    async with site(reviews, access=Access.PROXY, proxy_secret_file=tmp_path / "secret") as (client, _):
        told = [await status(client, **proxied)]
    async with site(reviews, access=Access.DELEGATED) as (client, _):
        told.append(await status(client, authorization="Bearer t"))
        told.append(await status(client, **{"authorization": "Bearer root", "impersonate-user": "jane"}))
        nobody = await status(client)

    for each in told:
        assert each.pop("evaluationError").startswith("this mirror cannot have the rights of this caller listed")
        assert each == {
            "resourceRules": [{"verbs": ["list"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [],
            "incomplete": True,
        }
    assert (nobody["resourceRules"], nobody["nonResourceRules"], nobody["incomplete"]) == ([], [], True)


async def test_open_mode_lists_what_it_opens_and_local_mode_everything(reviews: Reviews) -> None:
    async with site(reviews, access=Access.OPEN, open_resource=("deploy", "gone.example.com")) as (client, _):
        opened = await status(client)
    async with site(reviews, base="http://localhost", access=Access.LOCAL, host="127.0.0.1") as (client, _):
        everything = await status(client)

    verbs, paths = ["get", "list", "watch"], [{"verbs": ["get"], "nonResourceURLs": ["*"]}]
    assert opened == {
        "resourceRules": [{"verbs": verbs, "apiGroups": ["apps"], "resources": ["deployments"]}],
        "nonResourceRules": paths,
        "incomplete": False,
    }
    assert everything == {
        "resourceRules": [{"verbs": verbs, "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": paths,
        "incomplete": False,
    }


@pytest.mark.timeout(120)
async def test_on_a_real_api_server_nothing_is_listed_that_is_refused(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with cluster_of(control_plane, tmp_path) as cluster, guarded(cluster.real) as (_, live):
        await cluster.account("in-a")
        await cluster.grant("in-a", [rule("*", verbs=["*"])], cluster.a)
        token = await cluster.token("in-a")
        await cluster.granted(token, f"/api/v1/namespaces/{cluster.a}/configmaps")
        theirs = await cluster.real.done("POST", PATH, {"spec": {"namespace": cluster.a}}, token=token)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=live.url, trust_env=False, headers=headers) as client:
            ours = (await client.post(PATH, json={"spec": {"namespace": cluster.a}})).json()
            refused = await client.get("/metrics")
        server = Asker(cluster.real.url, cluster.real.tls)
        also = await server.get("/metrics", headers)
        await server.close()

    listed = {url for each in ours["status"]["nonResourceRules"] for url in each["nonResourceURLs"]}
    assert (refused.status_code, also.status, "*" in listed) == (403, 403, False)
    assert "/api" in listed
    assert {"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"]} in ours["status"][
        "resourceRules"
    ]
    mine, expected = (sorted(each["status"]["nonResourceRules"], key=str) for each in (ours, theirs))
    assert mine == expected
    verbs = {verb for each in ours["status"]["resourceRules"] for verb in each["verbs"]}
    assert verbs == {"get", "list", "watch"}
