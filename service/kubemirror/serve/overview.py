"""/: what is wrong now, what changed, which versions run side by side, and how fresh all of it is.

Each resource is read as its own page would read it: what a caller may not list is named under "not shown", and counted
nowhere. For whoever may see some namespaces only, what tells most is looked for in all of them; where a request's
reviews are too few for the rest as well, that is looked for in the namespaces that were found (access/reviewed.py).
What objects say is surveyed by namespace (survey.py), so that an unchanged overview costs its rendering only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import Response

from kubemirror.access.authorizer import REVIEWS_A_REQUEST, Budget, Caller
from kubemirror.serve.asked import Asked
from kubemirror.serve.changes import changed
from kubemirror.serve.context import Context
from kubemirror.serve.health import anonymous, readiness
from kubemirror.serve.negotiation import prefers_json
from kubemirror.serve.overview_model import (
    Because,
    Changed,
    Counts,
    Drift,
    KindHealth,
    MirroredResource,
    NamespaceHealth,
    NotShown,
    Overview,
    RunningVersion,
    Unhealthy,
)
from kubemirror.serve.reading import Reading, may_discover, may_open, read, require_path
from kubemirror.serve.rendering import one_line
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.shortcuts import DOCS
from kubemirror.serve.status import StatusError
from kubemirror.serve.survey import Part, Surveyed
from kubemirror.state.catalog import Entry as CatalogEntry
from kubemirror.state.events import Phase
from kubemirror.state.history import Entry, ObjectKey
from kubemirror.views.conditions import MARKS, SEVERITY, Tone
from kubemirror.views.duration import human_duration
from kubemirror.views.rollout import SILENT

# What fits on a screen and a half; the whole is on the resources' own pages.
MOST_UNHEALTHY, MOST_CHANGES, MOST_DRIFTS, MOST_SPACES = 50, 25, 20, 20
# Values of one change that its line tells.
MOST_VALUES = 3
# Callers who see different parts: one for each team that has its page open, say.
MOST_SUMMARIES = 16
# What is left out, in words that are the same however many namespaces or resources that are.
OMITTED = (
    "You may not see all namespaces: what is in the others is left out. "
    f"Up to {REVIEWS_A_REQUEST} are looked through; a resource for which that is too few is looked for where another "
    "was found, and on its own page in those that namespace= names."
)
WITHHELD = "Resources that you may not list are left out."
UNLISTED = (
    "you may not list them everywhere, and no namespace was found in which you may "
    f"(no more than {REVIEWS_A_REQUEST} are looked through): their own pages show those that namespace= names."
)
# "The last minutes": a rollout, its failure and its repair.
CHANGES_SECONDS = 900.0
# Objects noted and not looked at yet that are looked at before the page is made: some 10 ms.
_SETTLED_FIRST = 100
# What tells most is looked for first; then whatever tells how it is, then the rest.
_FIRST = ("deployments.apps", "pods", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "cronjobs.batch")
# Made by others that are shown themselves: told with them, or where nobody above is to blame.
_MADE = frozenset({"pods", "replicasets.apps"})


class Told(NamedTuple):
    """What a survey says, in order. It depends on its parts alone."""

    health: list[KindHealth]
    namespaces: list[NamespaceHealth]
    unhealthy: list[Unhealthy]
    drift: list[Drift]


class Summaries:
    """What was told of the last few surveys: whoever sees the same parts is told the same, until one moves."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], tuple[list[Part], Told]] = OrderedDict()

    def of(self, parts: list[Part]) -> Told:
        key = tuple(map(id, parts))  # kept beside it, so that no other part can have the id
        kept = self._kept.get(key)
        if kept is None:
            told = Told(_health(parts), _namespaces(parts), _unhealthy(parts), drift(parts, MOST_DRIFTS))
            kept = self._kept[key] = (parts, told)
            if len(self._kept) > MOST_SUMMARIES:
                self._kept.popitem(last=False)
        return kept[1]


