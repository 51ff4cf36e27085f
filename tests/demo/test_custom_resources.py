"""CustomResourceDefinitions make resources, change them and take them away."""

from __future__ import annotations

import pytest

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.refusal import Refusal
from kubemirror.errors import GoneError
from tests.demo.api import DEFINITIONS, STRATEGIC, Client, definition, widget

WIDGETS = "/apis/example.dev/v1/namespaces/default/widgets"
NAME = "widgets.example.dev"


async def test_a_definition_is_established(api: Client) -> None:
    created = (await api("POST", DEFINITIONS, definition())).json()
    held = (await api("GET", f"{DEFINITIONS}/{NAME}")).json()

    assert created["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    assert {item["type"]: item["status"] for item in held["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert held["status"]["acceptedNames"] == {
        "plural": "widgets",
        "singular": "widget",
        "shortNames": ["wi"],
        "kind": "Widget",
        "listKind": "WidgetList",
    }


async def test_a_definition_must_be_named_after_its_resource(api: Client) -> None:
    answer = await api("POST", DEFINITIONS, {**definition(), "metadata": {"name": "wrong"}})

    assert answer.json()["message"] == (
        'CustomResourceDefinition.apiextensions.k8s.io "wrong" is invalid: metadata.name: Invalid value: "wrong": '
        'must be spec.names.plural+"."+spec.group'
    )


async def test_instances_are_served_from_the_moment_of_establishing(api: Client) -> None:
    before = await api("GET", WIDGETS)
    await api("POST", DEFINITIONS, definition())

    created = await api("POST", WIDGETS, widget(bogus=1))
    listed = (await api("GET", WIDGETS)).json()

    assert before.status == 404
    assert created.status == 201
    assert created.json()["spec"] == {"image": "nginx:1", "size": 3}
    assert (listed["kind"], len(listed["items"])) == ("WidgetList", 1)


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"image": 5}, 'spec.image: Invalid value: "integer": spec.image in body must be of type string: "integer"'),
        ({"image": "x"}, 'spec.image: Invalid value: "x": spec.image in body should be at least 2 chars long'),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"mode": "c"}, 'spec.mode: Unsupported value: "c": supported values: "a", "b"'),
    ],
)
async def test_the_schema_is_enforced(api: Client, spec: dict[str, object], causes: str) -> None:
    await api("POST", DEFINITIONS, definition())

    answer = await api("POST", WIDGETS, widget("b", **spec))

    assert (answer.status, answer.json()["message"]) == (422, f'Widget.example.dev "b" is invalid: {causes}')


async def test_unknown_fields_are_refused_when_asked_strictly(api: Client) -> None:
    await api("POST", DEFINITIONS, definition())

    answer = await api("POST", WIDGETS, widget(bogus=1), fieldValidation="Strict")

    assert answer.json()["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.bogus"'
    )


async def test_custom_resources_have_upstreams_peculiarities(api: Client) -> None:
    await api("POST", DEFINITIONS, definition())
    await api("POST", WIDGETS, widget())
    nameless = await api("POST", WIDGETS, {"metadata": {"name": "two"}, "spec": {"image": "nginx:1"}})
    unversioned = await api("PUT", f"{WIDGETS}/one", widget())
    strategic = await api.patch(f"{WIDGETS}/one", {"spec": {"image": "nginx:2"}}, STRATEGIC)
    body = (await api("GET", f"{WIDGETS}/one")).body

    assert "Object 'Kind' is missing in" in nameless.json()["message"]
    assert unversioned.json()["message"] == (
        'widgets.example.dev "one" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an '
        "update"
    )
    assert (strategic.status, strategic.json()["message"]) == (
        415,
        (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        ),
    )
    assert body.startswith(b'{"apiVersion":"example.dev/v1","kind":"Widget","metadata":{"creationTimestamp":')


async def test_deleting_a_definition_deletes_its_instances_first(api: Client) -> None:
    await api("POST", DEFINITIONS, definition())
    await api("POST", WIDGETS, widget())
    await api("POST", WIDGETS, widget("two"))
    version = str(api.cluster.resource_version)
    async with api.watch(WIDGETS, resourceVersion=version) as stream:
        answer = (await api("DELETE", f"{DEFINITIONS}/{NAME}")).json()
        events = await stream.events(2)
        end = await stream.event()

    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert answer["status"]["conditions"][-1]["type"] == "Terminating"
    assert events == [("DELETED", "one"), ("DELETED", "two")]
    assert end == ("", None)
    assert (await api("GET", WIDGETS)).status == 404
    assert (await api("GET", f"{DEFINITIONS}/{NAME}")).status == 404


