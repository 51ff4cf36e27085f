"""The image: made by scripts from the lock, holding nothing that builds, running as nobody on a read-only tree."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import httpx
import pip
import pytest
import trustme

from tests.deploy.image import Image, build, copied, stages, values
from tests.deploy.manifests import ROOT, written
from tests.serve.process import START_SECONDS, demo_cluster
from tests.ship.repository import tracked
from tests.ship.test_repository import canonical, pins

# The image is made once, from packages that pip fetches or has: seconds alone, more where it is crowded.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Below /tmp and not in pytest's own folder, which is closed to other users."""
    root = Path(tempfile.mkdtemp(prefix="kubemirror-image-"))
    root.chmod(0o755)
    try:
        user = written().pod["securityContext"]["runAsUser"] if os.getuid() == 0 else os.getuid()
        yield build(root, user)
    finally:
        for path in [root, *root.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(root)


@dataclass
class Container:
    """The image's command, running as in a pod; ``said``: the lines that it printed."""

    image: Image
    url: str
    environment: dict[str, str]
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def listen(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(self.process.stdout)

    def until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None, self.said
            with contextlib.suppress(httpx.TransportError):
                if self.get("/readyz").status_code == 200:
                    return
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def get(self, path: str, accept: str = "*/*") -> httpx.Response:
        return httpx.get(self.url + path, headers={"accept": accept}, timeout=10, verify=False)

    def healthy(self) -> tuple[int, str]:
        """Exit code and output of the image's health check."""
        checking = self.image.start(self.image.command("HEALTHCHECK"), **self.environment)
        said, _ = checking.communicate(timeout=30)
        return checking.returncode, said


Running = Callable[..., AbstractContextManager[Container]]


@pytest.fixture
def running(image: Image, tmp_path: Path) -> Iterator[Running]:
    """Starts a mirror of a demo cluster: with these flags, in this environment, to be asked at this URL."""
    with demo_cluster(tmp_path) as demo, tempfile.TemporaryDirectory(prefix="kubemirror-mounted-") as mounted:
        _, kubeconfig = demo.flags
        Path(mounted).chmod(0o755)
        given = shutil.copy(kubeconfig, mounted)
        Path(given).chmod(0o444)

        @contextlib.contextmanager
        def start(url: str, *flags: str, file_bytes: int = 0, **environment: str) -> Iterator[Container]:
            command = [*image.command("ENTRYPOINT"), *image.command("CMD"), *flags, f"--kubeconfig={given}"]
            container = Container(image, url, environment, image.start(command, file_bytes, **environment))
            listening = threading.Thread(target=container.listen)
            listening.start()
            try:
                container.until_ready()
                yield container
            finally:
                container.process.kill()
                container.process.wait(10)
                listening.join(10)
                assert container.process.stdout is not None
                container.process.stdout.close()

        yield start


@pytest.fixture
def container(running: Running, free_port: int) -> Iterator[Container]:
    """A mirror that is told what the base's Deployment tells it."""
    here = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=8080": f"--port={free_port}"}
    command, *arguments = [here.get(argument, argument) for argument in written().told]
    assert command == "serve"
    # The health check is told by variables alone.
    told = {"KUBEMIRROR_PORT": str(free_port)}
    with running(f"http://127.0.0.1:{free_port}", *arguments, **told) as container:
        yield container


def test_it_serves_as_another_user_where_nothing_can_be_written(container: Container, image: Image) -> None:
    before = image.files()
    process = Path("/proc") / str(container.process.pid)
    status = dict(re.findall(r"^(\w+):\t(.*)$", (process / "status").read_text(), re.MULTILINE))

    assert container.get("/versions").json()
    assert "<html" in container.get("/resources/deployments", accept="text/html").text
    assert "<html" in container.get("/", accept="text/html").text
    assert "kubemirror_ready 1.0" in container.get("/metrics").text
    assert set(status["Uid"].split()) == {str(image.user)}
    assert [children for each in process.glob("task/*/children") if (children := each.read_text())] == []
    if os.getuid() == 0:
        assert image.user >= 10_000
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert [path for path, (mode, _, _) in before.items() if mode & 0o222] == []
    assert image.files() == before


def test_its_health_check_tells_whether_it_lives(container: Container) -> None:
    alive = container.healthy()
    container.process.kill()
    container.process.wait(10)
    dead, said = container.healthy()

    assert alive == (0, "")
    assert dead == 1
    assert re.fullmatch(r"not alive: .*Connection refused.*\n", said)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (
            {"HOST": "0.0.0.0", "ACCESS": "open", "OPEN_RESOURCE": "pods", "TLS_SELF_SIGNED": "True"},
            "https://127.0.0.1",
        ),
        ({"HOST": "127.0.0.2", "TLS_CERT": "tls.crt", "TLS_KEY": "tls.key"}, "https://127.0.0.2"),
        ({"HOST": "127.0.0.2", "TLS_SELF_SIGNED": "no"}, "http://127.0.0.2"),
    ],
    ids=["self-signed", "certificate", "address"],
)
def test_its_health_check_asks_where_it_listens(
    running: Running, mounted_pair: Path, free_port: int, told: dict[str, str], asked: str
) -> None:
    files = {"TLS_CERT", "TLS_KEY"}
    environment = {
        f"KUBEMIRROR_{name}": str(mounted_pair / value) if name in files else value for name, value in told.items()
    }
    environment["KUBEMIRROR_PORT"] = str(free_port)
    # OpenSSL takes a certificate as a file only, which is made in memory.
    with running(f"{asked}:{free_port}", file_bytes=64 * 1024, **environment) as container:
        assert container.healthy() == (0, "")

        container.process.kill()
        container.process.wait(10)
        assert container.healthy()[0] == 1


