"""Which resources the API server has: its discovery documents, read in either of their two forms.

Aggregated discovery (two requests, answered 304 while nothing changed) comes first; where it is not
spoken, the legacy documents, one per group version. A group version whose discovery fails (an aggregated
API that is down) is *stale*: told as such, and what it had before is kept. Only when nothing can be read
is it an error. Shapes: k8s.io/api apidiscovery/v2 and apimachinery meta/v1 APIResourceList.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from kubemirror.errors import ConfigError, KubemirrorError
from kubemirror.kube.naming import resolve, suggestion
from kubemirror.kube.transport import Response, Transport, TransportError
from kubemirror.kube.wire import RENEW_CREDENTIALS
from kubemirror.state.catalog import Resource, ServedVersion

# One document: kubectl allows 32 s for discovery, and an aggregated API that hangs must not hold us longer.
REQUEST_SECONDS = 30.0
# A cluster with 1,000 CRDs has about 2 MB of discovery; beyond this something else is answering.
LARGEST_DOCUMENT_BYTES = 64 * 1024 * 1024
# Legacy documents fetched at once: enough to be quick on 100 group versions, few enough not to be throttled.
LEGACY_CONCURRENCY = 8

_AGGREGATED = ",".join(
    [f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")]
)
_ACCEPT = f"{_AGGREGATED},application/json"
_MIRRORED_VERBS = frozenset({"list", "watch"})


class DiscoveryError(KubemirrorError):
    """Nothing of the discovery could be read; one line, with the remedy where there is one."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the API server has, in its own order.

    resources: those that can be listed and watched, under their group's preferred version.
    unwatchable: names of those that cannot.
    stale: (group, version) to the reason why its discovery failed.
    """

    groups: tuple[str, ...] = ()
    resources: tuple[Resource, ...] = ()
    unwatchable: frozenset[str] = frozenset()
    stale: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def without(self, name: str) -> Discovered:
        """The same but for one resource that is known to be gone."""
        return replace(self, resources=tuple(resource for resource in self.resources if resource.name != name))


class Discovery:
    """Reads discovery again and again, cheaply; remembers what a stale group version had."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._roots: dict[str, tuple[str, list[_Group]]] = {}  # path to (ETag, what it said)
        self._hashes: dict[tuple[str, str], Mapping[str, str]] = {}
        self._known: dict[tuple[str, str], _GroupVersion] = {}

    async def read(self) -> Discovered:
        """What there is now. Raises DiscoveryError when not even a part of it can be read."""
        core, groups = await asyncio.gather(self._root("/api"), self._root("/apis"))
        read = [*core, *groups]
        for group in read:
            for at, version in enumerate(group.versions):
                identity = (group.name, version.name)
                if version.stale and not version.resources and identity in self._known:
                    group.versions[at] = replace(self._known[identity], stale=version.stale)
                elif not version.stale:
                    self._known[identity] = version
        return _discovered(read)

    async def storage_version_hashes(self, group: str, version: str) -> Mapping[str, str]:
        """Plural to storageVersionHash of a group version: only the legacy documents have it; {} if unreadable."""
        identity = (group, version)
        if identity not in self._hashes:
            try:
                read = await self._legacy(group, version)
            except (DiscoveryError, TransportError):
                return {}
            self._hashes[identity] = {
                resource.name: resource.storage_version_hash
                for resource in read.resources
                if resource.storage_version_hash
            }
        return self._hashes[identity]

    async def _root(self, path: str) -> list[_Group]:
        etag, known = self._roots.get(path, ("", []))
        try:
            answer = await fetch(
                self._transport, path, accept=_ACCEPT, headers={"if-none-match": etag} if etag else None
            )
        except TransportError as error:
            raise DiscoveryError(f"discovery failed: {error}") from error
        if answer.status == 304:
            return [replace(group, versions=list(group.versions)) for group in known]
        if answer.status in {403, 404} and path == "/api":
            return []
        if answer.status == 403:
            raise DiscoveryError(
                "discovery is forbidden: bind the ClusterRole system:discovery to the mirror's user (RBAC)"
            )
        if answer.status == 401:
            raise DiscoveryError(f"discovery failed: 401 Unauthorized; {RENEW_CREDENTIALS}")
        if answer.status != 200:
            raise DiscoveryError(f"discovery failed: {path} answered {answer.status}")
        try:
            if "apidiscovery.k8s.io" in answer.content_type:
                groups = _aggregated(answer.body)
                self._roots[path] = (answer.etag, groups)
                self._hashes.clear()  # something changed, and a hash may be it
                return [replace(group, versions=list(group.versions)) for group in groups]
            self._roots.pop(path, None)
            return await self._legacy_groups(path, answer.body)
        except msgspec.DecodeError as error:
            raise DiscoveryError(f"discovery failed: {path} is no discovery document ({error})") from error

    async def _legacy_groups(self, path: str, body: bytes) -> list[_Group]:
        named: list[tuple[str, list[str]]]
        if path == "/api":
            named = [("", _api_versions(body).versions)]
        else:
            named = [
                (group.name, [version.version for version in group.versions]) for group in _api_groups(body).groups
            ]
        slots = asyncio.Semaphore(LEGACY_CONCURRENCY)

        async def one(group: str, version: str) -> _GroupVersion:
            async with slots:
                try:
                    return await self._legacy(group, version)
                except (DiscoveryError, TransportError) as error:
                    return _GroupVersion(version, [], stale=str(error))

        return [
            _Group(name, list(await asyncio.gather(*(one(name, version) for version in versions))))
            for name, versions in named
        ]

    async def _legacy(self, group: str, version: str) -> _GroupVersion:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        answer = await fetch(self._transport, path, accept="application/json")
        if answer.status != 200:
            raise DiscoveryError(f"{path} answered {answer.status}")
        try:
            listed = _api_resources(answer.body).resources or []
        except msgspec.DecodeError as error:
            raise DiscoveryError(f"{path} is no discovery document ({error})") from error
        subresources: dict[str, list[str]] = {}
        for resource in listed:
            parent, slash, name = resource.name.partition("/")
            if slash:
                subresources.setdefault(parent, []).append(name)
        return _GroupVersion(
            version,
            [
                _Listed(
                    name=resource.name,
                    singular=resource.singular_name,
                    kind=resource.kind,
                    namespaced=resource.namespaced,
                    verbs=frozenset(resource.verbs or ()),
                    short_names=tuple(resource.short_names or ()),
                    categories=tuple(resource.categories or ()),
                    subresources=tuple(subresources.get(resource.name, ())),
                    storage_version_hash=resource.storage_version_hash,
                )
                for resource in listed
                if "/" not in resource.name
            ],
        )


