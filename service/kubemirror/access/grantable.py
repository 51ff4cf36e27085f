"""What an embed token can be of, as far as it can be told without asking a cluster.

A token that could never open anything is not signed: whoever puts it on a page learns why while they make it, and not
from a page that stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from kubemirror.access.authorizer import Grant
from kubemirror.errors import ConfigError, SelectorError
from kubemirror.state.label_selector import parse_label_selector

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_is_label = re.compile(_LABEL).fullmatch
is_resource = re.compile(rf"{_LABEL}(\.{_LABEL})*").fullmatch
_is_version = re.compile(r"v\d+((alpha|beta)\d+)?").fullmatch
# The core group is closed: what is defined in a cluster is in another.
_CLUSTER_SCOPED = ("componentstatuses", "namespaces", "nodes", "persistentvolumes")
_CORE = frozenset({
    *_CLUSTER_SCOPED, "bindings", "configmaps", "endpoints", "events", "limitranges", "persistentvolumeclaims", "pods",
    "podtemplates", "replicationcontrollers", "resourcequotas", "secrets", "serviceaccounts", "services",
})  # fmt: skip
# For who leaves the group away, or writes what kubectl takes: the ones that are shown most.
_COMMON = (
    "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "cronjobs.batch",
    "ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io", "horizontalpodautoscalers.autoscaling",
    "customresourcedefinitions.apiextensions.k8s.io",
)  # fmt: skip


def check(grant: Grant, *, user: str, groups: Sequence[str]) -> None:
    """Raise ConfigError for a token that nobody could use."""
    if not user.strip():
        raise ConfigError("--user is empty: name whose rights the token has, as the API server names users")
    if not all(group.strip() for group in groups):
        raise ConfigError("--group is empty: name a group of the user's, or leave it away")
    _check_resource(grant.resource)
    if grant.namespace and _is_label(grant.namespace) is None:
        raise ConfigError(f'--namespace "{grant.namespace}" is no name of a namespace: one of them, or none for all')
    if grant.namespace and grant.resource in _CLUSTER_SCOPED and grant.resource != "namespaces":
        raise ConfigError(f"{grant.resource} are in no namespace: leave --namespace away")
    try:
        parse_label_selector(grant.selector)
    except SelectorError as error:
        raise ConfigError(f'--selector "{grant.selector}" is none: {error}') from None


def _check_resource(name: str) -> None:
    plural, _, group = name.partition(".")
    version, _, rest = group.partition(".")
    why = ""
    if is_resource(name) is None:
        why = "is no resource"
    elif not group and plural not in _CORE:
        why = "is none of the core group's"
    elif _is_version(version) and rest:
        why, group = "names a version, and a token opens all of them", rest
    if not why:
        return
    raise ConfigError(f'--resource "{name}" {why}: write plural and group, as {_nearest(plural, group)}')


def _nearest(plural: str, group: str) -> str:
    if group and is_resource(f"{plural}.{group}"):
        return f"{plural}.{group}"
    known = {each.partition(".")[0]: each for each in _COMMON} | {each: each for each in sorted(_CORE)}
    near = sorted((each for each in known if plural and each.startswith(plural.lower())), key=len)
    near = near or get_close_matches(plural.lower(), known, n=1)
    return known[near[0]] if near else "deployments.apps (kubectl api-resources -o name lists them)"
