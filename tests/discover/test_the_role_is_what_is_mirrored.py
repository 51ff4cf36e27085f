"""``kubemirror rbac`` grants exactly what the mirror would list and watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
import yaml

from kubemirror.errors import ConfigError
from kubemirror.kube.rbac import print_role, role
from kubemirror.kube.transport import Response
from kubemirror.settings import Settings
from tests.discover.scripted import Body, ScriptedApi, crd, listed, ordinary

READ = ["get", "list", "watch"]


class WithDefinitions(ScriptedApi):
    """Answers the list of definitions too, one to a page; None refuses it."""

    definitions: list[dict[str, Any]] | None = None

    async def request(self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), **more: Any) -> Response:
        if not path.endswith("/customresourcedefinitions"):
            return await super().request(method, path, query=query, **more)
        if self.definitions is None:
            return Response(403, {}, Body())
        named: Mapping[str, str] = dict(query)
        at = int(named.get("continue", "0"))
        rest = str(at + 1) if at + 1 < len(self.definitions) else ""
        page = {"items": self.definitions[at : at + 1], "metadata": {"continue": rest}}
        return Response(200, {}, Body(orjson.dumps(page)))


def cluster() -> WithDefinitions:
    custom = {"clux.dev": {"v1": [listed("foos", "Foo")]}, "wide.dev": {"v1": [listed("planets", "Planet")]}}
    api = WithDefinitions({**ordinary(), **custom})
    api.definitions = [crd(), crd("planets", "wide.dev", kind="Planet", uid="2", scope="Cluster")]
    return api


async def printed(api: ScriptedApi, **settings: Any) -> tuple[str, list[dict[str, Any]]]:
    text = await role(api, Settings(**settings))
    return text, list(yaml.safe_load_all(text))


async def test_a_cluster_role_groups_what_is_mirrored() -> None:
    _, documents = await printed(cluster(), mirror=("pods", "events", "rs"))

    assert documents == [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "kubemirror-mirrored", "labels": {"kubemirror-aggregate": "true"}},
            "rules": [
                {"apiGroups": [""], "resources": ["events", "pods"], "verbs": READ},
                {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": READ},
                {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ},
                {"apiGroups": ["clux.dev"], "resources": ["foos"], "verbs": READ},
                {"apiGroups": ["wide.dev"], "resources": ["planets"], "verbs": READ},
            ],
        }
    ]


async def test_what_is_excluded_is_not_asked_for() -> None:
    text, (document,) = await printed(cluster(), exclude=("crds", "foos", "planets"))

    assert [rule["resources"] for rule in document["rules"]] == [["deployments"]]
    assert "could not be read" in text


async def test_secrets_are_in_it_only_when_named() -> None:
    plain, _ = await printed(cluster())
    named, (document,) = await printed(cluster(), mirror=("secrets",))

    assert "secrets" not in plain.lower()
    assert document["rules"][0]["resources"] == ["secrets"]
    assert "metadata only" in named


async def test_with_namespaces_it_is_a_role_in_each_and_the_rest_beside() -> None:
    _, documents = await printed(cluster(), namespace=("a", "123"), mirror=("pods",))

    assert [(each["kind"], each["metadata"].get("namespace")) for each in documents] == [
        ("ClusterRole", None),
        ("Role", "123"),
        ("Role", "a"),
    ]
    # Only a ClusterRole can be aggregated.
    assert ["labels" in each["metadata"] for each in documents] == [True, False, False]
    assert [rule["resources"] for rule in documents[0]["rules"]] == [["customresourcedefinitions"]]
    assert [rule["resources"] for rule in documents[1]["rules"]] == [["pods"], ["deployments"], ["foos"]]


async def test_names_that_mean_nothing_are_told() -> None:
    text, _ = await printed(cluster(), mirror=("deploymints",))

    assert '# Left out, --mirror deploymints: the API server has no resource "deploymints"' in text


async def test_without_definitions_discovery_tells() -> None:
    api = cluster()
    api.definitions = None
    text, (document,) = await printed(api)

    assert [rule["resources"] for rule in document["rules"]][-2:] == [["foos"], ["planets"]]
    assert "could not be read" in text


async def test_a_cluster_that_cannot_be_asked_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="cannot tell what would be mirrored: discovery failed: connection refused"):
        await role(ScriptedApi(ordinary(), unreachable=True), Settings())


def test_the_demo_has_no_rbac() -> None:
    with pytest.raises(ConfigError, match="no RBAC"):
        print_role(Settings(demo=True))
