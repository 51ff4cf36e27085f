"""kubectl reads our YAML as what it was, whatever texts are in it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from kubemirror.serve.yaml_form import to_yaml
from tests.kubectl.kubectl import Kubectl
from tests.serve.process import serving
from tests.serve.test_yaml_is_read_alike import ODD

pytestmark = pytest.mark.timeout(120)
# Without the halves of UTF-16 that JSON and YAML have not.
LETTERS = "0123456789abeExXoOyYnN_.:+-TtZz ~\n\t '\"#\\|<=é\u2028\r"


def test_kubectl_reads_every_text_as_it_was(kubectl: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    texts = [*ODD, *("".join(rng.choices(LETTERS, k=rng.randint(1, 7))) for _ in range(2000))]
    values = {f"k{index}": text for index, text in enumerate(texts)}
    file = tmp_path / "odd.yaml"
    metadata = {"name": "odd", "annotations": values}
    file.write_bytes(to_yaml({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    with serving(tmp_path, "--demo") as mirror:
        mirror.until_ready()
        run = Kubectl(kubectl, tmp_path / "none", tmp_path / "home")
        line = ("--server", mirror.url, "create", "--dry-run=client", "--validate=false", "-o", "json", "-f", str(file))
        printed = json.loads(run.done(*line))

    assert printed["metadata"]["annotations"] == values