async def discover(transport: Transport, name: str) -> Resource:
    """The resource of any name kubectl takes, for a Reflector. Raises ConfigError when there is none."""
    discovered = await Discovery(transport).read()
    found = resolve(name, discovered.resources)
    if found is None:
        raise ConfigError(f"the API server has no resource {name!r}{suggestion(name, discovered.resources)}")
    resource, version = found
    return replace(resource, version=version) if version else resource


# -- one answer, whole ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """A small document, read whole."""

    status: int
    content_type: str
    etag: str
    body: bytes


async def fetch(
    transport: Transport,
    path: str,
    *,
    accept: str,
    query: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """GET ``path`` and read it to its end, within REQUEST_SECONDS. Raises TransportError."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            response = await transport.request(
                "GET", path, query=list(query), headers={"accept": accept, **(headers or {})}, seconds=REQUEST_SECONDS
            )
            try:
                body = await _read(response)
            finally:
                await response.body.close()
    except TimeoutError as error:
        raise TransportError(f"GET {path} took longer than {REQUEST_SECONDS:g} s", kind="timeout") from error
    return Answer(response.status, response.headers.get("content-type", ""), response.headers.get("etag", ""), body)


async def _read(response: Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.body.read():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_DOCUMENT_BYTES:
            raise TransportError(f"an answer larger than {LARGEST_DOCUMENT_BYTES} bytes", kind="other")
    return b"".join(chunks)


# -- from documents to resources --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Listed:
    name: str
    singular: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: tuple[str, ...]
    storage_version_hash: str = ""


@dataclass(frozen=True, slots=True)
class _GroupVersion:
    name: str
    resources: list[_Listed]
    stale: str = ""


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    versions: list[_GroupVersion]


def _discovered(groups: list[_Group]) -> Discovered:
    resources: list[Resource] = []
    unwatchable: set[str] = set()
    stale: dict[tuple[str, str], str] = {}
    for group in groups:
        found: dict[str, list[tuple[str, _Listed]]] = {}
        for version in group.versions:
            if version.stale:
                stale[group.name, version.name] = version.stale
            for listed in version.resources:
                if listed.verbs >= _MIRRORED_VERBS:
                    found.setdefault(listed.name, []).append((version.name, listed))
                else:
                    unwatchable.add(f"{listed.name}.{group.name}" if group.name else listed.name)
        for plural, versions in found.items():
            preferred, listed = versions[0]
            resources.append(
                Resource(
                    group=group.name,
                    version=preferred,
                    plural=plural,
                    singular=listed.singular or listed.kind.lower(),
                    kind=listed.kind,
                    namespaced=listed.namespaced,
                    versions=tuple(
                        ServedVersion(name, storage_version_hash=each.storage_version_hash) for name, each in versions
                    ),
                    short_names=listed.short_names,
                    categories=listed.categories,
                    subresources=listed.subresources,
                )
            )
    names = {resource.name for resource in resources}
    return Discovered(tuple(group.name for group in groups), tuple(resources), frozenset(unwatchable - names), stale)


class _Struct(msgspec.Struct, rename="camel"):
    """Upstream's Go structs: absent and null mean the same."""


class _ResponseKind(_Struct):
    kind: str = ""


class _Subresource(_Struct):
    subresource: str


class _AggregatedResource(_Struct):
    resource: str
    scope: str = ""
    singular_resource: str = ""
    response_kind: _ResponseKind | None = None
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None
    subresources: list[_Subresource] | None = None


class _AggregatedVersion(_Struct):
    version: str
    freshness: str = "Current"
    resources: list[_AggregatedResource] | None = None


class _ObjectName(_Struct):
    name: str = ""


class _AggregatedGroup(_Struct):
    metadata: _ObjectName = msgspec.field(default_factory=_ObjectName)
    versions: list[_AggregatedVersion] | None = None


class _AggregatedList(_Struct):
    items: list[_AggregatedGroup] | None = None


class _ApiVersions(_Struct):
    versions: list[str]


class _GroupVersionForDiscovery(_Struct):
    version: str


class _ApiGroup(_Struct):
    name: str
    versions: list[_GroupVersionForDiscovery]


class _ApiGroups(_Struct):
    groups: list[_ApiGroup]


class _ApiResource(_Struct):
    name: str
    kind: str = ""
    singular_name: str = ""
    namespaced: bool = False
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None
    storage_version_hash: str = ""


class _ApiResources(_Struct):
    resources: list[_ApiResource] | None


_aggregated_list = msgspec.json.Decoder(_AggregatedList).decode
_api_versions = msgspec.json.Decoder(_ApiVersions).decode
_api_groups = msgspec.json.Decoder(_ApiGroups).decode
_api_resources = msgspec.json.Decoder(_ApiResources).decode


def _aggregated(body: bytes) -> list[_Group]:
    return [
        _Group(
            group.metadata.name,
            [
                _GroupVersion(
                    version.version,
                    [_listed(resource) for resource in version.resources or ()],
                    stale="" if version.freshness == "Current" else "the API server could not refresh its discovery",
                )
                for version in group.versions or ()
            ],
        )
        for group in _aggregated_list(body).items or ()
    ]


def _listed(resource: _AggregatedResource) -> _Listed:
    return _Listed(
        name=resource.resource,
        singular=resource.singular_resource,
        kind=resource.response_kind.kind if resource.response_kind is not None else "",
        namespaced=resource.scope == "Namespaced",
        verbs=frozenset(resource.verbs or ()),
        short_names=tuple(resource.short_names or ()),
        categories=tuple(resource.categories or ()),
        subresources=tuple(each.subresource for each in resource.subresources or ()),
    )
