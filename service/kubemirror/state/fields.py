"""What is done with a field of an object, by its name: whether it is masked, left, or read as what it is.

Fields of Kubernetes' own kinds are known; in a custom resource anything may be below any name.
"""

from __future__ import annotations

from kubemirror.state.secrets import field_named

# Field names of all kinds in a large cluster are some thousands; a CR with keys of its own must not grow this.
MOST_NAMES = 16_384

# Below these nothing is masked: selectors and identity, and what is there once per object.
_KEPT = frozenset(
    {
        "apiVersion", "creationTimestamp", "deletionTimestamp", "fieldPath", "finalizers", "generateName", "image",
        "imageID", "kind", "labels", "lastTransitionTime", "lastUpdateTime", "matchExpressions", "matchLabels", "name",
        "namespace", "nodeName", "nodeSelector", "ownerReferences", "resourceVersion", "resources", "tolerations",
        "uid",
    }
)  # fmt: skip
# Of Kubernetes' own kinds only: numbers, references and places. In a custom resource anything may be below them.
_HARMLESS = frozenset(
    {
        "affinity", "allocatable", "capacity", "configMapKeyRef", "configMapRef", "fieldRef", "limits",
        "observedGeneration", "ports", "requests", "resourceFieldRef", "rollingUpdate", "secretKeyRef", "secretRef",
        "securityContext", "strategy", "topologySpreadConstraints", "updateStrategy", "valueFrom", "volumeDevices",
        "volumeMounts",
    }
)  # fmt: skip
# Of these only what is run or sent tells anything.
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
PLAIN, SECRET, SKIP, BYTES, ARGUMENTS, ENVIRONMENT, ANNOTATIONS, STRINGS, PROBE = range(9)
TOLD = frozenset({PLAIN, SECRET})
INSIDE = frozenset({PLAIN, SECRET, BYTES, ARGUMENTS, ENVIRONMENT})
_SPECIAL = {
    "caBundle": BYTES,
    "args": ARGUMENTS,
    "command": ARGUMENTS,
    "env": ENVIRONMENT,
    "annotations": ANNOTATIONS,
    "stringData": STRINGS,
    **dict.fromkeys(_KEPT, SKIP),
}


class Fields(dict[str, int]):
    """What is to be done with a field, by its name; decided once for each."""

    def __init__(self, special: dict[str, int]) -> None:
        super().__init__(special)
        self._special = special

    def __missing__(self, field: str) -> int:
        if len(self) >= MOST_NAMES:
            self.clear()
            self.update(self._special)
        kind = self[field] = SECRET if field_named(field) else PLAIN
        return kind


CUSTOM = Fields(_SPECIAL)
_built_in = Fields({**_SPECIAL, **dict.fromkeys(_HARMLESS, SKIP), **dict.fromkeys(_PROBES, PROBE)})


def fields_of(group_version: str) -> Fields:
    group, slash, _ = group_version.partition("/")
    return _built_in if not slash or "." not in group or group.endswith(".k8s.io") else CUSTOM
