"""The same request to the API server and to its mirror: the answers are the same."""

from __future__ import annotations

from string import Template

import pytest

from tests.beside.comparing import Aside, compare
from tests.beside.corpus import DIFFERENT, JSON, Case, cases
from tests.beside.pair import Pair

CASES = list(cases())


def test_the_corpus_names_each_case_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(CASES) > 300


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_the_servers(case: Case, pair: Pair) -> None:
    target = Template(case.target).safe_substitute(pair.versions)

    theirs, ours = pair.ask(target, method=case.method, headers=case.sent, theirs=case.theirs, body=case.body)

    compare(theirs, ours, Aside(list_version=case.any_version), head=case.method == "HEAD")


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_answered_otherwise_is_refused(case: str, pair: Pair) -> None:
    method, target, code = DIFFERENT[case]

    ours = pair.ours(target, method=method, headers={"Accept": JSON})

    assert ours.status == code, ours.body
