from __future__ import annotations

import pytest

from kubemirror.demo.cluster import Cluster
from tests.demo.api import Client


@pytest.fixture
def now() -> list[float]:
    """The one clock of a test: seconds, moved by hand."""
    return [1_800_000_000.0]


@pytest.fixture
def cluster(now: list[float]) -> Cluster:
    return Cluster(clock=lambda: now[0], wall=lambda: now[0])


@pytest.fixture
def api(cluster: Cluster) -> Client:
    return Client(cluster)
