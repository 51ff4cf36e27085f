"""What differs between two versions of an object, how it is written, and which kinds of change that is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubemirror.state.meaning import Meaning, comparison

IMAGE, SCALE, SPEC, ROLLOUT, CONDITION, META = Meaning

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "resourceVersion": "7",
        "generation": 1,
        "labels": {"app": "web"},
        "annotations": {"deployment.kubernetes.io/revision": "1"},
    },
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "initContainers": [{"name": "init", "image": "busybox:1"}],
                "containers": [
                    {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}]},
                    {"name": "side", "image": "side:1", "args": ["-v", "-x"]},
                ],
            }
        },
    },
    "status": {
        "observedGeneration": 1,
        "readyReplicas": 2,
        "conditions": [
            {"type": "Available", "status": "True", "reason": "Ok", "lastUpdateTime": "1"},
            {"type": "Progressing", "status": "True", "message": "a"},
        ],
    },
}


def changed(path: str, value: Any, base: dict[str, Any] = DEPLOYMENT) -> dict[str, Any]:
    """A copy with the value at ``path``, steps apart by slashes, replaced, or removed where it is None."""
    copy = deepcopy(base)
    at: Any = copy
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        at = at[step]
    if value is None:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(value)
    else:
        at[last] = value
    return copy


CONTAINERS = "spec/template/spec/containers"
WRITTEN = ".spec.template.spec.containers"


@pytest.mark.parametrize(
    ("path", "value", "written", "meanings"),
    [
        (f"{CONTAINERS}/0/image", "web:2", f'{WRITTEN}[name="web"].image', {IMAGE, SPEC}),
        ("spec/template/spec/initContainers/0/image", "busybox:2", None, {IMAGE, SPEC}),
        (f"{CONTAINERS}/2", {"name": "new", "image": "new:1"}, f'{WRITTEN}[name="new"]', {IMAGE, SPEC}),
        (f"{CONTAINERS}/1", None, f'{WRITTEN}[name="side"]', {IMAGE, SPEC}),
        (f"{CONTAINERS}/0/env/0/value", "2", f'{WRITTEN}[name="web"].env[name="A"].value', {SPEC}),
        (f"{CONTAINERS}/1/args/1", "-y", f'{WRITTEN}[name="side"].args[1]', {SPEC}),
        ("spec/replicas", 3, ".spec.replicas", {SCALE, SPEC}),
        ("spec/paused", True, ".spec.paused", {SPEC}),
        ("data", {"a": "b"}, ".data", {SPEC}),
        ("status/readyReplicas", 1, ".status.readyReplicas", {ROLLOUT}),
        ("status/observedGeneration", 2, ".status.observedGeneration", {ROLLOUT}),
        ("metadata/annotations/deployment.kubernetes.io~revision", "2", None, set()),
        ("status/conditions/0/status", "False", '.status.conditions[type="Available"].status', {CONDITION}),
        ("status/conditions/0/reason", "Bad", '.status.conditions[type="Available"].reason', {CONDITION}),
        ("status/conditions/0/lastUpdateTime", "2", '.status.conditions[type="Available"].lastUpdateTime', set()),
        ("status/conditions/1/message", "b", '.status.conditions[type="Progressing"].message', set()),
        ("status/conditions/1", None, '.status.conditions[type="Progressing"]', {CONDITION}),
        ("status/lastHeartbeat", "now", ".status.lastHeartbeat", set()),
        ("status/phase", "Failed", ".status.phase", {CONDITION}),
        ("metadata/labels/app", "api", ".metadata.labels.app", {META}),
        ("metadata/finalizers", ["x"], ".metadata.finalizers", {META}),
        ("metadata/deletionTimestamp", "now", ".metadata.deletionTimestamp", {META}),
        ("metadata/generation", 2, ".metadata.generation", set()),
    ],
)
def test_a_change_of_one_path_has_its_kinds(path: str, value: Any, written: str | None, meanings: set[Meaning]) -> None:
    if "~" in path:
        new = deepcopy(DEPLOYMENT)
        new["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = value
        written, meanings = '.metadata.annotations["deployment.kubernetes.io/revision"]', {ROLLOUT}
    else:
        new = changed(path, value)
    found = comparison(DEPLOYMENT, new)

    assert found.meanings == meanings
    assert len(found.differences) == 1
    if written is not None:
        assert found.differences[0].path == written


def test_readiness_and_restarts_of_a_pods_containers_are_its_rollout() -> None:
    pod = {"status": {"containerStatuses": [{"name": "web", "ready": False, "restartCount": 0, "lastState": {}}]}}

    def meanings(field: str, value: Any) -> set[Meaning]:
        return set(comparison(pod, changed(f"status/containerStatuses/0/{field}", value, pod)).meanings)

    assert meanings("ready", True) == {ROLLOUT}
    assert meanings("restartCount", 1) == {ROLLOUT}
    assert meanings("lastState", {"terminated": {}}) == set()


def test_a_difference_has_both_values_and_neither_where_there_was_none() -> None:
    new = changed("spec/paused", True, changed("spec/replicas", 3, changed("metadata/labels/app", None)))
    found = [each.told for each in comparison(DEPLOYMENT, new).differences]

    assert found == [
        {"path": ".metadata.labels.app", "old": "web"},
        {"path": ".spec.replicas", "old": 2, "new": 3},
        {"path": ".spec.paused", "new": True},
    ]


def test_null_is_a_value() -> None:
    (found,) = comparison({"spec": {"a": None}}, {"spec": {}}).differences

    assert found.told == {"path": ".spec.a", "old": None}


def test_bookkeeping_of_every_write_is_no_difference() -> None:
    new = changed("metadata/resourceVersion", "8")
    new["metadata"]["managedFields"] = [{"manager": "x"}]

    assert comparison(DEPLOYMENT, new).differences == ()


def test_items_that_only_moved_are_told_as_another_order() -> None:
    new = deepcopy(DEPLOYMENT)
    new["spec"]["template"]["spec"]["containers"].reverse()
    (found,) = comparison(DEPLOYMENT, new).differences

    assert found.path == WRITTEN
    assert [each["name"] for each in found.new] == ["side", "web"]
    assert found.meanings


def test_names_come_in_the_documented_order() -> None:
    new = changed("metadata/labels/app", "x", changed("spec/replicas", 5, changed(f"{CONTAINERS}/0/image", "web:3")))

    assert comparison(DEPLOYMENT, new).names == ["image", "scale", "spec", "meta"]


def test_an_object_deeper_than_any_is_compared_all_the_same() -> None:
    def nested(leaf: int) -> dict[str, Any]:
        value: Any = leaf
        for _ in range(200):  # orjson reads 1024 levels, and writes 254
            value = {"a": value}
        return {"spec": value}

    assert len(comparison(nested(1), nested(2)).differences) == 1
    assert comparison(nested(1), nested(1)).differences == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "type", "a", "b"]), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("xyz"), "a": inner}), max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(["metadata", "spec", "status", "data"]), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_there_is_a_difference_exactly_where_two_objects_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = comparison(old, new)
    back = comparison(new, old)

    assert bool(found.differences) == (repr(_sorted(old)) != repr(_sorted(new)))
    assert sorted(each.path for each in found.differences) == sorted(each.path for each in back.differences)
    assert found.meanings == back.meanings


def _sorted(value: Any) -> Any:
    """``value`` with its fields in one order; True and 1 stay apart in its repr."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
