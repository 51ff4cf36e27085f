"""The history of objects as pages and JSON tell it: the stores' seconds become times of day."""

from __future__ import annotations

from dataclasses import dataclass

from kubemirror.serve.context import Context
from kubemirror.serve.overview_model import Changed, ChangedValue
from kubemirror.serve.reading import Reading
from kubemirror.state.history import Entry, History, ObjectKey


@dataclass(frozen=True, slots=True)
class Unwatched:
    """A stretch about which only the outcome is known, in seconds since 1970. skipped: changes came too fast."""

    since: float
    until: float
    skipped: bool


@dataclass(frozen=True, slots=True)
class Past:
    """One object's history: changes and unwatched stretches, newest first, as they lie in time.

    began: since when it is remembered; None where nothing is. forgotten: how many older changes there were.
    """

    rows: list[Changed | Unwatched]
    began: float | None
    forgotten: int

    @property
    def changes(self) -> list[Changed]:
        return [row for row in self.rows if isinstance(row, Changed)]


def changed(context: Context, reading: Reading, key: ObjectKey, entry: Entry) -> Changed:
    """One entry of the history."""
    at_zero = context.wall() - context.clock()
    return Changed(
        at=at_zero + entry.at,
        until=at_zero + entry.until,
        type=entry.type.value,
        resource=key.resource,
        kind=reading.entry.resource.kind,
        namespace=key.namespace,
        name=key.name,
        meanings=[each.value for each in entry.meanings],
        manager=entry.manager,
        details=[
            ChangedValue(
                meaning=each.meaning.value if each.meaning is not None else "",
                label=each.label,
                old=each.old,
                new=each.new,
            )
            for each in entry.details
        ],
        more=entry.more,
        steps=entry.steps,
        unwatched=entry.unwatched,
        there=reading.get(key.name, key.namespace) is not None,
    )


def past(context: Context, history: History, reading: Reading, key: ObjectKey) -> Past:
    """All that is remembered of one object."""
    told = history.of(key)
    at_zero = context.wall() - context.clock()
    rows: list[Changed | Unwatched] = [changed(context, reading, key, entry) for entry in told.entries]
    rows += [Unwatched(at_zero + each.since, at_zero + each.until, each.skipped) for each in told.stretches]
    rows.sort(key=lambda row: row.until, reverse=True)
    return Past(rows, at_zero + told.began if told.began is not None else None, told.forgotten)
