"""One real process for the tests that look at it from outside."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class DemoMirror:
    """``kubemirror serve --demo`` as `make run` starts it; ``log`` is its standard error, imports included."""

    url: str
    log: Path
    process: subprocess.Popen[str]

    def get(self, path: str, *, accept: str = "*/*") -> str:
        """The body of a 200, asked as curl asks; asked again for up to 30 s while it is another code."""
        request = urllib.request.Request(
            self.url.rstrip("/") + path, headers={"User-Agent": "curl/8.0.0", "Accept": accept}
        )
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    body: str = answer.read().decode()
                    return body
            except urllib.error.HTTPError as error:
                said = error.read().decode()
                error.close()
                time.sleep(0.05)
        pytest.fail(f"{path} did not become 200: {said}")


@pytest.fixture(scope="session")
def demo_mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMirror]:
    """A ready mirror of the demo cluster."""
    log = tmp_path_factory.mktemp("mirror") / "log"
    command = [sys.executable, "-X", "importtime", "-m", "kubemirror", "serve", "--demo", "--port", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--shutdown-delay-seconds", "0"], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        mirror = DemoMirror(process.stdout.readline().strip(), log, process)
        mirror.get("/readyz")
        yield mirror
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
