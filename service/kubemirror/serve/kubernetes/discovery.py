"""Discovery documents: legacy (/api, /apis, groups, resource lists) and aggregated (apidiscovery.k8s.io).

Made from the catalog, in its order, with the verbs that are served here. Kept per catalog version: clients
ask for them at every start, and the aggregated ones carry an ETag (apiserver endpoints/discovery/aggregated).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha512
from typing import Any

from kubemirror.serve.answers import Validity
from kubemirror.serve.kubernetes.answer import NO_CACHE, Answer
from kubemirror.serve.kubernetes.request import Request
from kubemirror.serve.negotiation import JSON, PROTOBUF, YAML, Accepted, Transform, names_type, negotiate
from kubemirror.serve.status import StatusError, go_json
from kubemirror.state.catalog import Catalog, Entry, Resource

VERBS = ["get", "list", "watch"]
AGGREGATED_GROUP = "apidiscovery.k8s.io"
# v2beta1 is what kubectl 1.26 to 1.29 ask for, and the documents are the same: a mirror answers it whether its API
# server does (before 1.33) or not.
AGGREGATED_VERSIONS = ("v2", "v2beta1")
MEDIA_TYPES = f"{JSON}, {YAML}, {PROTOBUF}"
_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")


def not_acceptable() -> StatusError:
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {MEDIA_TYPES}")


def unrouted(media_types: str) -> StatusError:
    """406 as the router of built-in paths says it, before any handler looked at the request."""
    return StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {media_types}", {})


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sort key of kube-aware version order: GA before beta before alpha, higher first, the rest by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stage, minor = match.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), "")


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    versions: tuple[str, ...]


class Discovery:
    """The documents of one catalog; ``versions``: of the aggregated form, those that are spoken."""

    def __init__(self, catalog: Catalog, versions: tuple[str, ...] = AGGREGATED_VERSIONS) -> None:
        self._catalog = catalog
        self._versions = versions
        self._version = -1
        self._kept: dict[str, tuple[bytes, bytes]] = {}

    # -- answers --------------------------------------------------------------------------------------

    def root(self, request: Request, *, core: bool) -> tuple[Answer, Accepted]:
        """/api (``core``) or /apis, in the form that Accept asks for."""
        if core:
            _check_routed(request)
        accepted = self._negotiate(request, aggregated=True)
        if accepted.transform is None:
            return self._answer("/api" if core else "/apis", lambda: self._legacy_root(core=core)), accepted
        version = accepted.transform.version
        body, etag = self._document(f"{version} {core}", lambda: self._aggregated(version, core=core))
        # Exactly these bytes: kubectl 1.26 and 1.27 compare the whole header.
        content_type = f"application/json;g={AGGREGATED_GROUP};v={version};as=APIGroupDiscoveryList"
        headers = ((b"vary", b"Accept"), (b"cache-control", b"public"), (b"etag", etag))
        if request.if_none_match.encode("latin-1") == etag:
            return Answer(304, b"", "", headers, raw=True), accepted
        return Answer(200, body, content_type, headers), Accepted(JSON, None, accepted.pretty)

    def group(self, request: Request, name: str) -> tuple[Answer, Accepted] | None:
        """/apis/{group}, or None for a group nobody has."""
        found = next((group for group in self._groups() if group.name == name and name), None)
        if found is None:
            return None
        return self._answer(f"group {name}", lambda: self._group(found, top=True)), self._negotiate(request)

    def resources(self, request: Request, group: str, version: str) -> tuple[Answer, Accepted] | None:
        """/apis/{group}/{version} or /api/{version}, or None where that is not served."""
        known = any(version in found.versions for found in self._groups() if found.name == group)
        if not known:
            return None
        if not self.is_custom(group, version):
            _check_routed(request)
        answer = self._answer(f"resources {group}/{version}", lambda: self._resource_list(group, version))
        return answer, self._negotiate(request)

    def validity(self) -> Validity:
        """Of any answer made now: it stands while the catalog does."""
        catalog = self._catalog
        made = catalog.version, catalog.complete
        return Validity(lambda: (catalog.version, catalog.complete) == made, freshness=list)

    def has_group(self, name: str) -> bool:
        return any(group.name == name for group in self._groups())

    def holds(self, group: str, version: str) -> bool:
        """Whether anything of this group version is mirrored."""
        return bool(self._entries(group, version))

    def is_custom(self, group: str, version: str = "") -> bool:
        """Whether a group (version) is made of custom resources only."""
        resources = [
            entry.resource
            for entry in self._catalog
            if entry.resource.group == group and (not version or entry.resource.served(version) is not None)
        ]
        return bool(resources) and all(resource.custom for resource in resources)

    # -- documents --------------------------------------------------------------------------------------

    def _negotiate(self, request: Request, *, aggregated: bool = False) -> Accepted:
        def allows(transform: Transform) -> bool:
            return (
                aggregated
                and transform.group == AGGREGATED_GROUP
                and transform.kind == "APIGroupDiscoveryList"
                and transform.version in self._versions
            )

        accepted = negotiate(request.accept, (JSON, YAML), allows)
        if accepted is None:
            raise not_acceptable()
        return accepted

    def _answer(self, key: str, make: Any) -> Answer:
        body, _ = self._document(key, make)
        return Answer(200, body, headers=(NO_CACHE,))

    def _document(self, key: str, make: Any) -> tuple[bytes, bytes]:
        if self._version != self._catalog.version:
            self._kept.clear()
            self._version = self._catalog.version
        kept = self._kept.get(key)
        if kept is None:
            body = go_json(make())
            kept = self._kept[key] = body, b'"%s"' % sha512(body).hexdigest().upper().encode()
        return kept

    def _groups(self) -> list[_Group]:
        """Groups with their versions; the core group, if there is one, has the name ""."""
        versions: dict[str, list[str]] = {}
        custom: dict[str, bool] = {}
        for entry in self._catalog:
            resource = entry.resource
            known = versions.setdefault(resource.group, [])
            known += [served.name for served in resource.versions if served.name not in known]
            custom[resource.group] = custom.get(resource.group, True) and resource.custom
        for group, version in self._catalog.stale_groups:
            known = versions.setdefault(group, [])
            if version not in known:
                known.append(version)
        return [
            _Group(name, tuple(sorted(known, key=version_priority) if custom.get(name) else known))
            for name, known in versions.items()
        ]

    def _legacy_root(self, *, core: bool) -> dict[str, Any]:
        if core:
            versions = next((list(group.versions) for group in self._groups() if not group.name), ["v1"])
            return {"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []}
        groups = [self._group(group) for group in self._groups() if group.name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, group: _Group, *, top: bool = False) -> dict[str, Any]:
        versions = [{"groupVersion": f"{group.name}/{version}", "version": version} for version in group.versions]
        head = {"kind": "APIGroup", "apiVersion": "v1"} if top else {}
        return {**head, "name": group.name, "versions": versions, "preferredVersion": versions[0]}

    def _resource_list(self, group: str, version: str) -> dict[str, Any]:
        resources: list[dict[str, Any]] = []
        for entry in self._entries(group, version):
            resource = entry.resource
            served = resource.served(version)
            item: dict[str, Any] = {
                "name": resource.plural,
                "singularName": resource.singular,
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": VERBS,
            }
            if resource.short_names:
                item["shortNames"] = resource.short_names
            if resource.categories:
                item["categories"] = resource.categories
            if served is not None and served.storage_version_hash:
                item["storageVersionHash"] = served.storage_version_hash
            resources.append(item)
            if "status" in resource.subresources_of(version):
                resources.append(
                    {
                        "name": f"{resource.plural}/status",
                        "singularName": "",
                        "namespaced": resource.namespaced,
                        "kind": resource.kind,
                        "verbs": ["get"],
                    }
                )
        # The core group's list has never said its own apiVersion.
        head = {"kind": "APIResourceList"} if not group else {"kind": "APIResourceList", "apiVersion": "v1"}
        return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": resources}

    def _aggregated(self, version: str, *, core: bool) -> dict[str, Any]:
        items: list[dict[str, Any]] = []
        for group in self._groups():
            if core is not (not group.name):
                continue
            versions = [
                {
                    "version": name,
                    "resources": [
                        self._aggregated_resource(entry.resource, name) for entry in self._entries(group.name, name)
                    ],
                    "freshness": "Stale" if (group.name, name) in self._catalog.stale_groups else "Current",
                }
                for name in group.versions
            ]
            items.append({"metadata": {"name": group.name} if group.name else {}, "versions": versions})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{AGGREGATED_GROUP}/{version}",
            "metadata": {},
            "items": items,
        }

    def _aggregated_resource(self, resource: Resource, version: str) -> dict[str, Any]:
        kind = {
            "group": resource.group if resource.custom else "",
            "version": version if resource.custom else "",
            "kind": resource.kind,
        }
        item: dict[str, Any] = {
            "resource": resource.plural,
            "responseKind": kind,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": resource.singular,
            "verbs": VERBS,
        }
        if resource.short_names:
            item["shortNames"] = resource.short_names
        if resource.categories:
            item["categories"] = resource.categories
        if "status" in resource.subresources_of(version):
            item["subresources"] = [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]
        return item

    def _entries(self, group: str, version: str) -> list[Entry]:
        return [
            entry
            for entry in self._catalog
            if entry.resource.group == group and entry.resource.served(version) is not None
        ]


def _check_routed(request: Request) -> None:
    if not names_type(request.accept, (JSON, YAML, PROTOBUF)):
        raise unrouted(MEDIA_TYPES)
