"""/versions in a browser: which image runs in which version where, those that drift apart first.

A matrix of image and namespace where it fits a screen; with more namespaces, each image's versions with the namespaces
that run them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kubemirror.serve.asked import Asked
from kubemirror.serve.links import curl_line
from kubemirror.serve.reading import Reading
from kubemirror.serve.serving import Serving
from kubemirror.serve.survey import RUNNERS
from kubemirror.state.objects import Object
from kubemirror.views.computed import short
from kubemirror.views.versions import versions

# More columns than this are no matrix any more, and more images in one version than this are read by nobody.
MOST_COLUMNS, MOST_IMAGES = 10, 500
# Namespaces that are named for one version.
MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Workload:
    """Who runs it."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Ran:
    """One version of an image: the whole version, a short form, and who runs it."""

    version: str
    short: str
    workloads: tuple[Workload, ...]

    @property
    def namespaces(self) -> list[str]:
        return sorted({each.namespace for each in self.workloads})

    def within(self, namespace: str) -> list[Workload]:
        return [each for each in self.workloads if each.namespace == namespace]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image; its versions by how many run them, most first."""

    image: str
    versions: tuple[Ran, ...]

    @property
    def drifts(self) -> bool:
        return len(self.versions) > 1

    @property
    def workloads(self) -> int:
        return sum(len(each.workloads) for each in self.versions)

    def cell(self, namespace: str) -> list[tuple[int, Ran, list[Workload]]]:
        """(place among the versions, version, who) of those that run in ``namespace``."""
        found = [(place, each, each.within(namespace)) for place, each in enumerate(self.versions)]
        return [each for each in found if each[2]]


def matrix(reading: Reading, held: Iterable[Object]) -> tuple[list[ImageRow], list[str]]:
    """The images that ``held`` run, those in several versions first; and the namespaces they run in."""
    found: dict[str, dict[str, tuple[str, list[Workload]]]] = {}
    for each in held:
        item: Mapping[str, Any] | None = versions(each, reading.entry.resource, wide=True)
        if item is None:
            continue
        seen = {(one["container"], one["version"]): one["image"] for one in item["containers"]}
        for (image, version), written in seen.items():
            runs = found.setdefault(image, {}).setdefault(version, (short(written), []))
            runs[1].append(Workload(each.namespace, each.name))
    rows = [
        ImageRow(
            image,
            tuple(
                sorted(
                    (Ran(version, brief, tuple(workloads)) for version, (brief, workloads) in by_version.items()),
                    key=lambda each: (-len(each.workloads), each.version),
                )
            ),
        )
        for image, by_version in found.items()
    ]
    rows.sort(key=lambda row: (not row.drifts, row.image))
    spaces = sorted({each.namespace for row in rows for version in row.versions for each in version.workloads})
    return rows, spaces


def versions_page(serving: Serving, asked: Asked, reading: Reading, held: Iterable[Object], image: str) -> str:
    """The page. image: what ``?image=`` asks for, "" for all."""
    context, resource = serving.context, reading.entry.resource
    rows, spaces = matrix(reading, held)
    drifting = [row for row in rows if row.drifts]
    even = [row for row in rows if not row.drifts]
    others = [each.resource for each in context.catalog if each.resource.name in RUNNERS and each.stores]
    return serving.pages.render(
        "versions.html",
        asked,
        title="Versions",
        resource=resource,
        others=others if len(others) > 1 else (),
        state=reading.freshness(context.clock()),
        missing=reading.missing,
        namespace=reading.namespace,
        image=image,
        drifting=drifting,
        even=even[:MOST_IMAGES],
        left=max(0, len(even) - MOST_IMAGES),
        namespaces=spaces,
        wide=len(spaces) <= MOST_COLUMNS,
        most_named=MOST_NAMED,
        live=f"{asked.base}/watch?{_watched(reading)}",
        cursor=reading.cursor,
        curl=curl_line(asked, f"/versions{'?' + asked.query if asked.query else ''}"),
    )


def _watched(reading: Reading) -> str:
    parameters: Sequence[tuple[str, str]] = [("resource", reading.name), ("as", "key"), ("changes", "image")]
    namespace = [("namespace", reading.namespace)] if reading.namespace else []
    return urlencode([*parameters, *namespace])
