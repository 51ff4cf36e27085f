"""What takes its contents along: namespaces that are emptied, definitions that begin and end a resource."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

from kubemirror.demo import definitions
from kubemirror.demo.deletion import Deletion
from kubemirror.demo.kinds import DEFINITIONS, NAMESPACES, Kind
from kubemirror.demo.options import Options
from kubemirror.demo.shelf import Shelf
from kubemirror.demo.storage import Storage, decoded
from kubemirror.state.objects import Object

Fields = dict[str, Any]

_OPTIONS = Options(manager="kube-apiserver")


class NamespaceController:
    """Empties a terminating namespace, then lets it go."""

    def __init__(self, storage: Storage, deletion: Deletion) -> None:
        self._storage = storage
        self._deletion = deletion
        deletion.ending[NAMESPACES] = self.empty
        storage.removed.append(self._removed)

    def empty(self, name: str) -> None:
        """Delete what is in it; once nothing is left (finalizers, pods that end gracefully), the namespace."""
        shelves = [shelf for shelf in self._storage.shelves.values() if shelf.resource.namespaced]
        for shelf in shelves:
            for held in shelf.reader.snapshot(name).objects:
                if b'"deletionTimestamp"' not in held.raw:
                    self._deletion.delete(shelf, held)
        namespaces = self._storage.shelves[NAMESPACES]
        current = namespaces.reader.get(name)
        if current is None or any(shelf.reader.count(name) for shelf in shelves):
            return
        obj = decoded(current)
        if not obj["metadata"].get("finalizers"):
            self._storage.remove(namespaces, current)
        elif obj.get("spec"):
            old = deepcopy(obj)
            obj["spec"] = {}
            self._storage.commit(namespaces, obj, old)

    def _removed(self, shelf: Shelf, held: Object, metadata: Fields) -> None:
        if not held.namespace:
            return
        namespace = self._storage.shelves[NAMESPACES].reader.get(held.namespace)
        if namespace is not None and b'"deletionTimestamp"' in namespace.raw:
            self._storage.later(partial(self.empty, held.namespace))


class DefinitionController:
    """Makes a resource of each definition, follows its changes, and takes it away again."""

    def __init__(self, storage: Storage, deletion: Deletion) -> None:
        self._storage = storage
        self._deletion = deletion
        deletion.ending[DEFINITIONS] = self.undefine
        storage.removed.append(self._removed)

    def establish(self, name: str) -> None:
        """Accept a definition's names, and make, or change, its resource."""
        shelves = self._storage.shelves
        shelf = shelves[DEFINITIONS]
        held = shelf.reader.get(name)
        if held is None:
            return
        definition = decoded(held)
        if definition["metadata"].get("deletionTimestamp"):
            return
        old = deepcopy(definition)
        group = definition["spec"]["group"]
        others = [other.resource for other in shelves.values() if other.resource.group == group]
        others = [other for other in others if other.name != name]
        if definitions.accept_names(definition, others, self._storage.now()):
            self._storage.record(shelf, definition, old, "status", _OPTIONS)
            self._storage.commit(shelf, definition, old)
        if not definitions.established(definition):
            return
        if name not in shelves:
            self._storage.open(Kind(definitions.resource_of(definition), unconditional=False))
        shelves[name].redefine(definition)
        self._storage.catalog.put(shelves[name].entry)

    def undefine(self, name: str) -> None:
        """The definitions' finalizer: the instances go, then the resource, then the definition."""
        shelf = self._storage.shelves[DEFINITIONS]
        instances = self._storage.shelves.get(name)
        if instances is not None and not instances.terminating:
            instances.terminating = True
            definition = self._current(shelf, name)
            if definition is None:
                return
            old = deepcopy(definition)
            message = "CustomResource deletion is in progress"
            definitions.mark_terminating(definition, self._storage.now(), "InstanceDeletionInProgress", message)
            self._storage.commit(shelf, definition, old)
            for instance in instances.reader.snapshot().objects:
                self._deletion.delete(instances, instance)
        held = shelf.reader.get(name)
        if held is None or (instances is not None and len(instances.reader)):
            return
        if instances is not None:
            self._storage.close(name, "its CustomResourceDefinition was deleted")
        definition = decoded(held)
        finalizers = definition["metadata"].get("finalizers") or ()
        left = [item for item in finalizers if item != definitions.CLEANUP]
        if left:
            old = deepcopy(definition)
            definition["metadata"]["finalizers"] = left
            self._storage.commit(shelf, definition, old)
        else:
            self._storage.remove(shelf, held)

    def _current(self, shelf: Shelf, name: str) -> Fields | None:
        held = shelf.reader.get(name)
        return None if held is None else decoded(held)

    def _removed(self, shelf: Shelf, held: Object, metadata: Fields) -> None:
        if shelf.terminating:
            self._storage.later(partial(self.undefine, shelf.resource.name))
