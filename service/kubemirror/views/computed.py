"""Columns that no API server prints: an object's verdict, the versions it runs, what changed last.

They stand beside the printer's columns wherever columns can be named. A cell is plain data, as a printed one is, so
that every form can carry it; how a page draws it is decided by the column's type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.views.conditions import MARKS, SEVERITY, Tone
from kubemirror.views.fields import maps, text
from kubemirror.views.images import parse_image
from kubemirror.views.rollout import SILENT, verdict
from kubemirror.views.verdicts import Verdict
from kubemirror.views.versions import WORKLOADS, versions

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
DEPLOYMENTS = "deployments.apps"
HEALTH, MARK = "Health", "Mark"
# Letters of a digest that tell it from others, as git and docker abbreviate.
DIGEST_CHARACTERS = 8

Judge = Callable[[Resource, Object], Verdict | None]
# What a column says of an object at a time (seconds since 1970).
Cell = Callable[[Object, float], Any]


class Computed(NamedTuple):
    """A column. pure: its cells depend on the object alone, so that a stream can tell when they change."""

    name: str
    type: str
    description: str
    priority: int
    cell: Cell
    pure: bool = True


def judged(resource: Resource, held: Object) -> Verdict | None:
    """The verdict on ``held``; None where it says nothing of itself."""
    if held.error:
        return Verdict("Unknown", Tone.UNKNOWN, held.error, "only the header is held")
    return verdict(resource, orjson.loads(held.raw))


def computed(resource: Resource, judge: Judge = judged, last_change: Cell | None = None) -> tuple[Computed, ...]:
    """The columns of ``resource``. judge: ``judged``, or one that remembers. last_change: where there is a history."""
    found: list[Computed] = []
    if resource.name not in SILENT and not resource.metadata_only:
        found.append(
            Computed(
                HEALTH,
                "verdict",
                "As wanted or not, and what says so.",
                0,
                lambda held, _: _said(judge, resource, held),
            )
        )
        told = f"Health in one of {', '.join(MARKS.values())}."
        found.append(Computed(MARK, "string", told, 1, lambda held, _: _mark(judge, resource, held)))
        found.append(Computed("Rule", "string", "Which rule says so.", 1, lambda held, _: _rule(judge, resource, held)))
    if resource.name in WORKLOADS:
        found.append(
            Computed(
                "Version", "versions", "What its containers run.", 0, lambda held, _: short_versions(resource, held)
            )
        )
    if resource.name == DEFINITIONS:
        found += [
            Computed(
                "Kind", "string", "The kind that it defines.", 0, lambda held, _: _field(held, "spec", "names", "kind")
            ),
            Computed("Group", "string", "Its API group.", 1, lambda held, _: _field(held, "spec", "group")),
            Computed("Scope", "string", "Namespaced or Cluster.", 0, lambda held, _: _field(held, "spec", "scope")),
            Computed("Versions", "string", "Served versions.", 0, lambda held, _: _served(held)),
        ]
    if last_change is not None:
        description = "What somebody changed last, as far as this replica has seen."
        found.append(Computed("Last Change", "change", description, 0, last_change, pure=False))
    return tuple(found)


class Said(str):
    """A verdict as text: ``Progressing: 2 of 3 updated replicas are available``.

    Counted, and equal, by its word; sorted by ``order``, worst first, and then by its word.
    """

    __slots__ = ("tone", "word")
    tone: Tone
    word: str

    @classmethod
    def of(cls, found: Verdict) -> Said:
        said = cls(f"{found.word}: {found.sentence}")
        said.word, said.tone = found.word, found.tone
        return said

    @classmethod
    def marked(cls, tone: Tone) -> Said:
        """The tone alone."""
        said = cls(MARKS[tone])
        said.word, said.tone = MARKS[tone], tone
        return said

    @property
    def order(self) -> int:
        return SEVERITY[self.tone]


def _said(judge: Judge, resource: Resource, held: Object) -> Said | None:
    found = judge(resource, held)
    return Said.of(found) if found is not None else None


def _mark(judge: Judge, resource: Resource, held: Object) -> Said | None:
    found = judge(resource, held)
    return Said.marked(found.tone) if found is not None else None


def _rule(judge: Judge, resource: Resource, held: Object) -> str | None:
    found = judge(resource, held)
    return found.rule if found is not None else None


def short_versions(resource: Resource, held: Object) -> str | None:
    """``1.9.0, proxy v1.31.2``: the first container's version, then each other container with its name."""
    item = versions(held, resource, wide=True)
    if item is None:
        return None
    return ", ".join(
        f"{each['name']} {short(each['image'])}" if index else short(each["image"])
        for index, each in enumerate(item["containers"])
    )


def short(image: str) -> str:
    """An image's tag, else the beginning of its digest, else ``latest``."""
    parsed = parse_image(image)
    if parsed.tag:
        return parsed.tag
    return "@" + parsed.digest.partition(":")[2][:DIGEST_CHARACTERS] if parsed.digest else "latest"


def _field(held: Object, *path: str) -> str | None:
    return text(orjson.loads(held.raw), *path) or None


def _served(held: Object) -> str | None:
    served = [text(each, "name") for each in maps(orjson.loads(held.raw), "spec", "versions") if each.get("served")]
    return ", ".join(served) or None
