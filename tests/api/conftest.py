from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.cluster import DEPLOYMENTS, NAMESPACES, PODS, WIDGETS, Cluster, Store
from tests.serve.lanes import BothLanes


@pytest.fixture(params=["asgi", "lanes"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Asked through the Kubernetes app alone, and over a socket through both lanes of the whole server."""
    made = Cluster()
    if request.param == "lanes":
        made.lanes = BothLanes(made.context)
    yield made
    if made.lanes is not None:
        await made.lanes.aclose()


@pytest.fixture
def deployments(cluster: Cluster) -> Store:
    """api, db and web in "shop" and web in "tool", listed at 100."""
    store = cluster.add(DEPLOYMENTS)
    store.sync(
        100,
        store.object("web", 12, labels={"app": "web", "tier": "front"}, spec={"replicas": 1}),
        store.object("api", 10, labels={"app": "api", "tier": "back"}, spec={"replicas": 2}),
        store.object("db", 11, labels={"app": "db", "tier": "back"}, spec={"replicas": 3}),
        store.object("web", 13, namespace="tool", labels={"app": "web"}, spec={"replicas": 4}),
    )
    return store


@pytest.fixture
def widgets(cluster: Cluster) -> Store:
    store = cluster.add(WIDGETS)
    store.sync(
        50,
        store.object("blue", 20, spec={"color": "blue", "size": 2}),
        store.object("red", 21, spec={"color": "red"}),
    )
    return store


@pytest.fixture
def pods(cluster: Cluster) -> Store:
    store = cluster.add(PODS)
    store.sync(70, store.object("one", 60, spec={"nodeName": "n1"}), store.object("two", 61, spec={"nodeName": "n2"}))
    return store


@pytest.fixture
def namespaces(cluster: Cluster) -> Store:
    store = cluster.add(NAMESPACES)
    store.sync(5, store.object("shop", 1), store.object("tool", 2))
    return store
