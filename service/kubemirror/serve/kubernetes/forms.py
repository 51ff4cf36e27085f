"""The forms in which an object, a list or a watch event is answered, made from bytes that already exist.

An object as it is; metadata only (PartialObjectMetadata); or as a Table with upstream's cells. ``View`` joins
what one request asked for: the resource in one served version and one form. It decodes nothing on the plain
path: list items are the stored bytes without the kind and apiVersion in front (upstream leaves them out of the
items of built-in lists), another served version of a custom resource is a new apiVersion before the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import msgspec
import orjson

from kubemirror.serve.negotiation import Transform
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Blank, Object
from kubemirror.views.columns import Printer

META_VERSIONS = ("v1", "v1beta1")
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
GAP = "kubemirror/gap"

# The field order of ObjectMeta and what hangs below it: custom resources are stored with sorted keys, but
# upstream writes their metadata through the Go struct when only metadata (or a Table's row) is asked for.
_METADATA_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
)  # fmt: skip
_OWNER_ORDER = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
_MANAGED_ORDER = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")


class Shape(StrEnum):
    OBJECT = "object"
    METADATA = "metadata"
    TABLE = "table"


class Include(StrEnum):
    """What a Table's row carries beside its cells."""

    NONE = "None"
    METADATA = "Metadata"
    OBJECT = "Object"


@dataclass(frozen=True, slots=True)
class Form:
    """meta_version: of meta.k8s.io, for Tables and metadata. include: for Tables."""

    shape: Shape = Shape.OBJECT
    meta_version: str = "v1"
    include: Include = Include.METADATA

    @property
    def meta_api_version(self) -> str:
        return f"meta.k8s.io/{self.meta_version}"


PLAIN = Form()
_TRANSFORMS = {
    "Table": Shape.TABLE,
    "PartialObjectMetadata": Shape.METADATA,
    "PartialObjectMetadataList": Shape.METADATA,
}


def allowed(transform: Transform) -> bool:
    """Whether a transformation of resources exists at all."""
    return transform.kind in _TRANSFORMS and transform.group == "meta.k8s.io" and transform.version in META_VERSIONS


def form_of(transform: Transform | None, include: str = "") -> Form:
    """The form of an allowed transformation. Raises ValueError for an includeObject nobody knows."""
    if transform is None:
        return PLAIN
    shape = _TRANSFORMS[transform.kind]
    if shape is not Shape.TABLE:
        return Form(shape, transform.version)
    try:
        return Form(shape, transform.version, Include(include or Include.METADATA))
    except ValueError:
        raise ValueError(
            f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        ) from None


class _Metadata(msgspec.Struct):
    metadata: msgspec.Raw


