"""Selectors parse, fail and match as a real API server's: its answers are recorded in corpus/selectors.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubemirror.errors import SelectorError
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.objects import Ingest, Object
from kubemirror.state.selectors import Selection, parse_field_selector, parse_label_selector

CORPUS: dict[str, Any] = json.loads((Path(__file__).parent / "corpus" / "selectors.json").read_text())

GROUPS = {
    "deployments": "apps",
    "replicasets": "apps",
    "jobs": "batch",
    "certificatesigningrequests": "certificates.k8s.io",
    "customresourcedefinitions": "apiextensions.k8s.io",
    "leases": "coordination.k8s.io",
}
CLUSTER_SCOPED = {"namespaces", "nodes", "certificatesigningrequests", "customresourcedefinitions"}


def resource_of(name: str) -> tuple[Resource, str]:
    """The resource and version that a corpus name stands for."""
    if "@" in name:
        full, _, version = name.partition("@")
        definition = CORPUS["definitions"][full]
        served = tuple(
            ServedVersion(
                each["name"], selectable_fields=tuple(field["jsonPath"] for field in each.get("selectableFields", ()))
            )
            for each in definition["versions"]
        )
        names = definition["names"]
        namespaced = definition["scope"] == "Namespaced"
        return (
            Resource(
                definition["group"],
                served[0].name,
                names["plural"],
                names["singular"],
                names["kind"],
                namespaced,
                served,
                custom=True,
            ),
            version,
        )
    plural, _, group = name.partition(".")
    group = group or GROUPS.get(plural, "")
    versions = (ServedVersion("v1"),)
    return Resource(group, "v1", plural, plural[:-1], plural[:-1].title(), plural not in CLUSTER_SCOPED, versions), "v1"


def held(fields: dict[str, Any]) -> Object:
    return Ingest(api_version=fields["apiVersion"], kind=fields["kind"]).object(json.dumps(fields).encode())


LABELLED = [held(each) for each in CORPUS["labelled"]]
OBJECTS = {name: [held(each) for each in objects] for name, objects in CORPUS["objects"].items()}


def key(each: Object) -> str:
    return f"{each.namespace}/{each.name}"


@pytest.mark.parametrize("asked", CORPUS["labels"], ids=lambda asked: repr(asked["selector"]))
def test_label_selectors(asked: dict[str, Any]) -> None:
    if asked["status"] != 200:
        with pytest.raises(SelectorError) as refused:
            parse_label_selector(asked["selector"])
        assert str(refused.value) in asked["message"]
        assert asked["message"].removeprefix("unable to parse requirement: ") in f"{refused.value}"
        return
    selector = parse_label_selector(asked["selector"])

    assert sorted(key(each) for each in LABELLED if selector.matches(each.labels)) == asked["matches"]
    assert parse_label_selector(str(selector)) == selector, "its canonical text means the same"
    if selector.equality is not None:
        name, value = selector.equality
        for each in LABELLED:
            if selector.matches(each.labels):
                assert each.labels[name] == value, "the journal's index would not wake this reader"


@pytest.mark.parametrize("asked", CORPUS["fields"], ids=lambda asked: f"{asked['resource']} {asked['selector']!r}")
def test_field_selectors(asked: dict[str, Any]) -> None:
    resource, version = resource_of(asked["resource"])
    if asked["status"] != 200:
        with pytest.raises(SelectorError) as refused:
            parse_field_selector(asked["selector"], resource, version)
        assert str(refused.value) == asked["message"]
        return
    selector = parse_field_selector(asked["selector"], resource, version)
    objects = OBJECTS[asked["resource"]]

    assert sorted(key(each) for each in objects if selector.matches(each)) == asked["matches"]
    interest = Selection(parse_label_selector(""), selector).interest(None)
    for each in objects:
        if selector.matches(each):
            assert interest.namespace in (None, each.namespace)
            assert interest.name in (None, each.name)


def test_the_corpus_is_as_large_as_it_is_meant_to_be() -> None:
    assert len(CORPUS["labels"]) >= 150
    assert len(CORPUS["fields"]) >= 60
    assert {asked["status"] for asked in CORPUS["labels"]} == {200, 400}


def test_a_selection_is_both() -> None:
    resource, version = resource_of("deployments")
    labels = parse_label_selector("app=web")
    fields = parse_field_selector("metadata.name=d01,metadata.namespace=select", resource, version)
    both = Selection(labels, fields)

    assert not both.empty
    assert both.interest("select") == ("select", "d01", ("app", "web"))
    assert [each.name for each in LABELLED if both.matches(each)] == [
        each.name for each in LABELLED if key(each) == "select/d01" and each.labels.get("app") == "web"
    ]
    assert Selection(parse_label_selector(""), parse_field_selector("", resource, version)).empty
