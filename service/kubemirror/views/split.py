"""Cuts what is written with commas, but not within quotes, brackets, or after a backslash."""

from __future__ import annotations

_CLOSING = {"[": "]", "(": ")", "{": "}"}


def split(text: str, separator: str = ",") -> list[str]:
    """The parts of ``text``, as they are written. What is never closed goes on to the end.

    A backslash takes what follows as it is. Not so within double quotes (quoted.py), but for those of a path's
    brackets, where JSONPath has it so.
    """
    parts: list[str] = []
    start, quote = 0, ""
    open_: list[str] = []
    characters = iter(enumerate(text))
    for index, character in characters:
        if character == "\\" and (quote != '"' or open_):
            next(characters, None)
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _CLOSING:
            open_.append(_CLOSING[character])
        elif open_ and character == open_[-1]:
            open_.pop()
        elif character == separator and not open_:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]
