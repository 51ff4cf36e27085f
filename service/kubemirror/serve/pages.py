"""HTML: one Jinja environment of our own, where everything that comes from a cluster is data.

Escaping is on for every template whatever its name (Starlette's own is not), a missing variable is an error,
and links are made of path segments that are quoted each. No template contains script or style.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from kubemirror.serve.asked import Asked
from kubemirror.serve.assets import Static, web
from kubemirror.serve.embed import carried
from kubemirror.views.duration import human_duration

if TYPE_CHECKING:
    from jinja2 import Environment

# Characters that turn the direction of text: a name must not be able to rewrite the line it stands in.
_BIDI = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
# What one cell shows at most; the whole value is in the object's YAML.
CELL_CHARACTERS = 300


class Pages:
    """Renders templates for one installation."""

    def __init__(self) -> None:
        self.static = Static(web() / "static")

    @cached_property
    def _environment(self) -> Environment:
        # Here: 2 MB and 50 ms that a mirror without a person in front of it never needs.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(web() / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"cell": cell, "segment": segment, "ago": human_duration, "clock": clock}
        environment.globals |= {"query": urlencode}
        return environment

    def render(self, template: str, asked: Asked, **model: object) -> str:
        """The page; ``asked`` decides where its links lead."""
        page = self._environment.get_template(template).render(
            base=asked.base,
            asked=asked,
            assets=f"{asked.base}/-/static/{self.static.version}",
            embedded=asked.embedded,
            **model,
        )
        return page if asked.embedded is None else carried(page, asked.base, asked.embedded)


def cell(value: object) -> str:
    """A value as it may stand in a table: bounded, on one line, and reading from left to right."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > CELL_CHARACTERS:
        text = text[: CELL_CHARACTERS - 1] + "…"
    return text.translate(_BIDI)


def segment(value: str) -> str:
    """A value as one segment of a path."""
    return quote(value, safe="")


def clock(seconds: float) -> str:
    """Seconds since 1970 for a time element."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
