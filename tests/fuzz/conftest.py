"""One server for all that is sent to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.target import Target
from tests.serve.process import serving


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    with serving(folder, "--demo", "--redact", "pattern", "--audit-log", str(folder / "audit.log")) as process:
        process.until_ready()
        target = Target(process)
        try:
            yield target
        finally:
            target.client.close()
