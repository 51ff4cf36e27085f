"""Impersonate-*: who may act as whom, and what they then may, as kube-apiserver has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.cluster import Asker, cluster_of, guarded, rule
from tests.cluster.control_plane import ControlPlane

APPS = "/apis/apps/v1"


@pytest.mark.timeout(120)
async def test_the_same_to_the_byte(control_plane: ControlPlane, tmp_path: Path) -> None:
    wrong = []
    async with cluster_of(control_plane, tmp_path) as cluster, guarded(cluster.real) as (_, live):
        a, b = cluster.a, cluster.b
        for name, rules, namespaces in (
            ("in-a", [rule("deployments")], (a,)),
            (
                "actor",
                [
                    rule("users", verbs=["impersonate"], names=("alice",), group=""),
                    rule("groups", verbs=["impersonate"], names=("readers",), group=""),
                    rule("uids", verbs=["impersonate"], names=("7",), group="authentication.k8s.io"),
                    rule("userextras/scopes", verbs=["impersonate"], names=("view",), group="authentication.k8s.io"),
                ],
                (),
            ),
            ("accounts", [rule("serviceaccounts", verbs=["impersonate"], names=("in-a",), group="")], (a,)),
        ):
            await cluster.account(name)
            await cluster.grant(name, rules, *namespaces)
        tokens = {name: await cluster.token(name) for name in ("in-a", "actor", "accounts")} | {"admin": "admin-token"}
        account = f"system:serviceaccount:{a}:in-a"
        await cluster.granted(tokens["in-a"], f"{APPS}/namespaces/{a}/deployments")
        server, mirror = Asker(cluster.real.url, cluster.real.tls), Asker(live.url, None)
        acting = {"impersonate-user": "alice", "impersonate-group": "readers"}
        await cluster.real.until(
            f"{APPS}/deployments", lambda answer: answer.status_code == 200, token=tokens["actor"], headers=acting
        )
        await cluster.real.until(
            f"{APPS}/namespaces/{a}/deployments",
            lambda answer: answer.status_code == 200,
            token=tokens["accounts"],
            headers={"impersonate-user": account},
        )
        codes = set()
        try:
            for name, headers in (
                ("admin", {"impersonate-user": "alice"}),
                ("admin", {"impersonate-user": account}),
                ("admin", acting),
                ("admin", {"impersonate-user": "system:anonymous"}),
                ("in-a", {"impersonate-user": "alice"}),
                ("in-a", {"impersonate-user": account}),
                ("actor", {"impersonate-user": "alice"}),
                ("actor", {"impersonate-user": "bob"}),
                ("actor", acting),
                ("actor", {"impersonate-user": "alice", "impersonate-group": "system:masters"}),
                ("actor", {**acting, "impersonate-uid": "7"}),
                ("actor", {**acting, "impersonate-uid": "8"}),
                ("actor", {**acting, "impersonate-extra-scopes": "view"}),
                ("actor", {**acting, "impersonate-extra-scopes": "edit"}),
                ("actor", {**acting, "impersonate-extra-other": "view"}),
                ("accounts", {"impersonate-user": account}),
                ("accounts", {"impersonate-user": f"system:serviceaccount:{b}:in-a"}),
                ("accounts", {"impersonate-user": account, "impersonate-group": "readers"}),
                ("", {"impersonate-user": "alice"}),
                ("", {"impersonate-user": "system:anonymous"}),
            ):
                sent = {**headers, **({"authorization": f"Bearer {tokens[name]}"} if name else {})}
                for path in (
                    f"{APPS}/namespaces/{a}/deployments",
                    f"{APPS}/namespaces/{b}/deployments",
                    f"{APPS}/deployments",
                ):
                    theirs, mine = await server.get(path, sent), await mirror.get(path, sent)
                    codes.add(theirs.status)
                    # Since 1.36 a refusal to who has no such right at all names a newer, narrower right.
                    same = theirs.status == 200 or theirs.body.strip() == mine.body.strip()
                    same = same or b"cannot impersonate-on:" in theirs.body
                    if theirs.status != mine.status or not same:
                        said = f"{theirs.status} {theirs.body!r} there, {mine.status} {mine.body!r} here"
                        wrong.append(f"{name} {headers} {path}: {said}")
                mine = await mirror.get(f"/versions?namespace={b}", sent)
                theirs = await server.get(f"{APPS}/namespaces/{b}/deployments", sent)
                if mine.status != theirs.status:
                    wrong.append(f"{name} {headers} /versions: {theirs.status}, {mine.status}")
        finally:
            await server.close()
            await mirror.close()

    assert wrong == [], "\n".join(wrong)
    assert codes == {200, 403}
