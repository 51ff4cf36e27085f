"""The JSONPath dialect of client-go (util/jsonpath), as printer columns use it.

It is not the one of RFC 9535: dots are escaped by a backslash even in ``['a\\.b']``, ``[1]`` out of bounds is
an error, a filter compares by type (an integer never equals a float), and missing keys select nothing. A
path is parsed once into steps; a step is a function from the values so far to the values after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubemirror.errors import KubemirrorError

JSON = Any  # what a JSON decoder returns
Values = list[JSON]
Step = Callable[[Values], Values]


class JSONPathError(KubemirrorError):
    """The path does not parse, or cannot be evaluated on this object."""


class JSONPath:
    """A parsed path."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str) -> None:
        """text: what stands between the braces. Raises JSONPathError where upstream's parser fails."""
        self.text = text
        self._steps = _Parser(text).steps()

    def find(self, data: JSON) -> Values:
        """What the path selects, in order; [] where keys are missing. JSONPathError where upstream errs."""
        return _run(self._steps, [data])


def _run(steps: list[Step], values: Values) -> Values:
    for step in steps:
        values = step(values)
    return values


# -- parser -----------------------------------------------------------------------------------------------

_END = ""
_TERMINATORS = frozenset(" \t\r\n.,[]$@{}")
_dict_key = re.compile(r"'([^']*)'").fullmatch
_slice = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?").fullmatch
_comparison = re.compile(r"([^!<>=]+)([!<>=]+)(.+)").fullmatch


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        recursive = False  # whether the step before is "..", which may not be doubled
        while True:
            if self._starts("[?("):
                steps.append(self._filter())
            elif self._starts(".."):
                if recursive:
                    raise JSONPathError("invalid multiple recursive descent")
                steps.append(_recursive)
                if not _alphanumeric(self._peek()):
                    recursive = True
                    continue
                steps.append(self._field())
            else:
                character = self._next()
                if character in (_END, "}"):  # upstream's text goes on after "}"; a column shows the first part
                    return steps
                if character in "\r\n":
                    raise JSONPathError("unclosed action")
                if character in " @$":
                    continue
                steps += self._step(character)
            recursive = False

    def _step(self, character: str) -> list[Step]:
        if character == "[":
            return self._array()
        if character in "\"'":
            return [_constant(self._quoted(character))]
        if character == ".":
            return [self._field()]
        if character in "+-" or character.isdigit():
            return [_constant(self._number())]
        if _alphanumeric(character):
            return [self._word()]
        raise JSONPathError(f"unrecognized character in action: {character!r}")

    def _starts(self, prefix: str) -> bool:
        if not self._text.startswith(prefix, self._position):
            return False
        self._position += len(prefix)
        return True

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        character = self._peek()
        self._position += len(character)
        return character

    def _field(self) -> Step:
        start = self._position
        while (character := self._next()) != _END:
            if character == "\\":
                self._next()
            elif character in _TERMINATORS:
                self._position -= 1
                break
        name = self._text[start : self._position]
        return _wildcard if name == "*" else _get(name.replace("\\", ""))

    def _word(self) -> Step:
        start = self._position - 1
        while (character := self._peek()) != _END and character not in _TERMINATORS:
            self._position += 1
        word = self._text[start : self._position]
        if word in ("true", "false"):
            return _constant(word == "true")
        raise JSONPathError(f"unrecognized identifier {word}")  # range and end have no place in a column

    def _number(self) -> int | float:
        start = self._position - 1
        while (character := self._peek()) == "." or (character != _END and character.isdigit()):
            self._position += 1
        text = self._text[start : self._position]
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            raise JSONPathError(f"cannot parse number {text}") from None

    def _quoted(self, quote: str) -> str:
        start = self._position
        while (character := self._next()) not in (_END, "\n"):
            if character == quote and self._text[self._position - 2] != "\\":
                return _unquote(self._text[start : self._position - 1])
        raise JSONPathError("unterminated quoted string")

    def _array(self) -> list[Step]:
        end = self._text.find("]", self._position)
        inside = self._text[self._position : end]
        if end < 0 or "\n" in inside:
            raise JSONPathError("unterminated array")
        self._position = end + 1
        parts = inside.split(",")
        if len(parts) > 1:
            return [_union([_Parser(f"[{part.strip(' ')}]").steps() for part in parts])]
        if key := _dict_key(inside):
            return _Parser(f".{key[1]}").steps()
        bounds = _slice(":" if inside == "*" else inside)
        if bounds is None:
            raise JSONPathError(f"invalid array index {inside}")
        return [_elements(*_bounds(*bounds.groups(default="")))]

    def _filter(self) -> Step:
        start = self._position
        quote, closed = "", False
        while True:
            character = self._next()
            if character in (_END, "\n"):
                raise JSONPathError("unterminated filter")
            if character in "\"'":
                if not quote:
                    quote = character
                elif character == quote and self._text[self._position - 2] != "\\":
                    closed = True
            elif character == ")" and bool(quote) == closed:
                break
        text = self._text[start : self._position - 1]
        if self._next() != "]":
            raise JSONPathError("unclosed array expect ]")
        comparison = _comparison(text)
        if comparison is None:
            return _exists(_Parser(text).steps())
        left, operator, right = comparison.groups()
        return _compare(_Parser(left).steps(), operator, _Parser(right).steps())