async def overview_of(serving: Serving, asked: Asked, summaries: Summaries) -> Overview:
    """All that the caller may see of it."""
    context = serving.context
    named = await may_discover(context, asked.caller)
    readings, hidden = await _readings(context, asked.caller)
    checks = readiness(context)
    parts: list[Part] = []
    for reading in readings:
        if reading.name not in SILENT and not reading.entry.resource.metadata_only:
            parts += await serving.survey.parts(reading)
    told = summaries.of(parts)
    return Overview(
        waiting=[f"{each.name} ({each.detail})" for each in (checks if named else anonymous(checks)) if not each.ok],
        health=told.health,
        namespaces=told.namespaces,
        unhealthy=told.unhealthy[:MOST_UNHEALTHY],
        unhealthy_total=len(told.unhealthy),
        changes=_changes(serving, readings),
        changes_since=_since(serving, readings),
        drift=told.drift,
        mirrored=[_mirrored(reading, context.clock()) for reading in readings],
        not_shown=hidden if named else [],
        withheld=bool(hidden) and not named,
        omitted=any(reading.confined for reading in readings),
    )


async def _readings(context: Context, caller: Caller) -> tuple[list[Reading], list[NotShown]]:
    """What may be listed of each resource, in the catalog's order, and what may not."""
    entries = [entry for entry in context.catalog if entry.stores]
    budget = Budget()
    readings: dict[str, Reading] = {}
    hidden: dict[str, NotShown] = {}
    for entry in sorted(entries, key=_rank_of):
        name = entry.resource.name
        try:
            readings[name] = await read(context, caller, entry, verb="list", budget=budget)
        except StatusError as error:
            if error.code != 403:
                raise
            hidden[name] = NotShown(resource=name, reason=error.message)
    names = [entry.resource.name for entry in entries]
    shown = [readings[name] for name in names if name in readings and readings[name].stores]
    return shown, [hidden[name] for name in names if name in hidden]


def _rank_of(entry: CatalogEntry) -> int:
    name = entry.resource.name
    if name in _FIRST:
        return _FIRST.index(name)
    tells = name not in SILENT and name not in _MADE and not entry.resource.metadata_only
    return len(_FIRST) + (0 if tells else 1)


def _mirrored(reading: Reading, now: float) -> MirroredResource:
    resource, stores = reading.entry.resource, [store for _, store in reading.stores]
    state = reading.freshness(now)
    return MirroredResource(
        resource=resource.name,
        kind=resource.kind,
        group=resource.group,
        version=resource.version,
        objects=sum(map(len, stores)) if reading.allowed is None else None,
        bytes=sum(store.size for store in stores)
        if reading.allowed is None
        else sum(len(held.raw) for held in reading.objects()),
        phase=state.phase,
        reason=state.reason,
        stale_seconds=state.stale_seconds,
        heard_seconds=state.heard_seconds,
        resource_version=str(max(store.resource_version for store in stores)),
    )


# -- health ---------------------------------------------------------------------------------------------


def _counts(found: Counter[Tone]) -> Counts:
    return Counts(**{tone.value: count for tone, count in found.items()})


def _health(parts: Sequence[Part]) -> list[KindHealth]:
    by_kind: dict[str, tuple[str, Counter[Tone]]] = {}
    for part in parts:
        if part.counts:
            by_kind.setdefault(part.resource.name, (part.resource.kind, Counter()))[1].update(part.counts)
    return [KindHealth(resource=name, kind=kind, counts=_counts(counts)) for name, (kind, counts) in by_kind.items()]


def _namespaces(parts: Sequence[Part]) -> list[NamespaceHealth]:
    spaces: dict[str, dict[str, Counter[Tone]]] = {}
    for part in parts:
        if part.counts and part.resource.namespaced:
            spaces.setdefault(part.namespace, {}).setdefault(part.resource.name, Counter()).update(part.counts)
    found = [
        NamespaceHealth(
            namespace=namespace,
            counts=_counts(sum(kinds.values(), Counter())),
            kinds={name: _counts(counts) for name, counts in kinds.items()},
        )
        for namespace, kinds in spaces.items()
    ]
    found.sort(key=lambda each: (-each.counts.bad, -each.counts.warn, -each.counts.busy, each.namespace))
    return found


