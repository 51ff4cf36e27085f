"""/versions in a browser: which image runs in which version where, those that drift apart first.

A matrix of image and namespace where it fits a screen; with more namespaces, each image's versions with the namespaces
that run them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from kubemirror.serve.asked import Asked
from kubemirror.serve.links import curl_line
from kubemirror.serve.reading import Reading
from kubemirror.serve.serving import Serving
from kubemirror.serve.survey import RUNNERS, Survey
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object

# More columns than this are no matrix any more, and more images than this are read by nobody: JSON has them all.
MOST_COLUMNS, MOST_IMAGES = 10, 100
# Namespaces that are named for one version, and versions of one image.
MOST_NAMED, MOST_VERSIONS = 8, 6


class Workload(NamedTuple):
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

    @property
    def named(self) -> str:
        """The namespaces, as far as they are named."""
        spaces = self.namespaces
        left = f" and {len(spaces) - MOST_NAMED} more" if len(spaces) > MOST_NAMED else ""
        return ", ".join(spaces[:MOST_NAMED]) + left

    def title(self, workloads: Sequence[Workload]) -> str:
        """The whole version, and who runs it."""
        named = ", ".join(f"{each.namespace}/{each.name}" for each in workloads[:MOST_NAMED])
        left = f" and {len(workloads) - MOST_NAMED} more" if len(workloads) > MOST_NAMED else ""
        return f"{self.version}: {named}{left}"

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


def matrix(survey: Survey, resource: Resource, held: Iterable[Object]) -> tuple[list[ImageRow], list[str]]:
    """The images that ``held`` run, those in several versions first; and the namespaces they run in."""
    found: dict[str, dict[str, tuple[str, list[Workload]]]] = {}
    for each in held:
        who = Workload(each.namespace, each.name)
        for run in survey.runs(resource, each):
            found.setdefault(run.image, {}).setdefault(run.version, (run.short, []))[1].append(who)
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
    rows.sort(key=lambda row: (not row.drifts, -row.workloads if row.drifts else 0, row.image))
    spaces = sorted({each.namespace for row in rows for version in row.versions for each in version.workloads})
    return rows, spaces


def versions_page(
    serving: Serving, asked: Asked, reading: Reading, held: Iterable[Object], *, image: str, label_selector: str
) -> str:
    """The page. image, label_selector: what ``held`` was narrowed by, "" for all."""
    context, resource = serving.context, reading.entry.resource
    rows, spaces = matrix(serving.survey, resource, held)
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
        confined=reading.confined,
        namespace=reading.namespace,
        image=image,
        label_selector=label_selector,
        narrowed=bool(reading.namespace or image or label_selector),
        drifting=drifting[:MOST_IMAGES],
        drifting_total=len(drifting),
        even=even[:MOST_IMAGES],
        even_total=len(even),
        most_versions=MOST_VERSIONS,
        namespaces=spaces,
        wide=len(spaces) <= MOST_COLUMNS,
        live=f"{asked.base}/watch?{_watched(reading, label_selector)}",
        cursor=reading.cursor,
        curl=curl_line(asked, f"/versions{'?' + asked.query if asked.query else ''}"),
    )


def _watched(reading: Reading, label_selector: str) -> str:
    parameters = {"resource": reading.name, "as": "key", "changes": "image"}
    narrowed = {"namespace": reading.namespace, "labelSelector": label_selector}
    return urlencode(parameters | {name: value for name, value in narrowed.items() if value})
