"""The history of objects as pages and JSON tell it: the stores' seconds become times of day."""

from __future__ import annotations

from dataclasses import dataclass

from kubemirror.serve.chronicle import Chronicle
from kubemirror.serve.overview_model import Changed, ChangedValue
from kubemirror.serve.reading import Reading
from kubemirror.state.history import Entry, ObjectKey


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


def changed(epoch: float, reading: Reading, key: ObjectKey, entry: Entry) -> Changed:
    """One entry of the history. epoch: when the stores' clock was 0, in seconds since 1970."""
    return Changed(
        at=epoch + entry.at,
        until=epoch + entry.until,
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


def past(chronicle: Chronicle, reading: Reading, key: ObjectKey) -> Past:
    """All that is remembered of one object."""
    told, epoch = chronicle.history.of(key), chronicle.epoch
    rows: list[Changed | Unwatched] = [changed(epoch, reading, key, entry) for entry in told.entries]
    rows += [Unwatched(epoch + each.since, epoch + each.until, each.skipped) for each in told.stretches]
    rows.sort(key=lambda row: row.until, reverse=True)
    return Past(rows, epoch + told.began if told.began is not None else None, told.forgotten)
