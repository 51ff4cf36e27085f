"""Events of some objects, told once per reason: how often, since when, and the newest message."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec
import orjson

from kubemirror.state.objects import Object
from kubemirror.views.fields import Fields, instant, number, text


class Happening(NamedTuple):
    """Events of one reason about objects of one kind. first, last: seconds since 1970, None where it is not told."""

    type: str
    reason: str
    kind: str
    name: str
    objects: int
    times: int
    first: float | None
    last: float | None
    message: str
    source: str


class _About(msgspec.Struct):
    uid: str = ""


class _Event(msgspec.Struct):
    involved: _About | None = msgspec.field(name="involvedObject", default=None)
    regarding: _About | None = None


_decode = msgspec.json.Decoder(_Event).decode


def happenings(events: Iterable[Object], uids: Collection[str]) -> list[Happening]:
    """Of the objects with these uids, the newest first; core/v1 and events.k8s.io/v1 alike."""
    groups: dict[tuple[str, str, str], list[Fields]] = {}
    for held in events:
        try:
            about = _decode(held.raw)
        except msgspec.ValidationError:
            continue
        of = about.involved or about.regarding
        if of is None or of.uid not in uids or not of.uid:
            continue
        event = orjson.loads(held.raw)
        key = (text(event, "type"), text(event, "reason"), text(_about(event), "kind"))
        groups.setdefault(key, []).append(event)
    found = [_told(*key, group) for key, group in groups.items()]
    found.sort(key=lambda each: each.last or 0.0, reverse=True)
    return found


def _told(type_: str, reason: str, kind: str, events: list[Fields]) -> Happening:
    newest = max(events, key=lambda each: _last(each) or 0.0)
    firsts = [at for each in events if (at := _first(each)) is not None]
    return Happening(
        type_,
        reason,
        kind,
        text(_about(newest), "name"),
        len({text(_about(each), "uid") for each in events}),
        sum(_count(each) for each in events),
        min(firsts, default=None),
        _last(newest),
        text(newest, "message") or text(newest, "note"),
        text(newest, "source", "component")
        or text(newest, "reportingComponent")
        or text(newest, "reportingController"),
    )


def _about(event: Fields) -> Fields:
    found = event.get("involvedObject") or event.get("regarding")
    return found if isinstance(found, dict) else {}


def _count(event: Fields) -> int:
    return max(number(event, "count"), number(event, "deprecatedCount"), number(event, "series", "count"), 1)


def _first(event: Fields) -> float | None:
    return (
        instant(event, "firstTimestamp")
        or instant(event, "eventTime")
        or instant(event, "deprecatedFirstTimestamp")
        or instant(event, "metadata", "creationTimestamp")
    )


def _last(event: Fields) -> float | None:
    return (
        instant(event, "series", "lastObservedTime")
        or instant(event, "lastTimestamp")
        or instant(event, "deprecatedLastTimestamp")
        or _first(event)
    )
