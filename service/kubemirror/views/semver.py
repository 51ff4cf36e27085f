"""Versions as people write them in tags, in the order of Semantic Versioning 2.0.0 (11).

Read leniently: a ``v`` in front, one number or many, and numbers of any length. What follows a hyphen comes before the
release, as the standard has it of pre-releases, though a tag may mean a variant by it.
"""

from __future__ import annotations

import re

_version = re.compile(r"[vV]?(\d{1,18}(?:\.\d{1,18}){0,7})(?:-([0-9A-Za-z.-]+))?(?:[+_][0-9A-Za-z.-]*)?", re.ASCII)

# Numbers, then 1 for a release and 0 for what comes before it, then the parts of what comes before it.
Key = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]


def version_key(text: str) -> Key | None:
    """What orders versions; equal for ``v1.2`` and ``1.2.0``. None for what is no version: ``latest``, a digest."""
    found = _version.fullmatch(text)
    if found is None:
        return None
    numbers, before = found.groups()
    release = [int(number) for number in numbers.split(".")]
    while release and not release[-1]:
        release.pop()
    parts = tuple(_part(part) for part in before.split(".")) if before else ()
    return tuple(release), 0 if before else 1, parts


def _part(text: str) -> tuple[int, int, str]:
    """Numbers before words (11.4.3)."""
    return (0, int(text), "") if text.isdigit() and len(text) <= 18 else (1, 0, text)
