"""Any name kubectl takes finds the resource, and the earliest in discovery order wins."""

from __future__ import annotations

import pytest

from kubemirror.state.catalog import ALL_NAMESPACES, Catalog, Entry, Resource, ServedVersion
from tests.state.building import writer


def resource(group: str, plural: str, kind: str, *versions: str, short_names: tuple[str, ...] = ()) -> Resource:
    return Resource(
        group=group,
        version=versions[0],
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        namespaced=True,
        versions=tuple(map(ServedVersion, versions)),
        short_names=short_names,
    )


def catalog() -> Catalog:
    made = Catalog()
    for each in (
        resource("", "events", "Event", "v1", short_names=("ev",)),
        resource("apps", "deployments", "Deployment", "v1", short_names=("deploy",)),
        resource("events.k8s.io", "events", "Event", "v1", short_names=("ev",)),
        resource("platform9.com", "previewenvironments", "PreviewEnvironment", "v1", "v1beta1", short_names=("pe",)),
    ):
        made.put(Entry(each, {ALL_NAMESPACES: writer().reader}))
    return made


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("deployments.apps", "deployments.apps"),
        ("deployments", "deployments.apps"),
        ("deployment", "deployments.apps"),
        ("Deployment", "deployments.apps"),
        ("DEPLOY", "deployments.apps"),
        ("deployments.v1.apps", "deployments.apps"),
        ("deploy.v1.apps", "deployments.apps"),
        ("deployments.v2.apps", None),
        ("deployments.app", None),
        ("deployments.events.k8s.io", None),
        ("ev", "events"),
        ("events", "events"),
        ("events.events.k8s.io", "events.events.k8s.io"),
        ("events.events", "events.events.k8s.io"),
        ("event.v1.events.k8s.io", "events.events.k8s.io"),
        ("pe", "previewenvironments.platform9.com"),
        ("pe.platform9.com", "previewenvironments.platform9.com"),
        ("previewenvironments.v1beta1.platform9.com", "previewenvironments.platform9.com"),
        ("previewenvironments.platform9", "previewenvironments.platform9.com"),
        ("nothing", None),
        ("", None),
    ],
)
def test_find(asked: str, found: str | None) -> None:
    entry = catalog().find(asked)

    assert (entry.resource.name if entry else None) == found


def test_resolve_knows_served_versions() -> None:
    held = catalog()

    resolved = held.resolve("platform9.com", "v1beta1", "previewenvironments")
    assert resolved is not None
    assert resolved[1].name == "v1beta1"
    assert held.resolve("platform9.com", "v2", "previewenvironments") is None
    assert held.resolve("", "v1", "deployments") is None


def test_every_change_moves_the_version_and_is_told() -> None:
    held = catalog()
    moved: list[int] = []
    leave = held.on_change(lambda: moved.append(held.version))
    before = held.version

    held.remove("events")
    held.remove("events")
    held.mark_stale("metrics.k8s.io", "v1", "503")
    held.mark_stale("metrics.k8s.io", "v1", None)
    leave()
    held.remove("deployments.apps")

    assert moved == [before + 1, before + 2, before + 3]
    assert held.stale_groups == {}


def test_a_namespace_is_answered_by_its_own_store_where_all_cannot_be_read() -> None:
    one, two = writer().reader, writer().reader
    apart = Entry(resource("apps", "deployments", "Deployment", "v1"), {"one": one, "two": two})
    whole = Entry(resource("apps", "deployments", "Deployment", "v1"), {ALL_NAMESPACES: one})

    assert (apart.whole, apart.reader(None), apart.reader("two"), apart.reader("three")) == (None, None, two, None)
    assert (whole.reader(None), whole.reader("anything")) == (one, one)