def _unhealthy(parts: Sequence[Part]) -> list[Unhealthy]:
    """Worst first, then what began last. What an owner that is troubled itself has made is told with the owner."""
    troubled = {each.held.uid: (part, each) for part in parts for each in part.troubled}
    below: dict[str, list[tuple[Part, Surveyed]]] = {}
    shown: list[tuple[Part, Surveyed]] = []
    for part, each in troubled.values():
        if part.resource.name not in _MADE or not each.owner:
            shown.append((part, each))
            continue
        above = each
        while above.owner in troubled:
            above = troubled[above.owner][1]
        if above is not each:
            below.setdefault(above.held.uid, []).append((part, each))
        elif _tone(each) in (Tone.BAD, Tone.WARN):
            shown.append((part, each))
    shown.sort(key=lambda pair: (_rank(pair[1], below), -(_began(pair[1]) or 0.0), pair[1].held.key))
    return [_told(part, each, below.get(each.held.uid, ())) for part, each in shown]


def _rank(each: Surveyed, below: Mapping[str, Sequence[tuple[Part, Surveyed]]]) -> int:
    """A rollout whose pods fail stands before those that are merely under way."""
    tone = _tone(each)
    if tone is Tone.BUSY and any(_tone(child) is Tone.BAD for _, child in below.get(each.held.uid, ())):
        tone = Tone.WARN
    return SEVERITY[tone]


def _tone(each: Surveyed) -> Tone:
    return each.verdict.tone if each.verdict is not None else Tone.UNKNOWN


def _began(each: Surveyed) -> float | None:
    return each.verdict.since if each.verdict is not None else None


def _told(part: Part, each: Surveyed, below: Iterable[tuple[Part, Surveyed]]) -> Unhealthy:
    found = each.verdict
    assert found is not None  # noqa: S101 - it is troubled by its verdict
    reasons: dict[tuple[str, str], Because] = {}
    for made, child in below:
        if child.verdict is None or child.verdict.tone not in (Tone.BAD, Tone.WARN):
            continue
        key = (made.resource.name, child.verdict.word)
        if key in reasons:
            reasons[key].count += 1
        else:
            reasons[key] = Because(
                resource=made.resource.name,
                kind=made.resource.kind,
                word=child.verdict.word,
                tone=child.verdict.tone,
                count=1,
                namespace=child.held.namespace,
                name=child.held.name,
            )
    return Unhealthy(
        resource=part.resource.name,
        kind=part.resource.kind,
        namespace=each.held.namespace,
        name=each.held.name,
        word=found.word,
        tone=found.tone,
        sentence=found.sentence,
        rule=found.rule,
        detail=found.detail,
        since=found.since,
        because=list(reasons.values()),
    )


# -- changes --------------------------------------------------------------------------------------------


def _changes(serving: Serving, readings: Sequence[Reading]) -> list[Changed]:
    context, history = serving.context, serving.chronicle.history
    history.settle(_SETTLED_FIRST)
    by_name = {reading.name: reading for reading in readings if reading.name not in _MADE}

    def news(key: ObjectKey, entry: Entry) -> bool:
        reading = by_name.get(key.resource)
        return reading is not None and entry.news and reading.shows(key.namespace)

    recent = history.recent(context.clock() - CHANGES_SECONDS, news, MOST_CHANGES)
    return [changed(serving.chronicle.epoch, by_name[key.resource], key, entry) for key, entry in recent]


def _since(serving: Serving, readings: Sequence[Reading]) -> float | None:
    began = [at for reading in readings if (at := serving.chronicle.history.began(reading.name)) is not None]
    return serving.chronicle.epoch + max(began) if began else None


# -- versions side by side ------------------------------------------------------------------------------


def drift(parts: Iterable[Part], most: int) -> list[Drift]:
    """The ``most`` images of workloads that run in more than one version; the one that most run first."""
    images: dict[str, dict[str, list[tuple[Part, Sequence[Surveyed]]]]] = {}
    for part in parts:
        for (image, version), running in part.images.items():
            images.setdefault(image, {}).setdefault(version, []).append((part, running))
    drifting = [(image, found) for image, found in images.items() if len(found) > 1]
    drifting.sort(key=lambda each: (-sum(len(run) for runs in each[1].values() for _, run in runs), each[0]))
    return [
        Drift(image=image, versions=sorted((_running(*each) for each in found.items()), key=_most_first))
        for image, found in drifting[:most]
    ]


