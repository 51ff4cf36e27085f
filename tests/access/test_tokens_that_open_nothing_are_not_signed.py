"""``kubemirror embed-token``: what could never open anything is told to who asks for it, with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubemirror.__main__ import main


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("k" * 44)
    return str(tmp_path / "key")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": ""}, "--user is empty"),
        ({"user": " "}, "--user is empty"),
        ({"group": ""}, "--group is empty"),
        ({"resource": "deployments"}, "write plural and group, as deployments.apps"),
        ({"resource": "deploy"}, "write plural and group, as deployments.apps"),
        ({"resource": "Deployments.apps"}, "write plural and group, as deployments.apps"),
        ({"resource": "deployments.v1.apps"}, "names a version, and a token opens all of them"),
        ({"resource": "pod"}, "write plural and group, as pods"),
        ({"resource": "foos"}, "kubectl api-resources -o name"),
        ({"resource": ""}, "is no resource"),
        ({"resource": "pods."}, "is no resource"),
        ({"resource": "nodes", "namespace": "shop"}, "leave --namespace away"),
        ({"namespace": "Shop"}, '--namespace "Shop" is no name'),
        ({"selector": "(("}, "--selector \"((\" is none: found '('"),
        ({"selector": "app=web,"}, '--selector "app=web," is none'),
        ({"expires-in": "0"}, "for some seconds"),
    ],
    ids=str,
)
def test_it_is_refused(given: dict[str, str], said: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"embed-key-file": key, "user": "jane", "resource": "deployments.apps", **given}

    code = main(["embed-token", *(f"--{name}={value}" for name, value in flags.items())])

    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert said in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"resource": "pods"},
        {"resource": "namespaces", "namespace": "shop"},
        {"resource": "foos.clux.dev", "selector": "app in (web, api),!old"},
        {"resource": "customresourcedefinitions.apiextensions.k8s.io", "user": "system:serviceaccount:shop:portal"},
    ],
    ids=str,
)
def test_what_may_open_something_is_signed(given: dict[str, str], key: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"embed-key-file": key, "user": "jane", **given}

    assert main(["embed-token", *(f"--{name}={value}" for name, value in flags.items())]) == 0
    assert capsys.readouterr().out.startswith("k1.")