def test_its_health_check_goes_by_no_proxy(running: Running, free_port: int) -> None:
    with running(f"http://127.0.0.1:{free_port}", KUBEMIRROR_PORT=str(free_port)) as container:
        container.environment |= {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}

        assert container.healthy() == (0, "")


@pytest.mark.parametrize(("host", "asked"), [("::", "::1"), ("fd00::1", "fd00::1")])
def test_its_health_check_knows_addresses_of_six(host: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every machine has them, so none is listened on here."""
    monkeypatch.setenv("KUBEMIRROR_HOST", host)
    module = runpy.run_path(str(ROOT / "deploy" / "image" / "healthy.py"))

    assert module["connection"]().host == asked


@pytest.fixture
def mounted_pair() -> Iterator[Path]:
    """A folder with a certificate and its key, as a Secret is mounted: readable by the pod's user."""
    with tempfile.TemporaryDirectory(prefix="kubemirror-pair-") as folder:
        path = Path(folder)
        pair = trustme.CA().issue_cert("localhost")
        pair.private_key_pem.write_to_path(str(path / "tls.key"))
        for each in pair.cert_chain_pems:
            each.write_to_path(str(path / "tls.crt"), append=True)
        path.chmod(0o755)
        for each_file in path.iterdir():
            each_file.chmod(0o444)
        yield path


def test_it_ends_by_itself_when_kubelet_asks(container: Container) -> None:
    container.process.send_signal(signal.SIGTERM)

    assert container.process.wait(written().pod["terminationGracePeriodSeconds"]) == 0


def test_it_holds_what_is_locked_and_nothing_that_builds(image: Image) -> None:
    (site,) = image.prefix.glob("lib/python*/site-packages")
    installed = {canonical(each.metadata["Name"]): each.version for each in distributions(path=[str(site)])}
    version = installed.pop("kubemirror")

    assert version == pyproject()["version"]
    assert installed.items() <= pins("runtime.txt").items()
    assert {"aiohttp", "fastapi", "uvicorn"} <= installed.keys()
    assert not {"pip", "setuptools", "wheel", "hatchling"} & installed.keys()
    assert not (site / "pip").exists()
    assert not list(image.prefix.glob("bin/pip*"))


def test_its_bytecode_is_there_already(image: Image) -> None:
    (site,) = image.prefix.glob("lib/python*/site-packages")
    modules = list((site / "kubemirror").rglob("*.py"))
    tag = f".{sys.implementation.cache_tag}.pyc"
    compiled = [path.parent / "__pycache__" / path.with_suffix(tag).name for path in modules]

    assert len(modules) > 50
    assert [path for path in compiled if not path.exists()] == []
    # Checked against nothing (PEP 552): a copy of the tree has other times, and it must still count.
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\x00\x00\x00"}


def test_the_last_stages_python_loses_what_installs(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    here = Path(pip.__file__).parent
    for folder in [here, *here.parent.glob("pip-*.dist-info")]:
        shutil.copytree(folder, site / folder.name)
    python = str(tmp_path / "bin" / "python")
    has_pip = [python, "-m", "pip", "--version"]
    assert subprocess.run(has_pip, check=False, capture_output=True).returncode == 0
    (step,) = values(stages()[1], "RUN")
    script = ROOT / "deploy" / "image" / Path(step.split()[-1]).name
    subprocess.run([script], check=True, env={**os.environ, "PYTHON": python}, capture_output=True)

    assert subprocess.run(has_pip, check=False, capture_output=True).returncode == 1
    assert not (site / "pip").exists()


def test_every_step_is_a_script_that_can_be_run() -> None:
    steps = [step for stage in stages() for step in values(stage, "RUN")]
    scripts = {Path(word).name for step in steps for word in step.split() if word.endswith(".sh")}
    there = {path.name: path for path in (ROOT / "deploy" / "image").glob("*.sh")}

    assert len(steps) == len(scripts)
    assert scripts == there.keys()
    assert all(path.stat().st_mode & 0o111 for path in there.values())


def test_what_is_copied_is_let_through() -> None:
    ignored, *let_through = (ROOT / ".dockerignore").read_text().splitlines()
    open_ = [ROOT / line[1:].rstrip("/") for line in let_through if line.startswith("!")]

    assert ignored == "*"
    assert [path for path in copied() if not any(path.is_relative_to(each) for each in open_)] == []
    assert [path for path in open_ if not path.exists()] == []


def test_both_stages_are_one_base_that_can_be_pinned() -> None:
    first, last = stages()
    (default,) = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert values(first, "FROM") == ["${BASE} AS build"]
    assert values(last, "FROM") == ["${BASE}"]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", default)  # slim: Debian, so glibc


def test_the_last_stage_is_one_process_of_nobodys_with_its_labels() -> None:
    _, last = stages()
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', *values(last, "LABEL")))
    arguments = dict(line.split("=") for line in values(last, "ARG"))
    (user,) = values(last, "USER")

    assert min(map(int, user.split(":"))) >= 10_000
    assert values(last, "ENTRYPOINT") == ['["kubemirror"]']  # no shell: signals reach the process
    assert set(labels) == {"title", "description", "licenses", "version", "revision"}
    assert labels["licenses"] == pyproject()["license"]
    assert arguments["VERSION"] == pyproject()["version"]
    assert [line for line in values(last, "COPY") if not line.startswith("--from=build ")] == []


def test_nothing_that_is_shipped_is_left_behind() -> None:
    """What the wheel is made of is copied whole."""
    shipped = [path for path in tracked() if path.is_relative_to(ROOT / "service") or path.is_relative_to(ROOT / "web")]

    assert [path for path in shipped if not any(path.is_relative_to(each) for each in copied())] == []


def pyproject() -> dict[str, str]:
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project
