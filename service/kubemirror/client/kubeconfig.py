"""A kubeconfig for a running mirror: kubectl and every Kubernetes client read through it unchanged."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import yaml


def kubeconfig(server: str, *, token_file: str | None = None, ca: str | None = None) -> str:
    """YAML. Files are named by absolute path, never copied in: a token stays where it is."""
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{server!r} is no URL of a mirror: write http://host:port or https://host:port")
    cluster: dict[str, object] = {"server": server.rstrip("/")}
    if ca is not None:
        cluster["certificate-authority"] = str(Path(ca).absolute())
    user: dict[str, object] = {"tokenFile": str(Path(token_file).absolute())} if token_file is not None else {}
    config: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubemirror", "cluster": cluster}],
        "users": [{"name": "kubemirror", "user": user}],
        "contexts": [{"name": "kubemirror", "context": {"cluster": "kubemirror", "user": "kubemirror"}}],
        "current-context": "kubemirror",
    }
    return yaml.safe_dump(config, sort_keys=False)
