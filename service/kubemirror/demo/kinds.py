"""The built-in resources of the demo cluster, each with what is special about its kind.

Names, short names, categories, storage version hashes and their order are those of a real kube-apiserver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubemirror.demo import defaults, validation
from kubemirror.demo.refusal import Cause
from kubemirror.state.catalog import Resource, ServedVersion

Fields = dict[str, Any]


def _nothing(obj: Fields) -> None:
    """Most kinds have no defaults of their own."""


def _valid(new: Fields, old: Fields | None) -> list[Cause]:
    return []


@dataclass(frozen=True, slots=True)
class Kind:
    """What a write to this kind of object does beyond the common rules.

    generation: whether metadata.generation counts the changes of everything but metadata and status.
    defaults: fills in what upstream fills in, in place. create: further, on creation only.
    validate: the causes for which (new, old) is refused; old is None on creation.
    unconditional: whether an update without a resourceVersion is allowed.
    counts_annotations: whether generation counts changes of annotations, too. uncounted: fields of the spec that
    another subresource writes upstream (pods/binding), whose changes are not counted.
    """

    resource: Resource
    generation: bool = True
    name_rule: Callable[[str], str | None] = validation.subdomain
    create: Callable[[Fields], None] = _nothing
    defaults: Callable[[Fields], None] = _nothing
    validate: Callable[[Fields, Fields | None], list[Cause]] = _valid
    unconditional: bool = True
    counts_annotations: bool = False
    uncounted: tuple[str, ...] = ()

    def counted(self, obj: Fields) -> Fields:
        """The part of ``obj`` whose changes metadata.generation counts."""
        part = {name: value for name, value in obj.items() if name not in ("metadata", "status")}
        if self.uncounted and isinstance(part.get("spec"), dict):
            part["spec"] = {name: value for name, value in part["spec"].items() if name not in self.uncounted}
        if self.counts_annotations:
            part["annotations"] = obj["metadata"].get("annotations")
        return part

    @property
    def status(self) -> bool:
        """Whether status is written through its own subresource only."""
        return "status" in self.resource.subresources

    @property
    def scale(self) -> bool:
        return "scale" in self.resource.subresources


def _resource(
    group: str,
    version: str,
    plural: str,
    kind: str,
    hash_: str,
    *,
    singular: str = "",
    namespaced: bool = True,
    short_names: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    subresources: tuple[str, ...] = (),
) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=plural,
        singular=singular or kind.lower(),
        kind=kind,
        namespaced=namespaced,
        versions=(ServedVersion(version, storage_version_hash=hash_),),
        list_kind=f"{kind}List",
        short_names=short_names,
        categories=categories,
        subresources=subresources,
    )


NAMESPACES = "namespaces"
PODS = "pods"
EVENTS = "events"
NODES = "nodes"
CONFIGMAPS = "configmaps"
DEPLOYMENTS = "deployments.apps"
REPLICASETS = "replicasets.apps"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"

BUILT_IN: tuple[Kind, ...] = (
    Kind(
        _resource("", "v1", "configmaps", "ConfigMap", "qFsyl6wFWjQ=", short_names=("cm",)),
        generation=False,
        validate=validation.config_map,
    ),
    Kind(
        _resource("", "v1", "events", "Event", "r2yiGXH7wu8=", short_names=("ev",)),
        generation=False,
        validate=validation.event,
    ),
    Kind(
        _resource(
            "",
            "v1",
            "namespaces",
            "Namespace",
            "Q3oi5N2YM8M=",
            namespaced=False,
            short_names=("ns",),
            subresources=("finalize", "status"),
        ),
        generation=False,
        name_rule=validation.label,
        create=defaults.new_namespace,
        defaults=defaults.namespace,
    ),
    Kind(
        _resource(
            "",
            "v1",
            "nodes",
            "Node",
            "XwShjMxG9Fs=",
            namespaced=False,
            short_names=("no",),
            subresources=("status",),
        ),
        generation=False,
    ),
    Kind(
        _resource(
            "",
            "v1",
            "pods",
            "Pod",
            "xPOwRZ+Yhw8=",
            short_names=("po",),
            categories=("all",),
            subresources=("status",),
        ),
        create=defaults.new_pod,
        defaults=defaults.pod,
        validate=validation.pod,
        uncounted=("nodeName",),
    ),
    Kind(
        _resource(
            "apps",
            "v1",
            "deployments",
            "Deployment",
            "8aSe+NMegvE=",
            short_names=("deploy",),
            categories=("all",),
            subresources=("scale", "status"),
        ),
        create=defaults.new_workload,
        defaults=defaults.deployment,
        validate=validation.workload,
        counts_annotations=True,
    ),
    Kind(
        _resource(
            "apps",
            "v1",
            "replicasets",
            "ReplicaSet",
            "P1RzHs8/mWQ=",
            short_names=("rs",),
            categories=("all",),
            subresources=("scale", "status"),
        ),
        create=defaults.new_replica_set,
        defaults=defaults.replica_set,
        validate=validation.workload,
    ),
    Kind(
        _resource(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            "jfWCUB31mvA=",
            namespaced=False,
            short_names=("crd", "crds"),
            categories=("api-extensions",),
            subresources=("status",),
        ),
        create=defaults.new_definition,
        defaults=defaults.definition,
        validate=validation.definition,
        unconditional=False,
    ),
)

# APIService group priorities (kube-aggregator): discovery lists higher ones first, custom groups last.
_PRIORITY = {"": 18000, "apps": 17800, "apiextensions.k8s.io": 16700}
_CUSTOM_PRIORITY = 1000


def discovery_order(resource: Resource) -> tuple[int, str, str]:
    """Where a resource stands in discovery: by group priority, then group, then name."""
    return -_PRIORITY.get(resource.group, _CUSTOM_PRIORITY), resource.group, resource.plural
