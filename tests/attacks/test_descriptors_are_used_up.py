"""Connections are opened until there are no descriptors left."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kubemirror.serve.protocol import PROBES
from tests.serve.process import serving

FEW_DESCRIPTORS = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path, "--demo", before=FEW_DESCRIPTORS) as process:
        process.until_ready()
        yield process.url


@pytest.mark.timeout(90)
def test_when_descriptors_are_used_up_it_goes_on_accepting(crowded: str) -> None:
    """An accept loop that dies of EMFILE never comes back."""
    host, _, port = crowded.removeprefix("http://").strip("/").partition(":")
    sockets = [socket.create_connection((host, int(port)), timeout=5) for _ in range(16 + PROBES + 40)]
    refused = sockets[-1].recv(200)
    for each in sockets[16 + PROBES :]:
        each.close()
    for each in sockets[: 16 + PROBES]:
        each.close()
    for _ in range(3):
        assert httpx.get(f"{crowded}/livez", timeout=10).status_code == 200

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64  # the limit was the other process' own
