"""The image without a container runtime: what the Dockerfile says, and its steps run into a folder.

``Image`` is a folder that stands for the image's root. Its files are made by the Dockerfile's own scripts, from
what it copies and nothing else, and are then read-only for everyone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pip

from tests.deploy.manifests import ROOT

Stage = list[tuple[str, str]]


def stages() -> tuple[Stage, Stage]:
    """The instructions of the two stages, each as (word, rest)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    instructions = [(word, " ".join(rest.split())) for word, rest in lines]
    starts = [at for at, (word, _) in enumerate(instructions) if word == "FROM"]
    build, last = starts
    return instructions[build:last], instructions[last:]


def values(stage: Stage, word: str) -> list[str]:
    return [rest for each, rest in stage if each == word]


def copied() -> list[Path]:
    """What the first stage copies from the checkout."""
    build, _ = stages()
    return [ROOT / source for line in values(build, "COPY") for source in line.split()[:-1]]


def reachable(path: Path) -> bool:
    """Whether every user may come to ``path``."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in [path, *path.parents])


@dataclass(frozen=True, slots=True)
class Image:
    """root: the folder. user: who runs in it: the pods' user where this process may become anyone, else itself."""

    root: Path
    user: int

    @property
    def prefix(self) -> Path:
        return self.root / "opt" / "kubemirror"

    @property
    def environment(self) -> dict[str, str]:
        """What the last stage sets, and the place of a Python that had to be copied; nothing of this process."""
        _, last = stages()
        words = [word.split("=", 1) for line in values(last, "ENV") for word in line.split()]
        kept = {name: value.replace("/opt/", f"{self.root}/opt/").replace("$PATH", os.defpath) for name, value in words}
        return {**kept, "LD_LIBRARY_PATH": str(self.root / "python" / "lib"), "HOME": "/nonexistent"}

    def command(self, instruction: str) -> list[str]:
        """An instruction of the last stage that is a command in brackets, as it is to be run here."""
        _, last = stages()
        (line,) = values(last, instruction)
        words: list[str] = json.loads(line[line.index("[") :])
        return [word.replace("/opt/", f"{self.root}/opt/") for word in words]

    def start(self, command: list[str], file_bytes: int = 0, **environment: str) -> subprocess.Popen[str]:
        """Run as the user; what it prints is one pipe.

        file_bytes: how much may be written into any one file, even where its mode would let it; memory that is a file
        to the kernel (memfd_create) counts.
        """
        most = f"({file_bytes}, {file_bytes})"
        limited = (
            f"import os, resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, {most}); os.execvp(sys.argv[1], sys.argv[1:])"
        )
        become = {"user": self.user, "group": self.user, "extra_groups": []} if os.getuid() == 0 else {}
        return subprocess.Popen(
            [str(self.prefix / "bin" / "python"), "-c", limited, *command],
            cwd="/",
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **become,  # type: ignore[call-overload]
        )

    def files(self) -> dict[Path, tuple[int, int, int]]:
        """Every file and folder with its mode, size and time of change."""
        found = {}
        for path in [self.root, *self.root.rglob("*")]:
            if not path.is_symlink():
                told = path.stat()
                found[path] = (told.st_mode & 0o777, told.st_size, told.st_mtime_ns)
        return found


def build(root: Path, user: int) -> Image:
    """Run the first stage, then make everything read-only."""
    image = Image(root, user)
    source = root / "source"
    for path in copied():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(path, target)
    image.prefix.parent.mkdir()
    python = _python(root)
    first, _ = stages()
    for step in values(first, "RUN"):
        script, prefix = step.split()
        environment = {
            "PYTHON": str(python),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "LD_LIBRARY_PATH": image.environment["LD_LIBRARY_PATH"],
        }
        done = subprocess.run(
            [source / script, f"{root}{prefix}"],
            check=False,
            cwd="/",
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(source)
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555 | 0o444)
    return image


def _python(root: Path) -> Path:
    """A Python that the user can run: this one, or a copy of it where it lies in a home that is closed to others."""
    if os.getuid() != 0 or reachable(Path(sys.base_prefix)):
        return Path(sys.executable)
    copy = root / "python"
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    target = copy / library.relative_to(sys.base_prefix)
    left_out = (
        "site-packages",
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "lib2to3",
        "ensurepip",
        "__pycache__",
        "config-*",
    )
    shutil.copytree(library, target, ignore=shutil.ignore_patterns(*left_out))
    shutil.copytree(Path(pip.__file__).parent, target / "site-packages" / "pip")
    for shared in Path(sys.base_prefix, "lib").glob("libpython*"):
        shutil.copy2(shared, copy / "lib")
    (copy / "bin").mkdir()
    executable = Path(sys.executable).resolve()
    return Path(shutil.copy2(executable, copy / "bin"))
