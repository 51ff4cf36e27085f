"""The load generator for streams (streams/): built once into the cache, driven line by line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import Cores, starting_on
from tests.cluster.programs import cache_folder
from tests.cluster.toolchain import find_toolchain

_SOURCE = Path(__file__).parent / "streams"
# 10,000 connections over TLS are made in half a minute on a slow core.
_OPEN_SECONDS = 120.0
# What a round may take beyond its writes: the program waits 20 s for the last delivery itself.
_GRACE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Place:
    """A server, as the program is told of it. authority: PEM, "" for plain HTTP."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Watches:
    """``count`` watches of ``path`` and its query; {} in it is each one's number."""

    path: str
    count: int


@dataclass(frozen=True, slots=True)
class Round:
    """Writes to the object at ``path``, each heard by ``expected`` watches. rate: a second. padding: bytes added.

    image: what its container's image is changed to, with a tag of the event's own; "" for none.
    """

    events: int
    rate: float
    path: str
    expected: int
    padding: int = 0
    image: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a round: wrong are events heard twice or out of order; times are milliseconds from the write.

    number: of the round, by which its events are known. frames: messages or lines, of so many bytes. last: until all
    who hear an event have heard it. retries: how often one that came was turned away, and came again.
    """

    number: int
    delivered: int
    wrong: int
    frames: int
    bytes: int
    p50: float
    p99: float
    max: float
    last_p50: float
    last_p99: float
    retries: int
    seconds: float


def build(say: Callable[[str], None], env: Mapping[str, str] = os.environ) -> Path:
    """The program, from the cache where these sources were built before. RuntimeError with what the compiler said."""
    digest = hashlib.sha256()
    for file in sorted(_SOURCE.iterdir()):
        digest.update(file.read_bytes())
    program = cache_folder(env) / f"streams-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    say(f"the load generator for streams: building {program}, this once ...")
    program.parent.mkdir(parents=True, exist_ok=True)
    toolchain = find_toolchain(program.parent, say, env)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        made = Path(folder) / program.name
        command = [toolchain.go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(made), "."]
        done = subprocess.run(
            command, check=False, cwd=_SOURCE, env=dict(toolchain.environment), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{_SOURCE} could not be built with {toolchain.go}:\n{done.stderr[-2000:].strip()}")
        made.rename(program)  # it takes its name only when it is whole
    return program


class Generator:
    """The running program, all of its watches open."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def run(self, round_: Round) -> Told:
        """Write, and wait for what is heard of it."""
        said = self.ask(asdict(round_), seconds=round_.events / round_.rate + _GRACE_SECONDS)
        return Told(**said)

    def poll(self, round_: Round, *, path: str, clients: int, marker: str) -> Told:
        """Write, while clients ask for ``path`` once a second each.

        marker: what stands before an event's number in an answer; {} in it is the round's.
        """
        asked = {"do": "poll", "asked": path, "clients": clients, "marker": marker}
        return Told(**self.ask(asdict(round_) | asked, seconds=round_.events / round_.rate + _GRACE_SECONDS))

    def stall(self, path: str) -> None:
        """One socket more, which asks and reads nothing."""
        self.ask({"do": "stall", "watches": [asdict(Watches(path, 1))]}, seconds=_GRACE_SECONDS)

    def release(self) -> None:
        """Those that read nothing are gone."""
        self.ask({"do": "release"}, seconds=_GRACE_SECONDS)

    def leave(self) -> None:
        """All sockets are gone, at once and without a word."""
        self.ask({"do": "leave"}, seconds=_GRACE_SECONDS)

    def come(self, watches: Sequence[Watches], missed: Told, events: int) -> Told:
        """All come at once, and hear what they have missed of a round. Times are from when the first one comes."""
        asked = {"do": "come", "watches": [asdict(each) for each in watches]}
        return Told(**self.ask(asked | {"number": missed.number, "events": events}, seconds=_OPEN_SECONDS))

    def ask(self, question: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """One line in, one line out. RuntimeError where none comes."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        readable, _, _ = select.select([self._child.stdout], [], [], seconds)
        line = self._child.stdout.readline() if readable else ""
        if not line:
            self._child.kill()
            said = self._child.stderr.read() if self._child.stderr is not None else ""
            what = "has ended" if readable else f"said nothing within {seconds:.0f} s"
            raise RuntimeError(f"the load generator {what}: {said[-1000:].strip()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def generating(
    program: Path, *, watched: Place, written: Place, watches: Sequence[Watches], cores: Cores, sockets: bool = False
) -> Iterator[Generator]:
    """The program with its watches open, beside the measured core. sockets: as WebSockets."""
    with starting_on(cores.others):
        child = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        generator = Generator(child)
        order = {
            "watched": asdict(watched),
            "written": asdict(written),
            "watches": [asdict(each) for each in watches],
            "sockets": sockets,
        }
        generator.ask(order, seconds=_OPEN_SECONDS)
        yield generator
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
