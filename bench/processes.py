"""The processes of a run: started, pinned to cores, looked at through /proc, ended."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the measured process runs, and where everything else does."""

    measured: frozenset[int]
    others: frozenset[int]

    @property
    def apart(self) -> bool:
        """Whether load and measured process have a core each; figures are worth little otherwise."""
        return not self.measured & self.others


def cores() -> Cores:
    """The last core for what is measured, the others for the rest; one core is shared by all."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) == 1:
        return Cores(frozenset(available), frozenset(available))
    return Cores(frozenset(available[-1:]), frozenset(available[:-1]))


# Of a process with so many connections: what it needs beside them, the mirror's own reserve among it.
_OTHER_DESCRIPTORS = 512


def descriptors(connections: int) -> int:
    """How many connections a process of a run can have, up to ``connections``: the limit is raised as far as may be.

    It is this process' limit, which all that it starts inherit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    possible = max(1, soft - _OTHER_DESCRIPTORS)
    print(
        f"{connections:,} connections take {wanted:,} descriptors, and the hard limit is {soft:,} here: {possible:,} "
        f"connections are measured, and no goal is held to that; `ulimit -Hn {wanted}` as root allows them",
        file=sys.stderr,
    )
    return possible


class Observed:
    """A running process, looked at from outside."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid

    def cpu_seconds(self) -> float:
        """CPU time used so far by all of its threads, in seconds (nanosecond counters of the scheduler)."""
        total = 0
        for task in self._threads():
            with contextlib.suppress(FileNotFoundError):  # a thread may end while we look
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def resident_bytes(self) -> int:
        """Resident memory."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """The most it has been resident with."""
        return self._status("VmHWM")

    def move(self, cores: frozenset[int]) -> None:
        """Run all of its threads, and those they start, on ``cores``."""
        for task in self._threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)

    def _threads(self) -> Iterator[Path]:
        return Path(f"/proc/{self.pid}/task").iterdir()

    def _status(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name}: /proc tells no {field}")


class Process(Observed):
    """One child process; its first line of standard output is read on request."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], log: Path) -> None:
        super().__init__(name, child.pid)
        self._child = child
        self._log = log

    def first_line(self, *, seconds: float) -> str:
        """The first line it prints; RuntimeError with the end of its log when it prints none in time."""
        assert self._child.stdout is not None
        readable, _, _ = select.select([self._child.stdout], [], [], seconds)
        line = self._child.stdout.readline().decode().strip() if readable else ""
        if not line:
            raise RuntimeError(f"{self.name} said nothing within {seconds:.0f} s:\n{self.tail()}")
        return line

    def check(self) -> None:
        """RuntimeError when it has ended: a benchmark of a dead process measures nothing."""
        status = self._child.poll()
        if status is not None:
            raise RuntimeError(f"{self.name} ended with status {status}:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


@contextlib.contextmanager
def starting_on(cores: frozenset[int]) -> Iterator[None]:
    """What is started meanwhile runs on ``cores``, from its first instruction on."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    on: frozenset[int],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """A child on the cores ``on``, its log in ``folder``; ended on the way out. environment: beside ours."""
    log = folder / f"{name}.log"
    with starting_on(on), log.open("wb") as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment() | dict(environment or {}),
        )
    try:
        yield Process(name, child, log)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stdout is not None
        child.stdout.close()


def _environment() -> dict[str, str]:
    """Ours, without what would make a process another one: our settings, and no byte code (a compiler's memory)."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KUBEMIRROR_") and name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONMALLOC")
    }


def python(*arguments: str) -> list[str]:
    """A command line of this interpreter."""
    return [sys.executable, *arguments]


def wait_until(what: str, condition: object, *, seconds: float, every: float, process: Process) -> float:
    """Seconds until ``condition()`` was true; RuntimeError when the time is over or ``process`` ended."""
    assert callable(condition)
    start = time.perf_counter()
    while not condition():
        process.check()
        if time.perf_counter() - start > seconds:
            raise RuntimeError(f"{what} did not happen within {seconds:.0f} s:\n{process.tail()}")
        time.sleep(every)
    return time.perf_counter() - start
