"""A CustomResourceDefinition appears, changes and goes; its resource does so with it, and nothing else moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubemirror.errors import ExpiredError, GoneError
from kubemirror.kube.mirror import FAREWELL_SECONDS
from kubemirror.state.events import Phase
from kubemirror.state.journal import ChangeType, Position
from tests.discover.scripted import ScriptedApi, crd, listed, ordinary
from tests.discover.world import DEFINITIONS, World, instance

pytestmark = pytest.mark.looptime

V1 = {"name": "v1", "served": True, "storage": True}
V2 = {"name": "v2", "served": True, "storage": False}
COLUMN = {"name": "Color", "type": "string", "jsonPath": ".spec.color"}


def stream(world: World, name: str = "foos.clux.dev") -> Position:
    reader = world.reflector(name).reader
    return reader.subscribe(reader.resource_version, lambda: None)


async def test_custom_resources_there_at_start_are_mirrored_and_required() -> None:
    async with World().running() as world:
        assert world.names == ["deployments.apps", DEFINITIONS]
        world.definitions.sync(crd(), crd("documents", "kube.rs", kind="Document", uid="uid-2"))

        # In the same step as the definitions: readiness never sees one without the other.
        assert world.names == ["deployments.apps", DEFINITIONS, "foos.clux.dev", "documents.kube.rs"]
        assert world.entry("foos.clux.dev").required
        await world.settle()
        assert "foos.clux.dev" in world.running_names


@pytest.mark.parametrize("end", [Phase.FORBIDDEN, Phase.GONE, Phase.SYNCED])
async def test_a_custom_resource_is_required_until_it_has_answered(end: Phase) -> None:
    async with World().running() as world:
        world.definitions.sync(crd())
        foos = world.reflector("foos.clux.dev")

        foos.phase(Phase.INIT, "upstream answered 500")
        assert world.entry("foos.clux.dev").required
        if end is Phase.SYNCED:
            foos.sync()
        else:
            foos.phase(end)

        assert not world.entry("foos.clux.dev").required


async def test_a_definition_that_appears_is_mirrored_at_once_and_not_required() -> None:
    async with World().running() as world:
        world.definitions.sync()
        asked = len(world.api.asked)

        world.definitions.apply(crd(established=False))
        await world.settle()
        assert "foos.clux.dev" not in world.names
        world.definitions.apply(crd())
        await world.settle()

        assert world.entry("foos.clux.dev").required is False
        assert world.reflector("foos.clux.dev").running
        assert len(world.api.asked) == asked  # no discovery for it


async def test_a_resource_that_is_not_served_yet_is_asked_for_again_within_two_seconds() -> None:
    async with World().running() as world:
        world.definitions.sync()
        world.definitions.apply(crd())
        foos = world.reflector("foos.clux.dev")
        established = asyncio.get_running_loop().time()
        await world.settle()
        foos.phase(Phase.GONE, "404")
        await asyncio.sleep(30)

        times = [at - established for at, reason in foos.asked]
        assert len([at for at in times if at <= 2.0]) >= 3
        assert len(times) <= 9  # and then it is left to the reflector's own backoff


async def test_a_resource_that_is_served_is_not_asked_for_again() -> None:
    async with World().running() as world:
        world.definitions.sync()
        world.definitions.apply(crd())
        world.reflector("foos.clux.dev").sync()
        await asyncio.sleep(60)

        assert world.reflector("foos.clux.dev").asked == []


async def test_status_noise_does_nothing() -> None:
    async with World().running() as world:
        world.definitions.sync(crd())
        await world.settle()
        version, made, asked = world.catalog.version, len(world.reflectors), len(world.api.asked)

        noisy = crd()
        noisy["status"]["conditions"].append({"type": "NonStructuralSchema", "status": "True"})
        noisy["metadata"]["annotations"] = {"touched": "yes"}
        world.definitions.apply(noisy)
        await world.settle()

        assert (world.catalog.version, len(world.reflectors), len(world.api.asked)) == (version, made, asked)


@pytest.mark.parametrize("told", [0, 1, 2])
async def test_a_deleted_definition_ends_its_store_with_a_deletion_for_each_object(told: int) -> None:
    """Those that the API server tells within two seconds at its RVs, and none twice."""
    async with World().running() as world:
        world.definitions.sync(crd())
        foos = world.reflector("foos.clux.dev")
        foos.sync(instance("a"), instance("b"))
        await world.settle()
        position = stream(world)
        held = foos.reader.resource_version

        world.definitions.delete(crd())

        assert "foos.clux.dev" not in world.catalog
        for name in ("a", "b")[:told]:
            await world.settle()
            assert foos.running
            foos.delete(instance(name))
        await (asyncio.sleep(FAREWELL_SECONDS + 0.1) if told < 2 else world.settle())
        changes = position.read()
        assert [change.resource_version > held for change in changes[:told]] == [True] * told
        assert [(change.type, change.object.name) for change in changes] == [
            (ChangeType.DELETED, "a"),
            (ChangeType.DELETED, "b"),
        ]
        with pytest.raises(GoneError, match="its CustomResourceDefinition was deleted"):
            position.read()
        await world.settle()
        assert "foos.clux.dev" not in world.running_names


async def test_a_definition_that_returns_is_mirrored_again() -> None:
    async with World().running() as world:
        world.definitions.sync(crd())
        world.definitions.delete(crd())
        world.definitions.apply(crd(uid="uid-9"))
        await world.settle()

        assert world.entry("foos.clux.dev").resource.uid == "uid-9"
        assert world.running_names.count("foos.clux.dev") == 1


async def test_a_definition_deleted_and_made_again_while_nobody_looked_is_two_definitions() -> None:
    async with World().running() as world:
        world.definitions.sync(crd())
        world.reflector("foos.clux.dev").sync(instance("a"))
        position = stream(world)

        world.definitions.sync(crd(uid="uid-9", scope="Cluster"))

        assert [change.type for change in position.read()] == [ChangeType.DELETED]
        with pytest.raises(GoneError, match="was deleted and defined again"):
            position.read()
        entry = world.entry("foos.clux.dev")
        assert entry.resource.namespaced is False
        assert not entry.synced


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([V1], [V1, V2], "is now mirrored as v2"),
        ([V1, V2], [V1], "is now mirrored as v1"),
        ([V1, V2], [{**V1, "served": False}, V2], "is no longer served as v1"),
    ],
    ids=["a better version", "the mirrored version gone", "another version gone"],
)
async def test_streams_start_over_when_versions_change(
    before: list[dict[str, Any]], after: list[dict[str, Any]], reason: str
) -> None:
    async with World().running() as world:
        world.definitions.sync(crd(versions=before))
        old = world.reflector("foos.clux.dev")
        old.sync(instance("a"))
        position = stream(world)
        await world.settle()

        world.definitions.apply(crd(versions=after))

        with pytest.raises(ExpiredError):
            position.read()
        assert reason in old.reader.reason
        await world.settle()
        assert not old.running
        assert world.reflector("foos.clux.dev").running
        assert world.entry("foos.clux.dev").whole is world.reflector("foos.clux.dev").reader


async def test_a_changed_kind_or_conversion_starts_over() -> None:
    async with World().running() as world:
        world.definitions.sync(crd(versions=[V1, V2]))
        world.definitions.apply(crd(versions=[V1, V2], strategy="Webhook"))
        assert [served.name for served in world.entry("foos.clux.dev").resource.versions] == ["v2"]

        world.definitions.apply(crd(versions=[V1, V2], strategy="Webhook", kind="Fooo"))
        assert world.entry("foos.clux.dev").resource.kind == "Fooo"

        assert sum(each.resource.name == "foos.clux.dev" for each in world.reflectors) == 3


async def test_names_change_without_touching_the_streams() -> None:
    async with World().running() as world:
        world.definitions.sync(crd())
        world.reflector("foos.clux.dev").sync(instance("a"))
        position = stream(world)
        version = world.catalog.version

        world.definitions.apply(crd(short_names=["fo"]))

        assert world.catalog.find("fo") is world.entry("foos.clux.dev")
        assert world.catalog.version > version
        assert position.read() == []
        assert world.entry("foos.clux.dev").synced


async def test_a_version_that_is_added_behind_the_preferred_touches_no_stream() -> None:
    async with World().running() as world:
        world.definitions.sync(crd(versions=[V1]))
        world.reflector("foos.clux.dev").sync(instance("a"))
        position = stream(world)

        world.definitions.apply(crd(versions=[V1, {**V2, "name": "v1beta1"}]))

        assert [served.name for served in world.entry("foos.clux.dev").resource.versions] == ["v1", "v1beta1"]
        assert position.read() == []


async def test_changed_columns_are_listed_again_and_touch_no_stream() -> None:
    async with World().running() as world:
        world.definitions.sync(crd(versions=[V1]))
        world.reflector("foos.clux.dev").sync(instance("a"))
        await world.settle()
        position = stream(world)

        world.definitions.apply(crd(versions=[{**V1, "additionalPrinterColumns": [COLUMN]}]))
        await asyncio.sleep(20)

        assert world.entry("foos.clux.dev").resource.versions[0].columns[0].name == "Color"
        assert set(world.reflector("foos.clux.dev").reasons) == {"columns"}
        assert position.read() == []


async def test_columns_of_another_version_need_no_list() -> None:
    async with World().running() as world:
        world.definitions.sync(crd(versions=[V1, V2]))
        world.reflector("foos.clux.dev").sync()
        world.definitions.apply(crd(versions=[{**V1, "additionalPrinterColumns": [COLUMN]}, V2]))
        await asyncio.sleep(20)

        assert world.reflector("foos.clux.dev").asked == []
        assert world.entry("foos.clux.dev").resource.versions[1].columns[0].name == "Color"


async def test_a_name_reused_in_another_group_is_another_resource() -> None:
    async with World().running() as world:
        world.definitions.sync(crd())
        world.definitions.apply(crd(group="other.dev", uid="uid-2"))
        world.definitions.delete(crd())
        await world.settle()

        assert world.running_names == [DEFINITIONS, "deployments.apps", "foos.other.dev"]


async def test_an_unreadable_definition_disturbs_no_other() -> None:
    async with World().running() as world:
        broken = crd("bars", kind="Bar", uid="uid-2")
        broken["spec"]["versions"] = "none"
        world.definitions.sync(broken, crd())

        assert "foos.clux.dev" in world.catalog
        assert "bars.clux.dev" not in world.catalog


async def test_definitions_forbidden_leave_everything_else_running() -> None:
    groups = {**ordinary(), "clux.dev": {"v1": [listed("foos", "Foo")]}, "new.dev": {"v1": [listed("bars", "Bar")]}}
    async with World(ScriptedApi(groups)).running() as world:
        world.definitions.sync(crd(versions=[{**V1, "additionalPrinterColumns": [COLUMN]}]))
        foos = world.reflector("foos.clux.dev")
        foos.sync(instance("a"))
        position = stream(world)

        world.definitions.phase(Phase.FORBIDDEN, "no more")
        await world.settle()

        assert world.entry("foos.clux.dev").whole is foos.reader
        assert world.entry("foos.clux.dev").resource.versions[0].columns  # what only the definition told
        assert position.read() == []
        assert "bars.new.dev" in world.catalog  # discovery tells of custom resources now

        world.definitions.sync(crd(versions=[{**V1, "additionalPrinterColumns": [COLUMN]}]))
        assert world.entry("foos.clux.dev").whole is foos.reader
        assert "bars.new.dev" not in world.catalog


async def test_definitions_forbidden_while_discovery_lags_or_fails_end_nothing() -> None:
    async with World().running() as world:
        world.definitions.sync(crd(), crd("bars", kind="Bar", uid="uid-2"))  # discovery lists neither yet
        for name in ("foos.clux.dev", "bars.clux.dev"):
            world.reflector(name).sync(instance("a"))
        made = len(world.reflectors)

        world.api.failing["/apis"] = 503
        world.definitions.phase(Phase.FORBIDDEN, "no more")
        await asyncio.sleep(60)
        assert len(world.reflectors) == made
        assert {"foos.clux.dev", "bars.clux.dev"} <= set(world.running_names)

        world.api.failing = {}
        world.api.groups["clux.dev"] = {"v1": [listed("foos", "Foo")]}
        await asyncio.sleep(61)
        assert "foos.clux.dev" in world.running_names
        assert "bars.clux.dev" not in world.catalog  # discovery says so


async def test_one_forbidden_resource_leaves_the_others_alone() -> None:
    async with World().running() as world:
        world.definitions.sync(crd(), crd("documents", "kube.rs", kind="Document", uid="uid-2"))
        world.reflector("foos.clux.dev").sync(instance("a"))
        world.reflector("documents.kube.rs").sync()
        made = len(world.reflectors)

        world.reflector("foos.clux.dev").phase(Phase.FORBIDDEN)
        await asyncio.sleep(120)

        assert len(world.reflectors) == made
        assert world.reflector("documents.kube.rs").reader.phase is Phase.SYNCED
        assert "foos.clux.dev" in world.running_names  # it goes on asking


async def test_groups_that_discovery_does_not_know_yet_come_among_their_like() -> None:
    groups = {**ordinary(), "b.dev": {"v1": [listed("bees", "Bee")]}, "x.dev": {"v1": [listed("exes", "Ex")]}}
    groups["metrics.k8s.io"] = {"v1beta1": [listed("nodes", "NodeMetrics", verbs=["get", "list"])]}
    async with World(ScriptedApi(groups)).running() as world:
        world.definitions.sync(
            crd("bees", "b.dev", kind="Bee", uid="1"),
            crd("exes", "x.dev", kind="Ex", uid="2"),
            crd("ants", "a.dev", kind="Ant", uid="3"),
            crd("cats", "c.dev", kind="Cat", uid="4"),
            crd("apes", "c.dev", kind="Ape", uid="5"),
            crd("zebras", "z.dev", kind="Zebra", uid="6"),
        )

        assert world.names[2:] == [
            "ants.a.dev",
            "bees.b.dev",
            "apes.c.dev",
            "cats.c.dev",
            "exes.x.dev",
            "zebras.z.dev",
        ]
