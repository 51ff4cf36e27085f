"""What a caller may not do is told as kube-apiserver tells the same caller: verb, tuple, and the path as spelled."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from kubemirror.access.impersonation import wanted_of
from kubemirror.access.presented import Presented
from kubemirror.errors import ImpersonationError
from tests.access.cluster import READ, Cluster, cluster_of, guarded, rule
from tests.cluster.control_plane import ControlPlane

APPS, REVIEWS = "/apis/apps/v1", "/apis/authorization.k8s.io/v1"


def requests(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Who asks (the account, or nobody), how, and for what."""
    own = f"{APPS}/namespaces/{cluster.a}"
    writes = [
        ("POST", f"{own}/deployments"),
        ("POST", f"{APPS}/deployments"),
        ("POST", f"{own}/deployments/web"),
        ("PUT", f"{own}/deployments/web"),
        ("PUT", f"{own}/deployments/web/scale"),
        ("PATCH", f"{own}/deployments/web"),
        ("DELETE", f"{own}/deployments/web"),
        ("DELETE", f"{own}/deployments"),
        ("DELETE", f"{APPS}/deployments"),
        ("POST", f"/api/v1/namespaces/{cluster.a}/pods/x/exec"),
        ("POST", "/api/v1/nosuch"),
        ("POST", f"{REVIEWS}/subjectaccessreviews"),
        ("POST", f"{REVIEWS}/namespaces/{cluster.a}/localsubjectaccessreviews"),
        ("POST", f"{APPS}/watch/namespaces/{cluster.a}/deployments/web"),
    ]
    reads = [
        ("GET", own),
        ("GET", f"{APPS}/namespaces/{cluster.b}"),
        ("GET", f"{own}/status"),
        ("GET", f"{APPS}/watch/namespaces/{cluster.a}"),
        ("GET", f"{REVIEWS}/subjectaccessreviews"),
        ("GET", f"{REVIEWS}/selfsubjectaccessreviews"),
    ]
    nobody = [("GET", path) for path in ("/api/", "/apis/", "/api/v1/", f"{APPS}/", f"{APPS}//", "/openapi/v3/")]
    return [("in-a", *each) for each in (*writes, *reads)] + [("", *each) for each in nobody]


@pytest.mark.timeout(120)
async def test_by_a_real_api_server(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with cluster_of(control_plane, tmp_path) as cluster, guarded(cluster.real) as (_, live):
        await cluster.account("in-a")
        # All of its group in its namespace, "namespaces" too: what its path names is of no such resource there.
        await cluster.grant("in-a", [rule("*", verbs=READ, group="apps")], cluster.a)
        token = await cluster.token("in-a")
        await cluster.granted(token, f"{APPS}/namespaces/{cluster.a}/deployments")
        wrong = []
        async with httpx.AsyncClient(base_url=live.url, trust_env=False) as client:
            for who, method, path in requests(cluster):
                headers = {"authorization": f"Bearer {token}" if who else "Basic eDp5"}  # which is nobody's
                body = b"{}" if method in ("POST", "PUT", "PATCH") else None
                kind = {"content-type": "application/json"} if body else {}
                mine = await client.request(method, path, headers={**headers, **kind}, content=body)
                theirs = await cluster.real(method, path, body, headers=headers)
                told = [(each.status_code, each.text if each.status_code != 404 else "") for each in (theirs, mine)]
                if told[0] != told[1]:
                    wrong.append((method, path, *told))

    assert wrong == []


def test_a_field_of_impersonation_that_is_none_is_named() -> None:
    """Upstream ignores it, and what was meant by it."""
    for others in ([], [(b"impersonate-user", b"jane")]):
        with pytest.raises(ImpersonationError, match="Impersonate-Foo is none of Impersonate-User, -Uid, -Group"):
            wanted_of(Presented([(b"impersonate-foo", b"x"), *others]))
