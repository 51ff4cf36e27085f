"""Which hosts a proxy is used for: Go's reading of the variables, which kubectl follows."""

from __future__ import annotations

import pytest
from yarl import URL

from kubemirror.errors import ConfigError
from kubemirror.kube.proxy import NoProxy, Proxy, proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "cluster.example", 443, False),
        ("*", "cluster.example", 443, True),
        ("a.example, *", "cluster.example", 443, True),
        ("cluster.example", "cluster.example", 443, True),
        ("CLUSTER.example", "cluster.EXAMPLE", 443, True),
        ("cluster.example", "api.cluster.example", 443, True),
        ("cluster.example", "mycluster.example", 443, False),
        ("cluster.example.", "cluster.example", 443, True),
        (".cluster.example", "cluster.example", 443, False),
        (".cluster.example", "api.cluster.example", 443, True),
        ("*.cluster.example", "cluster.example", 443, False),
        ("*.cluster.example", "api.cluster.example", 443, True),
        ("cluster.example:6443", "cluster.example", 6443, True),
        ("cluster.example:6443", "cluster.example", 443, False),
        (" a.example ,cluster.example ", "cluster.example", 443, True),
        ("10.96.0.0/12", "10.96.0.1", 443, True),
        ("10.96.0.0/12", "10.112.0.1", 443, False),
        ("10.96.0.0/12", "ten.example", 443, False),
        ("10.96.0.1", "10.96.0.1", 443, True),
        ("10.96.0.1", "10.96.0.10", 443, False),
        ("10.96.0.1:443", "10.96.0.1", 443, True),
        ("10.96.0.1:443", "10.96.0.1", 6443, False),
        ("fd00::/8", "fd00::1", 443, True),
        ("fd00::1", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 6443, False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 443, True),
        ("10.0.0.0/8", "fd00::1", 443, False),
        ("not/a/network, , cluster.example", "cluster.example", 443, True),
        ("not/a/network", "cluster.example", 443, False),
        ("96.0.1", "10.96.0.1", 443, False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, port: int, direct: bool) -> None:
    assert NoProxy(no_proxy).matches(host, port) is direct


@pytest.mark.parametrize(
    ("server", "env", "expected"),
    [
        ("https://cluster.example", {}, None),
        ("https://cluster.example", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://cluster.example", {"https_proxy": PROXY}, PROXY),
        ("https://cluster.example", {"HTTP_PROXY": PROXY}, None),
        ("http://cluster.example", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://cluster.example", {"HTTPS_PROXY": PROXY}, None),
        ("https://cluster.example", {"ALL_PROXY": PROXY}, PROXY),
        ("https://cluster.example", {"ALL_PROXY": PROXY, "HTTPS_PROXY": "http://other:1"}, "http://other:1"),
        ("https://cluster.example", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://cluster.example", {"HTTPS_PROXY": PROXY, "NO_PROXY": "cluster.example:443"}, None),
        ("https://cluster.example", {"HTTPS_PROXY": PROXY, "no_proxy": "cluster.example"}, None),
        ("https://10.96.0.1:443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.96.0.0/12"}, None),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://10.96.0.1", {"HTTPS_PROXY": PROXY, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, None),
    ],
)
def test_the_environments_proxy(server: str, env: dict[str, str], expected: str | None) -> None:
    assert proxy_for(URL(server), env) == (Proxy(URL(expected)) if expected else None)


def test_the_kubeconfigs_proxy_wins_over_everything() -> None:
    env = {"HTTPS_PROXY": "http://other:1", "NO_PROXY": "*"}

    assert proxy_for(URL("https://127.0.0.1:6443"), env, proxy_url=PROXY) == Proxy(URL(PROXY))


def test_a_pods_own_cluster_is_reached_directly() -> None:
    assert proxy_for(URL("https://10.96.0.1"), {"HTTPS_PROXY": PROXY}, in_cluster=True) is None


@pytest.mark.parametrize("text", ["socks5://proxy:1080", "https://proxy:443", "http://", "http://proxy:port"])
def test_a_proxy_that_cannot_be_used_names_where_it_is_from(text: str) -> None:
    with pytest.raises(ConfigError, match="the variable HTTPS_PROXY"):
        proxy_for(URL("https://cluster.example"), {"HTTPS_PROXY": text})