def _running(version: str, found: Sequence[tuple[Part, Sequence[Surveyed]]]) -> RunningVersion:
    part, running = found[0]
    first = running[0].held
    return RunningVersion(
        version=version,
        workloads=sum(len(runs) for _, runs in found),
        namespaces=sorted({part.namespace for part, _ in found}),
        resource=part.resource.name,
        namespace=first.namespace,
        name=first.name,
    )


def _most_first(version: RunningVersion) -> tuple[int, str]:
    return -version.workloads, version.version


# -- forms ----------------------------------------------------------------------------------------------


def routes(serving: Serving) -> APIRouter:
    """/."""
    router = APIRouter(tags=["overview"])
    summaries = Summaries()

    async def overview(asked: AskedHere) -> Response:
        """What is wrong, what changed, what runs in more than one version, and what is mirrored."""
        await require_path(serving.context, asked.caller, "/")
        told = await overview_of(serving, asked, summaries)
        if asked.terminal:
            docs = await may_open(serving.context, asked.caller, DOCS)
            text = _text(asked, told, serving.context.wall(), docs=docs)
            response = Response(text, media_type="text/plain; charset=utf-8")
        elif prefers_json(asked.accept):
            response = Response(told.model_dump_json(by_alias=True), media_type="application/json")
        else:
            response = Response(_page(serving, asked, told), media_type="text/html; charset=utf-8")
        response.headers["cache-control"] = "no-store"
        left_out = ["namespaces"] * told.omitted + ["resources"] * (told.withheld or bool(told.not_shown))
        if left_out:
            response.headers["kubemirror-omitted"] = ", ".join(left_out)
        return response

    get(router, "/", overview, response_model=None, responses={200: {"model": Overview, "content": {"text/html": {}}}})
    return router


def _page(serving: Serving, asked: Asked, told: Overview) -> str:
    return serving.pages.render(
        "overview.html",
        asked,
        title="Overview",
        headline=_headline(told),
        left_out={"namespaces": OMITTED, "resources": WITHHELD, "unlisted": UNLISTED},
        told=told,
        stale=_stale(told),
        stale_names={each.resource for each in told.mirrored if each.phase is not Phase.SYNCED},
        live=_heartbeat(asked, told),
        **_spaces(told),
        now=serving.context.wall(),
    )


class Stale(NamedTuple):
    """Kinds that cannot be trusted for one and the same reason. seconds: since the first of them was lost."""

    phase: Phase
    reason: str
    kinds: list[str]
    seconds: float | None


def _stale(told: Overview) -> list[Stale]:
    found: dict[tuple[Phase, str], list[MirroredResource]] = {}
    for each in told.mirrored:
        if each.phase is not Phase.SYNCED:
            found.setdefault((each.phase, each.reason), []).append(each)
    return [
        Stale(
            phase,
            reason,
            [each.kind for each in of],
            max((each.stale_seconds for each in of if each.stale_seconds is not None), default=None),
        )
        for (phase, reason), of in found.items()
    ]


def _heartbeat(asked: Asked, told: Overview) -> str:
    """A stream that tells the page at once when the connection is lost, and hardly anything else."""
    names = [each.resource for each in told.mirrored]
    if not names:
        return ""
    name = "deployments.apps" if "deployments.apps" in names else names[0]
    return f"{asked.base}/watch?{urlencode({'resource': name, 'as': 'key', 'changes': 'image'})}"


def _spaces(told: Overview) -> dict[str, object]:
    """Namespaces where something is not as wanted, kind by kind; the quiet ones only by name and number."""
    loud = [each for each in told.namespaces if not _quiet(each)]
    few = len(told.namespaces) <= MOST_SPACES
    shown = told.namespaces if few else loud[:MOST_SPACES]
    return {
        "spaces": shown,
        "kinds": [each for each in told.health if any(each.resource in space.kinds for space in shown)],
        "quiet_spaces": []
        if few
        else [each for each in told.namespaces if each.counts.worst in (Tone.GOOD, Tone.REST)],
        "loud_left": 0 if few else max(0, len(loud) - MOST_SPACES),
    }


