"""Deployments, definitions and custom resources always; --mirror adds, --exclude wins, --namespace splits."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kubemirror.errors import ConfigError
from kubemirror.kube.definitions import Definition, definition
from kubemirror.kube.discovery import Discovered, Discovery
from kubemirror.kube.selection import Choice, Selection
from tests.discover.scripted import ScriptedApi, crd, listed, ordinary

ALWAYS = ["deployments.apps", "customresourcedefinitions.apiextensions.k8s.io"]
CUSTOM = {
    "clux.dev": {"v1": [listed("foos", "Foo", shortNames=["fo"])]},
    "kube.rs": {"v1": [listed("documents", "Document", shortNames=["doc"])]},
    "wide.dev": {"v1": [listed("planets", "Planet", namespaced=False)]},
}


async def discovered(**more: Any) -> Discovered:
    return await Discovery(ScriptedApi({**ordinary(), **CUSTOM}, **more)).read()


def definitions(*written: dict[str, Any]) -> dict[str, Definition]:
    read = [
        definition(orjson.dumps(each))
        for each in written
        or (
            crd(short_names=["fo"]),
            crd("documents", "kube.rs", kind="Document", uid="uid-2", short_names=["doc"]),
            crd("planets", "wide.dev", kind="Planet", uid="uid-3", scope="Cluster"),
        )
    ]
    return {each.name: each for each in read}


async def chosen(**settings: tuple[str, ...]) -> Selection:
    return Choice(**settings).select(await discovered(), definitions())


def names(selection: Selection) -> list[str]:
    return [each.resource.name for each in selection.wanted]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [*ALWAYS, "foos.clux.dev", "documents.kube.rs", "planets.wide.dev"]),
        ({"mirror": ("pods",)}, [*ALWAYS, "foos.clux.dev", "documents.kube.rs", "planets.wide.dev", "pods"]),
        ({"mirror": ("Pod", "po", "pods.v1."), "exclude": ("*.clux.dev", "doc", "planets")}, [*ALWAYS, "pods"]),
        ({"mirror": ("*.apps",), "exclude": ("fo", "doc", "planets", "crd")}, ["deployments.apps", "replicasets.apps"]),
        ({"mirror": ("pods",), "exclude": ("pods", "foos", "documents", "*.wide.dev")}, ALWAYS),
        ({"exclude": ("deploy", "foos.v1.clux.dev", "document", "planets.wide")}, [ALWAYS[1]]),
        (
            {"mirror": ("hpa.v1.autoscaling",), "exclude": ("foos", "doc", "planets")},
            [*ALWAYS, "horizontalpodautoscalers.autoscaling"],
        ),
        (
            {"mirror": ("events.events.k8s.io",), "exclude": ("foos", "doc", "planets")},
            [*ALWAYS, "events.events.k8s.io"],
        ),
        ({"mirror": ("events",), "exclude": ("foos", "doc", "planets")}, [*ALWAYS, "events"]),
    ],
)
async def test_names_choose_as_kubectl_would(settings: dict[str, tuple[str, ...]], expected: list[str]) -> None:
    selection = await chosen(**settings)

    assert names(selection) == expected
    assert selection.missing == ()


async def test_a_named_version_is_the_one_mirrored_and_offered() -> None:
    selection = await chosen(mirror=("hpa.v1.autoscaling",))
    autoscaler = selection.wanted[-1].resource

    assert autoscaler.version == "v1"
    assert [served.name for served in autoscaler.versions] == ["v1"]


async def test_a_built_in_is_offered_only_in_the_version_that_is_held() -> None:
    selection = await chosen(mirror=("hpa",))

    assert [served.name for served in selection.wanted[-1].resource.versions] == ["v2"]


@pytest.mark.parametrize(("strategy", "offered"), [("None", ["v2", "v1"]), ("Webhook", ["v2"])])
async def test_a_custom_resource_is_offered_in_what_can_be_told_from_it(strategy: str, offered: list[str]) -> None:
    versions = [
        {"name": "v1", "served": True, "storage": True},
        {"name": "v2", "served": True, "storage": False},
    ]
    selection = Choice().select(None, definitions(crd(versions=versions, strategy=strategy)))

    assert [served.name for served in selection.wanted[-1].resource.versions] == offered


async def test_what_is_always_there_or_named_is_required() -> None:
    selection = await chosen(mirror=("pods", "foos"))

    assert {each.resource.name for each in selection.wanted if each.required} == {*ALWAYS, "pods", "foos.clux.dev"}


def test_deployments_and_definitions_wait_for_no_discovery() -> None:
    selection = Choice(mirror=("pods",)).select(None, {}, failure="connection refused")

    assert names(selection) == ALWAYS
    assert [(each.reason, each.certain) for each in selection.missing] == [
        ("not looked up yet: connection refused", False)
    ]


async def test_secrets_come_only_when_named_and_then_as_metadata() -> None:
    assert "secrets" not in names(await chosen())
    for name in ("secrets", "Secret", "secrets.v1."):
        selection = await chosen(mirror=(name,))
        assert selection.wanted[-1].resource.name == "secrets"
        assert selection.wanted[-1].resource.metadata_only


async def test_a_store_per_namespace() -> None:
    selection = await chosen(namespaces=("a", "b"), mirror=("namespaces",))

    assert {each.resource.name: each.namespaces for each in selection.wanted} == {
        "deployments.apps": ("a", "b"),
        "customresourcedefinitions.apiextensions.k8s.io": ("",),
        "foos.clux.dev": ("a", "b"),
        "documents.kube.rs": ("a", "b"),
        "namespaces": ("",),
    }
    required = {each.resource.name for each in selection.wanted if each.required}
    assert required == {"deployments.apps", "namespaces"}


async def test_without_definitions_discovery_tells_of_custom_resources() -> None:
    selection = Choice().select(await discovered(), {}, complete=False)

    assert names(selection) == [*ALWAYS, "foos.clux.dev", "documents.kube.rs", "planets.wide.dev"]
    assert all(each.resource.custom for each in selection.wanted[2:])


async def test_what_is_remembered_of_a_definition_stands_while_discovery_agrees() -> None:
    remembered = definitions(crd(), crd("documents", "kube.rs", kind="Book", uid="uid-2"))
    selection = Choice().select(await discovered(), remembered, complete=False)

    assert {each.resource.name: (each.resource.uid, each.resource.kind) for each in selection.wanted[2:]} == {
        "foos.clux.dev": ("uid-1", "Foo"),
        "documents.kube.rs": ("", "Document"),
        "planets.wide.dev": ("", "Planet"),
    }


async def test_a_definition_that_is_not_established_is_not_mirrored() -> None:
    selection = Choice().select(await discovered(), definitions(crd(established=False)))

    assert names(selection) == ALWAYS


async def test_a_definition_that_discovery_does_not_know_yet_is_mirrored() -> None:
    written = crd("bars", "new.dev", kind="Bar")
    selection = Choice(mirror=("bar",)).select(await discovered(), definitions(written))

    assert names(selection) == [*ALWAYS, "bars.new.dev"]
    assert selection.wanted[-1].required


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("deploymints", '[missing] (nearest: "deployments.apps"); it is looked for again'),
        ("foos.cluxx.dev", '[missing] (nearest: "foos.clux.dev", "*.clux.dev"); it is looked for again'),
        ("*.example.com", 'the API server has no group "example.com" with anything to mirror; it is looked for again'),
        ("componentstatuses", "componentstatuses cannot be listed and watched, so it cannot be mirrored"),
        ("deployments.v2.apps", '[missing] (nearest: "deployments.apps"); it is looked for again'),
    ],
)
async def test_a_name_that_means_nothing_says_so(name: str, reason: str) -> None:
    selection = await chosen(mirror=(name,))
    reason = reason.replace("[missing]", f'the API server has no resource "{name}"')

    assert [(each.name, each.reason, each.certain) for each in selection.missing] == [(name, reason, True)]


async def test_a_name_in_a_stale_group_is_not_declared_gone() -> None:
    groups = {**ordinary(), "metrics.k8s.io": {"v1beta1": [listed("pods", "PodMetrics")]}}
    stale = await Discovery(ScriptedApi(groups, stale={("metrics.k8s.io", "v1beta1")})).read()

    selection = Choice(mirror=("pods.metrics.k8s.io", "*.metrics.k8s.io")).select(stale, {})

    assert [each.certain for each in selection.missing] == [False, False]
    assert all("discovery of metrics.k8s.io/v1beta1 fails" in each.reason for each in selection.missing)


@pytest.mark.parametrize("name", ["", "*", "*.", "apps/v1", "foos.*", ".apps", "pods "])
def test_what_can_be_no_name_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigError, match="is no resource"):
        Choice(mirror=(name,))


@pytest.mark.parametrize("namespace", ["", "A", "a/b", "-a", "a" * 64])
def test_what_can_be_no_namespace_is_refused_at_once(namespace: str) -> None:
    with pytest.raises(ConfigError, match="is no namespace"):
        Choice(namespaces=(namespace,))


def test_excluded_definitions_tell_nothing() -> None:
    assert not Choice(exclude=("crds",)).reads_definitions
    assert not Choice(exclude=("*.apiextensions.k8s.io",)).reads_definitions
    assert Choice(exclude=("foos",)).reads_definitions
