"""The alert rules: promtool takes them, examples show each firing and each silent, and their metrics exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubemirror.serve.pressure import HIGH
from tests.deploy.expressions import metrics_of, told_by_the_collector
from tests.deploy.manifests import ROOT, Manifests, quantity, read

EXAMPLES = Path(__file__).with_name("alerts.yaml")


@pytest.fixture(scope="module")
def groups() -> list[dict[str, Any]]:
    (rule,) = read(Path("components/monitoring/alerts.yaml"))
    assert rule["kind"] == "PrometheusRule"
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


@pytest.fixture(scope="module")
def alerts(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By name."""
    rules = [rule for group in groups for rule in group["rules"]]
    named = {rule["alert"]: rule for rule in rules}
    assert len(named) == len(rules)
    return named


@pytest.fixture
def rules(groups: list[dict[str, Any]], tmp_path: Path) -> Path:
    """The rules as Prometheus itself reads them."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path


def run(promtool: str, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules(promtool: str, rules: Path, alerts: dict[str, dict[str, Any]]) -> None:
    assert f"SUCCESS: {len(alerts)} rules found" in run(promtool, "check", "rules", "--lint-fatal", rules)


def test_every_example_comes_out_as_it_says(
    promtool: str, rules: Path, alerts: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    examples = yaml.safe_load(EXAMPLES.read_text())
    for test in examples["tests"]:
        for example in test["alert_rule_test"]:
            for expected in example["exp_alerts"]:
                description = alerts[example["alertname"]]["annotations"]["description"]
                expected["exp_annotations"]["description"] = description
    path = tmp_path / "examples.yaml"
    path.write_text(yaml.safe_dump({**examples, "rule_files": [str(rules)]}))

    assert "SUCCESS" in run(promtool, "test", "rules", path)


def test_every_alert_is_seen_firing_and_silent(alerts: dict[str, dict[str, Any]]) -> None:
    seen = {
        (example["alertname"], bool(example["exp_alerts"]))
        for test in yaml.safe_load(EXAMPLES.read_text())["tests"]
        for example in test["alert_rule_test"]
    }

    assert seen == {(name, firing) for name in alerts for firing in (True, False)}


def test_every_metric_in_them_exists(alerts: dict[str, dict[str, Any]]) -> None:
    known = told_by_the_collector()

    assert {
        name: metrics_of(rule["expr"]) - known for name, rule in alerts.items() if metrics_of(rule["expr"]) - known
    } == {}
    assert all(metrics_of(rule["expr"]) for rule in alerts.values())


def test_every_alert_says_what_is_wrong_and_what_to_do(alerts: dict[str, dict[str, Any]]) -> None:
    for name, rule in alerts.items():
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name


def test_the_memory_alert_is_at_the_limit_of_the_pods(alerts: dict[str, dict[str, Any]], base: Manifests) -> None:
    limit = quantity(base.container["resources"]["limits"]["memory"])

    assert alerts["KubemirrorMemory"]["expr"].endswith(f"> {int(limit * HIGH)}")


def test_operations_tells_the_same(alerts: dict[str, dict[str, Any]]) -> None:
    table = re.findall(
        r"^\| `(Kubemirror\w+)` \| (\w+) \| `([^`]+)` \| (\d+m) \|",
        (ROOT / "docs" / "operations.md").read_text(),
        flags=re.MULTILINE,
    )

    assert [(name, severity, expression.replace(r"\|", "|"), wait) for name, severity, expression, wait in table] == [
        (name, rule["labels"]["severity"], rule["expr"], rule["for"]) for name, rule in alerts.items()
    ]
