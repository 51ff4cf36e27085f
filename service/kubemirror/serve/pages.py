"""HTML: one Jinja environment of our own, where everything that comes from a cluster is data.

Escaping is on for every template whatever its name (Starlette's own is not), what cannot be seen is shown by its code
point (visible.py), a missing variable is an error, and links are made of path segments that are quoted each, or are
values that web_url allows. No template contains script or style, and none calls anything safe: a test says so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kubemirror.serve.asked import Asked
from kubemirror.serve.assets import Static, web
from kubemirror.serve.embed import carried
from kubemirror.serve.links import list_path, object_path
from kubemirror.serve.visible import cell, cut, ratio, shown, web_url
from kubemirror.views.computed import MARK, short
from kubemirror.views.conditions import MARKS, Tone
from kubemirror.views.duration import human_duration
from kubemirror.views.images import parse_image

if TYPE_CHECKING:
    from jinja2 import Environment


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
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "ago": human_duration,
            "cell": cell,
            "clock": clock,
            "cut": cut,
            "humps": humps,
            "image_name": image_name,
            "ratio": ratio,
            "segment": segment,
            "sentence": sentence,
            "short": short,
            "web_url": web_url,
        }
        environment.globals |= {
            "query": urlencode,
            "list_path": list_path,
            "marked_path": marked_path,
            "object_path": object_path,
            "tones": MARKS,
        }
        return environment

    def macros(self, template: str) -> Any:
        """The macros of a template that has nothing else."""
        return self._environment.get_template(template).module

    def render(self, template: str, asked: Asked, **model: object) -> str:
        """The page; ``asked`` decides where its links lead."""
        page = self._environment.get_template(template).render(
            base=asked.base,
            asked=asked,
            assets=f"{asked.base}/-/static/{self.static.version}",
            embedded=asked.embedded,
            **model,
        )
        return page if asked.embedded is None else carried(page, asked.base, asked.embedded, asked.embed)


def marked_path(resource: str, tone: Tone, namespace: str = "") -> str:
    """The list of a resource's objects with that mark."""
    return list_path(resource, namespace, filter=f"{MARK}=={MARKS[tone]}")


def humps(kind: str) -> list[str]:
    """A kind in its words, between which it may go on in another line: Custom Resource Definition."""
    return re.split(r"(?<=[a-z0-9])(?=[A-Z])", kind)


def image_name(image: str) -> str:
    """An image without its tag and digest."""
    return parse_image(image).name


def sentence(text: str) -> str:
    """A text with an end: others' messages bring their own, or none."""
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."


def segment(value: str) -> str:
    """A value as one segment of a path."""
    return quote(value, safe="")


def clock(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339, for a time element."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
