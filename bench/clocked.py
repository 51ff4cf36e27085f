"""``kubemirror serve`` with a clock at both ends: when an event's bytes came, and when each reader's were written.

Nothing else is another: the clock is read beside what the mirror does anyway (0.3 µs at a write, of several). What it
noted is written to a file when the mirror has ended: by round and event, milliseconds from the moment in which the HTTP
client was handed the event's bytes, before they were cut into lines, to the return of each reader's write. An event
whose mark lies across two pieces of what upstream sent is left out.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from aiohttp.client_proto import ResponseHandler

# As the load generator writes it (streams/main.go): event, round.
MARK = re.compile(rb'"bench\.kubemirror/event":"(\d+) (\d+)"')
_MARKED = b'"bench.kubemirror/event":"'

# By round, then by event.
Delays = dict[int, dict[int, list[float]]]

_came: list[tuple[float, bytes]] = []
# Two lists and no pairs, which the mirror's collector would have to look at.
_written: list[bytes] = []
_written_at: list[float] = []


def program(file: Path) -> str:
    """What Python is to run for such a mirror."""
    return f"import sys; sys.modules['rich'] = None; from bench.clocked import main; main({str(file)!r})"


def read(file: Path) -> Delays:
    """What a mirror that has ended wrote there."""
    told = json.loads(file.read_text())
    return {int(round_): {int(event): list(each) for event, each in events.items()} for round_, events in told.items()}


def main(file: str) -> None:
    """Serve, as the command line says; does not return."""
    _clock_upstream()
    _clock_readers()
    from kubemirror.__main__ import main as kubemirror  # now that what is clocked is in place

    status: object = 1
    try:
        status = kubemirror()
    finally:
        Path(file).write_text(json.dumps(_delays()))
        sys.exit(status)  # type: ignore[arg-type]


def _clock_upstream() -> None:
    received = ResponseHandler.data_received

    def data_received(self: ResponseHandler, data: bytes) -> None:
        if _MARKED in data:
            _came.append((perf_counter(), bytes(data)))
        received(self, data)

    ResponseHandler.data_received = data_received  # type: ignore[method-assign]


def _clock_readers() -> None:
    from kubemirror.serve import protocol

    class SocketOutlet(protocol.SocketOutlet):
        __slots__ = ()

        def __init__(self, of: protocol.WebSocketProtocol) -> None:
            super().__init__(of)
            self.write = _clocked(self.write)  # type: ignore[assignment] # as narrow as Outlet

    class WebSocketProtocol(protocol.WebSocketProtocol):
        async def send(self, message: Any) -> None:
            await super().send(message)
            text = message.get("text")
            if text is not None:
                _note(text.encode())

    protocol.SocketOutlet = SocketOutlet  # type: ignore[misc, assignment]
    protocol.WebSocketProtocol = WebSocketProtocol  # type: ignore[misc]


def _clocked(write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def timed(data: bytes) -> None:
        write(data)
        _written_at.append(perf_counter())
        _written.append(data)

    return timed


def _note(data: bytes) -> None:
    _written_at.append(perf_counter())
    _written.append(data)


def _delays() -> Delays:
    came: dict[tuple[int, int], float] = {}
    for at, data in _came:
        for event, round_ in MARK.findall(data):
            came.setdefault((int(round_), int(event)), at)
    marks: dict[int, list[tuple[int, int]]] = {}  # of bytes that many were written
    delays: Delays = defaultdict(lambda: defaultdict(list))
    for at, data in zip(_written_at, _written, strict=True):
        known = marks.get(id(data))
        if known is None:
            known = marks[id(data)] = [(int(round_), int(event)) for event, round_ in MARK.findall(data)]
        for mark in known:
            if mark in came:
                delays[mark[0]][mark[1]].append((at - came[mark]) * 1000)
    return delays
