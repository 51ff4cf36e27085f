"""History on demand: compaction, and a restored backup."""

from __future__ import annotations

import pytest

from kubemirror.demo.cluster import Cluster
from kubemirror.errors import ExpiredError
from tests.contract.objects import widgets
from tests.demo.api import CONFIGMAPS, Client, widget


async def test_compaction_makes_older_versions_expire(api: Client) -> None:
    old = str(api.cluster.resource_version)
    await api("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    api.cluster.compact()
    async with api.watch(CONFIGMAPS, resourceVersion=old) as stream:
        type_, status = await stream.event()

    assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_a_restored_backup_goes_back_in_time(cluster: Cluster) -> None:
    cluster.create("configmaps", {"metadata": {"name": "kept"}, "data": {"a": "1"}})
    backup = cluster.snapshot()
    reader = cluster.shelf("configmaps").reader
    cluster.patch("configmaps", "kept", {"data": {"a": "2"}})
    cluster.create("configmaps", {"metadata": {"name": "lost"}})
    position = reader.subscribe(reader.resource_version, lambda: None)

    cluster.restore(backup)

    assert cluster.resource_version == backup.resource_version
    assert [obj["metadata"]["name"] for obj in cluster.objects("configmaps")] == ["kept"]
    assert cluster.read("configmaps", "kept")["data"] == {"a": "1"}
    with pytest.raises(ExpiredError):
        position.read()


def test_a_restored_backup_brings_definitions_back_and_takes_newer_ones_away(cluster: Cluster) -> None:
    definitions = "customresourcedefinitions.apiextensions.k8s.io"
    cluster.create(definitions, widgets("example.dev"))
    cluster.create("widgets.example.dev", widget())
    backup = cluster.snapshot()
    cluster.delete(definitions, "widgets.example.dev")
    cluster.create(definitions, widgets("other.dev"))

    cluster.restore(backup)

    assert [obj["metadata"]["name"] for obj in cluster.objects("widgets.example.dev")] == ["one"]
    assert "widgets.other.dev" not in cluster
    assert cluster.catalog.get("widgets.other.dev") is None


def test_owners_are_still_known_after_a_restore(cluster: Cluster) -> None:
    owner = cluster.create("configmaps", {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    cluster.create("configmaps", {"metadata": {"name": "child", "ownerReferences": [reference]}})
    cluster.restore(cluster.snapshot())

    cluster.delete("configmaps", "owner")

    assert cluster.objects("configmaps") == []
