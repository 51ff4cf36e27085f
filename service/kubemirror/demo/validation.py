"""What the API server refuses with 422: names, and the obvious of each kind; texts as upstream's.

Sources: apimachinery pkg/util/validation/validation.go, kubernetes pkg/apis/{apps,core}/validation,
apiextensions-apiserver pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

import re
from typing import Any

from kubemirror.demo.refusal import Cause, forbidden_value, invalid_value, required, unsupported

Fields = dict[str, Any]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_is_label = re.compile(_LABEL).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_qualified = re.compile(_QUALIFIED).fullmatch
_is_label_value = re.compile(rf"({_QUALIFIED})?").fullmatch


def subdomain(name: str) -> str | None:
    """Why ``name`` is no RFC 1123 subdomain; None when it is one."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    if _is_subdomain(name) is None:
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            f"'{_SUBDOMAIN}')"
        )
    return None


def label(name: str) -> str | None:
    """Why ``name`` is no RFC 1123 label; None when it is one."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if _is_label(name) is None:
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
            f"and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '"
            f"{_LABEL}')"
        )
    return None


def metadata(obj: Fields) -> list[Cause]:
    """Labels that no selector could ever name, and annotations that are no strings."""
    causes: list[Cause] = []
    for name, value in (obj["metadata"].get("labels") or {}).items():
        prefix, slash, rest = name.rpartition("/")
        if (slash and _is_subdomain(prefix) is None) or len(rest) > 63 or _is_qualified(rest) is None:
            causes.append(
                invalid_value(
                    "metadata.labels",
                    name,
                    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
                    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation "
                    f"is '{_QUALIFIED}')",
                )
            )
        if not isinstance(value, str) or len(value) > 63 or _is_label_value(value) is None:
            causes.append(
                invalid_value(
                    "metadata.labels",
                    value,
                    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
                    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
                    r"regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
                )
            )
    return causes


def workload(new: Fields, old: Fields | None) -> list[Cause]:
    """Deployments and ReplicaSets."""
    spec = new.get("spec") or {}
    causes: list[Cause] = []
    replicas = spec.get("replicas")
    if isinstance(replicas, int) and replicas < 0:
        causes.append(invalid_value("spec.replicas", replicas, "must be greater than or equal to 0"))
    selector = spec.get("selector")
    if not selector:
        causes.append(required("spec.selector"))
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    wanted = (selector or {}).get("matchLabels") or {}
    if not selector or any((labels or {}).get(name) != value for name, value in wanted.items()):
        causes.append(
            invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        )
    causes += _pod_spec(template.get("spec") or {}, "spec.template.spec")
    if old is not None and selector and selector != (old.get("spec") or {}).get("selector"):
        causes.append(invalid_value("spec.selector", selector, "field is immutable"))
    return causes


def pod(new: Fields, old: Fields | None) -> list[Cause]:
    spec = new.get("spec") or {}
    causes = _pod_spec(spec, "spec")
    if old is not None and not causes and _fixed(spec) != _fixed(old.get("spec") or {}):
        causes.append(
            forbidden_value(
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`,"
                "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
                "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
                "previously negative)",
            )
        )
    return causes


def _fixed(spec: Fields) -> Fields:
    changeable = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName"}
    fixed = {name: value for name, value in spec.items() if name not in changeable}
    for name in ("containers", "initContainers"):
        if name in fixed:
            fixed[name] = [{**container, "image": ""} for container in fixed[name]]
    return fixed


def _pod_spec(spec: Fields, path: str) -> list[Cause]:
    containers = spec.get("containers")
    if not containers:
        return [required(f"{path}.containers")]
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        name = container.get("name")
        if not name:
            causes.append(required(f"{where}.name"))
        elif (why := label(name)) is not None:
            causes.append(invalid_value(f"{where}.name", name, why))
        elif name in seen:
            causes.append(Cause(f"{where}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
        seen.add(name)
        if not container.get("image"):
            causes.append(required(f"{where}.image"))
    policy = spec.get("restartPolicy", "Always")
    if path != "spec" and policy != "Always":
        causes.append(unsupported(f"{path}.restartPolicy", policy, ("Always",)))
    return causes


def config_map(new: Fields, old: Fields | None) -> list[Cause]:
    if old is not None and old.get("immutable") and new.get("data") != old.get("data"):
        return [forbidden_value("data", "field is immutable when `immutable` is set")]
    return []


def event(new: Fields, old: Fields | None) -> list[Cause]:
    namespace = (new.get("involvedObject") or {}).get("namespace", "")
    if namespace and namespace != new["metadata"].get("namespace"):
        return [invalid_value("involvedObject.namespace", namespace, "does not match event.namespace")]
    return []


def definition(new: Fields, old: Fields | None) -> list[Cause]:
    """CustomResourceDefinitions: names that fit, one storage version, a structural schema for each version."""
    spec = new.get("spec") or {}
    names = spec.get("names") or {}
    versions = spec.get("versions") or []
    causes: list[Cause] = []
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if new["metadata"].get("name") != wanted:
        causes.append(
            invalid_value("metadata.name", new["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
        )
    if not spec.get("group"):
        causes.append(required("spec.group"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        causes.append(unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
    causes += [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if sum(1 for version in versions if version.get("storage")) != 1:
        causes.append(
            invalid_value("spec.versions", versions, "must have exactly one version marked as storage version")
        )
    for index, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not isinstance(schema, dict):
            causes.append(required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required"))
    if old is not None:
        before = old.get("spec") or {}
        for field, value, held in (
            ("spec.group", spec.get("group"), before.get("group")),
            ("spec.scope", spec.get("scope"), before.get("scope")),
            ("spec.names.plural", names.get("plural"), (before.get("names") or {}).get("plural")),
            ("spec.names.kind", names.get("kind"), (before.get("names") or {}).get("kind")),
        ):
            if value != held:
                causes.append(invalid_value(field, value, "field is immutable"))
        declared = {version.get("name") for version in versions}
        stored = (old.get("status") or {}).get("storedVersions") or []
        for index, name in enumerate(stored):
            if name not in declared:
                causes.append(
                    invalid_value(
                        f"status.storedVersions[{index}]",
                        name,
                        "missing from spec.versions; v1 was previously a storage version, and must remain in "
                        "spec.versions until a storage migration ensures no data remains persisted in v1 and removes "
                        "v1 from status.storedVersions".replace("v1", name),
                    )
                )
    return causes
