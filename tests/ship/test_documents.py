"""docs/ tells what the code does: what it repeats is generated, and what it lists is complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from kubemirror.settings import Settings
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Phase
from kubemirror.state.objects import Object
from kubemirror.views.computed import computed
from tests.ship.conftest import DemoMirror
from tests.ship.repository import ROOT, tracked


def test_the_settings_table_is_that_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "tools/settings_table.py", "--check"], check=False, cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_phase_is_explained() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()

    assert [phase for phase in Phase if f"| {phase} |" not in text] == []


def test_every_folder_of_tests_says_where_it_runs() -> None:
    tests = ROOT / "tests"
    folders = {path.relative_to(tests).parts[0] for path in tracked() if tests in path.parent.parents}
    told = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (tests / "README.md").read_text(), re.MULTILINE)

    assert sorted(re.findall(r"\w+", " ".join(told))) == sorted(folders - {"contract"})  # which has a table of its own


def test_metrics_that_operations_alerts_on_exist() -> None:
    known = set(
        re.findall(r'"((?:kubemirror|reflector)_\w+)"', (ROOT / "service/kubemirror/serve/metrics.py").read_text())
    )
    told = set(re.findall(r"\b((?:kubemirror|reflector)_[a-z_]+)", (ROOT / "docs" / "operations.md").read_text()))

    assert {name for name in told if name.removesuffix("_total") not in known} == set()


def test_flags_that_documents_name_exist() -> None:
    flags = set()
    for command in ("serve", "rbac", "demo-server", "kubeconfig", "watch"):
        helped = subprocess.run(
            [sys.executable, "-m", "kubemirror", command, "--help"], check=True, capture_output=True, text=True
        )
        flags |= set(re.findall(r"--[a-z-]+", helped.stdout))
    text = (ROOT / "docs" / "operations.md").read_text()

    assert {flag for flag in re.findall(r"`(--[a-z-]+)", text) if flag not in flags} == set()


def test_every_route_and_parameter_is_in_the_protocol(demo_mirror: DemoMirror) -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    paths = json.loads(demo_mirror.get("/-/openapi.json"))["paths"]
    parameters = {
        parameter["name"]
        for operations in paths.values()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }

    assert {path for path in paths if f"`{path}`" not in text} == set()
    assert {name for name in parameters if f"`{name}" not in text and f"?{name}" not in text} == set()


def test_every_column_of_our_own_is_in_the_protocol() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    versions = (ServedVersion("v1"),)
    definitions = Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "crd", "CustomResourceDefinition", False, versions
    )
    deployments = Resource("apps", "v1", "deployments", "deployment", "Deployment", True, versions)
    columns = {each.name for resource in (definitions, deployments) for each in computed(resource, last_change=nothing)}

    assert {"Health", "Last Change", "Version", "Versions"} <= columns
    assert {name for name in columns if f"`{name}`" not in text} == set()


def nothing(held: Object, now: float) -> None:
    """No change."""
