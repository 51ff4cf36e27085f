"""What upstream's own printers and encoders add to some kinds, and what it says of a whole resource."""

from __future__ import annotations

from typing import Any

import pytest

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Columns
from kubemirror.state.objects import Blank
from tests.api.cluster import PODS, Cluster, Store, names

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
SHOP = "/apis/apps/v1/namespaces/shop/deployments"
INITIAL = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
BLANK = Blank(
    b'{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"resourceVersion":"1"},"spec":{"paused":false},"status":{}}',
    b'["","0/0"]',
)
DAEMON_SETS = Resource(
    group="apps", version="v1", plural="daemonsets", singular="daemonset", kind="DaemonSet", namespaced=True,
    versions=(ServedVersion("v1"),),
)  # fmt: skip
FLOW_SCHEMAS = Resource(
    group="flowcontrol.apiserver.k8s.io", version="v1", plural="flowschemas", singular="flowschema",
    kind="FlowSchema", namespaced=False, versions=(ServedVersion("v1"),),
)  # fmt: skip


async def bookmark(cluster: Cluster, accept: str, include: str = "") -> dict[str, Any]:
    path = f"/apis/apps/v1/namespaces/none/deployments?{INITIAL}&includeObject={include}"
    async with cluster.watch(path, accept=accept) as stream:
        event = await stream.next()
        assert event is not None
        assert event["type"] == "BOOKMARK"
        told: dict[str, Any] = event["object"]
        return told


async def test_a_bookmark_is_written_on_what_upstream_writes_it_on(cluster: Cluster, deployments: Store) -> None:
    metadata = {"resourceVersion": "100", "annotations": {"k8s.io/initial-events-end": "true"}}
    whole = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": metadata,
        "spec": {"paused": False},
        "status": {},
    }
    alone = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    deployments.writer.learn(BLANK)

    assert await bookmark(cluster, "application/json") == whole
    assert await bookmark(cluster, PARTIAL) == alone
    assert (await bookmark(cluster, TABLE, "Object"))["rows"] == [{"cells": ["", "0/0"], "object": whole}]
    assert (await bookmark(cluster, TABLE))["rows"] == [{"cells": ["", "0/0"], "object": alone}]
    assert (await bookmark(cluster, TABLE, "None"))["rows"] == [{"cells": ["", "0/0"], "object": alone}]


@pytest.mark.looptime
async def test_a_later_bookmark_of_bare_rows_carries_no_object(cluster: Cluster, deployments: Store) -> None:
    query = "watch=1&resourceVersion=100&allowWatchBookmarks=true&timeoutSeconds=30&includeObject=None"
    async with cluster.watch(f"{SHOP}?{query}", accept=TABLE) as stream:
        event = await stream.next()
        assert event is not None
        assert [row["object"] for row in event["object"]["rows"]] == [None]


async def test_what_upstream_warns_of_is_told_with_each_answer(cluster: Cluster, deployments: Store) -> None:
    warning = '299 - "apps/v1 Deployment is deprecated"'
    assert "warning" not in (await cluster.get(SHOP)).headers

    deployments.writer.warn(warning)

    for path in (SHOP, f"{SHOP}/web", f"{SHOP}/nobody", f"{SHOP}?limit=x"):
        assert (await cluster.get(path)).headers["warning"] == warning


async def test_rows_of_pods_that_have_ended_say_so(cluster: Cluster) -> None:
    pods = cluster.add(PODS)
    pods.sync(
        10,
        pods.object("done", 1, status={"phase": "Succeeded"}),
        pods.object("quoted", 2, metadata_note='"phase":"Failed"', status={"phase": "Running"}),
        pods.object("runs", 3, status={"phase": "Running"}),
    )

    rows = (await cluster.get("/api/v1/pods", accept=TABLE)).json()["rows"]

    assert [list(row) for row in rows] == [["cells", "conditions", "object"], ["cells", "object"], ["cells", "object"]]
    assert rows[0]["conditions"] == [
        {
            "type": "Completed",
            "status": "True",
            "reason": "Succeeded",
            "message": "The pod has completed successfully.",
        }
    ]


async def test_metadata_of_a_daemon_set_is_without_what_its_conversion_adds(cluster: Cluster) -> None:
    sets = cluster.add(DAEMON_SETS)
    made = {"deprecated.daemonset.template.generation": "1"}
    metadata = {"name": "agent", "namespace": "shop", "uid": "u", "resourceVersion": "11", "annotations": made}
    sets.sync(10, sets.object("agent", 1, labels={"a": "b"}))
    path = "/apis/apps/v1/namespaces/shop/daemonsets/agent"
    sets.apply("agent", 11, metadata=metadata)

    assert (await cluster.get(path)).json()["metadata"]["annotations"] == made
    assert "annotations" not in (await cluster.get(path, accept=PARTIAL)).json()["metadata"]


async def test_a_table_of_flow_schemas_is_in_the_order_in_which_they_are_tried(cluster: Cluster) -> None:
    schemas = cluster.add(FLOW_SCHEMAS)
    schemas.sync(
        10,
        schemas.object("a", 1, spec={"matchingPrecedence": 9}),
        schemas.object("b", 2, spec={"matchingPrecedence": 1}),
        schemas.object("c", 3, spec={"matchingPrecedence": 1}),
    )
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"

    rows = (await cluster.get(path, accept=TABLE)).json()["rows"]

    assert [row["object"]["metadata"]["name"] for row in rows] == ["b", "c", "a"]
    assert names(await cluster.get(path)) == ["a", "b", "c"]


async def test_a_list_of_one_name_has_no_further_page(cluster: Cluster, deployments: Store) -> None:
    alone = await cluster.get(f"{SHOP}?limit=1&fieldSelector=metadata.name%3Dapi")
    everywhere = await cluster.get("/apis/apps/v1/deployments?limit=1&fieldSelector=metadata.name%3Dapi")

    assert (names(alone), alone.json()["metadata"]) == (["api"], {"resourceVersion": "100"})
    assert names(everywhere) == ["api"]
    assert "continue" in everywhere.json()["metadata"]


async def test_a_kind_without_columns_of_its_own_has_no_rows_rather_than_none(cluster: Cluster) -> None:
    empty = cluster.add(FLOW_SCHEMAS)
    empty.sync(10)
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    assert (await cluster.get(path, accept=TABLE)).json()["rows"] == []

    empty.writer.handle(Columns(b'[{"name":"Name","type":"string"},{"name":"Created At","type":"date"}]'))

    assert (await cluster.get(path, accept=TABLE)).json()["rows"] is None
