"""The demo cluster's storage: every object under one counter of resourceVersions, and who owns whom.

What follows from a write (garbage collection, the emptying of a namespace, the establishing of a definition) is
queued with ``later`` and done by ``settle`` before the write returns, each step a write with its own resourceVersion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import orjson

from kubemirror.demo import managed_fields
from kubemirror.demo.kinds import Kind, discovery_order
from kubemirror.demo.options import Options
from kubemirror.demo.refusal import not_found
from kubemirror.demo.shelf import Shelf
from kubemirror.state.catalog import Catalog
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import Writer

Fields = dict[str, Any]

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery pkg/util/rand: no vowels, nothing that looks alike


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was held at one resourceVersion; what an etcd backup holds."""

    resource_version: int
    shelves: Mapping[str, tuple[Kind, Mapping[str, Fields], bool, tuple[Object, ...]]]


class Storage:
    """Holds the shelves. Nothing is checked here: that is the cluster's part.

    removed: called with each object that is gone for good, and its shelf.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        seed: int,
        journal_window: float,
        journal_least_bytes: int,
        resource_version: int,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.resource_version = resource_version
        self.catalog = Catalog()
        self.catalog.order_by(discovery_order)
        self.shelves: dict[str, Shelf] = {}
        self.removed: list[Callable[[Shelf, Object, Fields], None]] = []
        self._random = Random(seed)  # noqa: S311 - names and uids of a demo
        self._window = journal_window
        self._least_bytes = journal_least_bytes
        self._dependents: dict[str, set[tuple[str, Key]]] = {}
        self._chores: deque[Callable[[], None]] = deque()
        self._settling = False

    # -- shelves ----------------------------------------------------------------------------------------

    def open(self, kind: Kind) -> Shelf:
        """Begin a resource; it is in the catalog from now on."""
        writer = Writer(clock=self.clock, journal_window=self._window, journal_least_bytes=self._least_bytes)
        shelf = Shelf(kind, writer=writer, wall=self.wall, resource_version=self.resource_version)
        self.shelves[kind.resource.name] = shelf
        self.catalog.put(shelf.entry)
        return shelf

    def close(self, resource: str, reason: str) -> None:
        """End a resource: out of the catalog, its streams over."""
        self.catalog.remove(resource)
        self.shelves.pop(resource).close(reason)

    def held(self, shelf: Shelf, name: str, namespace: str) -> Object:
        """The object, or Refusal 404. A namespaced one without a namespace is looked for in ``default``."""
        if not shelf.resource.namespaced:
            namespace = ""
        held = shelf.reader.get(name, namespace or ("default" if shelf.resource.namespaced else ""))
        if held is None:
            raise not_found(shelf.resource, name)
        return held

    # -- writing ----------------------------------------------------------------------------------------

    def commit(self, shelf: Shelf, new: Fields, old: Fields | None) -> Fields:
        """Store ``new`` under the next resourceVersion; as it is stored."""
        self.resource_version += 1
        new["metadata"]["resourceVersion"] = str(self.resource_version)
        stored = shelf.ordered(new)
        made = shelf.object(stored)
        shelf.put(made)
        self._index(shelf.resource.name, made.key, stored["metadata"], old["metadata"] if old else {})
        return stored

    def remove(self, shelf: Shelf, held: Object) -> None:
        """The end of an object; what follows from it is queued by those who are told."""
        self.resource_version += 1
        shelf.drop(held, self.resource_version)
        metadata: Fields = {}
        if b'"ownerReferences"' in held.raw:
            metadata = decoded(held)["metadata"]
            self._index(shelf.resource.name, held.key, {}, metadata)
        for listener in self.removed:
            listener(shelf, held, metadata)

    def record(self, shelf: Shelf, new: Fields, old: Fields, subresource: str, options: Options) -> None:
        """Write into ``new``'s managedFields what changed against ``old`` (empty: everything)."""
        custom = shelf.resource.custom
        managed_fields.record(
            new["metadata"],
            managed_fields.changed_fields(old, new, custom=custom),
            removed=managed_fields.changed_fields(new, old, custom=custom) if old else None,
            manager=options.manager,
            api_version=shelf.resource.api_version_of(options.version or shelf.resource.version),
            subresource=subresource,
            time=self.now(),
        )

    def later(self, chore: Callable[[], None]) -> None:
        """Queue what follows from the write under way."""
        self._chores.append(chore)

    def settle(self) -> None:
        """Do what is queued, and what that queues."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._chores:
                self._chores.popleft()()
        finally:
            self._settling = False

    # -- owners -----------------------------------------------------------------------------------------

    def dependents(self, uid: str) -> Iterator[tuple[Shelf, Object]]:
        """The objects that name ``uid`` as an owner."""
        for resource, key in sorted(self._dependents.get(uid, ())):
            shelf = self.shelves.get(resource)
            held = shelf.reader.get(key.name, key.namespace) if shelf is not None else None
            if shelf is not None and held is not None:
                yield shelf, held

    def owns(self, uid: str) -> bool:
        return bool(self._dependents.get(uid))

    def _index(self, resource: str, key: Key, metadata: Fields, before: Fields) -> None:
        for reference in before.get("ownerReferences") or ():
            dependents = self._dependents.get(reference["uid"], set())
            dependents.discard((resource, key))
            if not dependents:
                self._dependents.pop(reference["uid"], None)
        for reference in metadata.get("ownerReferences") or ():
            self._dependents.setdefault(reference["uid"], set()).add((resource, key))

    # -- names and time ---------------------------------------------------------------------------------

    def now(self) -> str:
        return timestamp(self.wall())

    def uid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """Random letters and digits, as generated names end in."""
        return "".join(self._random.choice(_SUFFIX) for _ in range(length))

    # -- history ----------------------------------------------------------------------------------------

    def progress(self) -> None:
        for shelf in self.shelves.values():
            shelf.progress(self.resource_version)

    def compact(self, resource_version: int | None) -> None:
        self.progress()
        for shelf in self.shelves.values():
            shelf.writer.compact(self.resource_version if resource_version is None else resource_version)

    def snapshot(self) -> Snapshot:
        shelves = {
            name: (shelf.kind, dict(shelf.schemas), shelf.terminating, shelf.reader.snapshot().objects)
            for name, shelf in self.shelves.items()
        }
        return Snapshot(self.resource_version, shelves)

    def restore(self, snapshot: Snapshot) -> None:
        self.resource_version = snapshot.resource_version
        for name in [name for name in self.shelves if name not in snapshot.shelves]:
            self.close(name, "the cluster was restored to a time before this resource")
        for name, (kind, schemas, terminating, objects) in snapshot.shelves.items():
            shelf = self.shelves.get(name) or self.open(kind)
            shelf.schemas, shelf.terminating = dict(schemas), terminating
            shelf.restore(kind, objects, snapshot.resource_version)
            self.catalog.put(shelf.entry)
        self._dependents.clear()
        for name, shelf in self.shelves.items():
            for held in shelf.reader.snapshot().objects:
                if b'"ownerReferences"' in held.raw:
                    self._index(name, held.key, decoded(held)["metadata"], {})


def decoded(held: Object) -> Fields:
    """The object as a new dict."""
    fields: Fields = orjson.loads(held.raw)
    return fields


def timestamp(seconds: float) -> str:
    """RFC 3339 in whole seconds, as all of Kubernetes' timestamps."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
