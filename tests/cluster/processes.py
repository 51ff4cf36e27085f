"""A control plane's processes: their logs, their ends, and free ports for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Between two questions whether something is there already: the only pause, and a process that dies cuts it short.
LOOK_SECONDS = 0.05
# A program that was asked to end gets this long, and is then killed.
END_SECONDS = 10.0
# Starts argv[1:] such that it is killed when whoever started it dies, even of SIGKILL (PR_SET_PDEATHSIG, Linux only).
_LEASH = "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);os.execv(sys.argv[1],sys.argv[1:])"


class ProcessDiedError(Exception):
    """A program ended that should run; carries the end of its log."""

    def __init__(self, name: str, code: int, log: str) -> None:
        super().__init__(f"{name} ended with {code}:\n{log[-3000:]}")
        self.log = log


class Process:
    """One running program. leash: whether it dies with us."""

    def __init__(self, program: Path, arguments: Sequence[str], *, log: Path, leash: bool) -> None:
        self.name = program.name
        self._log = log
        command = [str(program), *arguments]
        if leash and sys.platform == "linux":
            command = [sys.executable, "-S", "-E", "-c", _LEASH, *command]
        with log.open("ab") as written:
            self._began = written.tell()
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which end us in order
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def look(self) -> None:
        """Pause for a moment; ProcessDiedError if the program has ended."""
        try:
            code = self._popen.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            return
        with self._log.open("rb") as written:
            written.seek(self._began)
            raise ProcessDiedError(self.name, code, written.read().decode(errors="replace"))

    def end(self) -> None:
        self._popen.terminate()
        self._popen.send_signal(signal.SIGCONT)  # a frozen one does not hear of it otherwise
        try:
            self._popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, waited for."""
        self._popen.kill()
        self._popen.wait()

    def freeze(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def runs(pid: int, name: str) -> bool:
    """Whether ``pid`` is (still) that program: pids are given out again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        said = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], check=False, capture_output=True, text=True)
        return Path(said.stdout.strip()).name == name
    return Path(os.fsdecode(command[0])).name == name
