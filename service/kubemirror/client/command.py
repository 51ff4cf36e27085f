"""``kubemirror watch``: prints as ``kubectl get -w`` does, from a mirror, through lost connections and restarts.

Rows go to standard output and nothing else does: what it is doing, and what went wrong, is told on standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from kubemirror.client.errors import MirrorError
from kubemirror.client.events import Bookmark, Event, ObjectEvent, Reset
from kubemirror.client.mirror import Lost, Mirror, Rows
from kubemirror.client.printing import Printer, cell
from kubemirror.client.watching import Watch

EXIT_REFUSED = 1
# As a shell tells that a process was ended by SIGPIPE.
EXIT_PIPE = 141


@dataclass(frozen=True, slots=True)
class Watched:
    """What is asked for on the command line. output: "", wide, name or json. columns: of a table."""

    resource: str
    name: str = ""
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    q: str = ""
    filter: str = ""
    columns: str = ""
    output: str = ""


def watch(
    watched: Watched,
    server: str,
    *,
    token_file: str | None = None,
    ca: str | None = None,
) -> int:
    """Until Ctrl-C, or until it cannot go on; the exit code. Raises ConfigError."""
    mirror = Mirror(server, token_file=token_file, ca=ca)
    try:
        asyncio.run(_watch(mirror, watched, Out(sys.stdout)))
    except MirrorError as error:
        _say(str(error))
        return EXIT_REFUSED
    except BrokenPipeError:
        # Else Python, which flushes at its end, says so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    return 0


class Out:
    """Standard output, handed on line by line: who reads from a pipe waits for each."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, lines: list[str]) -> None:
        if lines:
            self._file.write("\n".join(lines) + "\n")
            self._file.flush()


async def _watch(mirror: Mirror, watched: Watched, out: Out) -> None:
    said = Said()
    asked: dict[str, Any] = {
        "namespace": watched.namespace,
        "name": watched.name,
        "label_selector": watched.label_selector,
        "field_selector": watched.field_selector,
        "q": watched.q,
        "filter": watched.filter,
        "on_lost": said.lost,
    }
    async with mirror:
        if watched.output == "json":
            await _tell(mirror.watch(watched.resource, **asked), out, said, _json)
            return
        if watched.output == "name":
            await _tell(mirror.watch(watched.resource, as_="key", **asked), out, said, _name)
            return
        wide = watched.output == "wide"
        await _print(mirror.rows(watched.resource, columns=watched.columns, wide=wide, **asked), out, said)


async def _tell(events: Watch, out: Out, said: Said, form: Callable[[dict[str, Any]], str]) -> None:
    """Each object in a form of its own."""
    async with events:
        async for event in events:
            said.heard(event)
            if isinstance(event, ObjectEvent):
                out.write([form(event.object)])


async def _print(rows: Rows, out: Out, said: Said) -> None:
    """As rows of one table. What is there at first is printed together, so that it is aligned."""
    printer = Printer()
    first: list[ObjectEvent] | None = []
    titles: list[str] = []
    async with rows.events:
        async for event in rows.events:
            said.heard(event)
            told: list[ObjectEvent] = []
            if isinstance(event, ObjectEvent):
                if first is None:
                    told = [event]
                else:
                    first.append(event)
            elif first is not None and isinstance(event, Bookmark) and event.initial_events_end:
                told, first = first, None
            if not told:
                continue
            now = [column.name.upper() for column in rows.columns]
            lines = [] if now == titles else [now]
            titles = now
            out.write(printer.lines(lines + [[cell(each) for each in row.object.get("cells", ())] for row in told]))


def _json(held: dict[str, Any]) -> str:
    return json.dumps(held, indent=4, ensure_ascii=False)


def _name(held: dict[str, Any]) -> str:
    group = held["apiVersion"].rpartition("/")[0]
    kind: str = held["kind"].lower()
    return f"{kind}.{group}/{held['metadata']['name']}" if group else f"{kind}/{held['metadata']['name']}"


class Said:
    """What has been said on standard error, so that it is said once."""

    def __init__(self) -> None:
        self._lost = False
        self._stale = False

    def lost(self, how: Lost) -> None:
        self._lost = True
        _say(f"{how.reason}; again in {how.seconds:.1f} s")

    def heard(self, event: Event) -> None:
        if self._lost:
            self._lost = False
            _say("connected again")
        if isinstance(event, Reset):
            _say(f"{event.message}: what has become different meanwhile follows")
        elif isinstance(event, Bookmark) and event.state:
            stale = event.state != "SYNCED"
            if stale and not self._stale:
                since = f" since {event.stale_since:%H:%M:%S} UTC" if event.stale_since is not None else ""
                _say(f"the mirror has lost its cluster{since}: nothing new is known")
            elif self._stale and not stale:
                _say("the mirror hears its cluster again")
            self._stale = stale


def _say(what: str) -> None:
    print(f"kubemirror: {what}", file=sys.stderr, flush=True)  # noqa: T201
