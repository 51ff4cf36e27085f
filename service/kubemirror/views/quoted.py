"""Names and values in double quotes, as CSV has them: a quote within is doubled, and a backslash is a backslash.

So whatever a column is called, and whatever a cell shows, can be written in ``columns``, ``sort``, ``filter`` and
``group``.
"""

from __future__ import annotations

import re

_at_the_start = re.compile(r'"((?:[^"]|"")*)"')
# Nothing in it means anything to a parameter; what begins with a hyphen sorts the other way round.
_is_plain = re.compile(r"[\w./](?:[\w ./-]*[\w./-])?").fullmatch


def written(text: str) -> str:
    """``text`` as a parameter names it: in quotes where it has marks that mean something there."""
    return text if _is_plain(text) else quoted(text)


def quoted(text: str) -> str:
    """``text`` in quotes."""
    return '"' + text.replace('"', '""') + '"'


def unquoted(text: str) -> str:
    """What stands in quotes, where they are around all of ``text``; else ``text`` itself."""
    name, rest = cut(text)
    return text if name is None or rest else name


def cut(text: str) -> tuple[str | None, str]:
    """What stands in the quotes that ``text`` begins with, and what follows them; None where it begins with none."""
    found = _at_the_start.match(text)
    return (found[1].replace('""', '"'), text[found.end() :]) if found is not None else (None, text)
