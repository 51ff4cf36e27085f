"""The three kinds of patch, as pure functions; the examples of RFC 6902 and RFC 7386 among others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubemirror.demo.patches import PatchError, json_patch, merge_patch
from kubemirror.demo.strategic import strategic_patch

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_rfcs_merge_patches(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": "b"}], {"foo": ["a", "b"]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2, 3]}, [{"op": "remove", "path": "/a/1"}], {"a": [1, 3]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a/b", "path": "/c"}], {"a": {"b": [1]}, "c": [1]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "test", "path": "/a~1b", "value": 1}], {"a/b": 1, "m~n": 2}),
        ({"m~n": 2}, [{"op": "replace", "path": "/m~0n", "value": 3}], {"m~n": 3}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json_patches_apply(target: Any, operations: Any, result: Any) -> None:
    assert json_patch(target, operations) == result


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/nope"}],
        [{"op": "replace", "path": "/list/9", "value": 1}],
        [{"op": "add", "path": "/list/01", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/b"}],
        [{"op": "move", "from": "/deep", "path": "/deep/er"}],
        [{"op": "sing", "path": "/a"}],
        [{"path": "/a"}],
        ["nonsense"],
        {"op": "remove", "path": "/a"},
    ],
)
def test_json_patches_that_do_not_apply_leave_all_as_it_was(operations: Any) -> None:
    target = {"a": 1, "list": [1], "deep": {}}

    with pytest.raises(PatchError):
        json_patch(target, [{"op": "add", "path": "/new", "value": 1}, *operations] if operations else operations)
    assert target == {"a": 1, "list": [1], "deep": {}}


@given(VALUES, VALUES)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    before = deepcopy((target, patch))
    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once
    assert (target, patch) == before


CONTAINERS = {"containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"containers": [{"name": "b", "image": "b:2"}]}, [CONTAINERS["containers"][0], {"name": "b", "image": "b:2"}]),
        ({"containers": [{"name": "c"}]}, [*CONTAINERS["containers"], {"name": "c"}]),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, [{"name": "b"}]),
        ({"containers": [{"$patch": "replace"}, {"name": "z"}]}, [{"name": "z"}]),
        (
            {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]},
            [
                {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                {"name": "b"},
            ],
        ),
        (
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
            [{"name": "b"}, CONTAINERS["containers"][0]],
        ),
        (
            {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
                "containers": [{"name": "c"}, {"name": "a", "$patch": "delete"}],
            },
            [{"name": "c"}, {"name": "b"}],
        ),
    ],
)
def test_strategic_patches_merge_lists_by_their_key(patch: Any, result: Any) -> None:
    assert strategic_patch(CONTAINERS, patch)["containers"] == result


def test_strategic_patches_know_the_other_directives() -> None:
    target = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "finalizers": ["a", "b"], "x": 1}

    assert strategic_patch(target, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}})["strategy"] == {
        "type": "Recreate"
    }
    assert strategic_patch(target, {"strategy": {"$patch": "replace", "type": "Recreate"}})["strategy"] == {
        "type": "Recreate"
    }
    assert strategic_patch(target, {"finalizers": ["c"]})["finalizers"] == ["a", "b", "c"]
    assert strategic_patch(target, {"$deleteFromPrimitiveList/finalizers": ["a"]})["finalizers"] == ["b"]
    assert "x" not in strategic_patch(target, {"x": None})


def test_a_strategic_patch_without_its_merge_key_does_not_apply() -> None:
    with pytest.raises(PatchError, match="does not contain declared merge key: name"):
        strategic_patch(CONTAINERS, {"containers": [{"image": "x"}]})
