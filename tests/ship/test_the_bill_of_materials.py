"""``make audit`` writes what is shipped as CycloneDX, from the lock alone: no network, and nothing installed for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_names_each_locked_package_with_its_version_and_hashes(tmp_path: Path) -> None:
    for name in ("requirements", "tools", "pyproject.toml"):
        source = ROOT / name
        copied = shutil.copytree if source.is_dir() else shutil.copy
        copied(source, tmp_path / name)
    for program in ("cyclonedx-py", "pip-audit"):
        assert (Path(sys.executable).parent / program).exists()
    offline = tmp_path / "bin"
    offline.mkdir()
    (offline / "cyclonedx-py").symlink_to(Path(sys.executable).parent / "cyclonedx-py")
    (offline / "pip-audit").write_text("#!/bin/sh\necho 'requests.exceptions.ConnectionError: no route' >&2\nexit 1\n")
    (offline / "pip-audit").chmod(0o755)

    done = subprocess.run(
        [tmp_path / "tools" / "audit.sh", offline], capture_output=True, check=False, text=True, timeout=50
    )

    locked = re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE)
    bill = json.loads((tmp_path / "dist" / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert sorted((each["name"], each["version"]) for each in bill["components"]) == sorted(locked)
    assert done.returncode == 1  # nothing was found out, and that is no good news
    assert "requirements/runtime.txt: not audited, for the vulnerability service cannot be reached" in done.stderr
