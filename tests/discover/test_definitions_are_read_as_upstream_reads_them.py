"""A CustomResourceDefinition says what discovery will say: names, versions, columns, hashes, warnings."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kubemirror.kube.definitions import Definition, definition, storage_version_hash, under, version_order
from kubemirror.state.catalog import Column
from tests.discover.scripted import crd


def read(**changes: Any) -> Definition:
    return definition(orjson.dumps(crd(**changes)))


def version(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": False, **more}


def test_versions_go_by_kube_aware_order() -> None:
    names = [
        "foo10",
        "v1alpha2",
        "v3beta1",
        "v12alpha1",
        "v11beta2",
        "v10beta3",
        "v2",
        "foo1",
        "v11alpha2",
        "v10",
        "v1",
    ]

    assert sorted(names, key=version_order) == [
        "v10",
        "v2",
        "v1",
        "v11beta2",
        "v10beta3",
        "v3beta1",
        "v12alpha1",
        "v11alpha2",
        "v1alpha2",
        "foo1",
        "foo10",
    ]


def test_only_served_versions_count_and_the_preferred_is_mirrored() -> None:
    resource = read(
        versions=[version("v1beta1", storage=True), version("v1"), version("v2", served=False), version("v1alpha1")]
    ).resource

    assert resource is not None
    assert resource.version == "v1"
    assert [served.name for served in resource.versions] == ["v1", "v1beta1", "v1alpha1"]


@pytest.mark.parametrize(
    "changes",
    [{"established": False}, {"versions": [version("v1", served=False)]}],
    ids=["not established", "no version served"],
)
def test_what_is_not_served_is_no_resource(changes: dict[str, Any]) -> None:
    assert read(**changes).resource is None


def test_a_definition_without_status_is_no_resource_yet() -> None:
    written = crd()
    del written["status"]

    assert definition(orjson.dumps(written)).resource is None


def test_accepted_names_win_over_the_wished_ones() -> None:
    written = crd(short_names=["f"])
    written["spec"]["names"] = {**written["spec"]["names"], "shortNames": ["po"], "kind": "Pod"}

    resource = definition(orjson.dumps(written)).resource

    assert resource is not None
    assert (resource.kind, resource.short_names) == ("Foo", ("f",))


def test_the_hash_is_upstreams() -> None:
    # As kube-apiserver 1.36.3 told them.
    assert storage_version_hash("apps", "v1", "Deployment") == "8aSe+NMegvE="
    assert storage_version_hash("discover.example.org", "v1beta1", "Zebra") == "RABJNbLM7y4="


def test_every_version_tells_the_stored_versions_hash() -> None:
    resource = read(versions=[version("v1"), version("v1beta1", storage=True)]).resource

    assert resource is not None
    assert {served.storage_version_hash for served in resource.versions} == {
        storage_version_hash("clux.dev", "v1beta1", "Foo")
    }


def test_columns_and_selectable_fields_are_each_versions_own() -> None:
    column = {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1}
    resource = read(
        versions=[
            version("v1", additionalPrinterColumns=[column], selectableFields=[{"jsonPath": ".spec.color"}]),
            version("v1beta1", storage=True, additionalPrinterColumns=None),
        ]
    ).resource

    assert resource is not None
    new, old = resource.versions
    assert new.columns == (Column("Color", "string", ".spec.color", priority=1),)
    assert new.selectable_fields == (".spec.color",)
    assert (old.columns, old.selectable_fields) == ((), ())


def test_subresources_are_those_of_the_mirrored_version() -> None:
    resource = read(
        versions=[version("v1", subresources={"status": {}, "scale": {"specReplicasPath": ".spec.replicas"}})]
    ).resource

    assert resource is not None
    assert resource.subresources == ("status", "scale")


def test_deprecation_is_told_in_upstreams_words() -> None:
    resource = read(
        versions=[
            version("v1", storage=True),
            version("v1beta1", deprecated=True),
            version("v1alpha1", deprecated=True, deprecationWarning="run"),
        ]
    ).resource
    alone = read(versions=[version("v1", deprecated=True)]).resource

    assert resource is not None
    assert [served.deprecation_warning for served in resource.versions] == [
        "",
        "clux.dev/v1beta1 Foo is deprecated; use clux.dev/v1 Foo",
        "run",
    ]
    assert alone is not None
    assert alone.versions[0].deprecation_warning == "clux.dev/v1 Foo is deprecated"


def test_a_version_can_be_offered_alone() -> None:
    resource = read(versions=[version("v1"), version("v1beta1", storage=True)]).resource

    assert resource is not None
    assert [served.name for served in under(resource, "v1beta1", alone=True).versions] == ["v1beta1"]
    assert under(resource, "v1beta1", alone=False).version == "v1beta1"


def test_a_webhook_is_noticed() -> None:
    assert read(strategy="Webhook").webhook
    assert not read().webhook


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"metadata":{"name":"x"},"spec":{"group":1}}', b"{"])
def test_what_is_no_definition_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a CustomResourceDefinition"):
        definition(raw)
