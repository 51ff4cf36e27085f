"""The same request to the API server and to its mirror: the answers are the same."""

from __future__ import annotations

import json
from string import Template

import pytest

from tests.beside.comparing import Aside, compare
from tests.beside.corpus import DIFFERENT, JSON, Case, cases
from tests.beside.pair import Answer, Pair

CASES = list(cases())


def test_the_corpus_names_each_case_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(CASES) > 300


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_the_servers(case: Case, pair: Pair) -> None:
    target = Template(case.target).safe_substitute(pair.versions)

    theirs, ours = pair.ask(target, method=case.method, headers=case.sent, theirs=case.theirs, body=case.body)

    compare(theirs, ours, Aside(list_version=case.any_version), head=case.method == "HEAD")
    if ours.status != 504:
        again = pair.ours(target, method=case.method, headers=case.sent)  # perhaps by the fast lane
        compare(ours, again, head=case.method == "HEAD")
    if case.any_version and ours.status == 200:
        check_list_version(ours, pair)


def check_list_version(ours: Answer, pair: Pair) -> None:
    """A LIST's resourceVersion lies between the last write of what it lists, and the newest of all."""
    if not ours.headers["content-type"].startswith(JSON) or not ours.body:
        return
    listed = json.loads(ours.body)
    if "resourceVersion" not in listed.get("metadata", {}) or "items" not in listed:
        return
    told = int(listed["metadata"]["resourceVersion"])
    for item in listed["items"] or ():
        assert int(item["metadata"]["resourceVersion"]) <= told
    newest = json.loads(pair.theirs("/api/v1/namespaces?limit=1", headers={"Accept": JSON}).body)
    assert told <= int(newest["metadata"]["resourceVersion"])


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_answered_otherwise_is_refused(case: str, pair: Pair) -> None:
    method, target, code = DIFFERENT[case]

    ours = pair.ours(target, method=method, headers={"Accept": JSON})

    assert ours.status == code, ours.body
