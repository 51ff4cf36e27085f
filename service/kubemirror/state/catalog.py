"""Every mirrored resource: its names, scope, served versions, and the stores that hold it.

A resource has one store (or one per namespace, where only namespaces may be read) and several served
versions; each version has its own columns and selectable fields. The catalog is what discovery, name
look-up (as kubectl does it), pages and metrics read; the mirror in kube/ and the demo are who write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kubemirror.state.store import Reader

ALL_NAMESPACES = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One additionalPrinterColumn of a CRD version, or what we know of a built-in's."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version under which clients may ask for the resource.

    columns: the CRD version's additionalPrinterColumns; () for built-ins and for CRDs without any.
    selectable_fields: JSON paths with the leading dot, as the CRD names them.
    subresources: where this version has others than the resource as a whole; None: the same.
    """

    name: str
    columns: tuple[Column, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    storage_version_hash: str = ""
    deprecation_warning: str = ""
    subresources: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """What is known of a resource, as upstream's discovery tells it.

    group: "" for the core group. version: the version the stores hold, one of ``versions``.
    versions: in discovery's order, preferred first.
    custom: an instance of a CustomResourceDefinition; ``uid`` is then the definition's.
    metadata_only: only apiVersion, kind and metadata are held (Secrets).
    subresources: e.g. ("status", "scale"), as discovery lists them.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    versions: tuple[ServedVersion, ...]
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    custom: bool = False
    metadata_only: bool = False
    uid: str = ""

    @property
    def name(self) -> str:
        """``deployments.apps``, ``pods``: the name that identifies a resource everywhere in this project."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """apiVersion of the held objects: ``apps/v1``, ``v1``."""
        return self.api_version_of(self.version)

    def api_version_of(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version

    @property
    def effective_list_kind(self) -> str:
        return self.list_kind or f"{self.kind}List"

    def serves_as(self, other: Resource) -> bool:
        """Whether both are the same to whoever reads them: storageVersionHashes, told by discovery alone, aside."""
        return self is other or self == other or _without_hashes(self) == _without_hashes(other)

    def served(self, version: str) -> ServedVersion | None:
        """The served version of that name, or None."""
        return next((served for served in self.versions if served.name == version), None)

    def subresources_of(self, version: str) -> tuple[str, ...]:
        """The subresources of one served version."""
        served = self.served(version)
        return self.subresources if served is None or served.subresources is None else served.subresources

    @property
    def path(self) -> str:
        """Path of the resource's API group version upstream: ``/apis/apps/v1``, ``/api/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def _without_hashes(resource: Resource) -> Resource:
    return replace(resource, versions=tuple(replace(each, storage_version_hash="") for each in resource.versions))


@dataclass(slots=True)
class Entry:
    """A resource and its stores: one under ALL_NAMESPACES, or one per readable namespace."""

    resource: Resource
    stores: Mapping[str, Reader]
    required: bool = False  # whether readiness waits for it

    @property
    def whole(self) -> Reader | None:
        """The store of all namespaces; None where the resource is mirrored namespace by namespace."""
        return self.stores.get(ALL_NAMESPACES)

    def reader(self, namespace: str | None) -> Reader | None:
        """The store that answers for ``namespace`` (None: for all of them), or None where none can."""
        whole = self.whole
        if whole is not None or namespace is None:
            return whole
        return self.stores.get(namespace)

    @property
    def synced(self) -> bool:
        return all(reader.synced for reader in self.stores.values())


@dataclass(slots=True)
class GroupVersionState:
    """What is wrong with one group version upstream; told as Stale in discovery."""

    group: str
    version: str
    reason: str


@dataclass
class Catalog:
    """The mirrored resources, in upstream's discovery order.

    complete: whether what is not in it is not mirrored; before, it is perhaps only not known yet.
    """

    complete: bool = True
    version: int = 0  # moves with every change: what discovery documents are cached under
    stale_groups: dict[tuple[str, str], GroupVersionState] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _order: Callable[[Resource], object] | None = None
    _listeners: dict[object, Callable[[], None]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry]:
        entries: list[Entry] = list(self._entries.values())
        if self._order is not None:
            order = self._order
            entries.sort(key=lambda entry: order(entry.resource))  # type: ignore[arg-type,return-value]
        return iter(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def order_by(self, order: Callable[[Resource], object]) -> None:
        """How entries are listed: upstream's discovery order, told by whoever read it."""
        self._order = order
        self._moved()

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the one of that name."""
        self._entries[entry.resource.name] = entry
        self._moved()

    def remove(self, name: str) -> Entry | None:
        """Take an entry out; its streams end by its Writer's GONE, not by this."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._moved()
        return entry

    def mark_stale(self, group: str, version: str, reason: str | None) -> None:
        """Say that upstream's discovery of a group version failed (None: works again)."""
        if reason is None:
            self.stale_groups.pop((group, version), None)
        else:
            self.stale_groups[group, version] = GroupVersionState(group, version, reason)
        self._moved()

    def get(self, name: str) -> Entry | None:
        """By identity: ``deployments.apps``."""
        return self._entries.get(name)

    def resolve(self, group: str, version: str, plural: str) -> tuple[Entry, ServedVersion] | None:
        """By what a Kubernetes path names; None where it is not mirrored or not served in that version."""
        entry = self._entries.get(f"{plural}.{group}" if group else plural)
        if entry is None:
            return None
        served = entry.resource.served(version)
        return None if served is None else (entry, served)

    def find(self, name: str) -> Entry | None:
        """By any name kubectl takes: plural, singular, short name or kind, then ``[.version][.group]``.

        Case-insensitive. Ties go to the earliest in discovery order, as kubectl's RESTMapper does.
        """
        wanted = name.lower()
        exact = self._entries.get(wanted)
        if exact is not None:
            return exact
        head, _, rest = wanted.partition(".")
        for entry in self:
            resource = entry.resource
            names = {
                resource.plural,
                resource.singular.lower(),
                resource.kind.lower(),
                *map(str.lower, resource.short_names),
            }
            if head not in names:
                continue
            if not rest or rest == resource.group:
                return entry
            version, _, group = rest.partition(".")
            if group == resource.group and resource.served(version) is not None:
                return entry
            if resource.group.startswith(rest + "."):  # kubectl's group prefix: deployments.app
                return entry
        return None

    def names(self) -> list[str]:
        """Every name ``find`` takes, for suggestions."""
        names: set[str] = set()
        for entry in self:
            resource = entry.resource
            names |= {resource.name, resource.plural, resource.singular, resource.kind.lower(), *resource.short_names}
        return sorted(names)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each change of the catalog, until the returned function is called."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    def _moved(self) -> None:
        self.version += 1
        for listener in list(self._listeners.values()):
            listener()
