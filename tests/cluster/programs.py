"""The programs of a control plane, and clients in Go: found where they are, or built and kept outside the checkout.

Looked for in this order, each program by itself: the folder $KUBEBUILDER_ASSETS, then our cache, where each
set lies in a folder named by the hash of everything that decides what is built: a new client builds no API server
again. What neither has is built into the cache by a Go toolchain (toolchain.py). A program takes its name only when it
is whole, and one build at a time runs: a second one waits, and then finds everything there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tests.cluster.toolchain import Toolchain, ToolchainError, find_toolchain

MODULES = Path(__file__).parent / "modules"
KUBERNETES = "v1.36.3"
# A line as often as this while a program compiles (the API server takes minutes), so that nobody thinks it hangs.
PROGRESS_SECONDS = 30.0


class ProgramError(Exception):
    """A program is neither there nor to be had; says what to do about it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program: the module under modules/ that pins it, its package, and what is linked into it."""

    module: str
    package: str
    link: str = "-s -w"


_VERSIONED = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"
PROGRAMS: Mapping[str, Program] = {
    "etcd": Program("kubernetes", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _VERSIONED),
    "kubectl": Program("kubernetes", "k8s.io/kubernetes/cmd/kubectl", _VERSIONED),
    "kube-controller-manager": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", _VERSIONED),
    "kube-scheduler": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", _VERSIONED),
    "kwok": Program("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
}
CLIENTS: Mapping[str, Program] = {
    "informers": Program("informers", "kubemirror.test/informers"),
}
# For long runs alone: two minutes of building.
EARLIER: Mapping[str, Program] = {
    "kubectl-1.26": Program(
        "kubectl-1.26", "kubemirror.test/kubectl", "-s -w -X k8s.io/component-base/version.gitVersion=v1.26.15"
    ),
}


def cache_folder(env: Mapping[str, str]) -> Path:
    """Where this project keeps what outlives a checkout."""
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubemirror" / "cluster"


def programs_folder(programs: Mapping[str, Program], env: Mapping[str, str]) -> Path:
    """The cache's folder of these programs, for exactly these sources and flags."""
    digest = hashlib.sha256(repr(sorted(programs.items())).encode())
    for module in sorted({program.module for program in programs.values()}):
        for file in sorted([*(MODULES / module).glob("go.*"), *(MODULES / module).glob("main.go")]):
            digest.update(file.read_bytes())
    return cache_folder(env) / digest.hexdigest()[:16]


def find(name: str, env: Mapping[str, str] = os.environ) -> Path | None:
    """The program of that name, or None where it has to be built. ProgramError for a Kubernetes of another version."""
    (programs,) = (each for each in (PROGRAMS, CLIENTS, EARLIER) if name in each)
    assets = env.get("KUBEBUILDER_ASSETS")
    if assets and programs is PROGRAMS:
        _check_version(Path(assets))
    for folder in [*([Path(assets)] if assets else []), programs_folder(programs, env)]:
        program = folder / name
        if _executable(program):
            return program
    return None


@cache
def _check_version(assets: Path) -> None:
    """What is expected of Kubernetes is expected of one minor version; etcd and kubectl come with the API server."""
    server = assets / "kube-apiserver"
    if not _executable(server):
        return
    try:
        said = subprocess.run([server, "--version"], check=False, capture_output=True, text=True, timeout=60).stdout
    except OSError as error:
        said = str(error)
    wanted = KUBERNETES.rpartition(".")[0]
    found = re.search(r"v\d+\.\d+", said)
    if found is None or found[0] != wanted:
        raise ProgramError(
            f"{server} is of another version ({said.strip() or 'it tells none'}) than these tests ({KUBERNETES}): "
            f"fill $KUBEBUILDER_ASSETS with `setup-envtest use {wanted[1:]}.x`, or unset it to have them built"
        )


def _executable(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def require(name: str, env: Mapping[str, str] = os.environ) -> Path:
    """The program of that name. ProgramError where it is not there."""
    program = find(name, env)
    if program is None:
        raise ProgramError(f"{name} is missing, and tests run a real control plane: run `make tools`")
    return program


def build_missing(say: Callable[[str], None], env: Mapping[str, str] = os.environ, *, earlier: bool = False) -> None:
    """Build what is neither in $KUBEBUILDER_ASSETS nor cached. ProgramError, with the remedy, where that fails."""
    for programs in (PROGRAMS, CLIENTS, EARLIER) if earlier else (PROGRAMS, CLIENTS):
        if all(find(name, env) for name in programs):
            continue
        folder = programs_folder(programs, env)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / ".lock", say):
            _build_into(folder, {name: each for name, each in programs.items() if find(name, env) is None}, say, env)


def _build_into(
    folder: Path, missing: Mapping[str, Program], say: Callable[[str], None], env: Mapping[str, str]
) -> None:
    if not missing:
        return
    say(f"For the tests, this once: {', '.join(missing)} into {folder}")
    try:
        toolchain = find_toolchain(cache_folder(env), say, env)
    except ToolchainError as error:
        raise ProgramError(str(error)) from error
    for at, (name, program) in enumerate(missing.items(), 1):
        _build(name, program, toolchain, folder, partial(_numbered, say, f"[{at}/{len(missing)}]"))


def _numbered(say: Callable[[str], None], number: str, line: str) -> None:
    say(f"{number} {line}")


def _build(name: str, program: Program, toolchain: Toolchain, folder: Path, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    say(f"{name} ...")
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    os.close(descriptor)
    try:
        with tempfile.TemporaryFile() as log:
            compiling = subprocess.Popen(
                [toolchain.go, "build", "-trimpath", "-ldflags", program.link, "-o", unfinished, program.package],
                cwd=MODULES / program.module,
                env=toolchain.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                while True:
                    try:
                        code = compiling.wait(PROGRESS_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        say(f"{name} ... {time.monotonic() - began:.0f} s")
            finally:
                compiling.kill()  # nothing where it has ended
                compiling.wait()
            log.seek(0)
            said = log.read().decode(errors="replace")
        if code:
            raise ProgramError(f"{name} could not be built with {toolchain.go}:\n{said[-2000:].strip()}")
        Path(unfinished).chmod(0o755)
        Path(unfinished).rename(folder / name)
        say(f"{name} built in {time.monotonic() - began:.0f} s")
    finally:
        Path(unfinished).unlink(missing_ok=True)


@contextmanager
def _alone(lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a folder; it is given back by the system even if we are killed."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another build of the control plane is under way; waiting for it ...")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
