"""The README tells the truth: its example is the one that is tested, and its commands answer what it shows."""

from __future__ import annotations

import json
import re

from tests.ship.conftest import DemoMirror
from tests.ship.repository import ROOT

README = (ROOT / "README.md").read_text()


def test_its_example_is_the_file_that_runs_as_a_test() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    assert example == (ROOT / "docs" / "examples" / "reflect_deployments.py").read_text()


def test_its_example_is_forty_lines() -> None:
    example = (ROOT / "docs" / "examples" / "reflect_deployments.py").read_text()

    assert len([line for line in example.splitlines() if line.strip()]) <= 40


def test_it_is_one_screen_beside_its_example() -> None:
    without = re.sub(r"```python\n.*?```", "", README, flags=re.DOTALL)

    assert len(without.splitlines()) <= 80


def test_what_it_asks_by_curl_is_answered_as_it_shows(demo_mirror: DemoMirror) -> None:
    asked = re.findall(r"^\$ curl http://127\.0\.0\.1:8080(\S+)\n(.*)$", README, re.MULTILINE)
    answers = {path: (demo_mirror.get(path), shown) for path, shown in asked}

    assert len(answers) == 2
    for path, (answer, shown) in answers.items():
        first = answer.splitlines()[0]
        if first.startswith("{"):
            assert json.loads(first).keys() == json.loads(shown).keys(), path
        else:
            assert first.split() == shown.split(), path
