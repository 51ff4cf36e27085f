"""What all objects say of themselves, counted by namespace: verdicts, and which images they run.

Made namespace by namespace and kept under the namespace's version, so that a change costs its namespace one pass over
its names, and one decoded object. The first pass over 10,000 Deployments takes some 200 ms; it lets others run every
few milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

from kubemirror.serve.reading import Reading
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.state.store import Reader
from kubemirror.views.computed import judged, short
from kubemirror.views.conditions import Tone
from kubemirror.views.ownership import references
from kubemirror.views.verdicts import Verdict
from kubemirror.views.versions import versions

# Others run after this many seconds of surveying.
SLICE_SECONDS = 0.004
# Who decides about images; what these make (ReplicaSets, Pods, Jobs) repeats them.
RUNNERS = frozenset({"deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch"})
# Not as wanted, or not yet.
TROUBLED = frozenset({Tone.BAD, Tone.WARN, Tone.BUSY, Tone.UNKNOWN})
# Kinds that come by the hundred thousand: of those that are as wanted no more than that is kept.
MANY = frozenset({"pods", "replicasets.apps", "jobs.batch"})


class Run(NamedTuple):
    """One image in one workload: its name, its version, and that in short."""

    image: str
    version: str
    short: str


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """One object. owner: uid of its controller, "" for none.

    verdict: None where there is none, and where it is not kept: of many kinds' objects that are as wanted.
    """

    held: Object
    tone: Tone | None
    verdict: Verdict | None
    owner: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One namespace of one store, as of a version: another version is another Part.

    troubled: those whose verdict is in TROUBLED. images: by (image, version), who runs it.
    """

    resource: Resource
    namespace: str
    version: tuple[int, int]
    counts: Counter[Tone]
    troubled: tuple[Surveyed, ...]
    images: Mapping[tuple[str, str], tuple[Surveyed, ...]]


class _Known:
    """The objects of one resource that were looked at, by namespace and name."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.spaces: dict[str, dict[str, Surveyed]] = {}


class Survey:
    """The parts of all stores that were ever asked about."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Reader, dict[str, Part]] = WeakKeyDictionary()
        self._known: dict[str, _Known] = {}
        self._lock = asyncio.Lock()

    async def parts(self, reading: Reading) -> list[Part]:
        """The namespaces of ``reading``, each as it is when its turn comes."""
        resource = reading.entry.resource
        async with self._lock:  # who comes second finds it done
            found: list[Part] = []
            until = time.perf_counter() + SLICE_SECONDS
            for reader, namespace in reading.parts():
                self._forget(resource, reader)
                for each in reader.namespaces if namespace is None else (namespace,):
                    found.append(self._part(resource, reader, each))
                    if time.perf_counter() >= until:
                        await asyncio.sleep(0)
                        until = time.perf_counter() + SLICE_SECONDS
            return found

    def verdict(self, resource: Resource, held: Object) -> Verdict | None:
        """The verdict on one object, found once for each version of it where it is kept."""
        found = self._one(resource, held)
        if found.verdict is None and found.tone is not None:
            return judged(resource, held)
        return found.verdict

    def runs(self, resource: Resource, held: Object) -> tuple[Run, ...]:
        """The images that one workload runs, found once for each version of it."""
        return self._one(resource, held).runs if resource.name in RUNNERS else runs(resource, held)

    def _one(self, resource: Resource, held: Object) -> Surveyed:
        known = self._of(resource).spaces.setdefault(held.namespace, {})
        found = known.get(held.name)
        if found is None or found.held is not held:
            found = known[held.name] = surveyed(resource, held)
        return found

    def _of(self, resource: Resource) -> _Known:
        known = self._known.get(resource.name)
        if known is None or known.resource is not resource:  # another definition: what was said is forgotten
            known = self._known[resource.name] = _Known(resource)
        return known

    def _part(self, resource: Resource, reader: Reader, namespace: str) -> Part:
        kept = self._kept.setdefault(reader, {})
        part = kept.get(namespace)
        version = (reader.epoch, reader.version(namespace))
        if part is not None and part.version == version and part.resource is resource:
            return part
        spaces = self._of(resource).spaces
        before = spaces.get(namespace, {})
        objects: dict[str, Surveyed] = {}
        for held in reader.snapshot(namespace).objects:
            known = before.get(held.name)
            objects[held.name] = known if known is not None and known.held is held else surveyed(resource, held)
        spaces[namespace] = objects
        part = kept[namespace] = Part(
            resource,
            namespace,
            version,
            Counter(each.tone for each in objects.values() if each.tone is not None),
            tuple(each for each in objects.values() if each.tone in TROUBLED),
            _images(objects.values()),
        )
        return part

    def _forget(self, resource: Resource, reader: Reader) -> None:
        """Namespaces that hold nothing any more."""
        kept = self._kept.get(reader)
        if kept is None or len(kept) <= len(reader.namespaces):
            return
        spaces = self._of(resource).spaces
        for gone in kept.keys() - set(reader.namespaces):
            del kept[gone]
            spaces.pop(gone, None)


def _images(objects: Iterable[Surveyed]) -> dict[tuple[str, str], tuple[Surveyed, ...]]:
    found: dict[tuple[str, str], list[Surveyed]] = {}
    for each in objects:
        for run in each.runs:
            found.setdefault((run.image, run.version), []).append(each)
    return {image: tuple(runs) for image, runs in found.items()}


def surveyed(resource: Resource, held: Object) -> Surveyed:
    """What one object says of itself."""
    found = judged(resource, held)
    tone = found.tone if found is not None else None
    troubled = tone in TROUBLED
    return Surveyed(
        held,
        tone,
        found if troubled or resource.name not in MANY else None,
        next((each.uid for each in references(held) if each.controller), "") if troubled else "",
        runs(resource, held) if resource.name in RUNNERS else (),
    )


def runs(resource: Resource, held: Object) -> tuple[Run, ...]:
    """The images of one workload's containers, each version of them once."""
    item = versions(held, resource, wide=True)
    if item is None:
        return ()
    return tuple({Run(each["container"], each["version"], short(each["image"])): None for each in item["containers"]})
