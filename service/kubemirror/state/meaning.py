"""What a change means: which paths of an object differ, and which of six kinds of change that is.

Pure functions of two versions of one object; for streams that tell only what matters (``changes=image``), for
differences (``as=diff``), and for whoever shows an object's history.

Kinds (a change may be several, or none of them):

    image      a path in spec that ends in ``image``; a container that came or went
    scale      how many are wanted: spec.replicas, minReplicas, maxReplicas, parallelism, completions
    spec       anything outside metadata and status: image and scale are among it
    rollout    how far the wanted state has come: the counts, revisions and observedGeneration of status, the
               readiness and restarts of containers, the revision annotation of a Deployment
    condition  status.phase; a condition that came or went, or whose status or reason changed. Times and
               messages alone are heartbeats, and mean nothing
    meta       labels, annotations (but that revision), owners, finalizers, and that it is being deleted

resourceVersion, managedFields and generation change with every write or with spec: they are no kind, and the first
two are no difference either.

A path is written as the API server writes it in conflicts: ``.spec.template.spec.containers[name="web"].image``.
Items of a list are told apart by name, type or the like where that is unique, by index elsewhere. The order of
conditions means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from re import fullmatch
from typing import Any, NamedTuple

import msgspec
import orjson

from kubemirror.state.objects import Object

# Below this a value is compared as a whole: objects of people are some ten levels deep.
DEEPEST = 64


class Meaning(StrEnum):
    """A kind of change; see the module."""

    IMAGE = "image"
    SCALE = "scale"
    SPEC = "spec"
    ROLLOUT = "rollout"
    CONDITION = "condition"
    META = "meta"


class Item(NamedTuple):
    """A step into a list: the item whose field ``key`` is ``value``, or, where key is "", the one at that index."""

    key: str
    value: str | int


Step = str | Item
_NOTHING: Any = object()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# Equal by Python's == as they are by JSON, where they are of one type (0.0 and -0.0 are not).
_SCALARS = frozenset({str, int, bool, type(None)})
# What tells items of Kubernetes' lists apart, in the order in which it is tried (mountPath before name: mounts of one
# volume share its name).
_KEYS = ("mountPath", "name", "type", "uid", "containerPort", "key", "ip")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_SCALES = frozenset({"replicas", "minReplicas", "maxReplicas", "parallelism", "completions"})
_PROGRESS = frozenset(
    {
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "fullyLabeledReplicas",
        "currentReplicas",
        "currentRevision",
        "updateRevision",
        "collisionCount",
        "currentNumberScheduled",
        "desiredNumberScheduled",
        "numberMisscheduled",
        "numberReady",
        "numberAvailable",
        "numberUnavailable",
        "updatedNumberScheduled",
        "active",
        "ready",
        "succeeded",
        "failed",
    }
)
_CONTAINER_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_CONTAINER_PROGRESS = frozenset({"ready", "started", "restartCount", "image", "imageID"})
_CONDITION_FIELDS = frozenset({"status", "reason"})
_METADATA = frozenset(
    {"labels", "annotations", "ownerReferences", "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds"}
)
_REVISION = "deployment.kubernetes.io/revision"
_WHOLES = frozenset({("status",), ("conditions",), ("labels",), ("annotations",)})
_BOOKKEEPING = frozenset({("metadata", "resourceVersion"), ("metadata", "managedFields")})


@dataclass(frozen=True, slots=True)
class Difference:
    """One path whose value changed; ``old`` or ``new`` is ``Difference.ABSENT`` where there is none."""

    ABSENT = _NOTHING

    steps: tuple[Step, ...]
    old: Any
    new: Any

    @property
    def path(self) -> str:
        return "".join(map(_written, self.steps))

    @property
    def told(self) -> dict[str, Any]:
        """As JSON: ``{"path", "old", "new"}``, without what is absent."""
        values = {"old": self.old, "new": self.new}
        return {"path": self.path, **{name: value for name, value in values.items() if value is not _NOTHING}}

    @property
    def parts(self) -> Iterator[Difference]:
        """Of conditions, a status, labels or annotations that came or went as a whole: what was in it; else itself."""
        gone = self.new is _NOTHING
        whole = self.old if gone else self.new
        if self.steps[-1:] not in _WHOLES or not isinstance(whole, dict | list) or (gone == (self.old is _NOTHING)):
            yield self
            return
        parts = _differences(self.steps, *((whole, type(whole)()) if gone else (type(whole)(), whole)))
        for part in parts:
            yield from part.parts

    @property
    def meanings(self) -> Iterator[Meaning]:
        """The kinds of change that this is."""
        top, *rest = self.steps
        if top == "metadata":
            yield from _of_metadata(rest)
        elif top == "status":
            yield from _of_status(rest)
        else:
            yield Meaning.SPEC
            if top == "spec":
                yield from _of_spec(rest)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two versions of one object."""

    differences: tuple[Difference, ...]
    meanings: frozenset[Meaning]

    @property
    def names(self) -> list[str]:
        """The kinds of change, in the order in which they are documented."""
        return [each.value for each in Meaning if each in self.meanings]


