"""The demo cluster's state: an API server's storage and admission, without sockets, tasks or a clock of its own.

One counter gives out resourceVersions, as one etcd does, over all resources. A write is one synchronous step; what
follows from it (garbage collection, the emptying of a namespace, the establishing of a definition) is done by further
writes before the call returns, each with a resourceVersion of its own, so a watcher sees what it would see elsewhere.
Refused writes raise ``Refusal`` with the API server's code, reason and text.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import orjson

from kubemirror.demo import definitions, managed_fields, schema, validation
from kubemirror.demo.kinds import BUILT_IN, DEFINITIONS, NAMESPACES, PODS, Kind, discovery_order
from kubemirror.demo.patches import PatchError, json_patch, merge_patch
from kubemirror.demo.refusal import (
    Cause,
    Refusal,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    forbidden_value,
    invalid,
    invalid_value,
    modified,
    not_found,
    required,
)
from kubemirror.demo.shelf import Shelf
from kubemirror.demo.strategic import strategic_patch
from kubemirror.state.catalog import Catalog, Resource
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import JOURNAL_LEAST_BYTES, JOURNAL_WINDOW_SECONDS, Writer

Fields = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery pkg/util/rand: no vowels, nothing that looks alike
_INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass(frozen=True, slots=True)
class Options:
    """What comes with a write.

    manager: the field manager. version: the version it is written in, "" for the stored one. strict: unknown
    fields of custom resources are refused instead of pruned.
    """

    manager: str = "kubemirror-demo"
    dry_run: bool = False
    version: str = ""
    strict: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """metav1.DeleteOptions. grace: seconds, None for the kind's own."""

    propagation: str = "Background"
    grace: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was held at one resourceVersion; what an etcd backup holds."""

    resource_version: int
    shelves: dict[str, tuple[Kind, dict[str, Fields], tuple[Object, ...]]]


_OPTIONS = Options()
_DELETE_OPTIONS = DeleteOptions()


@dataclass(slots=True)
class _Settling:
    chores: deque[Callable[[], None]] = field(default_factory=deque)
    running: bool = False


class Cluster:
    """A cluster to write to. ``catalog`` is what the read API serves.

    clock: monotonic seconds, for the stores. wall: seconds since 1970, for timestamps. graceful: whether somebody
    plays kubelet, so that pods on a node end gracefully instead of at once.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        seed: int = 0,
        journal_window: float = JOURNAL_WINDOW_SECONDS,
        journal_least_bytes: int = JOURNAL_LEAST_BYTES,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.resource_version = 1
        self.catalog = Catalog()
        self.order = discovery_order
        self.catalog.order_by(self.order)
        self.graceful = False
        self._random = Random(seed)  # noqa: S311 - names and uids of a demo
        self._journal = (journal_window, journal_least_bytes)
        self._shelves: dict[str, Shelf] = {}
        self._dependents: dict[str, set[tuple[str, Key]]] = {}
        self._settling = _Settling()
        for kind in BUILT_IN:
            self._open(kind)
        for name in _INITIAL_NAMESPACES:
            self.create(NAMESPACES, {"metadata": {"name": name}}, options=Options(manager="kube-apiserver"))

    # -- reading ----------------------------------------------------------------------------------------

    def shelf(self, resource: str) -> Shelf:
        """By identity, as in ``deployments.apps``; KeyError where there is none."""
        return self._shelves[resource]

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """Every resource, by identity."""
        return self._shelves

    def __contains__(self, resource: object) -> bool:
        return resource in self._shelves

    def read(self, resource: str, name: str, namespace: str = "", *, version: str = "") -> Fields:
        """One object, decoded; Refusal 404 where there is none."""
        shelf = self._shelves[resource]
        return self._in_version(shelf, _decoded(self._held(shelf, name, namespace)), version)

    def find(self, resource: str, name: str, namespace: str = "") -> Fields | None:
        held = self._shelves[resource].reader.get(name, namespace)
        return None if held is None else _decoded(held)

    def objects(self, resource: str, namespace: str | None = None) -> list[Fields]:
        return [_decoded(held) for held in self._shelves[resource].reader.snapshot(namespace).objects]

    def dependents(self, uid: str) -> Iterator[tuple[str, Fields]]:
        """The objects that name ``uid`` as an owner, each with its resource."""
        for resource, key in sorted(self._dependents.get(uid, ())):
            held = self._shelves[resource].reader.get(key.name, key.namespace)
            if held is not None:
                yield resource, _decoded(held)

    def now(self) -> str:
        """RFC 3339, in seconds, as all of Kubernetes' timestamps."""
        return datetime.fromtimestamp(self.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # -- writing ----------------------------------------------------------------------------------------

    def create(self, resource: str, obj: Fields, namespace: str = "", *, options: Options = _OPTIONS) -> Fields:
        """Create ``obj`` and return it as stored (in ``options.version``).

        namespace: "" takes metadata.namespace (``default`` where that is missing too).
        """
        shelf = self._shelves[resource]
        kind = shelf.kind
        new = self._incoming(shelf, obj, options)
        metadata = new["metadata"]
        self._place(shelf, metadata, namespace)
        if metadata.get("resourceVersion"):
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName'][:58]}{self.suffix()}"
        name = metadata.get("name") or ""
        self._admit(shelf, name, metadata.get("namespace", ""))
        for server_set in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink"):
            metadata.pop(server_set, None)
        if kind.status:
            new.pop("status", None)
        metadata["uid"] = self.uid()
        metadata["creationTimestamp"] = self.now()
        if kind.generation:
            metadata["generation"] = 1
        else:
            metadata.pop("generation", None)
        kind.create(new)
        self._default_and_check(shelf, new, None, options)
        if shelf.reader.get(name, metadata.get("namespace", "")) is not None:
            raise already_exists(shelf.resource, name)
        self._record(shelf, new, {}, "", options)
        if options.dry_run:
            return self._in_version(shelf, shelf.ordered(new), options.version)
        stored = self._commit(shelf, new, None)
        if resource == DEFINITIONS:
            self._later(partial(self._establish, name))
        if metadata.get("ownerReferences"):
            self._later(partial(self._collect_ownerless, shelf, Key(metadata.get("namespace", ""), name)))
        self._settle()
        return self._in_version(shelf, stored, options.version)

    def update(
        self,
        resource: str,
        name: str,
        obj: Fields,
        namespace: str = "",
        *,
        subresource: str = "",
        options: Options = _OPTIONS,
    ) -> Fields:
        """Replace an object (or its status, or its scale). A given resourceVersion must be the current one."""
        shelf = self._shelves[resource]
        held = self._held(shelf, name, namespace)
        old = _decoded(held)
        if subresource == "scale":
            return self._update_scale(shelf, held, old, obj, options)
        new = self._incoming(shelf, obj, options)
        if not new["metadata"].get("resourceVersion") and not shelf.kind.unconditional:
            causes = [invalid_value("metadata.resourceVersion", 0, "must be specified for an update")]
            raise invalid(shelf.resource.group, shelf.resource.plural, name, causes)
        return self._replace(shelf, held, old, new, subresource, options)

    def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        media_type: str = "",
        subresource: str = "",
        options: Options = _OPTIONS,
    ) -> Fields:
        """Patch an object. media_type: one of the three; by default JSON Patch for a list, else merge patch."""
        shelf = self._shelves[resource]
        held = self._held(shelf, name, namespace)
        old = _decoded(held)
        target = self._scale_of(shelf, old) if subresource == "scale" else self._in_version(shelf, old, options.version)
        media_type = media_type or (JSON_PATCH if isinstance(patch, list) else MERGE_PATCH)
        try:
            match media_type:
                case "application/json-patch+json":
                    new = json_patch(target, patch)
                case "application/strategic-merge-patch+json":
                    new = strategic_patch(target, patch)
                case _:
                    new = merge_patch(target, patch)
        except (PatchError, TypeError, AttributeError) as error:
            message = "the server rejected our request due to an error in our request"
            raise Refusal(422, "Invalid", message, {}) from error
        if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
            raise Refusal(422, "Invalid", "the server rejected our request due to an error in our request", {})
        if subresource == "scale":
            return self._update_scale(shelf, held, old, new, options)
        return self._replace(shelf, held, old, self._incoming(shelf, new, options), subresource, options)

    def delete(
        self, resource: str, name: str, namespace: str = "", *, options: DeleteOptions = _DELETE_OPTIONS
    ) -> Fields:
        """Delete an object, or begin to (finalizers, grace); what the API server answers: a Status or the object."""
        shelf = self._shelves[resource]
        held = self._held(shelf, name, namespace)
        answer = self._delete(shelf, held, options)
        self._settle()
        return answer

    def delete_collection(
        self, resource: str, keys: Iterable[Key], *, options: DeleteOptions = _DELETE_OPTIONS
    ) -> list[Fields]:
        """Delete the objects under ``keys``; those that were deleted, as they were."""
        shelf = self._shelves[resource]
        deleted = []
        for key in list(keys):
            held = shelf.reader.get(key.name, key.namespace)
            if held is not None:
                deleted.append(self._in_version(shelf, _decoded(held), options.version))
                self._delete(shelf, held, options)
        self._settle()
        return deleted

    def load(self, resource: str, objects: Iterable[Fields]) -> None:
        """Take many complete objects in at once (filling up): no admission, no defaults, nothing follows.

        Each needs metadata.name and .namespace; uid, creationTimestamp and resourceVersion are given here.
        """
        shelf = self._shelves[resource]
        now = self.now()
        for obj in objects:
            metadata = obj["metadata"]
            metadata["uid"] = self.uid()
            metadata.setdefault("creationTimestamp", now)
            self.resource_version += 1
            metadata["resourceVersion"] = str(self.resource_version)
            shelf.put(shelf.object(shelf.ordered(obj)))
        self.progress()

    # -- time -------------------------------------------------------------------------------------------

    def progress(self) -> None:
        """Tell every store the cluster's resourceVersion, as etcd's progress notifications do.

        A LIST of a quiet resource then answers with the global one, and its watches get bookmarks. Call it before
        serving a read and about once a second.
        """
        for shelf in self._shelves.values():
            shelf.progress(self.resource_version)

    def compact(self, resource_version: int | None = None) -> None:
        """Forget the history up to here (default: all of it), as etcd's compaction does."""
        self.progress()
        for shelf in self._shelves.values():
            shelf.writer.compact(self.resource_version if resource_version is None else resource_version)

    def snapshot(self) -> Snapshot:
        """What ``restore`` takes."""
        shelves = {
            name: (shelf.kind, dict(shelf.schemas), shelf.reader.snapshot().objects)
            for name, shelf in self._shelves.items()
        }
        return Snapshot(self.resource_version, shelves)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to ``snapshot``: resourceVersions go back too and will be given out a second time."""
        self.resource_version = snapshot.resource_version
        for name in [name for name in self._shelves if name not in snapshot.shelves]:
            self._close(name, "the cluster was restored to a time before this resource")
        for name, (kind, schemas, objects) in snapshot.shelves.items():
            if name not in self._shelves:
                self._open(kind)
            shelf = self._shelves[name]
            shelf.kind, shelf.schemas, shelf.terminating = kind, dict(schemas), False
            shelf.restore(objects, snapshot.resource_version)
            self.catalog.put(shelf.entry)
        self._dependents.clear()
        for name, shelf in self._shelves.items():
            for held in shelf.reader.snapshot().objects:
                if b'"ownerReferences"' in held.raw:
                    self._index(name, held.key, _decoded(held)["metadata"], {})

    # -- the steps of a write ---------------------------------------------------------------------------

    def uid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """Random letters and digits, as generated names end in."""
        return "".join(self._random.choice(_SUFFIX) for _ in range(length))

    def _open(self, kind: Kind) -> Shelf:
        window, least_bytes = self._journal
        writer = Writer(clock=self.clock, journal_window=window, journal_least_bytes=least_bytes)
        shelf = Shelf(kind, writer=writer, wall=self.wall, resource_version=self.resource_version)
        self._shelves[kind.resource.name] = shelf
        self.catalog.put(shelf.entry)
        return shelf

    def _close(self, resource: str, reason: str) -> None:
        self.catalog.remove(resource)
        self._shelves.pop(resource).close(reason)

    def _held(self, shelf: Shelf, name: str, namespace: str) -> Object:
        if not namespace and shelf.resource.namespaced:
            namespace = "default"
        held = shelf.reader.get(name, namespace if shelf.resource.namespaced else "")
        if held is None:
            raise not_found(shelf.resource, name)
        return held

    def _in_version(self, shelf: Shelf, obj: Fields, version: str) -> Fields:
        """Conversion strategy None: only apiVersion is rewritten."""
        if not version or version == shelf.resource.version:
            return obj
        return {**obj, "apiVersion": shelf.resource.api_version_of(version)}

    def _incoming(self, shelf: Shelf, obj: Fields, options: Options) -> Fields:
        """A copy to work on, of the right type and in the stored version."""
        resource = shelf.resource
        wanted = resource.api_version_of(options.version or resource.version)
        kind, api_version = obj.get("kind") or resource.kind, obj.get("apiVersion") or wanted
        if kind != resource.kind:
            short = api_version.rpartition("/")[2]
            raise bad_request(
                f'{kind} in version "{short}" cannot be handled as a {resource.kind}: converting ({short}.{kind}) to '
                f"({resource.group.partition('.')[0] or 'core'}.{resource.kind}): unknown conversion"
            )
        if api_version != wanted:
            raise bad_request(
                f"the API version in the data ({api_version}) does not match the expected API version ({wanted})"
            )
        given: Any = obj.get("metadata")
        if not isinstance(given, dict | None):
            raise bad_request(
                f"{resource.kind} in version {options.version or resource.version}: metadata is no object"
            )
        new: Fields = deepcopy(obj) if resource.custom else _without_nulls(obj)
        new["kind"], new["apiVersion"] = resource.kind, resource.api_version
        new["metadata"] = _without_nulls(new.get("metadata") or {})
        removed = self._prune(shelf, new, options)
        if removed and options.strict:
            fields = ", ".join(f'unknown field "{path}"' for path in removed)
            version = options.version or resource.version
            raise bad_request(
                f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: '
                f"strict decoding error: {fields}"
            )
        return new

    def _prune(self, shelf: Shelf, new: Fields, options: Options) -> list[str]:
        rules = shelf.schemas.get(options.version or shelf.resource.version)
        if rules is None:
            return []
        return schema.prune(new, rules)

    def _place(self, shelf: Shelf, metadata: Fields, namespace: str) -> None:
        if not shelf.resource.namespaced:
            metadata.pop("namespace", None)
            return
        given = metadata.get("namespace")
        if namespace and given and namespace != given:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        metadata["namespace"] = namespace or given or "default"

    def _admit(self, shelf: Shelf, name: str, namespace: str) -> None:
        if shelf.terminating:
            message = "create not allowed while custom resource definition is terminating"
            details = {"group": shelf.resource.group, "kind": shelf.resource.plural}
            raise Refusal(405, "MethodNotAllowed", message, details)
        if not shelf.resource.namespaced:
            return
        namespaces = self._shelves[NAMESPACES]
        held = namespaces.reader.get(namespace)
        if held is None:
            raise not_found(namespaces.resource, namespace)
        if b'"deletionTimestamp"' in held.raw and _decoded(held)["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            told = f"namespace {namespace} is being terminated"
            cause = Cause("metadata.namespace", "NamespaceTerminating", told)
            raise forbidden(shelf.resource, name, why, [cause])

    def _default_and_check(self, shelf: Shelf, new: Fields, old: Fields | None, options: Options) -> None:
        kind = shelf.kind
        rules = shelf.schemas.get(options.version or shelf.resource.version)
        if rules is not None:
            schema.fill(new, rules)
        try:
            kind.defaults(new)
            causes = self._causes(kind, new, old)
        except (TypeError, AttributeError, KeyError) as error:
            version = shelf.resource.version
            raise bad_request(
                f'{kind.resource.kind} in version "{version}" cannot be handled as a {kind.resource.kind}: {error}'
            ) from error
        if rules is not None:
            causes += schema.check(new, rules)
        if causes:
            raise invalid(shelf.resource.group, shelf.resource.kind, new["metadata"].get("name", ""), causes)

    def _causes(self, kind: Kind, new: Fields, old: Fields | None) -> list[Cause]:
        name = new["metadata"].get("name") or ""
        causes: list[Cause] = []
        if not name:
            causes.append(required("metadata.name", "name or generateName is required"))
        elif old is None and (why := kind.name_rule(name)) is not None:
            causes.append(invalid_value("metadata.name", name, why))
        return causes + validation.metadata(new) + kind.validate(new, old)

    def _replace(
        self, shelf: Shelf, held: Object, old: Fields, new: Fields, subresource: str, options: Options
    ) -> Fields:
        name = held.name
        metadata, before = new["metadata"], old["metadata"]
        if metadata.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        if metadata.get("namespace", held.namespace) != held.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if metadata.get("uid") and metadata["uid"] != held.uid:
            key = f"/registry/{shelf.resource.plural}/{held.namespace}/{name}".replace("//", "/")
            raise conflict(
                shelf.resource,
                name,
                f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
                f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {held.uid}",
            )
        if metadata.get("resourceVersion") and metadata["resourceVersion"] != before["resourceVersion"]:
            raise modified(shelf.resource, name)
        self._keep(shelf.kind, new, old, subresource)
        if before.get("deletionTimestamp"):
            added = [item for item in metadata.get("finalizers") or () if item not in (before.get("finalizers") or ())]
            if added:
                cause = forbidden_value(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{', '.join(orjson.dumps(item).decode() for item in added)}}}",
                )
                raise invalid(shelf.resource.group, shelf.resource.kind, name, [cause])
        self._default_and_check(shelf, new, old, options)
        metadata["managedFields"] = before.get("managedFields") or []
        if not metadata["managedFields"]:
            del metadata["managedFields"]
        if shelf.ordered(new) == shelf.ordered(old):
            return self._in_version(shelf, old, options.version)
        if shelf.kind.generation and shelf.kind.counted(new) != shelf.kind.counted(old):
            metadata["generation"] = before.get("generation", 0) + 1
        self._record(shelf, new, old, subresource, options)
        if options.dry_run:
            return self._in_version(shelf, shelf.ordered(new), options.version)
        if self._finished(shelf, new):
            self._remove(shelf, held)
            stored = shelf.ordered(new)
        else:
            stored = self._commit(shelf, new, old)
            if shelf.resource.name == DEFINITIONS:
                self._later(partial(self._establish, name))
        self._settle()
        return self._in_version(shelf, stored, options.version)

    def _keep(self, kind: Kind, new: Fields, old: Fields, subresource: str) -> None:
        """What an update of (a part of) an object cannot change stays as it was."""
        metadata, before = new["metadata"], old["metadata"]
        if subresource == "finalize":
            new["status"] = old.get("status")
        elif subresource:
            part = new.get(subresource)
            for name in [name for name in new if name not in old]:
                del new[name]
            new.update({name: value for name, value in old.items() if name != "metadata"})
            if part is None:
                new.pop(subresource, None)
            else:
                new[subresource] = part
            if kind.resource.custom:
                metadata.clear()
                metadata.update(before)
        elif kind.status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if kind.resource.name == NAMESPACES and subresource != "finalize":
            new["spec"] = old.get("spec")
        for name in (
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
        ):
            metadata.pop(name, None)
            if name in before:
                metadata[name] = before[name]
        for name in ("finalizers", "labels", "annotations", "ownerReferences"):
            if name in metadata and not metadata[name]:
                del metadata[name]

    def _record(self, shelf: Shelf, new: Fields, old: Fields, subresource: str, options: Options) -> None:
        managed_fields.record(
            new["metadata"],
            managed_fields.changed_fields(old, new),
            removed=managed_fields.changed_fields(new, old) if old else None,
            manager=options.manager,
            api_version=shelf.resource.api_version_of(options.version or shelf.resource.version),
            subresource=subresource,
            time=self.now(),
        )

    def _commit(self, shelf: Shelf, new: Fields, old: Fields | None) -> Fields:
        self.resource_version += 1
        new["metadata"]["resourceVersion"] = str(self.resource_version)
        stored = shelf.ordered(new)
        made = shelf.object(stored)
        shelf.put(made)
        self._index(shelf.resource.name, made.key, stored["metadata"], (old or {}).get("metadata") or {})
        return stored

    def _index(self, resource: str, key: Key, metadata: Fields, before: Fields) -> None:
        for reference in before.get("ownerReferences") or ():
            self._dependents.get(reference["uid"], set()).discard((resource, key))
        for reference in metadata.get("ownerReferences") or ():
            self._dependents.setdefault(reference["uid"], set()).add((resource, key))

    # -- scale ------------------------------------------------------------------------------------------

    def scale(self, resource: str, name: str, namespace: str = "") -> Fields:
        """The autoscaling/v1 Scale of an object."""
        shelf = self._shelves[resource]
        return self._scale_of(shelf, _decoded(self._held(shelf, name, namespace)))

    def _scale_of(self, shelf: Shelf, obj: Fields) -> Fields:
        metadata = obj["metadata"]
        shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        labels = ((obj["spec"].get("selector") or {}).get("matchLabels") or {}) if not shelf.resource.custom else {}
        selector = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
        status = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {name: metadata[name] for name in shown if name in metadata},
            "spec": {"replicas": obj["spec"].get("replicas", 0)},
            "status": {**status, "selector": selector} if selector else status,
        }

    def _update_scale(self, shelf: Shelf, held: Object, old: Fields, scale: Fields, options: Options) -> Fields:
        metadata = scale.get("metadata") or {}
        given = metadata.get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise modified(shelf.resource, held.name)
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if not isinstance(replicas, int):
            raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is no number')
        if replicas < 0:
            cause = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
            raise invalid("autoscaling", "Scale", held.name, [cause])
        new = deepcopy(old)
        new["spec"]["replicas"] = replicas
        stored = self._replace(shelf, held, old, new, "", replace(options, version=""))
        return self._scale_of(shelf, stored)

    # -- deletion ---------------------------------------------------------------------------------------

    def _delete(self, shelf: Shelf, held: Object, options: DeleteOptions) -> Fields:
        resource, name = shelf.resource, held.name
        obj = _decoded(held)
        metadata = obj["metadata"]
        self._check_preconditions(shelf, held, metadata, options)
        finalizers = list(metadata.get("finalizers") or ())
        if options.propagation == "Foreground" and self._dependents.get(held.uid):
            finalizers.append(_FOREGROUND)
        elif options.propagation == "Orphan":
            self._orphan(held.uid, dry_run=options.dry_run)
        grace = self._grace(resource, obj, options)
        waits = bool(finalizers) or grace > 0 or resource.name in (NAMESPACES, DEFINITIONS)
        if options.dry_run:
            return self._gone_status(shelf, held) if not waits else self._in_version(shelf, obj, options.version)
        if not waits:
            self._remove(shelf, held)
            if resource.name == PODS:
                metadata.update(deletionTimestamp=self.now(), deletionGracePeriodSeconds=0)
                return shelf.ordered(obj)
            return self._gone_status(shelf, held)
        if metadata.get("deletionTimestamp") and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return self._in_version(shelf, obj, options.version)
        old = deepcopy(obj)
        metadata["deletionTimestamp"] = _timestamp(self.wall() + grace)
        if resource.name not in (NAMESPACES, DEFINITIONS):
            metadata["deletionGracePeriodSeconds"] = grace
        if finalizers:
            metadata["finalizers"] = finalizers
        if resource.name == PODS or resource.custom:
            metadata["generation"] = metadata.get("generation", 0) + 1
        if resource.name == NAMESPACES:
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
            self._later(partial(self._empty, name))
        elif resource.name == DEFINITIONS:
            metadata["finalizers"] = [*finalizers, definitions.CLEANUP]
            message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
            definitions.mark_terminating(obj, self.now(), "InstanceDeletionPending", message)
            self._later(partial(self._undefine, name))
        elif _FOREGROUND in finalizers:
            self._later(partial(self._foreground, shelf, held))
        return self._in_version(shelf, self._commit(shelf, obj, old), options.version)

    def _check_preconditions(self, shelf: Shelf, held: Object, metadata: Fields, options: DeleteOptions) -> None:
        why = ""
        if options.uid is not None and options.uid != held.uid:
            why = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record ({held.uid}). "
                "The object might have been deleted and then recreated"
            )
        elif options.resource_version is not None and options.resource_version != metadata["resourceVersion"]:
            why = (
                f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
                f"ResourceVersion in record ({metadata['resourceVersion']}). The object might have been modified"
            )
        if why:  # upstream names the kind here, not the resource
            resource = shelf.resource
            raise conflict(replace(resource, plural=resource.kind), held.name, why)

    def _grace(self, resource: Resource, obj: Fields, options: DeleteOptions) -> int:
        """Seconds a deletion waits for a kubelet: pods on a node, where somebody plays one."""
        if resource.name != PODS or not self.graceful or not obj["spec"].get("nodeName"):
            return 0
        if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        seconds: int = obj["spec"].get("terminationGracePeriodSeconds", 30) if options.grace is None else options.grace
        return seconds

    def _gone_status(self, shelf: Shelf, held: Object) -> Fields:
        resource = shelf.resource
        details = {"name": held.name, "group": resource.group, "kind": resource.plural, "uid": held.uid}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {name: value for name, value in details.items() if value},
        }

    def _finished(self, shelf: Shelf, obj: Fields) -> bool:
        """Whether nothing holds back the removal of an object that is being deleted."""
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
            return False
        if shelf.resource.name == NAMESPACES:
            return not (obj.get("spec") or {}).get("finalizers")
        return not metadata.get("deletionGracePeriodSeconds")

    def _remove(self, shelf: Shelf, held: Object) -> None:
        """The end of an object, and what follows from it."""
        self.resource_version += 1
        shelf.drop(held, self.resource_version)
        if b'"ownerReferences"' in held.raw:
            self._index(shelf.resource.name, held.key, {}, _decoded(held)["metadata"])
        if held.uid in self._dependents:
            self._later(partial(self._collect, held.uid))
        if shelf.terminating:
            self._later(partial(self._undefine, shelf.resource.name))
        if held.namespace:
            space = self._shelves[NAMESPACES].reader.get(held.namespace)
            if space is not None and b'"deletionTimestamp"' in space.raw:
                self._later(partial(self._empty, held.namespace))

    # -- what follows -----------------------------------------------------------------------------------

    def _later(self, chore: Callable[[], None]) -> None:
        self._settling.chores.append(chore)

    def _settle(self) -> None:
        settling = self._settling
        if settling.running:
            return
        settling.running = True
        try:
            while settling.chores:
                settling.chores.popleft()()
        finally:
            settling.running = False

    def _collect(self, uid: str) -> None:
        """Background garbage collection: the owner ``uid`` is gone."""
        for resource, key in sorted(self._dependents.pop(uid, ())):
            shelf = self._shelves.get(resource)
            held = shelf.reader.get(key.name, key.namespace) if shelf is not None else None
            if shelf is None or held is None:
                continue
            obj = _decoded(held)
            references = [ref for ref in obj["metadata"].get("ownerReferences") or () if ref["uid"] != uid]
            if any(self._exists(reference, key.namespace) for reference in references):
                old = deepcopy(obj)
                obj["metadata"]["ownerReferences"] = references
                self._commit(shelf, obj, old)
            else:
                self._delete(shelf, held, _DELETE_OPTIONS)

    def _collect_ownerless(self, shelf: Shelf, key: Key) -> None:
        """An object created for owners of which none exists is collected, too."""
        held = shelf.reader.get(key.name, key.namespace)
        if held is None:
            return
        references = _decoded(held)["metadata"].get("ownerReferences") or ()
        if references and not any(self._exists(reference, key.namespace) for reference in references):
            self._delete(shelf, held, _DELETE_OPTIONS)

    def _exists(self, reference: Fields, namespace: str) -> bool:
        group = reference["apiVersion"].rpartition("/")[0]
        for shelf in self._shelves.values():
            if shelf.resource.kind == reference["kind"] and shelf.resource.group == group:
                space = namespace if shelf.resource.namespaced else ""
                held = shelf.reader.get(reference["name"], space)
                return held is not None and held.uid == reference["uid"]
        return True  # an owner of a kind that is not served here: nothing can be said

    def _orphan(self, uid: str, *, dry_run: bool) -> None:
        if dry_run:
            return
        for resource, obj in list(self.dependents(uid)):
            old = deepcopy(obj)
            references = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != uid]
            if references:
                obj["metadata"]["ownerReferences"] = references
            else:
                del obj["metadata"]["ownerReferences"]
            self._commit(self._shelves[resource], obj, old)

    def _foreground(self, shelf: Shelf, held: Object) -> None:
        """Dependents first, then the owner."""
        for resource, obj in list(self.dependents(held.uid)):
            dependent = self._shelves[resource]
            current = dependent.reader.get(obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
            if current is not None:
                self._delete(dependent, current, replace(_DELETE_OPTIONS, propagation="Foreground"))
        if self._dependents.get(held.uid):
            self._later(partial(self._foreground_again, shelf, held))
        self._finish_foreground(shelf, held)

    def _foreground_again(self, shelf: Shelf, held: Object) -> None:
        self._finish_foreground(shelf, held)

    def _finish_foreground(self, shelf: Shelf, held: Object) -> None:
        current = shelf.reader.get(held.name, held.namespace)
        if current is None or current.uid != held.uid or self._dependents.get(held.uid):
            return
        obj = _decoded(current)
        finalizers = [item for item in obj["metadata"].get("finalizers") or () if item != _FOREGROUND]
        if finalizers:
            old = deepcopy(obj)
            obj["metadata"]["finalizers"] = finalizers
            self._commit(shelf, obj, old)
        else:
            self._remove(shelf, current)

    def _empty(self, namespace: str) -> None:
        """The namespace controller: delete what is in a terminating namespace, then the namespace itself."""
        namespaces = self._shelves[NAMESPACES]
        for shelf in list(self._shelves.values()):
            if not shelf.resource.namespaced:
                continue
            for held in shelf.reader.snapshot(namespace).objects:
                if b'"deletionTimestamp"' not in held.raw:
                    self._delete(shelf, held, _DELETE_OPTIONS)
        current = namespaces.reader.get(namespace)
        if current is None or any(
            shelf.reader.count(namespace) for shelf in self._shelves.values() if shelf.resource.namespaced
        ):
            return
        obj = _decoded(current)
        obj["spec"] = {}
        if not obj["metadata"].get("finalizers"):
            self._remove(namespaces, current)
        elif _decoded(current)["spec"]:
            self._commit(namespaces, obj, _decoded(current))

    # -- definitions ------------------------------------------------------------------------------------

    def _establish(self, name: str) -> None:
        """Accept a definition's names, and make, or change, its resource."""
        shelf = self._shelves[DEFINITIONS]
        held = shelf.reader.get(name)
        if held is None:
            return
        definition = _decoded(held)
        if definition["metadata"].get("deletionTimestamp"):
            return
        old = deepcopy(definition)
        group = definition["spec"]["group"]
        others = [other.resource for other in self._shelves.values() if other.resource.group == group]
        others = [other for other in others if other.name != name]
        if definitions.accept_names(definition, others, self.now()):
            self._record(shelf, definition, old, "status", Options(manager="kube-apiserver"))
            self._commit(shelf, definition, old)
        if not definitions.established(definition):
            return
        if name not in self._shelves:
            self._open(Kind(definitions.resource_of(definition), unconditional=False))
        instances = self._shelves[name]
        instances.redefine(definition)
        self.catalog.put(instances.entry)

    def _undefine(self, name: str) -> None:
        """The finalizer of definitions: delete the instances, then the definition, then the resource."""
        shelf = self._shelves[DEFINITIONS]
        held = shelf.reader.get(name)
        instances = self._shelves.get(name)
        if held is None:
            return
        definition = _decoded(held)
        if instances is not None and not instances.terminating:
            instances.terminating = True
            old = deepcopy(definition)
            message = "CustomResource deletion is in progress"
            definitions.mark_terminating(definition, self.now(), "InstanceDeletionInProgress", message)
            self._commit(shelf, definition, old)
            for instance in instances.reader.snapshot().objects:
                self._delete(instances, instance, _DELETE_OPTIONS)
        if instances is not None and len(instances.reader):
            return
        held = shelf.reader.get(name)
        if held is None:
            return
        definition = _decoded(held)
        finalizers = [item for item in definition["metadata"].get("finalizers") or () if item != definitions.CLEANUP]
        if instances is not None:
            self._close(name, "its CustomResourceDefinition was deleted")
        if finalizers:
            definition["metadata"]["finalizers"] = finalizers
            self._commit(shelf, definition, None)
        else:
            self._remove(shelf, held)


def _decoded(held: Object) -> Fields:
    decoded: Fields = orjson.loads(held.raw)
    return decoded


def _without_nulls(value: Any) -> Any:
    """Typed decoding forgets nulls."""
    match value:
        case dict():
            return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
        case list():
            return [_without_nulls(item) for item in value]
    return value


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