def _quiet(space: NamespaceHealth) -> bool:
    return space.counts.worst in (Tone.GOOD, Tone.REST)


def _headline(told: Overview) -> str:
    """What the tiles count as failing, by kind; else whether anything is not as wanted."""
    failing = [(each.counts.bad, each.kind) for each in told.health if each.counts.bad]
    if failing:
        said = [f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in failing]
        verb = "is" if len(failing) == 1 and failing[0][0] == 1 else "are"
        return f"{', '.join(said[:-1])}{' and ' if said[1:] else ''}{said[-1]} {verb} failing"
    if told.unhealthy:
        return "Nothing is failing"
    return "All is as wanted" if told.health else "Overview"


_TYPES = {"ADDED": "created", "DELETED": "deleted"}


def _change_line(change: Changed, now: float) -> str:
    """One change: how long ago, what, by whom, and the first values."""
    at = change.at if change.type == "ADDED" else change.until
    where = f"{change.namespace}/{change.name}" if change.namespace else change.name
    kinds = _TYPES.get(change.type) or ", ".join(change.meanings)
    by = f" by {change.manager}" if change.manager else ""
    values = [
        f"{each.label} {_or_none(each.old)} → {_or_none(each.new)}"
        for each in change.details[:MOST_VALUES]
        if each.old is not None or each.new is not None
    ]
    return (
        f"{human_duration(now - at)} ago {change.kind} {where}: {kinds}{by}{': ' if values else ''}{', '.join(values)}"
    )


def _or_none(value: str | None) -> str:
    return "none" if value is None else value or '""'


def _text(asked: Asked, told: Overview, now: float, *, docs: bool) -> str:
    """What curl gets: the same as tables, and where to go."""
    width = max([len(row.resource) for row in told.mirrored] + [8]) + 3
    lines = [f"{'RESOURCE':<{width}}{'OBJECTS':>9}   {'STATE':<10}HEARD"]
    for row in told.mirrored:
        heard = "never" if row.heard_seconds is None else f"{row.heard_seconds:.0f}s ago"
        count = "-" if row.objects is None else row.objects
        lines.append(f"{row.resource:<{width}}{count:>9}   {row.phase:<10}{heard}")
    if told.unhealthy:
        lines += ["", "NOT AS WANTED"]
        for each in told.unhealthy:
            where = f"{each.namespace}/{each.name}" if each.namespace else each.name
            lines.append(one_line(f"{each.kind} {where}: {each.word}: {each.sentence}"))
    if told.namespaces:
        lines += ["", "BY NAMESPACE"]
        for space in told.namespaces[:MOST_SPACES]:
            counts = ", ".join(f"{count} {MARKS[tone]}" for tone, count in space.counts.told)
            lines.append(one_line(f"{space.namespace or '(cluster)'}: {counts}"))
        if len(told.namespaces) > MOST_SPACES:
            lines.append(f"and {len(told.namespaces) - MOST_SPACES} more")
    if told.changes:
        lines += ["", "CHANGED"]
        lines += [one_line(_change_line(each, now)) for each in told.changes]
    if told.drift:
        lines += ["", "IN MORE THAN ONE VERSION"]
        for image in told.drift:
            versions = ", ".join(f"{each.version} ({each.workloads})" for each in image.versions)
            lines.append(one_line(f"{image.image}: {versions}"))
    if told.omitted or told.withheld or told.not_shown:
        lines += ["", "LEFT OUT"]
        lines += [OMITTED] * told.omitted
        lines += [WITHHELD] * told.withheld
        lines += [one_line(f"{each.resource}: {each.reason}") for each in told.not_shown]
    at = f"{asked.origin}{asked.base}"
    lines += ["", f"{at}/versions", f"{at}/resources/deployments", f"{at}/watch?resource=deployments"]
    if docs:
        lines.append(f"{at}{DOCS}")
    return "\n".join(lines) + "\n"
