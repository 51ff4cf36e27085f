"""A ``kubemirror`` process of its own, started and ended by a test."""

from __future__ import annotations

import os
import queue
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from kubemirror.demo.server import kubeconfig_of
from kubemirror.demo.users import ADMIN_TOKEN

ROOT = Path(__file__).parents[2]
# Two cores are shared with whatever else runs: a start takes one second alone, and many when it is crowded.
START_SECONDS = 40.0


class Process:
    """A running command. ``first``: the first line it printed. Standard error is kept in ``log``.

    verify: what a mirror with TLS is checked against.
    """

    verify: ssl.SSLContext | bool = True

    def __init__(self, command: list[str], *, log: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
        self.log = log
        with log.open("w") as errors:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**kept, "PYTHONPATH": str(ROOT / "service")},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        lines: queue.Queue[str] = queue.Queue()
        assert self.popen.stdout is not None
        self._reading = threading.Thread(target=lambda out: [lines.put(line) for line in out], args=[self.popen.stdout])
        self._reading.start()
        try:
            self.first = lines.get(timeout=START_SECONDS).strip()
        except queue.Empty:
            self.end()
            raise AssertionError(f"nothing was printed:\n{log.read_text()}") from None

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def url(self) -> str:
        return self.first.rstrip("/")

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit code, at most ``seconds`` from now."""
        try:
            return self.popen.wait(seconds)
        finally:
            if self.popen.poll() is not None:
                self._reading.join(5)

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.kill()
            self.popen.wait(10)
        if hasattr(self, "_reading"):
            self._reading.join(5)
        if self.popen.stdout is not None:
            self.popen.stdout.close()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def until(self, condition: Callable[[httpx.Client], bool], *, seconds: float = START_SECONDS) -> None:
        """Ask again and again until ``condition`` holds."""
        deadline = time.monotonic() + seconds
        with httpx.Client(base_url=self.url, verify=self.verify, timeout=5) as client:
            while True:
                try:
                    if condition(client):
                        return
                except httpx.TransportError:
                    pass
                if time.monotonic() > deadline:
                    raise AssertionError(f"it did not come to that in {seconds} s:\n{self.log.read_text()[-3000:]}")
                time.sleep(0.05)

    def until_ready(self) -> None:
        self.until(lambda client: client.get("/readyz").status_code == 200)


@contextmanager
def serving(tmp_path: Path, *flags: str, before: str = "", name: str = "serve") -> Iterator[Process]:
    """``kubemirror serve`` with ``flags``; ``before``: Python that runs first in the same process."""
    program = f"import sys\n{before}\nfrom kubemirror.__main__ import main\nsys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--log-format", "json", *flags]
    process = Process(command, log=tmp_path / f"{name}.log")
    try:
        yield process
    finally:
        process.end()


class Demo:
    """A demo cluster in a process of its own, without a life of its own, that a test writes to."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = process.first.rpartition(" ")[2]
        self.client = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {ADMIN_TOKEN}"})

    @property
    def flags(self) -> tuple[str, str]:
        """Those that lead a mirror here."""
        path = self.process.log.with_suffix(".kubeconfig")
        path.write_text(kubeconfig_of(self.url))
        return "--kubeconfig", str(path)

    def deployments(self) -> list[tuple[str, str]]:
        """(namespace, name) of each."""
        items = self.client.get("/apis/apps/v1/deployments").raise_for_status().json()["items"]
        return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]

    def set_image(self, deployment: tuple[str, str], image: str) -> int:
        """Give the first container of a Deployment another image; the resourceVersion of that."""
        path = "/apis/apps/v1/namespaces/{}/deployments/{}".format(*deployment)
        held = self.client.get(path).raise_for_status().json()
        container = held["spec"]["template"]["spec"]["containers"][0]["name"]
        patch = {"spec": {"template": {"spec": {"containers": [{"name": container, "image": image}]}}}}
        headers = {"content-type": "application/strategic-merge-patch+json"}
        answer = self.client.patch(path, json=patch, headers=headers).raise_for_status()
        return int(answer.json()["metadata"]["resourceVersion"])


@contextmanager
def demo_cluster(tmp_path: Path) -> Iterator[Demo]:
    """A demo cluster that stands still."""
    command = [sys.executable, "-m", "kubemirror", "demo-server", "--no-life", "--objects", "5"]
    process = Process(command, log=tmp_path / "demo.log")
    demo = Demo(process)
    try:
        yield demo
    finally:
        demo.client.close()
        process.end()
