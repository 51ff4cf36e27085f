"""kubectl run as a person runs it, and what of its output may differ between two runs: ages alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# No command here takes longer than a second on an idle machine.
RUN_SECONDS = 50.0
# Not behind "=": what is configured (timeout=1s) is no age.
_AGE = re.compile(r"(?<![\w.=-])(?:(?:\d+[smhdy]){1,2}|AGE|LAST SEEN|FIRST SEEN|<unknown>|<invalid>)(?![\w.-]) *")
_PART = re.compile(r"(\d+)([smhdy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
# kubelet's lease is renewed each ten seconds.
_RENEWED = re.compile(r"(RenewTime: +).*")


@dataclass(frozen=True, slots=True)
class Said:
    out: str
    err: str
    code: int

    @property
    def ageless(self) -> Said:
        """With every age, and the room its column takes, made the same."""
        return Said(ageless(self.out), ageless(self.err), self.code)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig, and a home of its own, where it caches discovery."""

    program: Path
    kubeconfig: Path
    home: Path

    def __call__(self, *arguments: str, given: str | None = None) -> Said:
        done = subprocess.run(
            [self.program, *arguments],
            check=False,
            input=given or "",
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=RUN_SECONDS,
        )
        return Said(done.stdout, done.stderr, done.returncode)

    def line(self, line: str) -> Said:
        return self(*shlex.split(line))

    def done(self, *arguments: str, given: str | None = None) -> str:
        """Its output; it must succeed."""
        said = self(*arguments, given=given)
        assert said.code == 0, said.err
        return said.out

    def start(self, line: str, log: Path) -> subprocess.Popen[bytes]:
        """Running on, both outputs into ``log``."""
        with log.open("wb") as written:
            return subprocess.Popen(
                [self.program, *shlex.split(line)],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}


def assert_same(server: Said, mirror: Said) -> None:
    """The same but for ages, and those within the time between the two runs: 100m of CPU is not 250m."""
    assert mirror.ageless == server.ageless
    ages = list(zip(ages_of(server.out), ages_of(mirror.out), strict=True))
    assert all(abs(theirs - ours) <= max(RUN_SECONDS, theirs // 100) for theirs, ours in ages), ages


def ages_of(text: str) -> list[int]:
    """What looks like an age, in seconds, in order."""
    return [sum(int(n) * _SECONDS[unit] for n, unit in _PART.findall(found[0])) for found in _AGE.finditer(text)]


def ageless(text: str) -> str:
    return "\n".join(_RENEWED.sub(r"\1", _AGE.sub("~ ", line)) for line in text.split("\n"))


def unversioned(said: Said) -> Said:
    """What ``get --raw`` says, without managedFields, and without the resourceVersion of a list.

    That is the newest of all resources, which a store hears of in a bookmark. The order of keys stays.
    """
    if not said.out.startswith("{"):
        return said
    document = json.loads(said.out)
    for each in document.get("items", [document]):
        _metadata(each).pop("managedFields", None)
    if "items" in document:
        _metadata(document).pop("resourceVersion", None)
    return Said(json.dumps(document), said.err, said.code)


def _metadata(obj: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = obj.get("metadata", {})
    return found
