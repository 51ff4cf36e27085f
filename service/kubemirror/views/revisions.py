"""A Deployment's rollout, as its ReplicaSets tell it: from which revision to which, and how far it is.

The newest ReplicaSet is the one whose revision is highest; the others are old, and those without pods are only history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kubemirror.state.objects import Object
from kubemirror.views.conditions import by_type, conditions
from kubemirror.views.fields import Fields, instant, mapping, maps, number, text
from kubemirror.views.verdicts import Verdict

REVISION = "deployment.kubernetes.io/revision"


class Pod(NamedTuple):
    """One pod of a revision."""

    name: str
    verdict: Verdict | None


class Revision(NamedTuple):
    """One ReplicaSet. images: (container, image) in their order."""

    name: str
    number: int
    newest: bool
    wanted: int
    replicas: int
    ready: int
    available: int
    created: int
    images: tuple[tuple[str, str], ...]
    pods: tuple[Pod, ...]


class Strip(NamedTuple):
    """The revisions that have pods or are the newest, newest first; and those that are history."""

    live: tuple[Revision, ...]
    past: tuple[Revision, ...]


def revision(held: Object, data: Fields, pods: Iterable[Pod]) -> Revision:
    """One ReplicaSet as a revision; whether it is the newest is not known yet."""
    written = text(data, "metadata", "annotations", REVISION)
    status = mapping(data, "status")
    return Revision(
        held.name,
        int(written) if written.isascii() and written.isdigit() else 0,
        newest=False,
        wanted=number(data, "spec", "replicas", default=1),
        replicas=number(status, "replicas"),
        ready=number(status, "readyReplicas"),
        available=number(status, "availableReplicas"),
        created=held.created,
        images=tuple(
            (text(each, "name"), text(each, "image")) for each in maps(data, "spec", "template", "spec", "containers")
        ),
        pods=tuple(pods),
    )


def strip(found: Iterable[Revision]) -> Strip:
    """In the order of their revisions, newest first."""
    ordered = sorted(found, key=lambda each: (each.number, each.created), reverse=True)
    marked = [each._replace(newest=not index) for index, each in enumerate(ordered)]
    live = tuple(each for each in marked if each.newest or each.wanted or each.replicas or each.pods)
    return Strip(live, tuple(each for each in marked if each not in live))


def deadline(data: Fields) -> float | None:
    """When a rollout that is under way will have taken too long (seconds since 1970); None where none is timed."""
    progressing = by_type(conditions(data)).get("Progressing")
    if progressing is None or progressing.reason in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    if progressing.status != "True" or mapping(data, "spec").get("paused") is True:
        return None
    moved = instant(progressing.updated)
    return None if moved is None else moved + number(data, "spec", "progressDeadlineSeconds", default=600)
