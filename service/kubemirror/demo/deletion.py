"""Deleting: preconditions, finalizers, grace, propagation, and the garbage collector's part.

Follows apiserver pkg/registry/rest/delete.go and kubernetes pkg/controller/garbagecollector, the latter without its
delay.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

from kubemirror.demo import definitions
from kubemirror.demo.kinds import DEFINITIONS, NAMESPACES, PODS
from kubemirror.demo.options import DELETE_OPTIONS, DeleteOptions
from kubemirror.demo.refusal import conflict
from kubemirror.demo.shelf import Shelf
from kubemirror.demo.storage import Storage, decoded, timestamp
from kubemirror.state.objects import Key, Object

Fields = dict[str, Any]

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
# What holds an object until the garbage collector has dealt with its dependents.
_PROPAGATED = {"Foreground": _FOREGROUND, "Orphan": _ORPHAN}


class Deletion:
    """Deletes objects of one storage.

    graceful: whether somebody plays kubelet, so that pods on a node end gracefully instead of at once. ending: what
    is queued when a namespace or a definition begins to go, by resource.
    """

    def __init__(self, storage: Storage) -> None:
        self.graceful = False
        self.ending: dict[str, Callable[[str], None]] = {}
        self._storage = storage
        storage.removed.append(self._removed)

    # -- one object -------------------------------------------------------------------------------------

    def delete(self, shelf: Shelf, held: Object, options: DeleteOptions = DELETE_OPTIONS) -> Fields:
        """Delete ``held`` or begin to; what the API server answers: a Status, or the object where it lives on."""
        resource, name = shelf.resource, held.name
        obj = decoded(held)
        metadata = obj["metadata"]
        _check_preconditions(shelf, held, metadata, options)
        finalizers = list(metadata.get("finalizers") or ())
        propagated = _PROPAGATED.get(options.propagation)
        if propagated is not None and propagated not in finalizers:
            finalizers.append(propagated)
        grace = self._grace(shelf, obj, options)
        waits = bool(finalizers) or grace > 0 or resource.name in self.ending
        if options.dry_run:
            return obj if waits else _gone(shelf, held)
        if not waits:
            self._storage.remove(shelf, held)
            if resource.name != PODS:
                return _gone(shelf, held)
            metadata.update(deletionTimestamp=self._storage.now(), deletionGracePeriodSeconds=0)
            return shelf.ordered(obj)
        if metadata.get("deletionTimestamp") and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return obj
        old = deepcopy(obj)
        metadata["deletionTimestamp"] = timestamp(self._storage.wall() + grace)
        if resource.name not in self.ending:
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        if resource.name == NAMESPACES:
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        elif resource.name == DEFINITIONS:
            finalizers.append(definitions.CLEANUP)
            message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
            definitions.mark_terminating(obj, self._storage.now(), "InstanceDeletionPending", message)
        if finalizers:
            metadata["finalizers"] = finalizers
        if resource.name in self.ending:
            self._storage.later(partial(self.ending[resource.name], name))
        if _ORPHAN in finalizers:
            self._storage.later(partial(self._orphan, shelf, held))
        elif _FOREGROUND in finalizers:
            self._storage.later(partial(self._foreground, shelf, held))
        return self._storage.commit(shelf, obj, old)

    def finished(self, shelf: Shelf, obj: Fields) -> bool:
        """Whether nothing holds back the removal of an object that is being deleted."""
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
            return False
        if shelf.resource.name == NAMESPACES:
            return not (obj.get("spec") or {}).get("finalizers")
        return not metadata.get("deletionGracePeriodSeconds")

    def collect_if_ownerless(self, shelf: Shelf, key: Key) -> None:
        """An object created for owners of which none exists is garbage."""
        held = shelf.reader.get(key.name, key.namespace)
        if held is None:
            return
        references = decoded(held)["metadata"].get("ownerReferences") or ()
        if references and not any(self._exists(reference, key.namespace) for reference in references):
            self.delete(shelf, held)

    def _grace(self, shelf: Shelf, obj: Fields, options: DeleteOptions) -> int:
        """Seconds a deletion waits for a kubelet: pods on a node, where somebody plays one."""
        if shelf.resource.name != PODS or not self.graceful or not obj["spec"].get("nodeName"):
            return 0
        if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        seconds: int = obj["spec"].get("terminationGracePeriodSeconds", 30) if options.grace is None else options.grace
        return seconds

    # -- what follows -----------------------------------------------------------------------------------

    def _removed(self, shelf: Shelf, held: Object, metadata: Fields) -> None:
        if self._storage.owns(held.uid):
            self._storage.later(partial(self._collect, held.uid))
        for reference in metadata.get("ownerReferences") or ():
            owner = self._owner(reference, held.namespace)
            if owner is not None and b'"deletionTimestamp"' in owner[1].raw:
                self._storage.later(partial(self._finish_foreground, *owner))

    def _collect(self, uid: str) -> None:
        """Background collection: the owner ``uid`` is gone."""
        for shelf, held in list(self._storage.dependents(uid)):
            obj = decoded(held)
            references = [ref for ref in obj["metadata"].get("ownerReferences") or () if ref["uid"] != uid]
            if any(self._exists(reference, held.namespace) for reference in references):
                self._disown(shelf, obj, references)
            else:
                self.delete(shelf, held)

    def _orphan(self, shelf: Shelf, held: Object) -> None:
        """Dependents are set free, then the owner goes."""
        for dependent, current in list(self._storage.dependents(held.uid)):
            obj = decoded(current)
            self._disown(dependent, obj, [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != held.uid])
        self._finish(shelf, held, _ORPHAN)

    def _disown(self, shelf: Shelf, obj: Fields, references: list[Fields]) -> None:
        old = deepcopy(obj)
        if references:
            obj["metadata"]["ownerReferences"] = references
        else:
            del obj["metadata"]["ownerReferences"]
        self._storage.commit(shelf, obj, old)

    def _foreground(self, shelf: Shelf, held: Object) -> None:
        """Dependents that block it first, then the owner; the others once it is gone."""
        for dependent, current in self._blocking(held.uid):
            obj = decoded(current)
            references = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != held.uid]
            if any(self._exists(reference, current.namespace) for reference in references):
                self._disown(dependent, obj, references)
            else:
                propagation = "Foreground" if self._storage.owns(current.uid) else "Background"
                self.delete(dependent, current, replace(DELETE_OPTIONS, propagation=propagation))
        self._finish_foreground(shelf, held)

    def _finish_foreground(self, shelf: Shelf, held: Object) -> None:
        if not self._blocking(held.uid):
            self._finish(shelf, held, _FOREGROUND)

    def _finish(self, shelf: Shelf, held: Object, finalizer: str) -> None:
        """Take the garbage collector's finalizer off; the object goes, if nothing else holds it."""
        current = shelf.reader.get(held.name, held.namespace)
        if current is None or current.uid != held.uid:
            return
        obj = decoded(current)
        metadata = obj["metadata"]
        if finalizer not in (metadata.get("finalizers") or ()):
            return
        old = deepcopy(obj)
        metadata["finalizers"] = [item for item in metadata["finalizers"] if item != finalizer]
        if self.finished(shelf, obj):
            self._storage.remove(shelf, current)
            return
        if not metadata["finalizers"]:
            del metadata["finalizers"]
        self._storage.commit(shelf, obj, old)

    def _blocking(self, uid: str) -> list[tuple[Shelf, Object]]:
        """The dependents that their owner waits for when it is deleted in the foreground."""
        return [
            (shelf, held)
            for shelf, held in self._storage.dependents(uid)
            if any(
                reference["uid"] == uid and reference.get("blockOwnerDeletion")
                for reference in decoded(held)["metadata"].get("ownerReferences") or ()
            )
        ]

    def _owner(self, reference: Fields, namespace: str) -> tuple[Shelf, Object] | None:
        group = reference["apiVersion"].rpartition("/")[0]
        for shelf in self._storage.shelves.values():
            if shelf.resource.kind == reference["kind"] and shelf.resource.group == group:
                held = shelf.reader.get(reference["name"], namespace if shelf.resource.namespaced else "")
                return (shelf, held) if held is not None and held.uid == reference["uid"] else None
        return None

    def _exists(self, reference: Fields, namespace: str) -> bool:
        """Whether an owner is there; of kinds that are not served here nothing can be said, so they are."""
        group = reference["apiVersion"].rpartition("/")[0]
        known = any(
            shelf.resource.kind == reference["kind"] and shelf.resource.group == group
            for shelf in self._storage.shelves.values()
        )
        return not known or self._owner(reference, namespace) is not None


def _check_preconditions(shelf: Shelf, held: Object, metadata: Fields, options: DeleteOptions) -> None:
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
        raise conflict(replace(shelf.resource, plural=shelf.resource.kind), held.name, why)


def _gone(shelf: Shelf, held: Object) -> Fields:
    resource = shelf.resource
    details = {"name": held.name, "group": resource.group, "kind": resource.plural, "uid": held.uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {name: value for name, value in details.items() if value},
    }
