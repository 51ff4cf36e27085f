"""The demo cluster: an API server's writes without sockets, tasks or a clock of its own.

One counter gives out resourceVersions, as one etcd does, over all resources. A write is one synchronous step, and
what follows from it is done before the call returns (storage.py), so a watcher sees what it would see elsewhere.
Refused writes raise ``Refusal`` with the API server's code, reason and text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

from kubemirror.demo import admission
from kubemirror.demo.deletion import Deletion
from kubemirror.demo.endings import DefinitionController, NamespaceController
from kubemirror.demo.kinds import BUILT_IN, DEFINITIONS, NAMESPACES
from kubemirror.demo.options import DELETE_OPTIONS, OPTIONS, DeleteOptions, Options
from kubemirror.demo.patches import PatchError, json_patch, merge_patch
from kubemirror.demo.refusal import Refusal, already_exists, invalid, invalid_value, modified
from kubemirror.demo.scale import replicas_of, scale_of
from kubemirror.demo.shelf import Shelf
from kubemirror.demo.storage import Snapshot, Storage, decoded
from kubemirror.demo.strategic import strategic_patch
from kubemirror.state.catalog import Catalog
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import JOURNAL_LEAST_BYTES, JOURNAL_WINDOW_SECONDS

__all__ = ["JSON_PATCH", "MERGE_PATCH", "STRATEGIC_PATCH", "Cluster", "DeleteOptions", "Options", "Snapshot"]

Fields = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_SERVER_SET = ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink", "generation")


class Cluster:
    """A cluster to write to. ``catalog`` is what the read API serves.

    Resources are named by identity (``deployments.apps``); objects are plain dicts, copied on the way in. A namespace
    of "" means metadata.namespace, or ``default``. clock: monotonic seconds, for the stores. wall: seconds since 1970,
    for timestamps. seed: of uids and generated names. resource_version: before the first write.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        seed: int = 0,
        resource_version: int = 1,
        journal_window: float = JOURNAL_WINDOW_SECONDS,
        journal_least_bytes: int = JOURNAL_LEAST_BYTES,
    ) -> None:
        self._storage = Storage(
            clock=clock,
            wall=wall,
            seed=seed,
            journal_window=journal_window,
            resource_version=resource_version,
            journal_least_bytes=journal_least_bytes,
        )
        self._deletion = Deletion(self._storage)
        NamespaceController(self._storage, self._deletion)
        self._definitions = DefinitionController(self._storage, self._deletion)
        for kind in BUILT_IN:
            self._storage.open(kind)
        for name in _INITIAL_NAMESPACES:
            self.create(NAMESPACES, {"metadata": {"name": name}}, options=Options(manager="kube-apiserver"))

    # -- reading ----------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        return self._storage.catalog

    @property
    def resource_version(self) -> int:
        """The newest one given out, over all resources."""
        return self._storage.resource_version

    @property
    def clock(self) -> Callable[[], float]:
        return self._storage.clock

    @property
    def wall(self) -> Callable[[], float]:
        return self._storage.wall

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """Every resource, by identity."""
        return self._storage.shelves

    @property
    def graceful(self) -> bool:
        """Whether somebody plays kubelet: pods on a node then end gracefully instead of at once."""
        return self._deletion.graceful

    @graceful.setter
    def graceful(self, graceful: bool) -> None:
        self._deletion.graceful = graceful

    def __contains__(self, resource: object) -> bool:
        return resource in self._storage.shelves

    def shelf(self, resource: str) -> Shelf:
        """KeyError where there is no such resource."""
        return self._storage.shelves[resource]

    def read(self, resource: str, name: str, namespace: str = "", *, version: str = "") -> Fields:
        """One object; Refusal 404 where there is none."""
        shelf = self.shelf(resource)
        return _in_version(shelf, decoded(self._storage.held(shelf, name, namespace)), version)

    def find(self, resource: str, name: str, namespace: str = "") -> Fields | None:
        held = self.shelf(resource).reader.get(name, namespace)
        return None if held is None else decoded(held)

    def objects(self, resource: str, namespace: str | None = None) -> list[Fields]:
        return [decoded(held) for held in self.shelf(resource).reader.snapshot(namespace).objects]

    def dependents(self, uid: str) -> list[tuple[str, Fields]]:
        """The objects that name ``uid`` as an owner, each with its resource."""
        return [(shelf.resource.name, decoded(held)) for shelf, held in self._storage.dependents(uid)]

    def scale(self, resource: str, name: str, namespace: str = "") -> Fields:
        """The autoscaling/v1 Scale of an object."""
        shelf = self.shelf(resource)
        return scale_of(shelf.resource, decoded(self._storage.held(shelf, name, namespace)))

    def now(self) -> str:
        """RFC 3339, in seconds."""
        return self._storage.now()

    # -- writing ----------------------------------------------------------------------------------------

    def create(self, resource: str, obj: Fields, namespace: str = "", *, options: Options = OPTIONS) -> Fields:
        """Create ``obj``; as it is stored (in ``options.version``)."""
        shelf, storage = self.shelf(resource), self._storage
        kind = shelf.kind
        new = admission.incoming(shelf, obj, options)
        metadata = new["metadata"]
        admission.place(shelf, metadata, namespace)
        if metadata.get("resourceVersion"):
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName'][:58]}{storage.suffix()}"
        name, namespace = metadata.get("name") or "", metadata.get("namespace", "")
        admission.admit(storage, shelf, name, namespace)
        for server_set in _SERVER_SET:
            metadata.pop(server_set, None)
        if kind.status:
            new.pop("status", None)
        metadata["uid"] = storage.uid()
        metadata["creationTimestamp"] = storage.now()
        if kind.generation:
            metadata["generation"] = 1
        sent = set(new)
        kind.create(new)
        admission.default_and_check(shelf, new, None, options)
        if shelf.reader.get(name, namespace) is not None:
            raise already_exists(shelf.resource, name)
        set_by_server = {name: new[name] for name in new if name not in sent}
        storage.record(shelf, new, set_by_server, "", options)
        if options.dry_run:
            return _in_version(shelf, shelf.ordered(new), options.version)
        stored = storage.commit(shelf, new, None)
        if resource == DEFINITIONS:
            storage.later(partial(self._definitions.establish, name))
        if metadata.get("ownerReferences"):
            storage.later(partial(self._deletion.collect_if_ownerless, shelf, Key(namespace, name)))
        storage.settle()
        return _in_version(shelf, stored, options.version)

    def update(
        self,
        resource: str,
        name: str,
        obj: Fields,
        namespace: str = "",
        *,
        subresource: str = "",
        options: Options = OPTIONS,
    ) -> Fields:
        """Replace an object (or its status, or its scale). A given resourceVersion must be the current one."""
        shelf = self.shelf(resource)
        held = self._storage.held(shelf, name, namespace)
        if subresource == "scale":
            return self._update_scale(shelf, held, obj, options)
        new = admission.incoming(shelf, obj, options)
        if not new["metadata"].get("resourceVersion") and not shelf.kind.unconditional:
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            # Upstream names the resource here, where it names the kind everywhere else.
            raise invalid(shelf.resource.group, shelf.resource.plural, name, [cause])
        return self._replace(shelf, held, new, subresource, options)

    def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        media_type: str = "",
        subresource: str = "",
        options: Options = OPTIONS,
    ) -> Fields:
        """Patch an object. media_type: one of the three; by default JSON Patch for a list, else merge patch."""
        shelf = self.shelf(resource)
        held = self._storage.held(shelf, name, namespace)
        old = decoded(held)
        scale = subresource == "scale"
        target = scale_of(shelf.resource, old) if scale else _in_version(shelf, old, options.version)
        new = _patched(target, patch, media_type)
        if scale:
            return self._update_scale(shelf, held, new, options)
        return self._replace(shelf, held, admission.incoming(shelf, new, options), subresource, options)

    def delete(
        self, resource: str, name: str, namespace: str = "", *, options: DeleteOptions = DELETE_OPTIONS
    ) -> Fields:
        """Delete an object, or begin to (finalizers, grace); what the API server answers: a Status or the object."""
        shelf = self.shelf(resource)
        answer = self._deletion.delete(shelf, self._storage.held(shelf, name, namespace), options)
        self._storage.settle()
        return answer if answer["kind"] == "Status" else _in_version(shelf, answer, options.version)

    def delete_collection(
        self, resource: str, keys: Iterable[Key], *, options: DeleteOptions = DELETE_OPTIONS
    ) -> list[Fields]:
        """Delete the objects under ``keys``; those that were deleted, as they were."""
        shelf = self.shelf(resource)
        deleted = []
        for key in list(keys):
            held = shelf.reader.get(key.name, key.namespace)
            if held is not None:
                deleted.append(_in_version(shelf, decoded(held), options.version))
                self._deletion.delete(shelf, held, options)
        self._storage.settle()
        return deleted

    def load(self, resource: str, objects: Iterable[Fields]) -> None:
        """Take many complete objects in at once (filling up): no admission, no defaults, nothing follows.

        Each needs metadata.name and .namespace; uid, creationTimestamp and resourceVersion are given here, into the
        dicts handed over.
        """
        shelf, storage = self.shelf(resource), self._storage
        now = storage.now()
        for obj in objects:
            metadata = obj["metadata"]
            metadata["uid"] = storage.uid()
            metadata.setdefault("creationTimestamp", now)
            storage.commit(shelf, obj, None)
        storage.progress()

    # -- time -------------------------------------------------------------------------------------------

    def progress(self) -> None:
        """Tell every store the cluster's resourceVersion, as etcd's progress notifications do.

        A LIST of a quiet resource then answers with the global one, and its watches get bookmarks. Call it before
        serving a read and about once a second.
        """
        self._storage.progress()

    def compact(self, resource_version: int | None = None) -> None:
        """Forget the history up to here (default: all of it), as etcd's compaction does."""
        self._storage.compact(resource_version)

    def snapshot(self) -> Snapshot:
        """What ``restore`` takes."""
        return self._storage.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to ``snapshot``: resourceVersions go back too and will be given out a second time."""
        self._storage.restore(snapshot)

    # -- the steps of an update -------------------------------------------------------------------------

    def _replace(self, shelf: Shelf, held: Object, new: Fields, subresource: str, options: Options) -> Fields:
        storage, kind = self._storage, shelf.kind
        old = decoded(held)
        metadata, before = new["metadata"], old["metadata"]
        admission.check_identity(shelf, held, new, before)
        admission.keep(kind, new, old, subresource)
        admission.check_finalizers(shelf, new, before)
        admission.default_and_check(shelf, new, old, options)
        if shelf.ordered(new) == old:
            return _in_version(shelf, old, options.version)
        if kind.generation and subresource in ("", "scale") and kind.counted(new) != kind.counted(old):
            metadata["generation"] = before.get("generation", 0) + 1
        storage.record(shelf, new, old, subresource, options)
        if options.dry_run:
            return _in_version(shelf, shelf.ordered(new), options.version)
        if self._deletion.finished(shelf, new):
            storage.remove(shelf, held)
            stored = shelf.ordered(new)
        else:
            stored = storage.commit(shelf, new, old)
            if shelf.resource.name == DEFINITIONS:
                storage.later(partial(self._definitions.establish, held.name))
        storage.settle()
        return _in_version(shelf, stored, options.version)

    def _update_scale(self, shelf: Shelf, held: Object, scale: Fields, options: Options) -> Fields:
        old = decoded(held)
        given = (scale.get("metadata") or {}).get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise modified(shelf.resource, held.name)
        new = deepcopy(old)
        new["spec"]["replicas"] = replicas_of(scale, held.name)
        stored = self._replace(shelf, held, new, "scale", replace(options, version=""))
        return scale_of(shelf.resource, stored)


def _patched(target: Fields, patch: Any, media_type: str) -> Fields:
    try:
        match media_type or (JSON_PATCH if isinstance(patch, list) else MERGE_PATCH):
            case "application/json-patch+json":
                new = json_patch(target, patch)
            case "application/strategic-merge-patch+json":
                new = strategic_patch(target, patch)
            case _:
                new = merge_patch(target, patch)
    except (PatchError, TypeError, AttributeError) as error:
        raise _unpatchable() from error
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise _unpatchable()
    return new


def _unpatchable() -> Refusal:
    return Refusal(422, "Invalid", "the server rejected our request due to an error in our request", {})


def _in_version(shelf: Shelf, obj: Fields, version: str) -> Fields:
    """Conversion strategy None: only apiVersion is rewritten."""
    if not version or version == shelf.resource.version:
        return obj
    return {**obj, "apiVersion": shelf.resource.api_version_of(version)}
