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


class Column(msgspec.Struct):
    """A column of rows."""

    name: str
    type: str = "string"
    description: str = ""
    priority: int = 0


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
    behind: bool = False
    upstreamAgeSeconds: float | None = None  # noqa: N815
    columns: dict[str, list[Column]] = {}

    @property
    def metadata(self) -> Metadata:
        return _head(self.object).metadata

    @property
    def ends_snapshot(self) -> bool:
        return INITIAL_EVENTS_END in (self.metadata.annotations or {})


class _Message(msgspec.Struct):
    """A frame, or a batch of them."""

    type: str = ""
    events: list[msgspec.Raw] = []


_head = msgspec.json.Decoder(Head).decode
_frame = msgspec.json.Decoder(Frame).decode
_message = msgspec.json.Decoder(_Message).decode
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
