"""The dashboard asks for metrics that exist, in expressions that Prometheus takes, of any installation."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.expressions import metrics_of, told_by_the_collector
from tests.deploy.manifests import DEPLOY


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "components/monitoring/dashboard.json").read_text())
    return found


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def expressions(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_in_it_exists(expressions: list[str], dashboard: dict[str, Any]) -> None:
    variables = [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    named = set().union(*map(metrics_of, [*expressions, *variables]))

    assert named - told_by_the_collector() == set()
    assert len(named) > 25


def test_promtool_takes_every_expression(expressions: list[str], promtool: str, tmp_path: Path) -> None:
    plain = [expression.replace("$__rate_interval", "2m").replace("$job", "kubemirror") for expression in expressions]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$resource", ".*")}
        for number, expression in enumerate(plain)
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], check=False, capture_output=True, text=True, timeout=30)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout


def test_every_expression_is_of_the_installation_that_is_chosen(expressions: list[str]) -> None:
    for expression in expressions:
        selectors = re.findall(r"\b(?:kubemirror|reflector|process)_\w+(?:_\w+)*(?=[{\[)\s]|$)(\{[^}]*\})?", expression)
        assert all('job="$job"' in selector for selector in selectors if selector), expression
        assert len(metrics_of(expression)) <= len([selector for selector in selectors if selector]), expression


def test_panels_lie_beside_each_other(panels: list[dict[str, Any]], dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
