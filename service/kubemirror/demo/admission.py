"""What happens to an object between the request and storage: decoded, placed, defaulted, checked, kept in part.

All of it raises ``Refusal`` in the API server's words, and none of it stores anything.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson

from kubemirror.demo import schema, validation
from kubemirror.demo.kinds import NAMESPACES, Kind
from kubemirror.demo.options import Options
from kubemirror.demo.refusal import (
    Cause,
    Refusal,
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
from kubemirror.demo.storage import Storage, decoded
from kubemirror.demo.typed import WrongTypeError, decode_typed
from kubemirror.state.objects import Object

Fields = dict[str, Any]

_SERVER_KEPT = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
)


def incoming(shelf: Shelf, obj: Fields, options: Options) -> Fields:
    """A copy to work on: of the right type, in the stored version, without what its schema does not know."""
    resource = shelf.resource
    version = options.version or resource.version
    wanted = resource.api_version_of(version)
    kind, api_version = obj.get("kind") or resource.kind, obj.get("apiVersion") or wanted
    if kind != resource.kind:
        given = api_version.rpartition("/")[2]
        internal = f"{resource.group.partition('.')[0] or 'core'}.{resource.kind}"
        raise bad_request(
            f'{kind} in version "{given}" cannot be handled as a {resource.kind}: '
            f"converting ({given}.{kind}) to ({internal}): unknown conversion"
        )
    if api_version != wanted:
        message = f"the API version in the data ({api_version}) does not match the expected API version ({wanted})"
        raise bad_request(message)
    metadata = obj.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise _not_handled(shelf, version, "metadata is not an object")
    try:
        meta, unknown = decode_typed("meta", "ObjectMeta", metadata)
        if resource.custom:
            new = deepcopy(obj)
            rules = shelf.schemas.get(version)
            unknown = [f"metadata.{path}" for path in unknown]
            unknown += schema.prune(new, rules) if rules is not None else []
        else:
            new, unknown = decode_typed(resource.group, resource.kind, {**obj, "metadata": metadata})
    except WrongTypeError as error:
        raise _not_handled(shelf, version, str(error)) from error
    new["kind"], new["apiVersion"], new["metadata"] = resource.kind, resource.api_version, meta
    if unknown and options.strict:
        fields = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise _not_handled(shelf, version, f"strict decoding error: {fields}")
    return new


def _not_handled(shelf: Shelf, version: str, why: str) -> Refusal:
    kind = shelf.resource.kind
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def place(shelf: Shelf, metadata: Fields, namespace: str) -> None:
    """Settle the namespace of a new object between request and body."""
    if not shelf.resource.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace")
    if namespace and given and namespace != given:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace or given or "default"


def admit(storage: Storage, shelf: Shelf, name: str, namespace: str) -> None:
    """Refuse what is created where nothing is taken any more, or in a namespace that is not there."""
    if shelf.terminating:
        raise forbidden(shelf.resource, name, "create not allowed while custom resource definition is terminating")
    if not shelf.resource.namespaced:
        return
    namespaces = storage.shelves[NAMESPACES]
    held = namespaces.reader.get(namespace)
    if held is None:
        raise not_found(namespaces.resource, namespace)
    if b'"deletionTimestamp"' in held.raw and decoded(held)["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = Cause("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
        raise forbidden(shelf.resource, name, why, [cause])


def default_and_check(shelf: Shelf, new: Fields, old: Fields | None, options: Options) -> None:
    """Fill in defaults, then refuse (422) what is wrong with ``new``, or with the step from ``old`` to it."""
    kind = shelf.kind
    version = options.version or shelf.resource.version
    rules = shelf.schemas.get(version)
    if rules is not None:
        schema.fill(new, rules)
    try:
        kind.defaults(new)
        causes = _causes(kind, new, old)
    except (TypeError, AttributeError, KeyError) as error:  # a list where an object should be, and the like
        raise _not_handled(shelf, version, str(error)) from error
    if rules is not None:
        causes += schema.check(new, rules)
    if causes:
        raise invalid(shelf.resource.group, shelf.resource.kind, new["metadata"].get("name", ""), causes)


def _causes(kind: Kind, new: Fields, old: Fields | None) -> list[Cause]:
    name = new["metadata"].get("name") or ""
    causes: list[Cause] = []
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    elif old is None and (why := kind.name_rule(name)) is not None:
        causes.append(invalid_value("metadata.name", name, why))
    return causes + validation.metadata(new) + kind.validate(new, old)


def check_identity(shelf: Shelf, held: Object, new: Fields, before: Fields) -> None:
    """Refuse an update meant for another object, or for another version of this one."""
    metadata, name = new["metadata"], held.name
    if metadata.get("name", name) != name:
        message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        raise bad_request(message)
    if metadata.get("namespace", held.namespace) != held.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if metadata.get("uid") and metadata["uid"] != held.uid:
        key = f"/registry/{shelf.resource.plural}/{held.namespace}/{name}".replace("//", "/")
        why = (
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {held.uid}"
        )
        raise conflict(shelf.resource, name, why)
    if metadata.get("resourceVersion") and metadata["resourceVersion"] != before["resourceVersion"]:
        raise modified(shelf.resource, name)


def keep(kind: Kind, new: Fields, old: Fields, subresource: str) -> None:
    """Put back into ``new`` what an update of it (or of a part of it) cannot change."""
    metadata, before = new["metadata"], old["metadata"]
    if subresource == "finalize":
        new["status"] = old.get("status")
    elif subresource == "scale":
        new["status"] = old.get("status", {})
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
        else:  # annotations may come along: the deployment controller writes its revision so
            metadata["labels"] = before.get("labels")
    elif kind.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if kind.resource.name == NAMESPACES and subresource != "finalize":
        new["spec"] = old.get("spec")
    for name in _SERVER_KEPT:
        metadata.pop(name, None)
        if name in before:
            metadata[name] = before[name]
    metadata.pop("managedFields", None)
    if before.get("managedFields"):
        metadata["managedFields"] = before["managedFields"]
    for name in ("finalizers", "labels", "annotations", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def check_finalizers(shelf: Shelf, new: Fields, before: Fields) -> None:
    """An object on its way out takes no new finalizers."""
    if not before.get("deletionTimestamp"):
        return
    held = before.get("finalizers") or ()
    added = [item for item in new["metadata"].get("finalizers") or () if item not in held]
    if added:
        listed = ", ".join(orjson.dumps(item).decode() for item in added)
        why = (
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
        )
        cause = forbidden_value("metadata.finalizers", why)
        raise invalid(shelf.resource.group, shelf.resource.kind, before["name"], [cause])
