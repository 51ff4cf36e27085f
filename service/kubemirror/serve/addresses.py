"""Addresses of a page's other states and forms: the same query, with some of it changed."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlencode

from kubemirror.serve.asked import Asked
from kubemirror.serve.output import OBJECTS, Output

# Listed on a page beside the forms of objects.
_OF_ROWS = tuple(each for each in Output if each in OBJECTS)


def given(asked: Asked) -> dict[str, str]:
    """The query's parameters, the empty ones left out, and those that choose a form; repeated ones with commas."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(asked.query):
        if name not in ("output", "as"):
            found[name] = f"{found[name]},{value}" if name in found else value
    return found


def url_of(asked: Asked, parameters: dict[str, str], *, drop: tuple[str, ...] = ()) -> str:
    """This page's path with other parameters; empty ones are left out."""
    kept = {name: value for name, value in parameters.items() if value and name not in drop}
    path = quote(f"{asked.base}{asked.path}")
    return f"{path}?{urlencode(kept, safe='*')}" if kept else path  # as browsers write it


def forms_of(asked: Asked, *, without: Iterable[Output] = ()) -> list[tuple[str, str]]:
    """(name, address) of this page's other forms."""
    here = given(asked)
    plain = [each for each in Output if each is not Output.HTML and each not in without]
    forms = [(str(each), url_of(asked, {**here, "output": str(each)})) for each in plain]
    return forms + [(f"rows as {each}", url_of(asked, {**here, "output": str(each), "as": "row"})) for each in _OF_ROWS]
