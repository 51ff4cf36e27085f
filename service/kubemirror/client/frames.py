"""Messages of a stream as frames: only what following them needs is decoded, objects stay bytes until they are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from kubemirror.client.errors import UnreachableError

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815 - its name on the wire
    annotations: dict[str, str] | None = None

    @property
    def version(self) -> int:
        """Ordered within one resource; 0 where none is told."""
        return int(self.resourceVersion) if self.resourceVersion.isdecimal() else 0


class Head(msgspec.Struct):
    """What every object has."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)


class Status(msgspec.Struct):
    """An error as Kubernetes tells it."""

    code: int = 500
    message: str = ""


class Frame(msgspec.Struct):
    """One event or control frame of /watch."""

    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")
    resourceVersion: str = ""  # noqa: N815
    namespace: str = ""
    changed: tuple[str, ...] = ()
    diff: msgspec.Raw = msgspec.Raw(b"[]")
    state: str = ""
    staleSince: datetime | None = None  # noqa: N815
    upstreamAgeSeconds: float | None = None  # noqa: N815
    row_metadata: Metadata | None = None  # of a row's object; not on the wire

    @property
    def metadata(self) -> Metadata:
        return self.row_metadata or _head(self.object).metadata

    @property
    def ends_snapshot(self) -> bool:
        return INITIAL_EVENTS_END in (self.metadata.annotations or {})


class _Message(msgspec.Struct):
    """A frame, or a batch of them."""

    type: str = ""
    events: list[msgspec.Raw] = []


class Row(msgspec.Struct):
    """A row of a Table and its object."""

    object: msgspec.Raw


_head = msgspec.json.Decoder(Head).decode
_frame = msgspec.json.Decoder(Frame).decode
_message = msgspec.json.Decoder(_Message).decode
_row = msgspec.json.Decoder(Row).decode
status_of = msgspec.json.Decoder(Status).decode


def frames_of(message: bytes | str) -> Iterator[Frame]:
    """The frames of one message of /watch."""
    try:
        whole = _message(message)
        if whole.type:
            yield _frame(message)
        for each in whole.events:
            yield _frame(each)
    except msgspec.DecodeError as error:
        raise UnreachableError(f"what answers there does not speak as a mirror does: {error}") from None


class Column(msgspec.Struct):
    """A column of a Table. priority above 0: only where all are wanted."""

    name: str
    priority: int = 0


class _Table(msgspec.Struct):
    columnDefinitions: list[Column] | None = None  # noqa: N815
    rows: list[msgspec.Raw] = []


class _Kind(msgspec.Struct):
    kind: str = ""


class Tables:
    """Frames of a Kubernetes watch that is told as Tables: the object of an event is its row."""

    def __init__(self) -> None:
        self.columns: list[Column] = []

    def frames_of(self, message: bytes | str) -> Iterator[Frame]:
        try:
            event = _frame(message)
            if _kind(event.object).kind != "Table":
                yield event
                return
            table = _table(event.object)
            if table.columnDefinitions:
                self.columns = table.columnDefinitions
            for row in table.rows:
                metadata = _head(_row(row).object).metadata
                yield Frame(event.type, row, resourceVersion=metadata.resourceVersion, row_metadata=metadata)
        except msgspec.DecodeError as error:
            raise UnreachableError(f"what answers there does not speak as a mirror does: {error}") from None


_kind = msgspec.json.Decoder(_Kind).decode
_table = msgspec.json.Decoder(_Table).decode
