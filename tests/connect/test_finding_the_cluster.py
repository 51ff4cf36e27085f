"""Which cluster is connected to, from flags, variables and files; and what is said when none can be."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from kubemirror.errors import ConfigError
from kubemirror.kube.connection import Connection
from kubemirror.kube.kubeconfig import Target, find_target
from tests.connect.stub import Stub, ask, server_tls, write_kubeconfig


def find(
    env: dict[str, str], *, kubeconfig: Path | None = None, context: str | None = None, account: Path | None = None
) -> Target:
    return find_target(
        kubeconfig=kubeconfig, context=context, env=env, service_account=account or Path("/nowhere/serviceaccount")
    )


@pytest.fixture
def account(tmp_path: Path, ca: trustme.CA) -> Path:
    """What the kubelet mounts into a pod."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("pod-token\n")
    (folder / "ca.crt").write_bytes(ca.cert_pem.bytes())
    (folder / "namespace").write_text("team-a")
    return folder


POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_a_pod_finds_its_own_cluster(account: Path) -> None:
    target = find(POD, account=account)

    assert target.in_cluster
    assert target.cluster.server == "https://10.96.0.1:443"
    assert target.namespace == "team-a"
    assert target.user.token_file == account / "token"


def test_a_pod_on_ipv6_gets_brackets(account: Path) -> None:
    target = find({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, account=account)

    assert target.cluster.server == "https://[fd00::1]:443"


def test_a_named_kubeconfig_wins_over_the_pods_cluster(account: Path, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://elsewhere:6443")

    assert find(POD, kubeconfig=path, account=account).cluster.server == "https://elsewhere:6443"


def test_a_named_context_wins_over_the_pods_cluster(account: Path, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://elsewhere:6443")

    target = find({**POD, "KUBECONFIG": str(path)}, context="here", account=account)

    assert target.cluster.server == "https://elsewhere:6443"


def test_a_pod_without_a_service_account_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        find({**POD, "HOME": str(tmp_path)})


def test_a_service_account_without_ca_is_one_line(account: Path) -> None:
    (account / "ca.crt").unlink()

    with pytest.raises(ConfigError, match=r"^the service account in .* cannot be used"):
        find(POD, account=account)


def test_the_variable_wins_over_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write_kubeconfig(tmp_path / ".kube" / "config", "https://home:6443")
    named = write_kubeconfig(tmp_path / "named", "https://named:6443")

    assert find({"HOME": str(tmp_path)}).cluster.server == "https://home:6443"
    assert find({"HOME": str(tmp_path), "KUBECONFIG": str(named)}).cluster.server == "https://named:6443"


def test_several_files_are_merged_and_the_first_wins(tmp_path: Path) -> None:
    first = write_kubeconfig(tmp_path / "a", "https://first:6443", name="here")
    second = write_kubeconfig(tmp_path / "b", "https://second:6443", name="here")
    third = write_kubeconfig(tmp_path / "c", "https://third:6443", name="there")
    env = {"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{second}:{third}"}

    assert find(env).cluster.server == "https://first:6443"
    assert find(env, context="there").cluster.server == "https://third:6443"


def test_an_empty_first_file_leaves_the_choice_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    second = write_kubeconfig(tmp_path / "b", "https://second:6443")

    assert find({"KUBECONFIG": f"{tmp_path / 'a'}:{second}"}).context == "here"


def test_paths_are_relative_to_the_file_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = write_kubeconfig(tmp_path / "one" / "config", "https://first:6443", name="here")
    second = write_kubeconfig(
        tmp_path / "two" / "config",
        "https://second:6443",
        name="there",
        cluster={"certificate-authority": "pki/ca.crt"},
        user={"tokenFile": "../token"},
    )

    target = find({"KUBECONFIG": f"{first}:{second}"}, context="there")

    assert target.cluster.ca_file == tmp_path / "two" / "pki" / "ca.crt"
    assert target.user.token_file == tmp_path / "two" / ".." / "token"


@pytest.mark.parametrize(
    ("server", "cluster", "expected"),
    [
        ("host:6443", {}, "http://host:6443"),
        ("host:6443", {"insecure-skip-tls-verify": True}, "https://host:6443"),
        ("host:6443", {"certificate-authority": "ca.crt"}, "https://host:6443"),
    ],
)
def test_a_server_without_a_scheme_is_read_as_client_go_does(
    tmp_path: Path, server: str, cluster: dict[str, Any], expected: str
) -> None:
    path = write_kubeconfig(tmp_path / "config", server, cluster=cluster)

    assert find({}, kubeconfig=path).cluster.server == expected


def test_an_unknown_context_lists_the_known_ones(tmp_path: Path) -> None:
    first = write_kubeconfig(tmp_path / "a", "https://first:6443", name="staging")
    second = write_kubeconfig(tmp_path / "b", "https://second:6443", name="production")

    with pytest.raises(ConfigError, match=r"no context 'prod'; known contexts: production, staging"):
        find({"KUBECONFIG": f"{first}:{second}"}, context="prod")


def test_nothing_anywhere_names_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no cluster: .*--kubeconfig.*--demo"):
        find({"HOME": str(tmp_path)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kubeconfig .*/absent does not exist"):
        find({}, kubeconfig=tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"KUBECONFIG names .*/absent, which does not exist.*--demo"):
        find({"KUBECONFIG": str(tmp_path / "absent")})


NO_SUCH_USER = """
current-context: a
contexts: [{name: a, context: {cluster: b, user: c}}]
clusters: [{name: b, cluster: {server: 'https://x'}}]
users: [{name: d}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("clusters: [\n", r"is not YAML \(line 2"),
        ("- a\n- b\n", "is not a mapping"),
        ("clusters: 3\n", "clusters must be a list"),
        ("users: [{user: {}}]\n", "users must be a list"),
        ("contexts: [{name: a, context: [1]}]\n", "contexts must be a list"),
        (
            "contexts: [{name: a, context: {cluster: b}}]\n",
            r"no current-context; choose one with --context \(known contexts: a\)",
        ),
        ("current-context: a\n", r"no context 'a'; it has no contexts"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\n", "names the cluster 'b'"),
        (
            NO_SUCH_USER,
            r"names the user 'c'.*\(known users: d\)",
        ),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(ConfigError, match=message) as caught:
        find({}, kubeconfig=path)

    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="is not text"):
        find({}, kubeconfig=path)


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": ""}, {}, "has no server"),
        ({"server": "ftp://x"}, {}, "is not a URL; write https://host:port"),
        ({"server": "https://u:p@x"}, {}, "holds credentials"),
        ({"server": "https://x:port"}, {}, "is not a URL"),
        ({"certificate-authority-data": "%%%"}, {}, "certificate-authority-data of cluster .* is not base64"),
        (
            {"certificate-authority-data": base64.b64encode(b"nonsense").decode()},
            {},
            "CA bundle is not PEM.*certificate-authority-data of the kubeconfig",
        ),
        ({"certificate-authority": "/absent/ca.crt"}, {}, "cannot read the certificate-authority /absent/ca.crt"),
        ({"certificate-authority": "ca", "insecure-skip-tls-verify": True}, {}, "remove one of them"),
        ({"insecure-skip-tls-verify": "yes"}, {}, "must be true or false"),
        ({"proxy-url": "socks5://x:1"}, {}, "socks5:// proxy, which is not supported"),
        ({"proxy-url": "://"}, {}, "is not a proxy's URL"),
        ({}, {"tokenFile": "/absent/token"}, "cannot read the token file /absent/token: No such file"),
        ({}, {"token": "two words"}, "is not a token"),
        ({}, {"token": "a", "username": "b"}, "both a token and a username"),
        ({}, {"client-certificate": "/a"}, "client certificate without its key"),
        ({}, {"client-certificate": "/a", "client-key": "/b"}, "cannot read the client-certificate /a"),
        ({}, {"auth-provider": {"name": "gcp"}}, "use the exec plugin gke-gcloud-auth-plugin"),
        ({}, {"auth-provider": {"name": "oidc"}}, "use the exec plugin kubelogin"),
        ({}, {"as-groups": ["x"]}, "without as"),
        ({}, {"as": "x", "as-groups": "y"}, "as-groups of user .* must be a list"),
        ({}, {"exec": {"command": "x"}}, "has apiVersion ''; supported are client.authentication.k8s.io/v1 and"),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, "has no command"),
        (
            {},
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "interactiveMode": "Always"}},
            "nobody to ask",
        ),
        (
            {},
            {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "no-such-plugin",
                    "installHint": "Install it\nfrom there.",
                }
            },
            "'no-such-plugin' is not an executable on PATH; its kubeconfig says: Install it from there.",
        ),
    ],
)
async def test_what_cannot_work_is_said_at_once_and_in_one_line(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", cluster=cluster, user=user)

    with pytest.raises(ConfigError, match=message) as caught:
        await Connection.open(kubeconfig=path, env={})

    assert "\n" not in str(caught.value)


async def test_a_context_without_a_user_is_anonymous(tmp_path: Path, ca: trustme.CA) -> None:
    path = tmp_path / "config"
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        data = base64.b64encode(ca.cert_pem.bytes()).decode()
        path.write_text(
            f"{{current-context: a, contexts: [{{name: a, context: {{cluster: b}}}}], clusters: [{{name: b, cluster:"
            f" {{server: '{stub.url}', certificate-authority-data: {data}}}}}]}}"
        )
        async with await Connection.open(kubeconfig=path, env={}) as connection:
            assert (await ask(connection)).status == 200
            assert connection.describe()["authentication"] == "none"

    assert stub.requests[0].header("authorization") is None


def test_a_user_without_a_home_is_told_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's random user: not in the password file, HOME not set."""

    def nobody(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)

    with pytest.raises(ConfigError, match="--demo"):
        find({})


def test_a_directory_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read kubeconfig .*: Is a directory"):
        find({}, kubeconfig=tmp_path)


def test_yaml_scalars_that_are_no_strings_are_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": 7,
                "contexts": [{"name": 7, "context": {"cluster": 8, "user": 9, "namespace": 10}}],
                "clusters": [{"name": 8, "cluster": {"server": "https://x"}}],
                "users": [{"name": 9, "user": {"token": 12345}}],
            }
        )
    )

    target = find({}, kubeconfig=path)

    assert (target.context, target.namespace, target.user.token) == ("7", "10", "12345")


async def test_what_is_connected_to_is_described_without_credentials(tmp_path: Path) -> None:
    path = write_kubeconfig(
        tmp_path / "config",
        "https://cluster.example/prefix/",
        cluster={"proxy-url": "http://joe:hidden@proxy.example:3128"},
        user={"token": "t0k3n", "as": "jane"},
        context={"namespace": "team-a"},
    )

    async with await Connection.open(kubeconfig=path, env={}) as connection:
        assert connection.describe() == {
            "source": f"kubeconfig {path}",
            "host": "https://cluster.example:443/prefix",
            "context": "here",
            "namespace": "team-a",
            "user": "here-user as jane",
            "authentication": "token",
            "proxy": "proxy.example:3128",
        }
