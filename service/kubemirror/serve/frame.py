"""One message of a stream, whatever its framing: an event, a control frame, or several events that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as it is sent.

    types: of the events in it. cursor: where to resume after it; "" while the snapshot is not complete, and in what
    comes with others in one message. expired: the cursor is of no use any more. retry_seconds: when to come back, if
    told. heartbeat: sent because nothing else was.
    """

    types: tuple[str, ...]
    data: bytes
    cursor: str = ""
    expired: bool = False
    retry_seconds: int = 0
    heartbeat: bool = False

    @property
    def type(self) -> str:
        """Of its last event."""
        return self.types[-1]


def batched(frames: Sequence[Frame]) -> Frame:
    """``frames`` as one message, after which the cursor is that of the last one that has one."""
    last = frames[-1]
    return Frame(
        types=tuple(each for frame in frames for each in frame.types),
        data=b'{"events":[%s]}' % b",".join(frame.data for frame in frames),
        cursor=next((frame.cursor for frame in reversed(frames) if frame.cursor), ""),
        expired=last.expired,
        retry_seconds=last.retry_seconds,
        heartbeat=all(frame.heartbeat for frame in frames),
    )
