"""The page of one object: what is wrong with it, what belongs to it, what happened, what changed, and its YAML.

One form for every kind; a Deployment has its rollout besides, a CustomResourceDefinition what it defines. What stands
around the object is read through readings of its own (related.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from kubemirror.serve.asked import Asked
from kubemirror.serve.changes import Past, past
from kubemirror.serve.context import Context
from kubemirror.serve.links import by_kind, curl_line, kubectl_line, object_path
from kubemirror.serve.reading import Reading
from kubemirror.serve.related import EVENTS, MADE_BY, Around, Owned, owned, uids
from kubemirror.serve.serving import Serving
from kubemirror.serve.text_forms import yaml
from kubemirror.serve.visible import cut
from kubemirror.state.catalog import Resource
from kubemirror.state.history import ObjectKey
from kubemirror.state.objects import Object
from kubemirror.views.computed import DEFINITIONS, DEPLOYMENTS, short
from kubemirror.views.conditions import conditions
from kubemirror.views.fields import Fields, mapping
from kubemirror.views.happenings import happenings
from kubemirror.views.images import parse_image
from kubemirror.views.ownership import references
from kubemirror.views.revisions import Pod, Strip, deadline, revision, strip
from kubemirror.views.schema_tree import Definition, definition
from kubemirror.views.verdicts import Verdict
from kubemirror.views.versions import WORKLOADS, versions

# What a page shows of each, and says how many there are more.
MOST_EVENTS, MOST_OWNED, MOST_FACTS = 30, 100, 12
# A line of YAML longer than this, and lines beyond so many, are told by their number: a browser is no editor.
LINE_CHARACTERS, MOST_LINES = 2_000, 4_000

Fact = tuple[str, Any, str]


@dataclass(frozen=True, slots=True)
class Running:
    """One container: its image in parts, and when it was last changed as far as is remembered."""

    container: str
    kind: str
    image: str
    tag: str
    digest: str
    short: str
    previous: str
    changed: float | None


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner. path: of its page, "" where its kind is not mirrored."""

    kind: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Below:
    """Something that the object owns."""

    kind: str
    name: str
    path: str
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Lines:
    """The object as YAML. left: lines that are not shown."""

    lines: Sequence[str]
    left: int


def object_page(
    serving: Serving, asked: Asked, reading: Reading, held: Object, found: Around, facts: Sequence[Fact], forms: object
) -> str:
    """The page of ``held``. facts: (column, cell, tone). forms: (name, URL) of its other forms."""
    context, resource = serving.context, reading.entry.resource
    data: Fields = orjson.loads(held.raw)
    here = object_path(resource.name, held.namespace, held.name)
    told = past(serving.chronicle, reading, ObjectKey(resource.name, held.namespace, held.name))
    below = owned(found, held.uid)
    rollout = _rollout(serving, found, below) if resource.name == DEPLOYMENTS else None
    shown = [each for each in below if rollout is None or each.entry.resource.name not in MADE_BY[DEPLOYMENTS]]
    events = happenings(
        (event for name in EVENTS for event in found.objects(name)), {held.uid, *uids(below)} if held.uid else ()
    )
    running = _running(resource, held, told)
    return serving.pages.render(
        "object.html",
        asked,
        title=held.name,
        now=context.wall(),
        resource=resource,
        held=held,
        state=reading.freshness(context.clock()),
        verdict=serving.survey.verdict(resource, held),
        facts=_facts(resource, facts, data, running=bool(running)),
        running=running,
        rollout=rollout,
        deadline=deadline(data) if resource.name == DEPLOYMENTS else None,
        conditions=conditions(data),
        owners=_owners(context, held),
        owned=[_below(serving, each) for each in shown[:MOST_OWNED]],
        owned_left=max(0, len(shown) - MOST_OWNED),
        missing=found.missing,
        expected=[each.partition(".")[0] for each in MADE_BY.get(resource.name, ())],
        events=events[:MOST_EVENTS],
        events_left=max(0, len(events) - MOST_EVENTS),
        past=told,
        remembered=bool(context.settings.history_bytes),
        defined=_defined(context, resource, data),
        yaml=_lines(held),
        live=f"{asked.base}/watch?{_watched(resource, held, found)}",
        cursor=_cursor(reading, found),
        forms=forms,
        curl=curl_line(asked, f"{here}?output=yaml"),
        kubectl=kubectl_line(asked, resource, held.namespace, held.name),
    )


