"""Keep-alive GET load by wrk, on the caller's cores: one request in flight per connection, every byte read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# A round's answers in flight, and wrk's own start and end.
_GRACE_SECONDS = 60.0
# The slowest answer measured (a list of 10,000 objects, several at once) takes seconds; wrk counts one beyond its
# time-out, two seconds by default, as an error.
_ANSWER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: answers with status 2xx or 3xx, others, bytes, seconds measured."""

    answers: int
    failures: int
    received: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


@cache
def wrk() -> str:
    """Path of wrk, from PATH or from where ``make tools`` unpacks it. RuntimeError where it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubemirror" / "bin"
    found = shutil.which("wrk") or shutil.which("wrk", path=str(cache))
    if found is None:
        raise RuntimeError("wrk is missing, and the bench loads servers with it: run `make tools`")
    return found


def load(url: str, *, connections: int, seconds: float, headers: Mapping[str, str] | None = None) -> Load:
    """Load ``url`` for about ``seconds`` (wrk counts whole ones). RuntimeError where wrk says what is not known."""
    fields = {"Accept": "application/json", **(headers or {})}
    given = [argument for name, value in fields.items() for argument in ("-H", f"{name}: {value}")]
    length = max(1, round(seconds))
    command = [wrk(), "-t1", f"-c{connections}", f"-d{length}s", f"--timeout={_ANSWER_SECONDS}s", *given, url]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=length + _GRACE_SECONDS).stdout
    counted = re.search(r"(\d+) requests in ([\d.]+)(m?s|m), ([\d.]+)([KMGT]?)B read", told)
    if counted is None:
        raise RuntimeError(f"wrk said something else than expected:\n{told}")
    requests, elapsed, unit, size, prefix = counted.groups()
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    unanswered = sum(map(int, broken.groups())) if broken else 0
    failures = (int(refused.group(1)) if refused else 0) + unanswered
    received = float(size) * 1024 ** " KMGT".index(prefix or " ")
    return Load(
        int(requests) - failures, failures, int(received), float(elapsed) * {"ms": 0.001, "s": 1, "m": 60}[unit]
    )
