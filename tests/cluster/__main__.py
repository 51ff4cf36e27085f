"""``python -m tests.cluster build [--earlier] | up [--full] | status | down``: the tests' control plane, by hand.

``up`` leaves one running and prints the path of its kubeconfig, nothing else, on stdout:
``export KUBECONFIG=$(python -m tests.cluster up --full)``. There is one per user; ``down`` ends it and its data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.cluster.control_plane import FULL, PLAIN, ControlPlane, NotReadyError
from tests.cluster.processes import LOOK_SECONDS, ProcessDiedError, runs
from tests.cluster.programs import ProgramError, build_missing, cache_folder

# What does not end in this time is killed.
DOWN_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is missing into the cache").add_argument(
        "--earlier", action="store_true", help="what only long runs need, too: earlier versions of clients"
    )
    commands.add_parser("up", help="start one and print its kubeconfig").add_argument(
        "--full", action="store_true", help="with controllers, a scheduler and a fake node"
    )
    commands.add_parser("status", help="what runs")
    commands.add_parser("down", help="end it")
    asked = parser.parse_args(arguments)
    home = cache_folder(os.environ) / "running"
    try:
        match asked.command:
            case "build":
                build_missing(_say, earlier=asked.earlier)
            case "up":
                build_missing(_say)
                return _up(home, full=asked.full)
            case "status":
                return _status(home)
            case "down":
                _down(home)
    except (ProgramError, ProcessDiedError, NotReadyError) as error:
        _say(str(error))
        return 1
    return 0


def _up(home: Path, *, full: bool) -> int:
    running = _running(home)
    if running:
        if missing := [name for name in (FULL if full else PLAIN) if name not in running]:
            _say(f"one is running without {', '.join(missing)}; end it first: python -m tests.cluster down")
            return 1
        _say("one is running already; end it with: python -m tests.cluster down")
        print(home / "kubeconfig")
        return 0
    shutil.rmtree(home, ignore_errors=True)
    plane = ControlPlane(full=full, folder=home, leash=False)
    plane.start()
    pids = {name: process.pid for name, process in plane.processes.items()}
    (home / "pids.json").write_text(json.dumps(pids))
    _say(f"{', '.join(pids)} on {plane.url}")
    print(plane.kubeconfig)
    return 0


def _status(home: Path) -> int:
    running = _running(home)
    for name, pid in running.items():
        print(f"{name} {pid}")
    if running:
        print(home / "kubeconfig")
    else:
        _say("nothing runs; start one with: python -m tests.cluster up")
    return 0 if running else 1


def _down(home: Path) -> None:
    for name, pid in reversed(_running(home).items()):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        while runs(pid, name):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_SECONDS)
    shutil.rmtree(home, ignore_errors=True)


def _running(home: Path) -> dict[str, int]:
    """What ``up`` left behind and is still there."""
    try:
        pids = json.loads((home / "pids.json").read_text())
    except FileNotFoundError:
        return {}
    return {name: pid for name, pid in pids.items() if runs(pid, name)}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
