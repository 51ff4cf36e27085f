"""Starts without discovery, survives its failures, and is never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from kubemirror.errors import ConfigError
from kubemirror.kube.mirror import DISCOVERY_SECONDS, IMPATIENT_SECONDS, LEAST_SECONDS, SPREAD_SECONDS
from kubemirror.state.events import Phase
from tests.discover.scripted import ScriptedApi, crd, listed, ordinary
from tests.discover.world import DEFINITIONS, World, instance

pytestmark = pytest.mark.looptime

ALWAYS = ["deployments.apps", DEFINITIONS]


def readings(api: ScriptedApi) -> int:
    return api.asked.count("/apis")


async def test_a_dead_reflector_ends_the_mirror_with_its_exception() -> None:
    world = World()
    task = asyncio.create_task(world.mirror.run())
    await world.settle()
    world.definitions.sync(crd())
    await world.settle()

    world.reflector("foos.clux.dev").death.set_exception(ZeroDivisionError("a bug"))

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await task
    assert world.running_names == []


async def test_a_reflector_that_ends_by_itself_is_dead_too() -> None:
    world = World()
    task = asyncio.create_task(world.mirror.run())
    await world.settle()

    world.reflector("deployments.apps").death.set_result(None)

    with pytest.raises(RuntimeError, match=r"deployments\.apps ended by itself"):
        await task


async def test_cancelling_ends_everything() -> None:
    world = World(mirror=("pods",))
    task = asyncio.create_task(world.mirror.run())
    await world.settle()
    world.definitions.sync(crd())
    await world.settle()
    assert len(world.running_names) == 4

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert world.running_names == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_unreachable_server_is_asked_again_and_again_but_ever_more_rarely() -> None:
    async with World(ScriptedApi(ordinary(), unreachable=True), mirror=("pods",)).running() as world:
        assert world.running_names == sorted(ALWAYS)
        placeholder = world.entry("pods")
        assert placeholder.whole is not None

        await asyncio.sleep(600)
        assert 10 <= readings(world.api) <= 30
        assert placeholder.whole.phase is Phase.INIT
        assert "connection refused" in placeholder.whole.reason

        world.api.unreachable = False
        await asyncio.sleep(61)
        assert world.entry("pods").resource.kind == "Pod"
        assert world.reflector("pods").running


async def test_discovery_is_read_again_now_and_then() -> None:
    async with World().running() as world:
        world.definitions.sync()
        await asyncio.sleep(10 * DISCOVERY_SECONDS)

        assert 9 <= readings(world.api) <= 13


async def test_a_named_resource_that_turns_gone_makes_discovery_be_read() -> None:
    async with World(mirror=("pods",)).running() as world:
        world.definitions.sync()
        await asyncio.sleep(LEAST_SECONDS)
        before = readings(world.api)
        world.reflector("pods").sync(instance("a"))

        del world.api.groups[""]["v1"][4]
        world.reflector("pods").phase(Phase.GONE, "404")
        await asyncio.sleep(LEAST_SECONDS + 1)

        assert readings(world.api) == before + 1
        whole = world.entry("pods").whole
        assert whole is not None
        assert whole.phase is Phase.GONE
        assert 'no resource "pods"' in whole.reason
        assert not world.reflector("pods").running


async def test_what_turns_gone_and_gone_again_does_not_make_a_hot_loop() -> None:
    async with World(mirror=("pods",)).running() as world:
        world.definitions.sync()
        await asyncio.sleep(LEAST_SECONDS)
        before = readings(world.api)
        for _ in range(600):
            world.reflector("pods").phase(Phase.GONE, "404")
            world.reflector("pods").phase(Phase.INIT)
            await asyncio.sleep(0.1)

        assert readings(world.api) - before <= 60 / LEAST_SECONDS + 1


async def test_an_unknown_name_is_a_state_that_is_looked_for_again() -> None:
    async with World(mirror=("foos", "jobs")).running() as world:
        world.definitions.sync()
        await world.settle()
        whole = world.entry("jobs").whole
        assert whole is not None
        assert (whole.phase, whole.reason) == (
            Phase.GONE,
            'the API server has no resource "jobs"; it is looked for again',
        )
        assert world.entry("jobs").required
        assert world.catalog.resolve("", "", "jobs") is None

        world.api.groups["batch"] = {"v1": [listed("jobs", "Job")]}
        await asyncio.sleep(IMPATIENT_SECONDS * 1.2 + 1)
        assert "jobs" not in world.catalog
        assert world.entry("jobs.batch").required

        world.definitions.apply(crd())  # needs no discovery
        assert "foos" not in world.catalog
        assert world.entry("foos.clux.dev").required


async def test_a_named_custom_resource_stays_visible_when_its_definition_goes() -> None:
    groups = {**ordinary(), "clux.dev": {"v1": [listed("foos", "Foo")]}}
    async with World(ScriptedApi(groups), mirror=("foos.clux.dev",)).running() as world:
        world.definitions.sync(crd())
        world.reflector("foos.clux.dev").sync()
        await world.settle()

        world.definitions.delete(crd())
        whole = world.entry("foos.clux.dev").whole
        assert whole is not None
        assert whole.phase is Phase.GONE
        assert world.entry("foos.clux.dev").resource.versions == ()

        world.definitions.apply(crd(uid="uid-2"))
        assert world.entry("foos.clux.dev").resource.uid == "uid-2"
        assert len(world.catalog) == 3


async def test_a_name_that_can_be_none_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"'\*' is no resource"):
        World(mirror=("*",))


async def test_an_aggregated_api_that_is_down_makes_only_its_group_stale() -> None:
    groups = {**ordinary(), "wardle.example.com": {"v1": [listed("flunders", "Flunder")]}}
    groups["metrics.k8s.io"] = {"v1beta1": [listed("nodes", "NodeMetrics")]}
    async with World(ScriptedApi(groups), mirror=("flunders",)).running() as world:
        world.definitions.sync()
        flunders = world.reflector("flunders.wardle.example.com")
        made = len(world.reflectors)

        world.api.stale = {("wardle.example.com", "v1"), ("metrics.k8s.io", "v1beta1")}
        await asyncio.sleep(DISCOVERY_SECONDS * 1.3)

        assert list(world.catalog.stale_groups) == [("wardle.example.com", "v1")]  # nobody asked for metrics
        assert flunders.running
        assert len(world.reflectors) == made

        world.api.stale = set()
        await asyncio.sleep(IMPATIENT_SECONDS * 1.3)
        assert world.catalog.stale_groups == {}


async def test_storage_version_hashes_are_told_once_read() -> None:
    async with World().running() as world:
        assert world.entry("deployments.apps").resource.versions[0].storage_version_hash == "8aSe+NMegvE="
        made = len(world.reflectors)

        world.api.groups["apps"]["v1"][0]["storageVersionHash"] = "changed"
        world.api.groups["batch"] = {"v1": []}
        await asyncio.sleep(DISCOVERY_SECONDS * 1.3)

        assert world.entry("deployments.apps").resource.versions[0].storage_version_hash == "changed"
        assert len(world.reflectors) == made


async def test_two_hundred_definitions_at_start_are_spread_out() -> None:
    async with World().running() as world:
        written = [crd(f"r{at}s", "many.dev", kind=f"R{at}", uid=f"uid-{at}") for at in range(200)]
        world.definitions.sync(*written)
        assert len(world.catalog) == 202

        await asyncio.sleep(0)
        begun = [len(world.running_names) - 2]
        for _ in range(10):
            await asyncio.sleep(200 * SPREAD_SECONDS / 10)
            begun.append(len(world.running_names) - 2)

        assert begun[0] == 0
        assert begun[-1] >= 200 - 2
        assert max(later - earlier for earlier, later in pairwise(begun)) < 50


async def test_a_single_new_definition_is_not_held_back() -> None:
    async with World().running() as world:
        world.definitions.sync()
        world.definitions.apply(crd())
        await asyncio.sleep(SPREAD_SECONDS)

        assert world.reflector("foos.clux.dev").running


async def test_excluded_definitions_are_not_mirrored_and_discovery_tells_in_their_place() -> None:
    groups = {**ordinary(), "clux.dev": {"v1": [listed("foos", "Foo")]}}
    async with World(ScriptedApi(groups), exclude=("crds",)).running() as world:
        assert world.names == ["deployments.apps", "foos.clux.dev"]
        assert world.entry("foos.clux.dev").required  # there at start

        world.api.groups["new.dev"] = {"v1": [listed("bars", "Bar")]}
        await asyncio.sleep(IMPATIENT_SECONDS * 1.3)
        assert world.names[-1] == "bars.new.dev"
        assert not world.entry("bars.new.dev").required


async def test_with_namespaces_each_has_a_store_and_definitions_are_not_needed() -> None:
    custom = [listed("foos", "Foo"), listed("planets", "Planet", namespaced=False)]
    api = ScriptedApi({**ordinary(), "clux.dev": {"v1": custom}})
    async with World(api, namespace=("a", "b"), mirror=("pods",)).running() as world:
        world.definitions.phase(Phase.FORBIDDEN, "403")
        await world.settle()

        assert {entry.resource.name: sorted(entry.stores) for entry in world.catalog} == {
            "pods": ["a", "b"],
            "deployments.apps": ["a", "b"],
            DEFINITIONS: [""],
            "foos.clux.dev": ["a", "b"],
        }
        assert [entry.resource.name for entry in world.catalog if entry.required] == [
            "pods",
            "deployments.apps",
            "foos.clux.dev",
        ]
        world.reflector("foos.clux.dev", "a").sync()
        assert world.entry("foos.clux.dev").required
        world.reflector("foos.clux.dev", "b").phase(Phase.FORBIDDEN)
        assert not world.entry("foos.clux.dev").required
        assert world.running_names.count("deployments.apps") == 2
        assert world.definitions.running  # asked for again, as any forbidden resource


async def test_secrets_are_held_as_metadata_only() -> None:
    async with World(mirror=("secrets",)).running() as world:
        assert world.reflector("secrets").resource.metadata_only


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("deploy", ["deployments.apps"]),
        ("po", ["pods"]),
        (None, [DEFINITIONS, "deployments.apps", "pods"]),
        ("nothing", []),
    ],
)
async def test_a_refresh_lists_again_what_is_named(name: str | None, names: Sequence[str]) -> None:
    async with World(mirror=("pods",)).running() as world:
        world.definitions.sync()
        await asyncio.sleep(LEAST_SECONDS)

        assert await world.mirror.refresh(name) == names
        assert sorted(each.resource.name for each in world.reflectors if each.reasons == ["refresh"]) == sorted(names)


async def test_a_refresh_of_everything_reads_discovery_too() -> None:
    async with World().running() as world:
        world.definitions.sync()
        await asyncio.sleep(LEAST_SECONDS)
        world.api.groups["batch"] = {"v1": []}
        before = readings(world.api)

        await world.mirror.refresh(None)
        await world.settle()

        assert readings(world.api) == before + 1


async def test_a_change_of_an_api_service_makes_discovery_be_read() -> None:
    groups = ordinary()
    groups["apiregistration.k8s.io"] = {"v1": [listed("apiservices", "APIService", namespaced=False)]}
    async with World(ScriptedApi(groups), mirror=("apiservices",)).running() as world:
        world.definitions.sync()
        services = world.reflector("apiservices.apiregistration.k8s.io")
        services.sync()
        await asyncio.sleep(LEAST_SECONDS)
        before = readings(world.api)

        services.apply({"metadata": {"name": "v1beta1.metrics.k8s.io", "uid": "1"}})
        await asyncio.sleep(LEAST_SECONDS)

        assert readings(world.api) == before + 1