async def test_a_definition_waits_for_an_instances_finalizer(api: Client) -> None:
    await api("POST", DEFINITIONS, definition())
    held = widget()
    held["metadata"]["finalizers"] = ["x.io/y"]
    await api("POST", WIDGETS, held)

    await api("DELETE", f"{DEFINITIONS}/{NAME}")
    late = await api("POST", WIDGETS, widget("late"))
    waiting = (await api("GET", f"{DEFINITIONS}/{NAME}")).json()
    await api.patch(f"{WIDGETS}/one", {"metadata": {"finalizers": None}})

    assert late.status == 403
    assert "create not allowed while custom resource definition is terminating" in late.json()["message"]
    assert waiting["status"]["conditions"][-1]["reason"] == "InstanceDeletionInProgress"
    assert (await api("GET", f"{DEFINITIONS}/{NAME}")).status == 404


def test_a_version_that_is_added_is_served_by_rewriting(cluster: Cluster) -> None:
    cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition())
    cluster.create(NAME, widget())
    versions = definition()["spec"]["versions"]
    second = {**versions[0], "name": "v2", "storage": False}
    cluster.patch("customresourcedefinitions.apiextensions.k8s.io", NAME, {"spec": {"versions": [versions[0], second]}})

    two = {**widget("two"), "apiVersion": "example.dev/v2"}
    created = cluster.create(NAME, two, options=Options(version="v2"))

    assert created["apiVersion"] == "example.dev/v2"
    assert cluster.read(NAME, "two")["apiVersion"] == "example.dev/v1"
    assert cluster.read(NAME, "one", version="v2")["apiVersion"] == "example.dev/v2"
    assert [served.name for served in cluster.shelf(NAME).resource.versions] == ["v2", "v1"]


def test_columns_follow_the_definition(cluster: Cluster) -> None:
    cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition())
    cluster.create(NAME, widget())
    before = cluster.shelf(NAME).reader.columns_version
    column = {"name": "Image", "type": "string", "jsonPath": ".spec.image"}
    versions = definition(additionalPrinterColumns=[column])["spec"]["versions"]

    cluster.patch("customresourcedefinitions.apiextensions.k8s.io", NAME, {"spec": {"versions": versions}})

    reader = cluster.shelf(NAME).reader
    assert reader.columns_version > before
    held = reader.get("one", "default")
    assert held is not None
    assert held.cells == b'["one","nginx:1"]'


def test_names_that_are_taken_are_not_accepted(cluster: Cluster) -> None:
    cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition())
    other = definition()
    other["metadata"]["name"] = "gadgets.example.dev"
    other["spec"]["names"] = {"plural": "gadgets", "kind": "Gadget", "shortNames": ["wi"]}

    cluster.create("customresourcedefinitions.apiextensions.k8s.io", other)

    held = cluster.read("customresourcedefinitions.apiextensions.k8s.io", "gadgets.example.dev")
    assert held["status"]["conditions"][0]["reason"] == "ShortNamesConflict"
    assert "gadgets.example.dev" not in cluster


def test_a_definition_that_returns_has_another_uid_and_no_instances(cluster: Cluster) -> None:
    cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition())
    cluster.create(NAME, widget())
    before = cluster.shelf(NAME)
    cluster.delete("customresourcedefinitions.apiextensions.k8s.io", NAME)
    cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition())

    with pytest.raises(GoneError):
        before.reader.require_served()
    assert cluster.shelf(NAME).resource.uid != before.resource.uid
    assert cluster.objects(NAME) == []


def test_scope_and_group_cannot_change(cluster: Cluster) -> None:
    cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition())

    with pytest.raises(Refusal) as refused:
        cluster.patch("customresourcedefinitions.apiextensions.k8s.io", NAME, {"spec": {"scope": "Cluster"}})

    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in str(refused.value)
