"""Programs are taken from $KUBEBUILDER_ASSETS, else from the cache, each by itself; what runs them says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.programs import (
    CLIENTS,
    KUBERNETES,
    PROGRAMS,
    ProgramError,
    build_missing,
    cache_folder,
    find,
    programs_folder,
    require,
)
from tests.cluster.stubs import script


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "KUBEBUILDER_ASSETS": str(tmp_path / "assets")}


def test_assets_come_before_the_cache(env: dict[str, str], tmp_path: Path) -> None:
    cached = script(programs_folder(PROGRAMS, env) / "etcd", "")
    assert find("etcd", env) == cached

    given = script(tmp_path / "assets" / "etcd", "")
    assert find("etcd", env) == given
    del env["KUBEBUILDER_ASSETS"]
    assert find("etcd", env) == cached


def test_each_is_looked_for_by_itself(env: dict[str, str], tmp_path: Path) -> None:
    given = script(tmp_path / "assets" / "etcd", "")
    cached = script(programs_folder(PROGRAMS, env) / "kwok", "")
    client = script(programs_folder(CLIENTS, env) / "informers", "")

    assert [find(name, env) for name in ("etcd", "kwok", "informers")] == [given, cached, client]


def test_what_cannot_be_executed_is_passed_over(env: dict[str, str], tmp_path: Path) -> None:
    script(tmp_path / "assets" / "etcd", "").chmod(0o644)
    cached = script(programs_folder(PROGRAMS, env) / "etcd", "")

    assert find("etcd", env) == cached


def test_the_cache_follows_xdg_cache_home_and_what_is_built(env: dict[str, str], tmp_path: Path) -> None:
    assert cache_folder(env) == tmp_path / "cache" / "kubemirror" / "cluster"
    assert cache_folder({}) == Path.home() / ".cache" / "kubemirror" / "cluster"
    assert programs_folder(PROGRAMS, env).parent == programs_folder(CLIENTS, env).parent == cache_folder(env)
    assert programs_folder(PROGRAMS, env) != programs_folder(CLIENTS, env)
    fewer = {name: program for name, program in PROGRAMS.items() if name != "kwok"}
    assert programs_folder(fewer, env) != programs_folder(PROGRAMS, env)


def test_who_needs_a_missing_one_is_told_the_remedy(env: dict[str, str]) -> None:
    assert find("etcd", env) is None
    with pytest.raises(ProgramError, match=r"etcd is missing.*make tools"):
        require("etcd", env)


@pytest.mark.parametrize("patch", ["0", "12-gke.7"])
def test_assets_of_our_minor_version_are_taken(patch: str, env: dict[str, str], tmp_path: Path) -> None:
    version = f"{KUBERNETES.rpartition('.')[0]}.{patch}"
    given = script(tmp_path / "assets" / "kube-apiserver", f"echo Kubernetes {version}")

    assert find("kube-apiserver", env) == given


@pytest.mark.parametrize("said", ["echo Kubernetes v1.31.0", "echo Kubernetes v1.3.6", "exit 1"])
def test_assets_of_another_are_refused_with_the_remedy(said: str, env: dict[str, str], tmp_path: Path) -> None:
    script(tmp_path / "assets" / "kube-apiserver", said)
    script(tmp_path / "assets" / "etcd", "")
    remedy = r"assets/kube-apiserver is of another version .*setup-envtest use 1\.\d+\.x`, or unset it"

    for name in ("kube-apiserver", "etcd", "kubectl"):
        with pytest.raises(ProgramError, match=remedy):
            require(name, env)
    with pytest.raises(ProgramError, match=remedy):
        build_missing(print, env)