# Readers of one stream ask the same at about the same time; more would keep old states in memory.
@lru_cache(maxsize=64)
def compared(old: Object, new: Object) -> Comparison:
    """What changed from ``old`` to ``new``."""
    before, after = _fields(old.raw), _fields(new.raw)
    apart = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return comparison(_decoded(before, apart), _decoded(after, apart))


def comparison(old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    """What differs between two decoded objects."""
    found = tuple(each for each in _differences((), old, new) if each.steps[:2] not in _BOOKKEEPING)
    return Comparison(found, frozenset(meaning for each in found for meaning in each.meanings))


def _decoded(fields: dict[str, msgspec.Raw], names: list[str]) -> dict[str, Any]:
    """Only what may differ: where a status moved, a pod template need not be decoded."""
    return {name: orjson.loads(bytes(fields[name])) for name in names if name in fields}


# -- which paths differ -------------------------------------------------------------------------------


def _differences(steps: tuple[Step, ...], old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict) and len(steps) < DEEPEST:
        for name in {**old, **new}:
            before, after = old.get(name, _NOTHING), new.get(name, _NOTHING)
            if type(before) in _SCALARS and type(before) is type(after) and before == after:
                continue  # nearly all of them
            yield from _differences((*steps, name), before, after)
    elif isinstance(old, list) and isinstance(new, list) and len(steps) < DEEPEST:
        yield from _of_lists(steps, old, new)
    elif not _same(old, new):
        yield Difference(steps, old, new)


def _of_lists(steps: tuple[Step, ...], old: list[Any], new: list[Any]) -> Iterator[Difference]:
    key = next((key for key in _KEYS if _tells_apart(key, old) and _tells_apart(key, new)), "")
    before = {item[key]: item for item in old} if key else dict(enumerate(old))
    after = {item[key]: item for item in new} if key else dict(enumerate(new))
    ordered = key != "type" or steps[-1] != "conditions"  # controllers put the condition that turned last
    if ordered and before.keys() == after.keys() and list(before) != list(after):
        yield Difference(steps, old, new)  # another order of the same
        return
    for value in {**before, **after}:
        item = Item(key, value)
        yield from _differences((*steps, item), before.get(value, _NOTHING), after.get(value, _NOTHING))


def _tells_apart(key: str, items: Sequence[Any]) -> bool:
    values = [item.get(key) if isinstance(item, dict) else None for item in items]
    return all(type(value) in (str, int) for value in values) and len(set(values)) == len(values)


def _same(old: Any, new: Any) -> bool:
    """Equal as JSON: to Python 1 is True."""
    return old is new or (
        old is not _NOTHING
        and new is not _NOTHING
        and type(old) is type(new)
        and orjson.dumps(old) == orjson.dumps(new)
    )


def _written(step: Step) -> str:
    if isinstance(step, str):
        return f".{step}" if fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step) else f"[{orjson.dumps(step).decode()}]"
    value = orjson.dumps(step.value).decode()
    return f"[{step.key}={value}]" if step.key else f"[{value}]"


# -- what they mean -----------------------------------------------------------------------------------


def _of_metadata(rest: Sequence[Step]) -> Iterator[Meaning]:
    if rest and rest[0] == "annotations" and _REVISION in rest:
        yield Meaning.ROLLOUT
    elif rest and rest[0] in _METADATA:
        yield Meaning.META


def _of_spec(rest: Sequence[Step]) -> Iterator[Meaning]:
    if not rest:
        return
    last = rest[-1]
    container = isinstance(last, Item) and len(rest) > 1 and rest[-2] in _CONTAINERS
    if last == "image" or container or last in _CONTAINERS:
        yield Meaning.IMAGE
    if len(rest) == 1 and last in _SCALES:
        yield Meaning.SCALE


def _of_status(rest: Sequence[Step]) -> Iterator[Meaning]:
    match rest:
        case []:  # came or went as a whole
            yield Meaning.ROLLOUT
            yield Meaning.CONDITION
        case ["phase"] | ["conditions"] | ["conditions", Item()]:
            yield Meaning.CONDITION
        case ["conditions", Item(), field, *_] if field in _CONDITION_FIELDS:
            yield Meaning.CONDITION
        case [field, *inner] if field in _CONTAINER_STATUSES:
            if len(inner) < 2 or inner[1] in _CONTAINER_PROGRESS:
                yield Meaning.ROLLOUT
        case [field] if field in _PROGRESS:
            yield Meaning.ROLLOUT
        case _:
            pass
