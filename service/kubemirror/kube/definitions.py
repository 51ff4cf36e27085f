"""What a CustomResourceDefinition says of the resource it defines, read as kube-apiserver reads it.

Names are the accepted ones (a name conflict keeps the old), a version counts when it is served and the
definition Established, and versions go by kube-aware order: GA before beta before alpha, higher first.
Rules: apiextensions-apiserver, pkg/apiserver/customresource_discovery_controller.go and
pkg/apihelpers; the storage version's hash: apiserver, pkg/endpoints/discovery/storageversionhash.go.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import sha256

import msgspec

from kubemirror.state.catalog import Column, Resource, ServedVersion

GROUP = "apiextensions.k8s.io"

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


@dataclass(frozen=True, slots=True)
class Definition:
    """One CustomResourceDefinition.

    resource: what it defines, under its preferred version; None until Established, or with no version served.
    webhook: a converter stands between its versions, so an object can only be told in the version it was read.
    """

    name: str
    uid: str
    resource: Resource | None
    webhook: bool = False


def definition(raw: bytes) -> Definition:
    """Read a CustomResourceDefinition (apiextensions.k8s.io/v1, JSON). ValueError when it is none."""
    try:
        read = _decode(raw)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a CustomResourceDefinition: {error}") from error
    webhook = read.spec.conversion is not None and read.spec.conversion.strategy == "Webhook"
    return Definition(read.metadata.name, read.metadata.uid, _resource(read), webhook)


def under(resource: Resource, version: str, *, alone: bool) -> Resource:
    """``resource`` mirrored in ``version``, one of those it has; ``alone``: and offered in no other."""
    versions = tuple(served for served in resource.versions if served.name == version) if alone else resource.versions
    return replace(resource, version=version, versions=versions)


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """What discovery tells as storageVersionHash of a resource stored in ``version``."""
    return b64encode(sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def version_order(version: str) -> tuple[int, int, int, int, str]:
    """Sort key of kube-aware order: v2, v1, v1beta2, v1beta1, v1alpha1, then all else by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, 0, version)
    major, stability, minor = match.groups()
    return (0, _STABILITY[stability], -int(major), -int(minor or 0), version)


class _Struct(msgspec.Struct, rename="camel"):
    """Upstream's Go structs: absent and null mean the same."""


class _Names(_Struct):
    plural: str = ""
    singular: str = ""
    kind: str = ""
    list_kind: str = ""
    short_names: list[str] | None = None
    categories: list[str] | None = None


class _Column(_Struct):
    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class _SelectableField(_Struct):
    json_path: str


class _Subresources(_Struct):
    status: dict[str, msgspec.Raw] | None = None
    scale: dict[str, msgspec.Raw] | None = None


class _Version(_Struct):
    name: str
    served: bool = False
    storage: bool = False
    deprecated: bool = False
    deprecation_warning: str | None = None
    additional_printer_columns: list[_Column] | None = None
    selectable_fields: list[_SelectableField] | None = None
    subresources: _Subresources | None = None


class _Conversion(_Struct):
    strategy: str = "None"


class _Spec(_Struct):
    group: str
    scope: str
    versions: list[_Version]
    conversion: _Conversion | None = None


class _Condition(_Struct):
    type: str
    status: str


class _Status(_Struct):
    accepted_names: _Names = msgspec.field(default_factory=_Names)
    conditions: list[_Condition] | None = None


class _Metadata(_Struct):
    name: str
    uid: str = ""


class _CustomResourceDefinition(_Struct):
    metadata: _Metadata
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


_decode = msgspec.json.Decoder(_CustomResourceDefinition).decode


def _resource(read: _CustomResourceDefinition) -> Resource | None:
    established = any(
        condition.type == "Established" and condition.status == "True" for condition in read.status.conditions or ()
    )
    names = read.status.accepted_names
    served = sorted((version for version in read.spec.versions if version.served), key=_order)
    if not established or not served or not names.plural or not names.kind:
        return None
    group = read.spec.group
    stored = next((version.name for version in read.spec.versions if version.storage), served[0].name)
    stored_hash = storage_version_hash(group, stored, names.kind)
    return Resource(
        group=group,
        version=served[0].name,
        plural=names.plural,
        singular=names.singular or names.kind.lower(),
        kind=names.kind,
        namespaced=read.spec.scope == "Namespaced",
        versions=tuple(
            ServedVersion(
                name=version.name,
                columns=tuple(
                    Column(
                        column.name, column.type, column.json_path, column.format, column.description, column.priority
                    )
                    for column in version.additional_printer_columns or ()
                ),
                selectable_fields=tuple(field.json_path for field in version.selectable_fields or ()),
                storage_version_hash=stored_hash,
                deprecation_warning=_deprecation(version, served, group, names.kind),
                subresources=_subresources(version),
            )
            for version in served
        ),
        list_kind=names.list_kind,
        short_names=tuple(names.short_names or ()),
        categories=tuple(names.categories or ()),
        subresources=_subresources(served[0]),
        custom=True,
        uid=read.metadata.uid,
    )


def _order(version: _Version) -> tuple[int, int, int, int, str]:
    return version_order(version.name)


def _subresources(version: _Version) -> tuple[str, ...]:
    declared = version.subresources
    if declared is None:
        return ()
    both = (("status", declared.status), ("scale", declared.scale))
    return tuple(name for name, value in both if value is not None)


def _deprecation(version: _Version, served: list[_Version], group: str, kind: str) -> str:
    """The text of upstream's Warning header for ``version``; "" when it is not deprecated."""
    if not version.deprecated:
        return ""
    if version.deprecation_warning is not None:
        return version.deprecation_warning
    warning = f"{group}/{version.name} {kind} is deprecated"
    better = [
        other.name
        for other in served
        if not other.deprecated and version_order(other.name) < version_order(version.name)
    ]
    return f"{warning}; use {group}/{better[0]} {kind}" if better else warning
