"""client-go's JSONPath dialect, beside what tests/views/corpus shows of it in columns."""

from __future__ import annotations

from typing import Any

import pytest

from kubemirror.views.jsonpath import JSONPath, JSONPathError

DATA: dict[str, Any] = {
    "spec": {"a.b": 1, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}, {"n": "z"}], "tags": ["p", "q", "r"]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Live", "status": "False"}]},
    "x-y": {"deep": None},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.tags", [["p", "q", "r"]]),
        (".spec.tags[*]", ["p", "q", "r"]),
        (".spec.tags[0]", ["p"]),
        (".spec.tags[-1]", ["r"]),
        (".spec.tags[0:2]", ["p", "q"]),
        (".spec.tags[::2]", ["p", "r"]),
        (r".spec.a\.b", [1]),
        (r".spec['a\.b']", [1]),
        (".spec.missing", []),
        (".spec.missing.more", []),
        (".spec.list[?(@.n=='y')].v", [2]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".spec.list[?(@.v)].n", ["x", "y"]),
        (".spec.list[?(@.v>1)].n", ["y"]),
        (".spec.list[?(@.v>=1)].n", ["x", "y"]),
        (".spec.list[?(@.v!=1)].n", ["y"]),
        (".x-y.deep", [None]),
        (".spec.list[*].n", ["x", "y", "z"]),
        ("..status", [DATA["status"], "True", "False"]),
        (".spec.tags[0,2]", ["p", "r"]),
        ("", [DATA]),
    ],
)
def test_found(path: str, found: list[Any]) -> None:
    assert JSONPath(path).find(DATA) == found


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(@.b", "....a", "range", ".a['b", "#"])
def test_refused(path: str) -> None:
    with pytest.raises(JSONPathError):
        JSONPath(path)


@pytest.mark.parametrize("path", [".spec.tags[9]", ".spec[0]", ".spec.list[?(@.n<1)]"])
def test_not_to_be_evaluated(path: str) -> None:
    with pytest.raises(JSONPathError):
        JSONPath(path).find(DATA)
