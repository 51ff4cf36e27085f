"""A mirror without a cluster: stores written by hand, served by the real application."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubemirror.access.audit import Audit
from kubemirror.access.authorizer import AllowAll, Authenticator, Authorizer, NobodyInParticular
from kubemirror.access.grants import Grants
from kubemirror.serve.certificate import Certificate
from kubemirror.serve.context import Context
from kubemirror.settings import Settings
from kubemirror.state.catalog import ALL_NAMESPACES, Catalog, Entry, Resource, ServedVersion
from kubemirror.state.events import Apply, Bookmark, Columns, Delete, Init, InitApply, InitDone, Phase, PhaseChange
from kubemirror.state.masking import redaction_of
from kubemirror.state.objects import Ingest, Object
from kubemirror.state.store import Writer
from kubemirror.state.upstream import Document

DEPLOYMENTS = Resource(
    group="apps",
    version="v1",
    plural="deployments",
    singular="deployment",
    kind="Deployment",
    namespaced=True,
    versions=(ServedVersion("v1"),),
    short_names=("deploy",),
)
NODES = Resource(
    group="",
    version="v1",
    plural="nodes",
    singular="node",
    kind="Node",
    namespaced=False,
    versions=(ServedVersion("v1"),),
    short_names=("no",),
)
WIDGETS = Resource(
    group="example.com",
    version="v1",
    plural="widgets",
    singular="widget",
    kind="Widget",
    namespaced=True,
    versions=(ServedVersion("v1"),),
    custom=True,
)

COLUMNS = json.dumps(
    [
        {"name": "Name", "type": "string", "format": "name", "description": "The name.", "priority": 0},
        {"name": "Ready", "type": "string", "format": "", "description": "Ready of desired.", "priority": 0},
        {"name": "Age", "type": "string", "format": "", "description": "Since creation.", "priority": 0},
        {"name": "Images", "type": "string", "format": "", "description": "Images.", "priority": 1},
    ]
).encode()


class NoUpstream:
    """An API server that is hardly ever to be asked; what it is asked is kept.

    newest: how far it says that it is; None where it cannot tell.
    """

    def __init__(self) -> None:
        self.refreshed: list[str | None] = []
        self.newest: int | None = None
        self.looked = 0

    async def fetch(self, path: str, *, query: str = "", accept: str = "application/json") -> Document:
        return Document(200, "application/json", b"{}")

    async def create(self, group: str, kind: str, spec: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        raise AssertionError("no review is asked for here")

    async def current(self, resource: Resource, namespace: str = "") -> int:
        raise AssertionError("no current resourceVersion is asked for here")

    async def horizon(self, resource: Resource, namespace: str = "") -> int | None:
        self.looked += 1
        return self.newest

    async def digest(self, resource: Resource, namespace: str = "") -> int:
        raise AssertionError("no digest is asked for here")

    async def refresh(self, name: str | None) -> list[str]:
        self.refreshed.append(name)
        return [name] if name is not None else ["deployments.apps", "nodes"]


class Store:
    """One store of the world, and how a test writes to it."""

    def __init__(self, resource: Resource, clock: Callable[[], float], settings: Settings) -> None:
        self.resource = resource
        self.writer = Writer(clock=clock)
        self.reader = self.writer.reader
        self._ingest = Ingest(api_version=resource.api_version, kind=resource.kind, redaction=redaction_of(settings))

    def object(self, resource_version: int, name: str, namespace: str = "default", **fields: Any) -> Object:
        """An object of this resource. image, labels, created and cells have short ways; others go in as they are."""
        image = fields.pop("image", "registry.example:5000/team/web:1.0")
        metadata: dict[str, Any] = {
            "name": name,
            "uid": fields.pop("uid", f"uid-{namespace}-{name}"),
            "resourceVersion": str(resource_version),
            "creationTimestamp": fields.pop("created", "2026-01-02T03:04:05Z"),
        }
        if self.resource.namespaced:
            metadata["namespace"] = namespace
        if "labels" in fields:
            metadata["labels"] = fields.pop("labels")
        if "annotations" in fields:
            metadata["annotations"] = fields.pop("annotations")
        cells = fields.pop("cells", [name, "1/1", "3d", image])
        body: dict[str, Any] = {"metadata": metadata, **fields}
        if self.resource.kind == "Deployment":
            body.setdefault("spec", {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}})
        return self._ingest.object(json.dumps(body).encode(), json.dumps(cells).encode())

    def sync(self, *objects: Object, resource_version: int = 100) -> None:
        """A complete first list."""
        self.writer.handle(Columns(COLUMNS))
        self.relist(*objects, resource_version=resource_version)
        self.phase(Phase.SYNCED)

    def relist(self, *objects: Object, resource_version: int, rollback: bool = False) -> None:
        self.writer.handle(Init())
        for each in objects:
            self.writer.handle(InitApply(each))
        self.writer.handle(InitDone(resource_version, rollback=rollback))

    def apply(self, resource_version: int, name: str, namespace: str = "default", **fields: Any) -> None:
        self.writer.handle(Apply(self.object(resource_version, name, namespace, **fields)))

    def delete(self, resource_version: int, name: str, namespace: str = "default", **fields: Any) -> None:
        self.writer.handle(Delete(self.object(resource_version, name, namespace, **fields)))

    def bookmark(self, resource_version: int) -> None:
        self.writer.handle(Bookmark(resource_version))

    def phase(self, phase: Phase, reason: str = "") -> None:
        self.writer.handle(PhaseChange(phase, reason))


@dataclass
class World:
    """A catalog, its stores, and the context that the application is given."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    authorizer: Authorizer = field(default_factory=AllowAll)
    authenticator: Authenticator = field(default_factory=NobodyInParticular)
    settings: Settings = field(default_factory=Settings)
    catalog: Catalog = field(default_factory=Catalog)
    upstream: NoUpstream = field(default_factory=NoUpstream)
    certificate: Certificate | None = None
    audit: Audit = field(default_factory=lambda: Audit(None, wall=time.time))
    grants: Grants | None = None

    def mirror(self, resource: Resource = DEPLOYMENTS, *, required: bool = True) -> Store:
        """A resource with one store of all namespaces; not synced yet."""
        store = Store(resource, self.clock, self.settings)
        self.catalog.put(Entry(resource, {ALL_NAMESPACES: store.reader}, required))
        return store

    def mirror_namespaces(self, *namespaces: str, resource: Resource = DEPLOYMENTS) -> dict[str, Store]:
        """A resource with a store per namespace."""
        stores = {namespace: Store(resource, self.clock, self.settings) for namespace in namespaces}
        self.catalog.put(Entry(resource, {name: store.reader for name, store in stores.items()}, required=True))
        return stores

    @property
    def context(self) -> Context:
        if not hasattr(self, "_context"):
            self._context = Context(
                catalog=self.catalog,
                authorizer=self.authorizer,
                authenticator=self.authenticator,
                upstream=self.upstream,
                settings=self.settings,
                clock=self.clock,
                wall=self.wall,
                certificate=self.certificate,
                audit=self.audit,
                grants=self.grants,
            )
        return self._context
