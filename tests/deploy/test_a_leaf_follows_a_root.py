"""A leaf of the tree, told what its pods are told, shows what the root shows."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.deploy.manifests import Manifests
from tests.serve.process import serving


def test_a_leaf_shows_what_the_root_shows(renderings: dict[str, Manifests], tmp_path: Path) -> None:
    tree = renderings["tree"]
    (volume,) = tree.pod["volumes"]
    (kubeconfig,) = tree.one("ConfigMap", volume["configMap"]["name"])["data"].values()
    with serving(tmp_path, "--demo", name="root") as root:
        root.until_ready()
        # But for the name, which a cluster's DNS knows.
        (tmp_path / "kubeconfig").write_text(kubeconfig.replace("http://kubemirror-root", root.url))
        with serving(tmp_path, "--kubeconfig", str(tmp_path / "kubeconfig"), name="leaf") as leaf:
            leaf.until_ready()
            names = [httpx.get(f"{mirror.url}/versions").json() for mirror in (root, leaf)]

    assert [each["name"] for each in names[1]] == [each["name"] for each in names[0]] != []