def _alphanumeric(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdigit()


_UNQUOTED = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


def _unquote(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        if (simple := _UNQUOTED.get(match[1])) is not None:
            return simple
        raise JSONPathError(f"unquote string {text} error invalid syntax")

    return re.sub(r"\\(.?)", character, text, flags=re.DOTALL)


def _bounds(first: str, end: str, step: str) -> tuple[int, int | None, int | None, bool]:
    try:
        start = int(first) if first else 0
        # Without a colon it is one index: the end follows from it.
        stop = (start + 1) if not end else (int(end[1:]) if end[1:] else None)
        return start, stop, int(step[1:]) if step[1:] else None, not end
    except ValueError:
        raise JSONPathError(f"array index {first}{end}{step} is not a number") from None


# -- steps ------------------------------------------------------------------------------------------------


def _constant(value: JSON) -> Step:
    return lambda values: [value for _ in values]


def _get(name: str) -> Step:
    def get(values: Values) -> Values:
        return [value[name] for value in values if isinstance(value, dict) and name in value]

    return get


def _inside(value: JSON) -> Values:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return list(value.encode())  # Go's strings are bytes
    return []


def _wildcard(values: Values) -> Values:
    return [inner for value in values for inner in _inside(value)]


def _recursive(values: Values) -> Values:
    found: Values = []
    for value in values:
        inner = _inside(value)
        if inner:
            found.append(value)
            found += _recursive(inner)
    return found


def _union(branches: list[list[Step]]) -> Step:
    return lambda values: [found for branch in branches for found in _run(branch, values)]


def _elements(first: int, end: int | None, step: int | None, single: bool) -> Step:
    def elements(values: Values) -> Values:
        found: Values = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise JSONPathError("not an array or slice")
            length = len(value)
            start = first + length if first < 0 else first
            stop = length if end is None else end
            if stop < 0 or (stop == 0 and single):
                stop += length
            if start == stop:
                return found
            if not 0 <= start < length or not 0 <= stop <= length or start > stop:
                raise JSONPathError(f"array index out of bounds: index {start}, length {length}")
            if step is not None and step <= 0:
                raise JSONPathError("step must be > 0")
            found += value[start : stop : step or 1]
        return found

    return elements


def _candidates(values: Values) -> Values:
    for value in values:
        if not isinstance(value, list):
            raise JSONPathError("not an array or slice and cannot be filtered")
    return [element for value in values for element in value]


def _exists(steps: list[Step]) -> Step:
    def exists(values: Values) -> Values:
        found: Values = []
        for element in _candidates(values):
            try:
                if _run(steps, [element]):
                    found.append(element)
            except JSONPathError:
                found.append(element)  # upstream looks at the values before it looks at the error
        return found

    return exists


def _compare(left: list[Step], operator: str, right: list[Step]) -> Step:
    if operator not in _COMPARISONS:

        def refuse(values: Values) -> Values:
            if _candidates(values):
                raise JSONPathError(f"unrecognized filter operator {operator}")
            return []

        return refuse
    holds = _COMPARISONS[operator]

    def compare(values: Values) -> Values:
        found: Values = []
        for element in _candidates(values):
            lefts, rights = _run(left, [element]), _run(right, [element])
            if len(lefts) > 1 or (lefts and len(rights) > 1):
                raise JSONPathError("can only compare one element at a time")
            if lefts and rights and holds(lefts[0], rights[0]):
                found.append(element)
        return found

    return compare


def _comparable(left: JSON, right: JSON) -> type:
    if type(left) is not type(right) or not isinstance(left, bool | int | float | str):
        raise JSONPathError("incompatible types for comparison")
    return type(left)


def _equal(left: JSON, right: JSON) -> bool:
    _comparable(left, right)
    return bool(left == right)


def _less(left: JSON, right: JSON) -> bool:
    if _comparable(left, right) is bool:
        raise JSONPathError("invalid type for comparison")
    return bool(left < right)


_COMPARISONS: dict[str, Callable[[JSON, JSON], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _less,
    ">": lambda left, right: _less(right, left),
    "<=": lambda left, right: not _less(right, left),
    ">=": lambda left, right: not _less(left, right),
}
