"""Whatever a kubeconfig holds, it is used or refused in one line: no traceback for anybody's file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubemirror.errors import ConfigError
from kubemirror.kube.identity import identity_of
from kubemirror.kube.kubeconfig import find_target
from kubemirror.kube.proxy import NoProxy, proxy_for

ODD: list[Any] = [
    None,
    True,
    0,
    "",
    "a",
    "eA==",
    "http://x",
    "https://x:port",
    "~nobody/x",
    "\x00",
    "a\nb",
    [],
    [None],
    ["a"],
    [{}],
    [{"name": None}],
    [{"name": "a", "value": []}],
    [{"name": "client.authentication.k8s.io/exec", "extension": 3}],
    {},
    {"a": ["b"]},
    {"name": "oidc"},
    {"name": ["a"]},
    {"command": []},
]

PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh"}
CLUSTER_KEYS = [
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
    "disable-compression",
    "extensions",
]
USER_KEYS = [
    "token",
    "tokenFile",
    "username",
    "password",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "auth-provider",
    "exec",
    "as",
    "as-uid",
    "as-groups",
    "as-user-extra",
]
EXEC_KEYS = [*PLUGIN, "args", "env", "installHint", "provideClusterInfo", "interactiveMode"]


def refusal(path: Path) -> str:
    """What is said about the file; "" when it can be used."""
    try:
        target = find_target(kubeconfig=path, context=None, env={})
        identity = identity_of(target, {}, exec_seconds=1, clock=lambda: 0.0, wall=lambda: 0.0)
        proxy_for(identity.server, {}, proxy_url=target.cluster.proxy_url)
    except ConfigError as exc:
        return str(exc) or "nothing"
    return ""


def config(ca: str, cluster: Any = None, user: Any = None, **more: Any) -> dict[str, Any]:
    if cluster is None:
        cluster = {"server": "https://x", "certificate-authority-data": ca}  # else the system's are loaded: slow
    return {
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {} if user is None else user}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        **more,
    }


def odd_configs(ca: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A kubeconfig that works, with one thing in it exchanged."""
    for value in ODD:
        for key in CLUSTER_KEYS:
            scheme = "https" if key.startswith(("certificate", "insecure")) else "http"
            yield f"cluster {key}", config(ca, cluster={"server": f"{scheme}://x", key: value})
        for key in USER_KEYS:
            yield f"user {key}", config(ca, user={key: value})
            yield f"acting user {key}", config(ca, user={"as": "jane", "token": "t", key: value})
        for key in EXEC_KEYS:
            yield f"exec {key}", config(ca, user={"exec": {**PLUGIN, key: value}})
        for key in ("clusters", "users", "contexts", "current-context"):
            yield key, config(ca, **{key: value})
            yield f"entry of {key}", config(ca, **{key: [value]})
            yield f"body of {key}", config(ca, **{key: [{"name": "a", key.removesuffix("s"): value}]})
            yield f"name in {key}", config(ca, **{key: [{"name": value, key.removesuffix("s"): {}}]})
        for key in ("cluster", "user", "namespace"):
            yield f"context's {key}", config(ca, contexts=[{"name": "a", "context": {"cluster": "a", key: value}}])


def test_any_odd_value_is_used_or_refused_in_one_line(tmp_path: Path, ca: trustme.CA) -> None:
    path = tmp_path / "config"
    sound = refused = 0
    for what, odd in odd_configs(base64.b64encode(ca.cert_pem.bytes()).decode()):
        path.write_text(json.dumps(odd))
        try:
            said = refusal(path)
        except Exception as exc:
            raise AssertionError(f"{what}: {json.dumps(odd)}") from exc
        assert "\n" not in said, what
        assert said != "nothing", what
        sound, refused = sound + (not said), refused + bool(said)

    assert min(sound, refused) > 100


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(content=st.one_of(st.binary(), st.text(alphabet=" \n\t:-[]{}&*!|>%@'\"abc0\x00é").map(str.encode)))
def test_any_file_is_used_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)

    assert "\n" not in refusal(path)


@given(st.text(alphabet="*.,:/[] a1f%", max_size=30), st.text(alphabet=".:a1f%[]", max_size=20), st.integers(0, 65535))
def test_any_no_proxy_is_read(no_proxy: str, host: str, port: int) -> None:
    assert NoProxy(no_proxy).matches(host, port) in {True, False}
