"""What is mirrored, decided from three things: the settings, discovery, and the CustomResourceDefinitions.

A pure function, so that every event that may change the answer can simply ask again. Always: Deployments,
the definitions themselves and all custom resources; ``--mirror`` adds, ``--exclude`` wins. Secrets are
mirrored only when named, and then their metadata alone.

Where the definitions cannot be read (only a Role is granted, or they are excluded), custom resources are
those that discovery lists outside the API server's own groups. With ``--namespace`` there is a store per
namespace, the definitions are no longer required for readiness (a Role cannot grant them), and
cluster-scoped custom resources are left out unless named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kubemirror.errors import ConfigError
from kubemirror.kube.definitions import GROUP, Definition, storage_version_hash, under
from kubemirror.kube.discovery import Discovered
from kubemirror.kube.naming import in_group, meant, resolve, suggestion
from kubemirror.state.catalog import ALL_NAMESPACES, Resource, ServedVersion

# As every API server since 1.16 tells them: mirrored from the first moment, discovery or not.
DEPLOYMENTS = Resource(
    group="apps",
    version="v1",
    plural="deployments",
    singular="deployment",
    kind="Deployment",
    namespaced=True,
    versions=(ServedVersion("v1", storage_version_hash=storage_version_hash("apps", "v1", "Deployment")),),
    short_names=("deploy",),
    categories=("all",),
    subresources=("scale", "status"),
)
DEFINITIONS = Resource(
    group=GROUP,
    version="v1",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    kind="CustomResourceDefinition",
    namespaced=False,
    versions=(ServedVersion("v1"),),  # its storage version is an older one: discovery tells the hash
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=("status",),
)
SECRETS = "secrets"
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 label

# Groups that kube-apiserver itself serves, or served in a release still in use. All others are CRDs' or an
# aggregated API's: both are mirrored where they can be listed and watched.
BUILT_IN_GROUPS = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A resource to mirror. namespaces: one store each; ("",) is one store of all namespaces."""

    resource: Resource
    namespaces: tuple[str, ...]
    required: bool  # by design or by name: readiness waits for it


@dataclass(frozen=True, slots=True)
class Missing:
    """A ``--mirror`` that names nothing (yet). certain: discovery was read and says so."""

    name: str
    reason: str
    certain: bool


@dataclass(frozen=True, slots=True)
class Selection:
    wanted: tuple[Wanted, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings that decide. Names are as kubectl takes them, or ``*.group``."""

    mirror: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.mirror, *self.exclude):
            rest = name.removeprefix("*.")
            if not rest or "*" in rest or "/" in rest or rest != rest.strip() or rest[0] == ".":
                raise ConfigError(
                    f"{name!r} is no resource: write a name as kubectl takes it (resource[.version][.group]) or *.group"
                )
        for namespace in self.namespaces:
            if not _NAMESPACE.fullmatch(namespace):
                raise ConfigError(f"--namespace {namespace!r} is no namespace: lower case letters, digits and - only")

    @property
    def reads_definitions(self) -> bool:
        """Whether the CustomResourceDefinitions are mirrored, and so tell of custom resources."""
        return not any(meant(name, [DEFINITIONS]) for name in self.exclude)

    def select(
        self,
        discovered: Discovered | None,
        definitions: Mapping[str, Definition],
        *,
        complete: bool = True,
        failure: str = "",
    ) -> Selection:
        """What is to be mirrored now.

        discovered: None while it was never read; ``failure`` then says why.
        definitions: by name. complete: False while they cannot be read; then these are what is remembered of
        them, and discovery tells of all other custom resources.
        """
        known = self._known(discovered, definitions, complete=complete)
        excluded = {resource.name for name in self.exclude for resource in meant(name, known)}
        wanted: dict[str, Wanted] = {}
        missing: list[Missing] = []
        for resource in known:
            if resource.name == DEPLOYMENTS.name:
                self._want(wanted, resource, required=True)
            elif resource.name == DEFINITIONS.name:
                self._want(wanted, resource, required=not self.namespaces)
            elif resource.custom and (resource.namespaced or not self.namespaces):
                self._want(wanted, resource, required=False)
        for name in self.mirror:
            found = _named(name, known)
            if not found:
                missing.append(self._missing(name, discovered, known, failure))
            for resource in found:
                self._want(wanted, resource, required=True)
        alone = [each for name, each in wanted.items() if name not in excluded]
        return Selection(
            tuple(replace(each, resource=_offered(each.resource, definitions)) for each in alone), tuple(missing)
        )

    def _known(
        self, discovered: Discovered | None, definitions: Mapping[str, Definition], *, complete: bool
    ) -> list[Resource]:
        """All that can be mirrored: discovery's order, then definitions that discovery does not list yet."""
        custom = {each.resource.name: each.resource for each in definitions.values() if each.resource is not None}
        known: dict[str, Resource] = {}
        for resource in discovered.resources if discovered is not None else ():
            name = resource.name
            defined = custom.get(name)
            if defined is not None and (complete or _agree(defined, resource)):
                known[name] = defined
            elif not complete:
                known[name] = replace(resource, custom=resource.group not in BUILT_IN_GROUPS)
            elif name not in definitions:
                known[name] = resource
        for default in (DEPLOYMENTS, DEFINITIONS):
            known.setdefault(default.name, default)
        for name in sorted(custom):
            known.setdefault(name, custom[name])
        return list(known.values())

    def _want(self, wanted: dict[str, Wanted], resource: Resource, *, required: bool) -> None:
        if resource.name == SECRETS:
            resource = replace(resource, metadata_only=True)
        namespaces = self.namespaces if self.namespaces and resource.namespaced else (ALL_NAMESPACES,)
        held = wanted.get(resource.name)
        required = required or (held is not None and held.required)
        wanted[resource.name] = Wanted(resource, namespaces, required)

    def _missing(self, name: str, discovered: Discovered | None, known: list[Resource], failure: str) -> Missing:
        if discovered is None:
            return Missing(name, f"not looked up yet: {failure or 'discovery was not read yet'}", certain=False)
        plural, _, group = name.lower().partition(".")
        for (stale, version), reason in discovered.stale.items():
            if group in {stale, f"{version}.{stale}"} or name.lower() == f"*.{stale}":
                return Missing(name, f"discovery of {stale}/{version} fails: {reason}", certain=False)
        if any(each == name.lower() or each.partition(".")[0] == name.lower() for each in discovered.unwatchable):
            return Missing(name, f"{name} cannot be listed and watched, so it cannot be mirrored", certain=True)
        what = f'group "{group}" with anything to mirror' if plural == "*" else f'resource "{name}"'
        return Missing(
            name, f"the API server has no {what}{suggestion(name, known)}; it is looked for again", certain=True
        )


def _named(name: str, known: list[Resource]) -> list[Resource]:
    if name.startswith("*."):
        return [resource for resource in in_group(name, known) if resource.name != SECRETS]
    found = resolve(name, known)
    if found is None:
        return []
    resource, version = found
    return [replace(resource, version=version) if version else resource]


def _agree(defined: Resource, listed: Resource) -> bool:
    """Whether what discovery lists can still be what is remembered of its definition."""
    return (
        defined.kind == listed.kind
        and defined.namespaced == listed.namespaced
        and listed.served(defined.version) is not None
    )


def _offered(resource: Resource, definitions: Mapping[str, Definition]) -> Resource:
    """In the versions that can be told from the objects held: all, where converting is only another apiVersion."""
    definition = definitions.get(resource.name)
    alone = definition is None or not resource.uid or definition.webhook
    return under(resource, resource.version, alone=alone)
