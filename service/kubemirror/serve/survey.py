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

import orjson

from kubemirror.serve.reading import Reading
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.state.store import Reader
from kubemirror.views.computed import short
from kubemirror.views.conditions import Tone
from kubemirror.views.fields import Fields, maps, text
from kubemirror.views.rollout import verdict
from kubemirror.views.verdicts import Verdict
from kubemirror.views.versions import versions

# Others run after this many seconds of surveying.
SLICE_SECONDS = 0.004
# Who decides about images; what these make (ReplicaSets, Pods, Jobs) repeats them.
RUNNERS = frozenset({"deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch"})
# Not as wanted, or not yet.
TROUBLED = frozenset({Tone.BAD, Tone.WARN, Tone.BUSY, Tone.UNKNOWN})


class Run(NamedTuple):
    """One image in one workload: its name, its version, and that in short."""

    image: str
    version: str
    short: str


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """One object. owner: uid of its controller, "" for none."""

    held: Object
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
    objects: Mapping[str, Surveyed]
    counts: Counter[Tone]
    troubled: tuple[Surveyed, ...]
    images: Mapping[tuple[str, str], tuple[Surveyed, ...]]


class Survey:
    """The parts of all stores that were ever asked about."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Reader, dict[str, Part]] = WeakKeyDictionary()
        self._known: dict[Resource, dict[str, dict[str, Surveyed]]] = {}
        self._lock = asyncio.Lock()

    async def parts(self, reading: Reading) -> list[Part]:
        """The namespaces of ``reading``, each as it is when its turn comes."""
        async with self._lock:  # who comes second finds it done
            found: list[Part] = []
            until = time.perf_counter() + SLICE_SECONDS
            for reader, namespace in reading.parts():
                for each in reader.namespaces if namespace is None else (namespace,):
                    found.append(self._part(reading.entry.resource, reader, each))
                    if time.perf_counter() >= until:
                        await asyncio.sleep(0)
                        until = time.perf_counter() + SLICE_SECONDS
            return found

    def verdict(self, resource: Resource, held: Object) -> Verdict | None:
        """The verdict on one object, found once for each version of it."""
        return self._one(resource, held).verdict

    def runs(self, resource: Resource, held: Object) -> tuple[Run, ...]:
        """The images that one workload runs, found once for each version of it."""
        return self._one(resource, held).runs if resource.name in RUNNERS else runs(resource, held)

    def _one(self, resource: Resource, held: Object) -> Surveyed:
        known = self._spaces(resource).setdefault(held.namespace, {})
        found = known.get(held.name)
        if found is None or found.held is not held:
            found = known[held.name] = surveyed(resource, held)
        return found

    def _spaces(self, resource: Resource) -> dict[str, dict[str, Surveyed]]:
        spaces = self._known.get(resource)
        if spaces is None:  # the resource is another now: what was said under its old definition is forgotten
            for other in [each for each in self._known if each.name == resource.name]:
                del self._known[other]
            spaces = self._known[resource] = {}
        return spaces

    def _part(self, resource: Resource, reader: Reader, namespace: str) -> Part:
        kept = self._kept.setdefault(reader, {})
        part = kept.get(namespace)
        version = (reader.epoch, reader.version(namespace))
        if part is not None and part.version == version and part.resource is resource:
            return part
        spaces = self._spaces(resource)
        before = spaces.get(namespace, {})
        objects: dict[str, Surveyed] = {}
        for held in reader.snapshot(namespace).objects:
            known = before.get(held.name)
            objects[held.name] = known if known is not None and known.held is held else surveyed(resource, held)
        spaces[namespace] = objects
        judged = [(each, each.verdict.tone) for each in objects.values() if each.verdict is not None]
        part = kept[namespace] = Part(
            resource,
            namespace,
            version,
            objects,
            Counter(tone for _, tone in judged),
            tuple(each for each, tone in judged if tone in TROUBLED),
            _images(objects.values()),
        )
        for gone in kept.keys() - set(reader.namespaces) - {namespace}:
            del kept[gone]
            spaces.pop(gone, None)
        return part


def _images(objects: Iterable[Surveyed]) -> dict[tuple[str, str], tuple[Surveyed, ...]]:
    found: dict[tuple[str, str], list[Surveyed]] = {}
    for each in objects:
        for run in each.runs:
            found.setdefault((run.image, run.version), []).append(each)
    return {image: tuple(runs) for image, runs in found.items()}


def surveyed(resource: Resource, held: Object) -> Surveyed:
    """What one object says of itself."""
    if held.error:
        return Surveyed(held, Verdict("Unknown", Tone.UNKNOWN, held.error, "only the header is held"), "", ())
    data: Fields = orjson.loads(held.raw)
    owner = next((text(each, "uid") for each in owners(data) if each.get("controller") is True), "")
    return Surveyed(held, verdict(resource, data), owner, runs(resource, held) if resource.name in RUNNERS else ())


def runs(resource: Resource, held: Object) -> tuple[Run, ...]:
    """The images of one workload's containers, each version of them once."""
    item = versions(held, resource, wide=True)
    if item is None:
        return ()
    return tuple({Run(each["container"], each["version"], short(each["image"])): None for each in item["containers"]})


def owners(data: Fields) -> list[Fields]:
    """metadata.ownerReferences."""
    return maps(data, "metadata", "ownerReferences")
