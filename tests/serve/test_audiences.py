"""Readers at rest are told by their audience: each hears all of it once and in order, whoever comes and goes.

Readers whose transport is full, who are called away in the middle of a round, and who lie down again while others are
still being told, against histories and slices drawn from a seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from kubemirror.serve import sharing as module
from kubemirror.serve.frame import Frame
from kubemirror.serve.round import Round
from kubemirror.serve.sharing import Audience, Rest, Sharing
from kubemirror.state.journal import EVERYTHING, Change
from kubemirror.state.store import Reader as Stored
from tests.serve.world import World

READERS = 40


class Reader:
    """One of them: what it has heard, by either way."""

    def __init__(self, audience: Audience, stored: Stored, random: Random) -> None:
        self.audience = audience
        self.position = stored.journal.follow(self.wake, EVERYTHING)
        self.random = random
        self.rest: Rest | None = None
        self.woken = False
        self.ready = True
        self.heard: list[int] = []
        self.at_rest = 0

    def wake(self) -> None:
        self.woken = True

    def write(self, data: bytes) -> None:
        assert self.ready
        versions = [int(each) for each in data.split()]
        self.heard += versions
        self.at_rest += len(versions)

    def lie_down(self) -> None:
        if self.rest is None and not self.position.pending:
            self.rest = self.audience.rest(self.position, self, self.wake, ends=float("inf"))

    def rise(self) -> None:
        """What its own task does: go on from where it was told last."""
        if self.rest is not None:
            self.rest.over()
            self.rest = None
        self.woken = False
        self.heard += [change.resource_version for change in self.position.read()]

    def act(self) -> None:
        if self.woken or self.random.random() < 0.1:
            self.rise()
        if self.random.random() < 0.8:
            self.lie_down()
        self.ready = self.random.random() < 0.9


def framed(change: Change) -> Frame:
    return Frame((change.type.value,), b"%d " % change.resource_version)


def written(frames: Sequence[Frame]) -> bytes:
    return b"".join(frame.data for frame in frames)


@pytest.mark.parametrize("many", [1, READERS + 1], ids=["gathered", "at once"])
@pytest.mark.parametrize("seed", range(12))
async def test_everybody_hears_everything_once_and_in_order(
    world: World, seed: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY_READERS", many)
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.0)
    monkeypatch.setattr(module, "_BETWEEN_CLOCKS", 1)
    random = Random(seed)
    store = world.mirror()
    store.sync()
    sharing = Sharing()
    sharing.round = Round(clock=lambda: random.choice((0.0, 0.0, 1.0)))  # a slice is full when it is
    counted: list[str] = []
    audience = Audience(sharing, store.reader.journal, EVERYTHING, framed, written, heard=counted.extend)
    readers = [Reader(audience, store.reader, random) for _ in range(READERS)]
    versions: list[int] = []
    for step in range(150):
        if random.random() < 0.4:
            versions.append(101 + step)
            store.apply(versions[-1], "web", "blue", image=f"web:{step}")
        for reader in random.sample(readers, 10):
            reader.act()
        assert store.reader.journal.positions == READERS
        await asyncio.sleep(0)
    for reader in readers:
        reader.ready = True
        reader.rise()

    assert all(reader.heard == versions for reader in readers)
    assert len(counted) == sum(reader.at_rest for reader in readers) > 10 * READERS


async def test_who_is_told_by_the_audience_is_not_woken(world: World) -> None:
    store = world.mirror()
    store.sync()
    audience = Audience(Sharing(), store.reader.journal, EVERYTHING, framed, written)
    readers = [Reader(audience, store.reader, Random(0)) for _ in range(3)]
    for reader in readers:
        reader.lie_down()
    readers[2].ready = False
    store.apply(101, "web", "blue")
    await asyncio.sleep(0)

    assert [reader.heard for reader in readers] == [[101], [101], []]
    assert [reader.woken for reader in readers] == [False, False, True]


async def test_the_outcome_of_a_relist_is_for_the_readers_own_tasks(world: World) -> None:
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    audience = Audience(Sharing(), store.reader.journal, EVERYTHING, framed, written)
    reader = Reader(audience, store.reader, Random(0))
    reader.lie_down()
    store.relist(store.object(105, "other", "blue"), resource_version=110)
    await asyncio.sleep(0)

    assert reader.woken
    assert not reader.heard
    reader.rise()
    assert reader.heard == [100, 105]
