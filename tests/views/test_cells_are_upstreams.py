"""Cells as a kube-apiserver printed them (corpus/tables.json): computed ones are equal, kept ones stay fresh."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubemirror.state.catalog import Column, Resource, ServedVersion
from kubemirror.state.objects import Ingest
from kubemirror.views.columns import Printer
from kubemirror.views.custom_columns import ColumnDefinition
from kubemirror.views.printers import built_in_cells, built_in_definitions

CORPUS: dict[str, Any] = json.loads((Path(__file__).parent / "corpus" / "tables.json").read_text())
TABLES: dict[str, Any] = CORPUS["tables"]
BUILT_IN = [name for name in TABLES if "@" not in name]
CUSTOM = [name for name in TABLES if "@" in name]


def resource_of(name: str) -> tuple[Resource, str]:
    full, _, version = name.partition("@")
    if not version:
        plural, _, group = full.partition(".")
        return Resource(group, "v1", plural, plural[:-1], plural[:-1], True, (ServedVersion("v1"),)), "v1"
    definition = CORPUS["definitions"][full]
    served = tuple(
        ServedVersion(
            each["name"],
            columns=tuple(
                Column(
                    column["name"],
                    column["type"],
                    column["jsonPath"],
                    column.get("format", ""),
                    column.get("description", ""),
                    column.get("priority", 0),
                )
                for column in each.get("additionalPrinterColumns", ())
            ),
        )
        for each in definition["versions"]
    )
    names = definition["names"]
    return (
        Resource(
            definition["group"], version, names["plural"], names["singular"], names["kind"], True, served, custom=True
        ),
        version,
    )


def printed_at(table: dict[str, Any]) -> float:
    return parsedate_to_datetime(table["date"]).timestamp()


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_resources_print_as_upstream_prints_them(name: str) -> None:
    table = TABLES[name]
    definitions = built_in_definitions(name)
    assert definitions is not None
    assert json.loads(definitions) == table["columnDefinitions"]
    assert list(json.loads(definitions)[0]) == list(table["columnDefinitions"][0]), "key order too"
    assert table["rows"]
    for row in table["rows"]:
        assert differences(partial(built_in_cells, name, row["object"]), table, row["cells"]) == []


@pytest.mark.parametrize("name", CUSTOM)
def test_custom_resources_print_by_their_columns(name: str) -> None:
    table = TABLES[name]
    resource, version = resource_of(name)
    printer = Printer(resource, version, b"")

    assert json.loads(printer.definitions_json) == table["columnDefinitions"]
    ingest = Ingest(api_version=resource.api_version_of(version), kind=resource.kind)
    for row in table["rows"]:
        held = ingest.object(json.dumps(row["object"]).encode())
        assert differences(partial(printer.cells, held), table, row["cells"]) == []


@pytest.mark.parametrize("name", TABLES)
def test_kept_cells_are_as_fresh_as_if_upstream_printed_them_now(name: str) -> None:
    """Upstream's cells, grown stale: every age is put right, and nothing else is touched."""
    table = TABLES[name]
    resource, version = resource_of(name)
    definitions = json.dumps(table["columnDefinitions"]).encode()
    printer = Printer(resource, version, definitions)
    ingest = Ingest(api_version=resource.api_version, kind=resource.kind)
    for row in table["rows"]:
        stale = [
            _stale(definition, cell, custom=resource.custom)
            for definition, cell in zip(printer.definitions, row["cells"], strict=True)
        ]
        held = ingest.object(json.dumps(row["object"]).encode(), json.dumps(stale).encode())
        assert differences(partial(printer.cells, held), table, row["cells"]) == []
    assert printer.definitions_json == definitions


AGES = {"Age", "Last Seen", "First Seen"}


def _stale(definition: ColumnDefinition, cell: Any, *, custom: bool) -> Any:
    name = definition.name
    if name in AGES or (custom and definition.type == "date"):
        return "99y" if cell not in (None, "<invalid>") else cell
    if name == "Restarts" and "ago" in cell:
        return cell.partition(" ")[0] + " (99y ago)"
    return cell


def differences(cells: Callable[[float], list[Any]], table: dict[str, Any], theirs: list[Any]) -> list[Any]:
    """Cells that are not upstream's at the answer's date, nor a second later (its cells are up to one younger)."""
    at = printed_at(table)
    names = [each["name"] for each in table["columnDefinitions"]]
    return [
        (name, early, late, their)
        for name, early, late, their in zip(names, cells(at), cells(at + 1), theirs, strict=True)
        if their not in (early, late) or type(their) is not type(early)
    ]


def test_objects_without_cells_show_name_and_age() -> None:
    resource = Resource("metrics.k8s.io", "v1", "pods", "pod", "PodMetrics", True, (ServedVersion("v1"),))
    printer = Printer(resource, "v1", b"")
    held = Ingest(api_version="metrics.k8s.io/v1", kind="PodMetrics").object(
        b'{"metadata":{"name":"a","resourceVersion":"1","creationTimestamp":"2026-01-01T00:00:00Z"}}'
    )

    assert [each.name for each in printer.definitions] == ["Name", "Age"]
    assert printer.cells(held, held.created + 125) == ["a", "2m5s"]
    assert printer.ages


def test_a_stub_shows_what_is_known_of_it() -> None:
    table = TABLES["deployments.apps"]
    resource, version = resource_of("deployments.apps")
    printer = Printer(resource, version, json.dumps(table["columnDefinitions"]).encode())
    ingest = Ingest(api_version="apps/v1", kind="Deployment")
    stub = ingest.object(json.dumps(table["rows"][0]["object"]).encode(), b"[]", cap=10)

    cells = printer.cells(stub, stub.created + 60)

    assert cells[0] == stub.name
    assert len(cells) == len(printer.definitions)
    assert [cell for cell in cells[1:] if cell is not None] == ["60s"]
