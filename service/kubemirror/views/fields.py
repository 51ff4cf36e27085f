"""Reads decoded objects of which nothing is certain: a custom resource may hold anything anywhere.

Each function gives what is there where it has the type that is expected, and nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubemirror.views.duration import timestamp

Fields = Mapping[str, Any]
_NOTHING: Fields = {}


def mapping(value: Any, *path: str) -> Fields:
    """The map at ``path`` below ``value``; an empty one where there is none."""
    found = _at(value, path)
    return found if isinstance(found, dict) else _NOTHING


def maps(value: Any, *path: str) -> list[Fields]:
    """The maps in the list at ``path``; other items are left out."""
    found = _at(value, path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text(value: Any, *path: str) -> str:
    """The string at ``path``, "" where there is none."""
    found = _at(value, path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str, default: int = 0) -> int:
    """The integer at ``path``; ``default`` where there is none."""
    found = _at(value, path)
    return found if type(found) is int else default


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def instant(value: Any, *path: str) -> float | None:
    """Seconds since 1970 of the time at ``path``; None where there is none, or what is none."""
    try:
        return timestamp(text(value, *path))
    except ValueError:
        return None
