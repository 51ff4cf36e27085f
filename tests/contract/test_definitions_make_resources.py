"""CustomResourceDefinitions make resources, change them and take them away: what the API answers meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.cluster.control_plane import ControlPlane
from tests.contract.objects import widget, widgets
from tests.contract.servers import DEFINITIONS, MERGE_PATCH, STRATEGIC_PATCH, TABLE, Real, Server, named


class Widgets:
    """A definition of widgets in a group of its own."""

    def __init__(self, server: Server, namespace: str, group: str = "") -> None:
        self.server = server
        self.group = group or server.group()
        self.name = f"widgets.{self.group}"
        self.definition = f"{DEFINITIONS}/{self.name}"
        self.path = self.path_in("v1", namespace)
        self.namespace = namespace

    def path_in(self, version: str, namespace: str = "") -> str:
        return f"/apis/{self.group}/{version}/namespaces/{namespace or self.namespace}/widgets"

    async def define(self, **version: Any) -> Any:
        """Until they are served."""
        created = await self.server.done("POST", DEFINITIONS, widgets(self.group, **version))
        await self.server.until(self.path, lambda answer: answer.is_success)
        return created

    async def create(self, name: str = "one", **spec: Any) -> Any:
        return await self.server.done("POST", self.path, widget(self.group, name, **spec))

    async def redefine(self, **change: Any) -> Any:
        """Change the one version it has."""
        versions = widgets(self.group, **change)["spec"]["versions"]
        return await self.server.patch(self.definition, {"spec": {"versions": versions}})


@pytest.fixture
async def defined(server: Server, namespace: str) -> AsyncIterator[Widgets]:
    """Widgets, not defined yet."""
    made = Widgets(server, namespace)
    yield made
    await server("DELETE", made.definition)


@pytest.fixture(scope="module")
def real_widgets(control_plane: ControlPlane) -> Iterator[str]:
    """The group of a definition on the real server that the tests of this module leave as it is."""
    group = "kept.example.dev"
    control_plane.request("POST", DEFINITIONS, widgets(group))
    yield group
    control_plane.request("DELETE", f"{DEFINITIONS}/widgets.{group}")


@pytest.fixture
async def kept(request: pytest.FixtureRequest, server: Server, namespace: str) -> Widgets:
    """Widgets, defined and served: one definition on the real server is for all who only use it (it takes seconds)."""
    if isinstance(server, Real):
        made = Widgets(server, namespace, request.getfixturevalue("real_widgets"))
        await server.until(made.path, lambda answer: answer.is_success)
    else:
        made = Widgets(server, namespace)
        await made.define()
    return made


def conditions(answer: httpx.Response) -> dict[str, tuple[str, str, str]]:
    found = answer.json()["status"]["conditions"] or ()
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in found}


def established(answer: httpx.Response) -> bool:
    return conditions(answer).get("Established", ("",))[0] == "True"


async def test_a_definition_is_established(server: Server, defined: Widgets) -> None:
    created = await server.done("POST", DEFINITIONS, widgets(defined.group))
    held = await server.until(defined.definition, established)

    assert created["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    assert created["spec"]["names"] == {
        "plural": "widgets",
        "singular": "widget",
        "shortNames": ["wi"],
        "kind": "Widget",
        "listKind": "WidgetList",
    }
    assert created["spec"]["conversion"] == {"strategy": "None"}
    assert created["metadata"]["generation"] == held.json()["metadata"]["generation"] == 1
    assert conditions(held) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    assert held.json()["status"]["acceptedNames"] == created["spec"]["names"]


async def test_a_definition_must_be_named_after_its_resource(server: Server) -> None:
    answer = await server("POST", DEFINITIONS, {**widgets("wrong.example.dev"), "metadata": {"name": "wrong"}})

    assert answer.json()["message"] == (
        'CustomResourceDefinition.apiextensions.k8s.io "wrong" is invalid: metadata.name: Invalid value: "wrong": '
        'must be spec.names.plural+"."+spec.group'
    )


async def test_instances_are_defaulted_and_pruned(server: Server, defined: Widgets) -> None:
    before = await server("GET", defined.path)
    await defined.define()

    created = await defined.create(bogus=1)
    listed = await server.done("GET", defined.path)

    assert (before.status_code, before.text) == (404, "404 page not found\n")
    assert created["spec"] == {"image": "nginx:1", "size": 3}
    assert created["metadata"]["generation"] == 1
    assert (listed["kind"], listed["items"]) == ("WidgetList", [created])


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"image": 5}, ['spec.image: Invalid value: "integer": spec.image in body must be of type string: "integer"']),
        ({"image": "x"}, ['spec.image: Invalid value: "x": spec.image in body should be at least 2 chars long']),
        ({"size": 0}, ["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"]),
        ({"mode": "c"}, ['spec.mode: Unsupported value: "c": supported values: "a", "b"']),
        (
            {"size": 0, "mode": "c"},
            [
                'spec.mode: Unsupported value: "c": supported values: "a", "b"',
                "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ],
        ),
    ],
    ids=str,
)
async def test_the_schema_is_enforced(server: Server, kept: Widgets, spec: dict[str, Any], causes: list[str]) -> None:
    answer = await server("POST", kept.path, widget(kept.group, "b", **spec))

    status = answer.json()
    told = sorted(f"{each['field']}: {each['message']}" for each in status["details"]["causes"])  # in no order
    assert (status["code"], status["reason"], told) == (422, "Invalid", causes)
    if len(causes) == 1:
        assert status["message"] == f'Widget.{kept.group} "b" is invalid: {causes[0]}'


async def test_a_required_field_is_required(server: Server, kept: Widgets) -> None:
    body = widget(kept.group)
    del body["spec"]["image"]

    answer = await server("POST", kept.path, body)

    assert answer.json()["message"] == f'Widget.{kept.group} "one" is invalid: spec.image: Required value'


async def test_unknown_fields_are_refused_when_asked_strictly(server: Server, kept: Widgets) -> None:

    answer = await server("POST", kept.path, widget(kept.group, bogus=1), fieldValidation="Strict")

    assert answer.json()["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.bogus"'
    )


async def test_custom_resources_have_peculiarities(server: Server, kept: Widgets) -> None:
    await kept.create()
    one = f"{kept.path}/one"

    nameless = await server("POST", kept.path, {"metadata": {"name": "two"}, "spec": {"image": "nginx:1"}})
    unversioned = await server("PUT", one, widget(kept.group))
    patch = {"spec": {"image": "nginx:2"}}
    strategic = await server("PATCH", one, patch, content_type=STRATEGIC_PATCH)
    body = await server("GET", one)

    assert nameless.status_code == 400
    assert nameless.json()["message"].startswith(
        "the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing in "
    )
    assert unversioned.json()["message"] == (
        f'{kept.name} "one" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'
    )
    assert (strategic.status_code, strategic.json()["message"]) == (
        415,
        (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        ),
    )
    assert body.content.startswith(
        b'{"apiVersion":"%s/v1","kind":"Widget","metadata":{"creationTimestamp":' % kept.group.encode()
    )


async def test_status_is_written_apart_and_moves_no_generation(server: Server, kept: Widgets) -> None:
    await kept.create()
    one = f"{kept.path}/one"

    through_spec = await server.patch(one, {"status": {"phase": "Ready"}})
    through_status = await server.patch(f"{one}/status", {"status": {"phase": "Ready"}, "spec": {"image": "other"}})
    changed = await server.patch(one, {"spec": {"size": 9}})

    assert "status" not in through_spec
    assert through_status["status"] == {"phase": "Ready"}
    assert through_status["spec"]["image"] == "nginx:1"
    assert [each["metadata"]["generation"] for each in (through_spec, through_status, changed)] == [1, 1, 2]
    assert changed["status"] == {"phase": "Ready"}


async def test_deleting_a_definition_deletes_its_instances_first(server: Server, defined: Widgets) -> None:
    await defined.define()
    await defined.create()
    last = await defined.create("two")
    async with server.watch(defined.path, resourceVersion=last["metadata"]["resourceVersion"]) as events:
        answer = await server.done("DELETE", defined.definition)
        told = [named(event) for event in await events.rest()]

    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert told == [("DELETED", "one"), ("DELETED", "two")]
    await server.gone(defined.path, defined.definition)


async def test_a_definition_waits_for_an_instances_finalizer(server: Server, defined: Widgets) -> None:
    await defined.define()
    held = widget(defined.group)
    held["metadata"]["finalizers"] = ["x.io/y"]
    await server.done("POST", defined.path, held)

    await server.done("DELETE", defined.definition)
    waiting = await server.until(
        defined.definition,
        lambda answer: conditions(answer).get("Terminating", ("", ""))[1] == "InstanceDeletionInProgress",
    )
    late = await server("POST", defined.path, widget(defined.group, "late"))
    await server.until(f"{defined.path}/one", lambda answer: "deletionTimestamp" in answer.json()["metadata"])
    await server.patch(f"{defined.path}/one", {"metadata": {"finalizers": None}})

    assert conditions(waiting)["Terminating"] == (
        "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress",
    )  # fmt: skip
    assert (late.status_code, late.json()["message"]) == (
        403,
        (f'{defined.name} "late" is forbidden: create not allowed while custom resource definition is terminating'),
    )
    await server.gone(f"{defined.path}/one")  # the definition follows when it is looked at again: seconds later


async def test_a_version_that_is_added_is_served_by_rewriting(server: Server, defined: Widgets) -> None:
    await defined.define()
    await defined.create()
    (first,) = widgets(defined.group)["spec"]["versions"]
    second = {**first, "name": "v2", "storage": False}
    await server.patch(defined.definition, {"spec": {"versions": [first, second]}})
    newer = defined.path_in("v2")
    await server.until(newer, lambda answer: answer.is_success)

    created = await server.done("POST", newer, {**widget(defined.group, "two"), "apiVersion": f"{defined.group}/v2"})

    assert created["apiVersion"] == f"{defined.group}/v2"
    assert (await server.done("GET", f"{defined.path}/two"))["apiVersion"] == f"{defined.group}/v1"
    assert (await server.done("GET", f"{newer}/one"))["apiVersion"] == f"{defined.group}/v2"
    group = await server.until(f"/apis/{defined.group}", lambda answer: len(answer.json().get("versions", [])) == 2)
    assert [each["version"] for each in group.json()["versions"]] == ["v2", "v1"]
    assert group.json()["preferredVersion"]["version"] == "v2"


async def test_columns_follow_the_definition(server: Server, defined: Widgets) -> None:
    await defined.define()
    await defined.create()
    before = await server("GET", defined.path, accept=TABLE)
    await defined.redefine(additionalPrinterColumns=[{"name": "Image", "type": "string", "jsonPath": ".spec.image"}])

    after = await server.until(defined.path, lambda answer: columns(answer) == ["Name", "Image"], accept=TABLE)

    assert columns(before) == ["Name", "Age"]
    assert after.json()["rows"][0]["cells"] == ["one", "nginx:1"]


def columns(answer: httpx.Response) -> list[str]:
    """None while the server changes over."""
    return [each["name"] for each in answer.json()["columnDefinitions"]] if answer.is_success else []


async def test_names_that_are_taken_are_not_accepted(server: Server, defined: Widgets) -> None:
    await defined.define()
    other = widgets(defined.group)
    other["metadata"]["name"] = f"gadgets.{defined.group}"
    other["spec"]["names"] = {"plural": "gadgets", "kind": "Gadget", "shortNames": ["wi"]}
    path = f"{DEFINITIONS}/gadgets.{defined.group}"
    await server.done("POST", DEFINITIONS, other)
    try:
        held = await server.until(path, lambda answer: "NamesAccepted" in conditions(answer))

        assert conditions(held)["NamesAccepted"] == ("False", "ShortNamesConflict", '"wi" is already in use')
        assert conditions(held)["Established"][:2] == ("False", "NotAccepted")
        assert held.json()["status"]["acceptedNames"] == {
            "plural": "gadgets",
            "singular": "gadget",
            "kind": "Gadget",
            "listKind": "GadgetList",
        }
        assert (await server("GET", defined.path.replace("widgets", "gadgets"))).status_code == 404
    finally:
        await server("DELETE", path)


async def test_a_definition_that_returns_has_another_uid_and_no_instances(server: Server, defined: Widgets) -> None:
    before = await defined.define()
    await defined.create()
    await server.done("DELETE", defined.definition)
    await server.gone(defined.definition)

    after = await defined.define()

    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert (await server.done("GET", defined.path))["items"] == []


async def test_scope_and_group_cannot_change(server: Server, defined: Widgets) -> None:
    await defined.define()
    await server.until(defined.definition, established)

    answer = await server("PATCH", defined.definition, {"spec": {"scope": "Cluster"}}, content_type=MERGE_PATCH)

    assert answer.status_code == 422
    assert answer.json()["message"] == (
        f'CustomResourceDefinition.apiextensions.k8s.io "{defined.name}" is invalid: spec.scope: Invalid value: '
        '"Cluster": field is immutable'
    )
