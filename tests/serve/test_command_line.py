"""Settings from flags, variables and defaults; what is wrong is one line and exit code 2."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from pydantic import ValidationError

from kubemirror.__main__ import main
from kubemirror.app import check
from kubemirror.errors import ConfigError
from kubemirror.front import printable
from kubemirror.settings import Access, Settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--prot", "1"], "did you mean --port?"),
        (["serve", "--port", "many"], "--port many: Input should be a valid integer"),
        (["serve", "--port", "70000"], "--port 70000:"),
        (["serve", "--access", "everyone"], "--access everyone:"),
        (["serv"], "invalid choice: 'serv'"),
        ([], "required: COMMAND"),
        (["serve", "--workers", "2"], "run more replicas instead"),
        (["serve", "--host", "0.0.0.0"], "say so with --access open"),
        (["serve", "--allow-origin", "evil"], '"evil" is no origin as browsers write it: scheme://host[:port]'),
        (["serve", "--open-resource", "pods"], "--open-resource (or KUBEMIRROR_OPEN_RESOURCE) is for --access open"),
        (["serve", "--access", "open", "--open-resource", "pods", "--proxy-extra", "x"], "is for --access proxy"),
        (["serve", "--kubeconfig", "/nowhere/at/all"], "/nowhere/at/all"),
        (["kubeconfig", "--server", "nowhere"], "is no URL of a mirror"),
        (["kubeconfig", "--server", "http://mirror", "--token-file", "/t"], "clients send none over http"),
        (["kubeconfig", "--server", "http://mirror", "--trust-shown"], "shows no certificate: write https://"),
        (["kubeconfig", "--server", "https://127.0.0.1:1", "--trust-shown"], "does not answer"),
        (["kubeconfig", "--server", "https://mirror", "--ca", "/nowhere/at/all"], "No such file"),
        (["kubeconfig", "--server", "https://mirror", "--ca", __file__], "is not PEM"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(arguments)
    out, err = capfd.readouterr()

    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_variable_is_named_when_it_is_the_one_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBEMIRROR_PORT", "many")

    assert main(["serve"]) == 2
    assert "KUBEMIRROR_PORT many:" in capfd.readouterr().err


def test_lists_in_variables_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEMIRROR_MIRROR", "pods, services,")

    assert Settings().mirror == ("pods", "services")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_a_loopback_bind_needs_no_word(host: str) -> None:
    check(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_any_other_bind_is_refused_unless_said(host: str) -> None:
    with pytest.raises(ConfigError):
        check(Settings(host=host))
    check(Settings(host=host, access=Access.OPEN, open_resource=("pods",)))


@pytest.mark.parametrize(
    "origin",
    [
        "evil", "*", "null", "https://", "portal.example.com", "https://Portal.example.com", "https://portal.example.com/",
        "https://portal.example.com/x", "https://u@portal.example.com", "https://portal.example.com:443",
        "http://portal.example.com:80", "https://portal.example.com, https://b",
    ],
)  # fmt: skip
def test_an_origin_that_no_browser_writes_is_refused(origin: str) -> None:
    """It would let nobody in, and nobody would be told why."""
    with pytest.raises(ValidationError, match="is no origin as browsers write it"):
        Settings(allow_origin=(origin,))


def test_origins_as_browsers_write_them_are_taken() -> None:
    origins = ("https://portal.example.com", "http://localhost:3000", "https://a.b:444", "http://[::1]:8080",
               "chrome-extension://abcdefgh", "http://10.0.0.1")  # fmt: skip

    assert Settings(allow_origin=origins).allow_origin == origins


@pytest.mark.parametrize(
    ("setting", "mode"),
    [
        ({"token_audience": ("a",)}, "delegated"),
        ({"session_key_file": Path("/key")}, "delegated"),
        ({"review_server": Path("/config")}, "delegated or --access proxy"),
        ({"proxy_name": ("front",)}, "proxy"),
        ({"proxy_secret_file": Path("/secret")}, "proxy"),
        ({"proxy_extra": ("scopes",)}, "proxy"),
        ({"open_resource": ("pods",)}, "open"),
    ],
    ids=str,
)
def test_what_another_mode_is_told_is_refused_in_this(setting: dict[str, Any], mode: str) -> None:
    (name,) = setting

    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} .* is for --access {mode}, and this is local"):
        check(Settings(**setting))


def test_every_setting_that_is_set_is_printed() -> None:
    printed = printable(Settings(mirror=("pods",), root_path="/x"))

    assert printed["mirror"] == ["pods"]
    assert printed["root_path"] == "/x"
    assert "kubeconfig" not in printed


@pytest.mark.parametrize("keyed", [False, True])
def test_a_kubeconfig_points_at_the_mirror(tmp_path: Path, capfd: pytest.CaptureFixture[str], keyed: bool) -> None:
    issued = trustme.CA().issue_cert("mirror.example")
    chain = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
    (tmp_path / "ca.crt").write_text(chain + issued.private_key_pem.bytes().decode() * keyed)
    flags = ["--token-file", "/t", "--ca", str(tmp_path / "ca.crt"), "--name", "mirror"]
    assert main(["kubeconfig", "--server", "https://mirror.example/base/", *flags]) == 0
    config = yaml.safe_load(capfd.readouterr().out)

    ca = b64encode(chain.encode()).decode()
    assert config["clusters"][0]["cluster"] == {
        "server": "https://mirror.example/base",
        "certificate-authority-data": ca,
    }
    assert config["users"][0]["user"] == {"tokenFile": "/t"}
    assert config["current-context"] == config["contexts"][0]["name"] == "mirror"
