"""A stream of rows as ``kubectl get -w`` prints it, for whoever reads /watch in a terminal (``output=table``).

Every state of an object is a line, its last one too. What is printed is never printed again, so a line is aligned to
those before it. What kubectl cannot know, that the mirror has lost its cluster, is said in a line that begins with #.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from kubemirror.serve.frame import Frame
from kubemirror.serve.text_forms import text_of

# kubectl's tabwriter: no column is narrower, and this much lies between two.
LEAST_WIDTH, PADDING = 6, 3


class Aligned:
    """Remembers how wide each column has become, and what has been said."""

    def __init__(self) -> None:
        self._widths: list[int] = []
        self._titles: list[str] = []  # printed with the first row
        self._stale = False

    def body(self, frames: Iterable[Frame]) -> bytes:
        """What is to be printed of ``frames``; those that come together align with each other."""
        printed: list[str | list[str]] = []
        for frame in frames:
            message = orjson.loads(frame.data)
            for event in message.get("events", [message]):
                printed += self._lines(event)
        for cells in printed:
            if not isinstance(cells, str):
                self._widen(cells)
        return "".join(f"{each if isinstance(each, str) else self._line(each)}\n" for each in printed).encode()

    def _lines(self, event: dict[str, Any]) -> Iterator[str | list[str]]:
        match event["type"]:
            case "SUBSCRIBED":
                (columns,) = event["columns"].values()
                self._titles = [text_of(each["name"]).upper() for each in columns]
            case "ADDED" | "MODIFIED" | "DELETED":
                cells = event["object"].get("cells")
                if cells is not None:
                    if self._titles:
                        yield self._titles
                        self._titles = []
                    yield [text_of(cell) for cell in cells]
            case "BOOKMARK":
                stale = event["state"] != "SYNCED"
                if stale and not self._stale:
                    yield f"# the mirror has lost its cluster since {event.get('staleSince')}: nothing new is known"
                elif self._stale and not stale:
                    yield "# the mirror hears its cluster again"
                self._stale = stale
            case "RESET":
                yield f"# {text_of(event['object']['message'])}: what there is follows"
            case "ERROR":
                yield f"error: {text_of(event['object']['message'])}"

    def _widen(self, cells: Sequence[str]) -> None:
        self._widths += [LEAST_WIDTH] * (len(cells) - len(self._widths))
        for index, text in enumerate(cells):
            self._widths[index] = max(self._widths[index], len(text) + PADDING)

    def _line(self, cells: Sequence[str]) -> str:
        return "".join(text.ljust(self._widths[index]) for index, text in enumerate(cells)).rstrip()
