"""docs/security.md promises nothing without the test that holds it."""

from __future__ import annotations

import re

from tests.ship.repository import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text()


def promises() -> list[tuple[str, list[str]]]:
    """Each row: what is promised, and the tests that are named."""
    rows = TEXT.partition("## Promises")[2].split("\n| --- | --- |\n")[1].split("\n\n")[0].splitlines()
    cells = [row.strip("| ").split(" | ") for row in rows]
    return [(promise, re.findall(r"`(test_\w+)`", tests)) for promise, tests in cells]


def test_every_promise_names_tests_and_they_exist() -> None:
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    told = promises()

    assert len(told) > 20
    assert [promise for promise, tests in told if not tests] == []
    assert {test for _, tests in told for test in tests} - defined == set()


def test_every_attack_holds_a_promise_or_says_what_it_is_about() -> None:
    """A file of attacks that security.md does not know is one that nobody reads about."""
    named = {test for _, tests in promises() for test in tests}
    for path in (ROOT / "tests" / "attacks").glob("test_*.py"):
        assert named & set(re.findall(r"def (test_\w+)", path.read_text())), path.name
