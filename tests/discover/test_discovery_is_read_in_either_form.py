"""Aggregated or legacy, whole or in part: the same resources in upstream's order."""

from __future__ import annotations

import pytest

from kubemirror.errors import ConfigError
from kubemirror.kube.discovery import Discovery, DiscoveryError, discover
from tests.discover.scripted import ScriptedApi, listed, ordinary


@pytest.fixture(params=[True, False], ids=["aggregated", "legacy"])
def api(request: pytest.FixtureRequest) -> ScriptedApi:
    return ScriptedApi(ordinary(), aggregated=request.param)


async def test_resources_come_in_upstreams_order(api: ScriptedApi) -> None:
    discovered = await Discovery(api).read()

    assert [resource.name for resource in discovered.resources] == [
        "events",
        "namespaces",
        "pods",
        "secrets",
        "deployments.apps",
        "replicasets.apps",
        "events.events.k8s.io",
        "horizontalpodautoscalers.autoscaling",
        "customresourcedefinitions.apiextensions.k8s.io",
    ]
    assert discovered.groups == ("", "apps", "events.k8s.io", "autoscaling", "apiextensions.k8s.io")


async def test_a_resource_is_told_with_all_its_names(api: ScriptedApi) -> None:
    discovered = await Discovery(api).read()
    pods = next(resource for resource in discovered.resources if resource.name == "pods")
    namespaces = next(resource for resource in discovered.resources if resource.name == "namespaces")

    assert (pods.kind, pods.singular, pods.short_names, pods.categories) == ("Pod", "pod", ("po",), ("all",))
    assert pods.subresources == ("log", "status")
    assert pods.namespaced
    assert not namespaces.namespaced
    assert pods.path == "/api/v1"


async def test_the_preferred_version_comes_first(api: ScriptedApi) -> None:
    discovered = await Discovery(api).read()
    autoscaler = next(resource for resource in discovered.resources if resource.group == "autoscaling")

    assert autoscaler.version == "v2"
    assert [version.name for version in autoscaler.versions] == ["v2", "v1"]


async def test_what_cannot_be_watched_is_known_as_such(api: ScriptedApi) -> None:
    discovered = await Discovery(api).read()

    assert discovered.unwatchable == {"bindings", "componentstatuses"}


async def test_storage_version_hashes_come_from_the_legacy_document(api: ScriptedApi) -> None:
    discovery = Discovery(api)
    await discovery.read()

    hashes = await discovery.storage_version_hashes("apps", "v1")

    assert hashes == {"deployments": "8aSe+NMegvE=", "replicasets": "P1RzHs8/mWQ="}


async def test_unreadable_hashes_are_no_error(api: ScriptedApi) -> None:
    api.failing["/apis/apps/v1"] = 503

    assert await Discovery(api).storage_version_hashes("apps", "v1") == {}


async def test_an_aggregated_api_that_is_down_is_stale_and_nothing_else_is() -> None:
    api = ScriptedApi({**ordinary(), "metrics.k8s.io": {"v1beta1": [listed("pods", "PodMetrics")]}})
    api.stale = {("metrics.k8s.io", "v1beta1")}

    discovered = await Discovery(api).read()

    assert list(discovered.stale) == [("metrics.k8s.io", "v1beta1")]
    assert len(discovered.resources) == 9


async def test_legacy_documents_that_fail_are_stale_and_nothing_else_is() -> None:
    api = ScriptedApi(
        {**ordinary(), "metrics.k8s.io": {"v1beta1": [listed("pods", "PodMetrics")]}},
        aggregated=False,
        failing={"/apis/metrics.k8s.io/v1beta1": 503},
    )

    discovered = await Discovery(api).read()

    assert discovered.stale == {("metrics.k8s.io", "v1beta1"): "/apis/metrics.k8s.io/v1beta1 answered 503"}
    assert len(discovered.resources) == 9


async def test_a_stale_group_keeps_the_resources_it_had() -> None:
    api = ScriptedApi({**ordinary(), "metrics.k8s.io": {"v1beta1": [listed("pods", "PodMetrics")]}})
    discovery = Discovery(api)
    before = await discovery.read()

    api.stale = {("metrics.k8s.io", "v1beta1")}
    after = await discovery.read()

    assert after.resources == before.resources
    assert after.stale


async def test_unchanged_discovery_is_not_sent_again() -> None:
    api = ScriptedApi(ordinary())
    discovery = Discovery(api)
    first = await discovery.read()
    hashes = await discovery.storage_version_hashes("apps", "v1")

    assert await discovery.read() == first
    assert await discovery.storage_version_hashes("apps", "v1") == hashes
    assert api.asked == ["/api", "/apis", "/apis/apps/v1", "/api", "/apis"]


async def test_a_changed_discovery_is_read_anew() -> None:
    api = ScriptedApi(ordinary())
    discovery = Discovery(api)
    await discovery.read()

    api.groups["batch"] = {"v1": [listed("jobs", "Job")]}

    assert (await discovery.read()).resources[-1].name == "jobs.batch"


async def test_nothing_readable_is_one_clear_error() -> None:
    api = ScriptedApi(ordinary(), failing={"/apis": 503})
    with pytest.raises(DiscoveryError, match="/apis answered 503"):
        await Discovery(api).read()

    api.failing = {"/api": 403, "/apis": 403}
    with pytest.raises(DiscoveryError, match=r"system:discovery"):
        await Discovery(api).read()

    api.failing = {"/api": 401, "/apis": 401}
    with pytest.raises(DiscoveryError, match=r"401 Unauthorized; .* renew the token"):
        await Discovery(api).read()

    api.unreachable = True
    with pytest.raises(DiscoveryError, match="connection refused"):
        await Discovery(api).read()


async def test_a_library_user_finds_a_resource_by_any_name() -> None:
    api = ScriptedApi(ordinary())

    assert (await discover(api, "deploy")).name == "deployments.apps"
    assert (await discover(api, "hpa.v1.autoscaling")).version == "v1"
    with pytest.raises(ConfigError, match=r"no resource 'deploymints' \(nearest: \"deployments.apps\"\)"):
        await discover(api, "deploymints")
