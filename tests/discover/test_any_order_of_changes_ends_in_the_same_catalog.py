"""Whatever happens to definitions, in whatever order: what runs is what a fresh mirror would run."""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import Any

import pytest

from kubemirror.kube.mirror import FAREWELL_SECONDS
from kubemirror.state.events import Phase
from kubemirror.state.store import Reader
from tests.discover.scripted import crd
from tests.discover.world import DEFINITIONS, World, instance

pytestmark = pytest.mark.looptime

SEEDS = int(os.environ.get("KUBEMIRROR_SEEDS", "40"))
STEPS = 40


def variant(random: Random, plural: str, uid: int) -> dict[str, Any]:
    """Some state of a definition."""
    names = ["v1", "v2", "v1beta1"]
    versions = [
        {
            "name": name,
            "served": random.random() < 0.7,
            "storage": name == "v1",
            "additionalPrinterColumns": [{"name": "C", "type": "string", "jsonPath": random.choice([".a", ".b"])}],
        }
        for name in names
    ]
    return crd(
        plural,
        kind=plural.title(),
        uid=f"{plural}-{uid}",
        scope="Namespaced" if uid % 2 else "Cluster",
        versions=versions,
        established=random.random() < 0.9,
        strategy=random.choice(["None", "None", "Webhook"]),
        short_names=random.sample(["x", "y", "z"], random.randrange(3)),
    )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_runs_is_what_is_defined(seed: int) -> None:
    random = Random(seed)
    defined: dict[str, dict[str, Any]] = {}
    uids = dict.fromkeys(("foos", "bars", "cats"), 0)
    async with World().running() as world:
        world.definitions.sync()
        for _ in range(STEPS):
            plural = random.choice(list(uids))
            match random.choice(["apply", "apply", "apply", "delete", "relist", "forbidden", "sync", "wait"]):
                case "apply":
                    if plural not in defined:
                        uids[plural] += 1
                    defined[plural] = variant(random, plural, uids[plural])
                    if world.definitions.reader.phase is Phase.FORBIDDEN:
                        world.definitions.sync(*defined.values())
                    else:
                        world.definitions.apply(defined[plural])
                case "delete" if plural in defined and world.definitions.reader.phase is not Phase.FORBIDDEN:
                    world.definitions.delete(defined.pop(plural))
                case "relist":
                    for other in list(defined):
                        if random.random() < 0.3:  # deleted and made again while nobody looked
                            uids[other] += 1
                            defined[other] = variant(random, other, uids[other])
                    world.definitions.sync(*defined.values())
                case "forbidden":
                    world.definitions.phase(Phase.FORBIDDEN)
                case "sync" if f"{plural}.clux.dev" in world.catalog:
                    played = world.reflector(f"{plural}.clux.dev")
                    played.sync(*(instance(name) for name in random.sample("abcdef", random.randrange(6))))
                case _:
                    await world.settle()
            only_one_writes_each_store(world)
        world.definitions.sync(*defined.values())
        await asyncio.sleep(FAREWELL_SECONDS + 0.1)
        only_one_writes_each_store(world)
        all_others_have_ended(world)

        fresh = World()
        async with fresh.running():
            fresh.definitions.sync(*defined.values())
            await fresh.settle()
            assert [entry.resource for entry in world.catalog] == [entry.resource for entry in fresh.catalog]
            assert world.running_names == fresh.running_names


def only_one_writes_each_store(world: World) -> None:
    """Every store in the catalog is the newest of its resource."""
    for played in world.reflectors:
        if played.reader in served(world):
            assert played is world.reflector(played.resource.name)
            assert played.reader.journal.ended is None or played.resource.name == DEFINITIONS


def all_others_have_ended(world: World) -> None:
    for played in world.reflectors:
        if played.reader not in served(world):
            assert played.reader.phase is Phase.GONE
            assert played.reader.journal.ended is not None
            assert len(played.reader) == 0


def served(world: World) -> set[Reader]:
    return {reader for entry in world.catalog for reader in entry.stores.values()}
