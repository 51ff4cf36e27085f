"""``kubemirror serve`` as a process: the mode that it says, and a leaf that has the real API server review access."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from kubemirror.app import with_access
from kubemirror.kube import kubeconfig
from kubemirror.settings import Access, Settings
from tests.serve.process import demo_cluster, serving


def modes(log: Path) -> list[str]:
    """The modes that were told at start."""
    events = [json.loads(line).get("event", "") for line in log.read_text().splitlines() if line.startswith("{")]
    return [event for event in events if event.startswith("access.")]


def codes(url: str, *tokens: str) -> list[int]:
    """What each token's owner is answered about all Deployments, "" for nobody's, on the API server's own path."""
    return [
        httpx.get(
            f"{url}/apis/apps/v1/deployments", headers={"authorization": f"Bearer {token}"} if token else {}
        ).status_code
        for token in tokens
    ]


def test_a_mirror_of_a_mirror_has_the_api_server_review_access(tmp_path: Path) -> None:
    with demo_cluster(tmp_path) as demo, serving(tmp_path, *demo.flags, name="root") as root:
        root.until_ready()
        followed = tmp_path / "root.kubeconfig"
        followed.write_text(Path(demo.flags[1]).read_text().replace(demo.url, root.url))
        leading = ("--kubeconfig", str(followed), "--review-server", demo.flags[1], "--access", "delegated")
        with serving(tmp_path, *leading, name="leaf") as leaf:
            leaf.until_ready()
            answered = codes(leaf.url, "reader-token", "nobody-token", "wrong-token")
            refused = httpx.get(f"{leaf.url}/versions", headers={"authorization": "Bearer shop-token"})
            everyone = codes(root.url, "")

    assert answered == [200, 403, 401]
    assert 'User "shop-reader" cannot list' in refused.json()["message"]  # a name that only the API server could tell
    assert everyone == [200]
    assert modes(tmp_path / "root.log") == ["access.local"]
    assert modes(tmp_path / "leaf.log") == ["access.delegated"]


def test_an_embedded_demo_is_nobodys_where_it_decides(tmp_path: Path) -> None:
    with serving(tmp_path, "--demo", "--access", "delegated") as process:
        process.until_ready()
        answered = codes(process.url, "admin-token", "reader-token", "nobody-token", "")
        page = httpx.get(process.url, headers={"accept": "text/html"})

    assert answered == [200, 200, 403, 403]
    assert (page.status_code, page.headers["location"]) == (303, "/-/sign-in?next=/")


def test_in_a_cluster_its_api_server_decides_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t")
    monkeypatch.setattr(kubeconfig.is_pod, "__defaults__", (tmp_path,))
    outside = with_access(Settings()).access
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    assert outside is Access.LOCAL
    assert with_access(Settings()).access is Access.DELEGATED
    assert with_access(Settings(demo=True)).access is Access.LOCAL
    assert with_access(Settings(kubeconfig=tmp_path / "other")).access is Access.LOCAL
    assert with_access(Settings(access=Access.OPEN)).access is Access.OPEN