def _facts(resource: Resource, facts: Sequence[Fact], data: Fields, *, running: bool) -> list[Fact]:
    """What kubectl prints, without what the page has elsewhere; of a custom resource its status' plain fields too."""
    elsewhere = {"Name", "Containers", "Images", "Health", "Version"} if running else {"Name", "Health"}
    found = [fact for fact in facts if fact[0] not in elsewhere]
    if resource.custom:
        said = {str(value) for _, value, _ in found}
        found += [
            (name, value, "")
            for name, value in mapping(data, "status").items()
            if isinstance(value, str | int | float) and name != "observedGeneration" and str(value) not in said
        ][:MOST_FACTS]
    return found


def _rollout(serving: Serving, found: Around, below: Sequence[Owned]) -> Strip | None:
    """None where ReplicaSets cannot be told."""
    if "replicasets.apps" not in found.readings:
        return None
    pods: dict[str, list[Pod]] = {}
    for each in below:
        if each.entry.resource.name == "pods":
            verdict = serving.survey.verdict(each.entry.resource, each.held)
            pods.setdefault(each.owner, []).append(Pod(each.held.name, verdict))
    return strip(
        revision(each.held, orjson.loads(each.held.raw), pods.get(each.held.uid, ()))
        for each in below
        if each.entry.resource.name == "replicasets.apps"
    )


def _running(resource: Resource, held: Object, told: Past) -> list[Running]:
    item = versions(held, resource, wide=True) if resource.name in WORKLOADS else None
    if item is None:
        return []
    found: list[Running] = []
    for each in item["containers"]:
        labels = {f"{where} {each['name']}: image" for where in ("container", "initContainers")}
        change = next(
            (
                (row.until, detail.old)
                for row in told.changes
                for detail in row.details
                if detail.label in labels and detail.old
            ),
            None,
        )
        parsed = parse_image(each["image"])
        found.append(
            Running(
                each["name"],
                each["kind"],
                parsed.name,
                parsed.tag,
                parsed.digest,
                short(each["image"]),
                short(change[1]) if change is not None and change[1] else "",
                change[0] if change is not None else None,
            )
        )
    return found


def _owners(context: Context, held: Object) -> list[Owner]:
    found: list[Owner] = []
    for each in references(held):
        entry = by_kind(context.catalog, each.api_version, each.kind)
        path = ""
        if entry is not None:
            namespace = held.namespace if entry.resource.namespaced else ""
            path = object_path(entry.resource.name, namespace, each.name)
        found.append(Owner(each.kind, each.name, path))
    return found


def _below(serving: Serving, each: Owned) -> Below:
    resource = each.entry.resource
    path = object_path(resource.name, each.held.namespace, each.held.name)
    return Below(resource.kind, each.held.name, path, serving.survey.verdict(resource, each.held))


def _defined(context: Context, resource: Resource, data: Fields) -> tuple[Definition, int | None] | None:
    """What a definition defines, and how many stores hold its instances; None where none is mirrored."""
    if resource.name != DEFINITIONS:
        return None
    told = definition(data)
    entry = context.catalog.get(told.resource)
    return told, None if entry is None else len(entry.stores)


def _lines(held: Object) -> Lines:
    lines = yaml(held.raw).decode().removesuffix("\n").split("\n")
    return Lines([cut(line, LINE_CHARACTERS) for line in lines[:MOST_LINES]], max(0, len(lines) - MOST_LINES))


def _watched(resource: Resource, held: Object, found: Around) -> str:
    """What the page follows: the object, or all of its namespace that its rollout is told from."""
    made = [name for name in MADE_BY.get(resource.name, ()) if name in found.readings]
    parameters = [("resource", name) for name in (resource.name, *made)] + [("as", "key")]
    if not made:
        parameters.append(("name", held.name))
    if held.namespace:
        parameters.append(("namespace", held.namespace))
    return urlencode(parameters)


def _cursor(reading: Reading, found: Around) -> str:
    made = [found.readings[name] for name in MADE_BY.get(reading.name, ()) if name in found.readings]
    if not made:
        return reading.cursor
    return ";".join(each.cursor if "=" in each.cursor else f"{each.name}={each.cursor}" for each in (reading, *made))