_metadata = msgspec.json.Decoder(_Metadata).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list_of_fields = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How one request sees a resource. ``now``: seconds since 1970, for ages."""

    resource: Resource
    version: str
    form: Form
    printer: Printer | None  # for Tables

    # -- one object ---------------------------------------------------------------------------------

    def object(self, held: Object) -> bytes:
        """The whole object with kind and apiVersion."""
        if self.version == self.resource.version:
            return held.raw
        return _reversion(held.raw, self.resource.api_version, self.resource.api_version_of(self.version))

    def metadata(self, held: Object) -> bytes:
        """The object as PartialObjectMetadata."""
        return b'{"kind":"PartialObjectMetadata","apiVersion":"%s","metadata":%s}' % (
            self.form.meta_api_version.encode(),
            self._metadata_of(held),
        )

    def single(self, held: Object, now: float) -> bytes:
        """The answer to a GET."""
        match self.form.shape:
            case Shape.OBJECT:
                return self.object(held)
            case Shape.METADATA:
                return self.metadata(held)
            case Shape.TABLE:
                return self._table(held.resource_version, self._row(held, now), columns=True)

    # -- a list ---------------------------------------------------------------------------------------

    def ordered(self, page: list[Object]) -> list[Object]:
        """The page in the order of this form: upstream's printer of FlowSchemas sorts them as they are tried."""
        if self.form.shape is not Shape.TABLE or self.resource.name != _FLOW_SCHEMAS:
            return page
        return sorted(page, key=_precedence)

    def item(self, held: Object, now: float) -> bytes:
        """One element of the list's items, or one of the Table's rows."""
        match self.form.shape:
            case Shape.OBJECT:
                if self.resource.custom:
                    return self.object(held)
                return _without_type(held.raw, self.resource.kind, self.resource.api_version)
            case Shape.METADATA:
                return self.metadata(held)
            case Shape.TABLE:
                return self._row(held, now)

    def frame(
        self, resource_version: int, *, empty: bool, continue_token: str = "", remaining: int | None = None
    ) -> tuple[bytes, bytes]:
        """What stands before and after the items joined by commas."""
        metadata: dict[str, str | int] = {"resourceVersion": str(resource_version)}
        if continue_token:
            metadata["continue"] = continue_token
        if remaining is not None:
            metadata["remainingItemCount"] = remaining
        api_version = self.resource.api_version_of(self.version)
        match self.form.shape:
            case Shape.TABLE:
                head = b'{"kind":"Table","apiVersion":"%s","metadata":%s,"columnDefinitions":%s,"rows":' % (
                    self.form.meta_api_version.encode(),
                    orjson.dumps(metadata),
                    self._definitions,
                )
                # Upstream's printer of kinds that have none of their own starts with no rows at all.
                return (head + b"null", b"}") if empty and self._printer.default else (head + b"[", b"]}")
            case Shape.METADATA:
                head = b'{"kind":"PartialObjectMetadataList","apiVersion":"%s","metadata":%s,"items":' % (
                    self.form.meta_api_version.encode(),
                    orjson.dumps(metadata),
                )
                return (head + b"null", b"}") if empty else (head + b"[", b"]}")
            case Shape.OBJECT if self.resource.custom:
                # Upstream encodes these from a map: sorted keys, and "continue" always there.
                metadata.setdefault("continue", "")
                return (
                    b'{"apiVersion":"%s","items":[' % api_version.encode(),
                    b'],"kind":"%s","metadata":%s}'
                    % (
                        self.resource.effective_list_kind.encode(),
                        orjson.dumps(metadata, option=orjson.OPT_SORT_KEYS),
                    ),
                )
            case Shape.OBJECT:
                return (
                    b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":['
                    % (self.resource.effective_list_kind.encode(), api_version.encode(), orjson.dumps(metadata)),
                    b"]}",
                )

    # -- a watch --------------------------------------------------------------------------------------

    def event(self, type_: str, held: Object, now: float, *, columns: bool) -> bytes:
        """One watch event as a line. ``columns``: with the Table's columnDefinitions (the stream's first)."""
        match self.form.shape:
            case Shape.OBJECT:
                body = self.object(held)
            case Shape.METADATA:
                body = self.metadata(held)
            case Shape.TABLE:
                body = self._table(held.resource_version, self._row(held, now), columns=columns)
        return b'{"type":"%s","object":%s}\n' % (type_.encode(), body)

    def bookmark(
        self,
        resource_version: int,
        *,
        columns: bool,
        blank: Blank = Blank(),  # noqa: B008 - immutable
        initial_end: bool = False,
        gap: bool = False,
    ) -> bytes:
        """A BOOKMARK line; ``initial_end`` ends the initial events of a WatchList.

        blank: what upstream writes the resource's bookmarks on: a Deployment's has a spec and a status too.
        gap: what follows, up to the next bookmark, is the outcome of a stretch that this mirror did not watch.
        """
        metadata: dict[str, str | Mapping[str, str]] = {"resourceVersion": str(resource_version)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        if gap:
            metadata["annotations"] = {GAP: "true"}
        form = self.form
        whole = form.shape is Shape.OBJECT or (form.shape is Shape.TABLE and form.include is Include.OBJECT)
        body = self._marked(metadata, blank) if whole else _marked_metadata(metadata, form.meta_api_version)
        if form.shape is Shape.TABLE:
            if form.include is Include.NONE and not initial_end:
                body = b"null"
            body = self._table(
                resource_version, b'{"cells":%s,"object":%s}' % (self._blank_cells(blank), body), columns=columns
            )
        return b'{"type":"BOOKMARK","object":%s}\n' % body

    def _marked(self, metadata: Mapping[str, str | Mapping[str, str]], blank: Blank) -> bytes:
        """The object that a bookmark carries."""
        kind, api_version = self.resource.kind, self.resource.api_version_of(self.version)
        if self.resource.custom:
            return orjson.dumps({"apiVersion": api_version, "kind": kind, "metadata": dict(sorted(metadata.items()))})
        body = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
        return bytes(body[:-1]) + _beside_metadata(blank.raw) + b"}"

    def _blank_cells(self, blank: Blank) -> bytes:
        if blank.cells and self.version == self.resource.version:
            return blank.cells
        definitions = self._printer.definitions
        if self.resource.custom:
            return b'[""%s]' % (b",null" * (len(definitions) - 1))
        return b"[%s]" % b",".join(_NO_CELL.get(column.type, b"null") for column in definitions)

    # -- parts ----------------------------------------------------------------------------------------

    @property
    def _printer(self) -> Printer:
        assert self.printer is not None, "a Table needs a Printer"  # noqa: S101
        return self.printer

    @property
    def _definitions(self) -> bytes:
        return self._printer.definitions_json

    def _row(self, held: Object, now: float) -> bytes:
        printer = self._printer
        match self.form.include:
            case Include.NONE:
                included = b"null"
            case Include.METADATA:
                included = self.metadata(held)
            case Include.OBJECT:
                included = self.object(held)
        cells = orjson.dumps(printer.cells(held, now))
        if self.resource.name == _PODS and (ended := _ended(held.raw)):
            return b'{"cells":%s,"conditions":[%s],"object":%s}' % (cells, ended, included)
        return b'{"cells":%s,"object":%s}' % (cells, included)

    def _table(self, resource_version: int, row: bytes, *, columns: bool) -> bytes:
        return (
            b'{"kind":"Table","apiVersion":"%s","metadata":{"resourceVersion":"%d"},"columnDefinitions":%s,"rows":[%s]}'
            % (
                self.form.meta_api_version.encode(),
                resource_version,
                self._definitions if columns else b"null",
                row,
            )
        )

    def _metadata_of(self, held: Object) -> msgspec.Raw | bytes:
        metadata = _metadata(held.raw).metadata
        if self.resource.custom:
            return _in_struct_order(metadata)
        return _without_generation(metadata) if self.resource.name == _DAEMON_SETS else metadata


_PODS = "pods"
_FLOW_SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
_DAEMON_SETS = "daemonsets.apps"
# Made by the conversion to v1 from a field of the spec: it is not in metadata that is shown without the object.
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_NO_CELL = {"string": b'""', "integer": b"0", "number": b"0"}


@lru_cache(maxsize=1024)
def _type_prefix(kind: str, api_version: str) -> bytes:
    return b'{"kind":"%s","apiVersion":"%s",' % (kind.encode(), api_version.encode())


@lru_cache(maxsize=1024)
def _version_prefix(api_version: str) -> bytes:
    return b'{"apiVersion":"%s",' % api_version.encode()


def _without_type(raw: bytes, kind: str, api_version: str) -> bytes:
    prefix = _type_prefix(kind, api_version)
    if raw.startswith(prefix):
        return b"{" + raw[len(prefix) :]
    fields = _fields(raw)
    fields.pop("kind", None)
    fields.pop("apiVersion", None)
    return _encode(fields)


def _reversion(raw: bytes, stored: str, asked: str) -> bytes:
    prefix = _version_prefix(stored)
    if raw.startswith(prefix):
        return _version_prefix(asked) + raw[len(prefix) :]
    fields = _fields(raw)
    fields["apiVersion"] = msgspec.Raw(orjson.dumps(asked))
    return _encode(fields)


def _beside_metadata(raw: bytes) -> bytes:
    """The members of a blank object that a bookmark does not fill in, each with a comma before it."""
    if not raw:
        return b""
    fields = {name: value for name, value in _fields(raw).items() if name not in ("kind", "apiVersion", "metadata")}
    return b"".join(b",%s:%s" % (orjson.dumps(name), bytes(value)) for name, value in fields.items())


def _marked_metadata(metadata: Mapping[str, str | Mapping[str, str]], api_version: str) -> bytes:
    return orjson.dumps({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": metadata})


class _Precedence(msgspec.Struct, rename="camel"):
    matching_precedence: int = 0


class _Phase(msgspec.Struct):
    phase: str = ""


class _Pod(msgspec.Struct):
    status: _Phase


_pod = msgspec.json.Decoder(_Pod).decode
# What upstream's printer says of a Pod that will run no more, beside its cells.
_COMPLETED = {
    phase: orjson.dumps({"type": "Completed", "status": "True", "reason": phase, "message": message})
    for phase, message in (
        ("Succeeded", "The pod has completed successfully."),
        ("Failed", "The pod failed."),
    )
}


def _ended(raw: bytes) -> bytes:
    """The condition of a Pod's row, b"" for one that may run; the bytes are looked at first, for most may."""
    if b'"phase":"Succeeded"' in raw or b'"phase":"Failed"' in raw:
        return _COMPLETED.get(_pod(raw).status.phase, b"")
    return b""


class _FlowSchema(msgspec.Struct):
    spec: _Precedence


_flow_schema = msgspec.json.Decoder(_FlowSchema).decode


def _precedence(held: Object) -> tuple[int, str]:
    return _flow_schema(held.raw).spec.matching_precedence, held.name


def _without_generation(metadata: msgspec.Raw) -> bytes | msgspec.Raw:
    fields = _fields(metadata)
    annotations = _fields(fields.get("annotations", b"{}"))
    if annotations.pop(_TEMPLATE_GENERATION, None) is None:
        return metadata
    if annotations:
        fields["annotations"] = msgspec.Raw(_encode(annotations))
    else:
        del fields["annotations"]
    return _encode(fields)


def _in_struct_order(metadata: msgspec.Raw) -> bytes:
    fields = _fields(metadata)
    if "ownerReferences" in fields:
        owners = [_ordered(owner, _OWNER_ORDER) for owner in _list_of_fields(fields["ownerReferences"])]
        fields["ownerReferences"] = msgspec.Raw(_encode(owners))
    if "managedFields" in fields:
        managed = [_ordered(entry, _MANAGED_ORDER) for entry in _list_of_fields(fields["managedFields"])]
        fields["managedFields"] = msgspec.Raw(_encode(managed))
    return _encode(_ordered(fields, _METADATA_ORDER))


def _ordered(fields: dict[str, msgspec.Raw], order: tuple[str, ...]) -> dict[str, msgspec.Raw]:
    known = {name: fields[name] for name in order if name in fields}
    return known | {name: value for name, value in fields.items() if name not in known}
