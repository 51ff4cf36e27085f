"""kubernetes_asyncio's loaders come without its generated client, and leave the real package as it was."""

from __future__ import annotations

import subprocess
import sys

import kubemirror
from kubemirror.kube.loaders import loaders


def run(code: str) -> str:
    """In a process of its own, since modules are imported once."""
    root = kubemirror.__path__[0].rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CONNECT = """
import asyncio, pathlib, tempfile
from kubemirror.kube.connection import Connection
from kubemirror.kube.transport import TransportError
async def main():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "config")
        path.write_text('{"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "b"}}],'
            ' "clusters": [{"name": "b", "cluster": {"server": "http://127.0.0.1:1"}}]}')
        async with await Connection.open(kubeconfig=path, env={}) as connection:
            try:
                await connection.request("GET", "/", seconds=5)
            except TransportError as exc:
                print(exc.kind)
asyncio.run(main())
"""


def test_the_generated_models_stay_out_of_the_process() -> None:
    printed = run(CONNECT + "print([name for name in sys.modules if name.startswith('kubernetes_asyncio')])")

    assert printed.splitlines()[-2:] == ["refused", "[]"]


def test_the_installed_version_needs_no_fallback() -> None:
    assert run("from kubemirror.kube.loaders import loaders; print(loaders().whole)") == "False"


def test_the_real_package_can_be_imported_afterwards() -> None:
    printed = run(
        CONNECT
        + "import kubernetes_asyncio.client, kubernetes_asyncio.config.kube_config as kube_config\n"
        + "print(kubernetes_asyncio.client.V1Pod.__name__)\n"
        + "print(kube_config.ApiClient is kubernetes_asyncio.client.ApiClient)"
    )

    assert printed.splitlines()[-2:] == ["V1Pod", "True"]


def test_a_package_imported_before_is_used_as_it_is() -> None:
    printed = run(
        "import kubernetes_asyncio.config.kube_config as kube_config\n"
        + CONNECT
        + "from kubemirror.kube.loaders import loaders\n"
        + "print(loaders().whole, loaders().kube_config_merger is kube_config.KubeConfigMerger)\n"
        + "print('kubernetes_asyncio.client' in sys.modules)"
    )

    assert printed.splitlines()[-3:] == ["refused", "True True", "True"]


def test_a_package_that_changed_inside_is_imported_whole() -> None:
    """As if the loaders needed one more name of the client than the stand-in has."""
    printed = run(
        "import kubemirror.kube.loaders as loaders\n"
        "def changed(): raise ImportError('cannot import name')\n"
        "loaders._import_without_models = changed\n"
        "print(loaders.loaders().whole, loaders.loaders().kube_config_merger.__name__)"
    )

    assert printed == "True KubeConfigMerger"


def test_loaders_are_imported_once() -> None:
    assert loaders() is loaders()
