"""One resource of the demo cluster: its rules, its store, and how its objects become bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from kubemirror.demo.cells import CellPrinter, cell_printer
from kubemirror.demo.definitions import resource_of
from kubemirror.demo.kinds import Kind
from kubemirror.serve.status import go_json
from kubemirror.state.catalog import ALL_NAMESPACES, Entry, Resource
from kubemirror.state.events import Apply, Bookmark, Columns, Delete, Init, InitApply, InitDone, Phase, PhaseChange
from kubemirror.state.objects import Object, plain, with_resource_version
from kubemirror.state.store import Reader, Writer

Fields = dict[str, Any]

_METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


class Shelf:
    """The authority on one resource. All its writes carry resourceVersions given out by the cluster."""

    def __init__(self, kind: Kind, *, writer: Writer, wall: Callable[[], float], resource_version: int) -> None:
        self.kind = kind
        self.writer = writer
        self.schemas: dict[str, Fields] = {}
        self.terminating = False  # its definition is being deleted: nothing new is taken
        self._wall = wall
        self._ingest = plain(api_version=self.resource.api_version, kind=self.resource.kind)
        self._printer: CellPrinter = cell_printer(self.resource, self.resource.version)
        writer.handle(Init())
        writer.handle(InitDone(resource_version))
        writer.handle(PhaseChange(Phase.SYNCED))
        writer.handle(Columns(self._printer.definitions))

    @property
    def resource(self) -> Resource:
        return self.kind.resource

    @property
    def reader(self) -> Reader:
        return self.writer.reader

    @property
    def entry(self) -> Entry:
        return Entry(self.resource, {ALL_NAMESPACES: self.reader}, required=True)

    # -- objects as bytes -------------------------------------------------------------------------------

    def ordered(self, obj: Fields) -> Fields:
        """``obj`` with its fields in the order the API server writes them: sorted for custom resources."""
        if self.resource.custom:
            return obj  # sorted when written
        held = obj["metadata"]
        metadata = {name: held[name] for name in _METADATA_ORDER if name in held}
        metadata.update({name: value for name, value in held.items() if name not in metadata})
        rest = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion", "metadata")}
        return {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata, **rest}

    def encode(self, obj: Fields) -> bytes:
        """The object's JSON, as the API server answers it."""
        return go_json(obj, sort_keys=self.resource.custom)

    def object(self, obj: Fields) -> Object:
        """What the store holds for ``obj`` (fields in order, resourceVersion given)."""
        cells = b""
        if self._printer.definitions:
            printed = orjson.dumps(self._printer.cells(obj, self._wall()))
            cells = bytes(memoryview(printed))  # an encoder's result keeps its buffer: the copy is as large as it is
        return self._ingest.object(self.encode(obj), cells)

    # -- the store --------------------------------------------------------------------------------------

    def put(self, new: Object) -> None:
        self.writer.handle(Apply(new))

    def drop(self, held: Object, resource_version: int) -> None:
        self.writer.handle(Delete(with_resource_version(held, resource_version)))

    def progress(self, resource_version: int) -> None:
        """Tell the store how far the cluster is: a quiet resource is as new as a busy one."""
        if self.reader.resource_version < resource_version:
            self.writer.handle(Bookmark(resource_version))

    def restore(self, kind: Kind, objects: tuple[Object, ...], resource_version: int) -> None:
        """Be what it was at an earlier time, as after an etcd restore: every reader starts over."""
        self._become(kind)
        self.writer.handle(Init())
        for held in objects:
            self.writer.handle(InitApply(held))
        self.writer.handle(InitDone(resource_version, rollback=True))

    def close(self, reason: str) -> None:
        """The resource is there no more: streams end."""
        self.writer.handle(PhaseChange(Phase.GONE, reason))

    def redefine(self, definition: Fields) -> None:
        """Follow a change of the definition: names, versions, schemas, columns. Objects keep their versions."""
        resource, before = resource_of(definition), self.resource
        self.schemas = {
            version["name"]: version["schema"]["openAPIV3Schema"] for version in definition["spec"]["versions"]
        }
        self._become(Kind(resource, unconditional=False))
        if (resource.version, resource.versions) == (before.version, before.versions):
            return
        reprinted = {}
        for held in self.reader.snapshot().objects:
            obj = orjson.loads(held.raw)
            obj["apiVersion"] = resource.api_version
            reprinted[held.key] = self.object(obj)
        self.writer.refresh_cells(reprinted)

    def _become(self, kind: Kind) -> None:
        self.kind = kind
        self._ingest = plain(api_version=self.resource.api_version, kind=self.resource.kind)
        self._printer = cell_printer(self.resource, self.resource.version)
        self.writer.handle(Columns(self._printer.definitions))
