"""Label selectors, parsed as apimachinery's pkg/labels/selector.go parses them, error texts included.

The text comes from clients that were written against upstream, and so do the mistakes in it: what upstream
refuses is refused here in the same words, and what it lets pass (``in ()``, a keyword as a key) passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from kubemirror.errors import SelectorError

_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_is_name = re.compile(_NAME).fullmatch
_is_value = re.compile(_VALUE).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_integer = re.compile("[+-]?[0-9]+").fullmatch

_NAME_BYTES = 63
_SUBDOMAIN_BYTES = 253
_NAME_ERROR = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
)
_VALUE_ERROR = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    f"regex used for validation is '{_VALUE}')"
)
_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_INTEGER_ERROR = "for 'Gt', 'Lt' operators, the value must be an integer"
_BINARY_OPERATORS = "in, notin, =, ==, !=, gt, lt"


class Operator(StrEnum):
    """How a requirement relates its key to its values; spelled as in a selector, but for EXISTS and ABSENT."""

    IN = "in"
    NOT_IN = "notin"
    EQUALS = "="
    DOUBLE_EQUALS = "=="
    NOT_EQUALS = "!="
    GREATER = ">"
    LESS = "<"
    EXISTS = "exists"
    ABSENT = "!"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector; ``values`` are sorted and unique, () for EXISTS and ABSENT."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.ABSENT:
                return f"!{self.key}"
            case Operator.IN | Operator.NOT_IN:
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


Labels = Mapping[str, str]
_Test = Callable[[Labels], bool]


class LabelSelector:
    """The AND of its requirements, compiled once. Equal texts after parsing make equal selectors."""

    __slots__ = ("_tests", "_text", "requirements")

    def __init__(self, requirements: tuple[Requirement, ...]) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self._tests: tuple[_Test, ...] = tuple(map(_compile, self.requirements))
        self._text = ",".join(map(str, self.requirements))

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self._tests

    @property
    def equality(self) -> tuple[str, str] | None:
        """One (key, value) that everything selected carries, where there is one: what an index can use."""
        for requirement in self.requirements:
            match requirement:
                case Requirement(key, Operator.EQUALS | Operator.DOUBLE_EQUALS | Operator.IN, (value,)):
                    return key, value
        return None

    def matches(self, labels: Labels) -> bool:
        """Whether an object with these labels is selected."""
        return all(test(labels) for test in self._tests)

    def __str__(self) -> str:
        """The canonical text, as upstream prints it: sorted by key, values sorted."""
        return self._text

    def __repr__(self) -> str:
        return f"LabelSelector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@lru_cache(maxsize=1024)  # the same few dashboards ask again and again; a selector is a few hundred bytes
def parse_label_selector(text: str) -> LabelSelector:
    """The selector of a ``labelSelector`` parameter; SelectorError in upstream's words. "" selects everything."""
    return LabelSelector(tuple(_Parser(_tokens(text)).requirements()))


def _compile(requirement: Requirement) -> _Test:
    key, values = requirement.key, requirement.values
    match requirement.operator:
        case Operator.EXISTS:
            return lambda labels: key in labels
        case Operator.ABSENT:
            return lambda labels: key not in labels
        case Operator.IN | Operator.EQUALS | Operator.DOUBLE_EQUALS:
            if len(values) == 1:
                value = values[0]
                return lambda labels: labels.get(key) == value
            wanted = frozenset(values)
            return lambda labels: labels.get(key) in wanted
        case Operator.NOT_IN | Operator.NOT_EQUALS:  # an absent label is not equal to anything
            refused = frozenset(values)
            return lambda labels: labels.get(key) not in refused
        case Operator.GREATER | Operator.LESS:
            bound = int(values[0])
            greater = requirement.operator is Operator.GREATER

            def compare(labels: Labels) -> bool:
                number = _int64(labels.get(key))
                return number is not None and (number > bound if greater else number < bound)

            return compare


def _int64(text: str | None) -> int | None:
    """What Go's strconv.ParseInt(text, 10, 64) takes; None for the rest."""
    if text is None or not text.isascii() or _is_integer(text) is None:
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


# -- lexer ------------------------------------------------------------------------------------------------

_SPECIAL = frozenset("=!(),><")
_WHITESPACE = frozenset(" \t\r\n")
_PAIRS = frozenset({"==", "!="})
_KEYWORDS = frozenset({"in", "notin"})
_IDENTIFIER = "identifier"
_END = "end"


class _Token(NamedTuple):
    kind: str  # a symbol, a keyword, _IDENTIFIER or _END
    text: str

    @property
    def value(self) -> str:
        """Its kind where a keyword may stand for itself: ``in`` and ``notin`` are good keys and values."""
        return _IDENTIFIER if self.kind in _KEYWORDS else self.kind


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text)
    while True:
        while position < end and text[position] in _WHITESPACE:
            position += 1
        if position == end or text[position] == "\0":  # upstream's lexer takes a NUL for the end
            tokens.append(_Token(_END, ""))
            return tokens
        start = position
        if text[position] in _SPECIAL:
            position += 2 if text[position : position + 2] in _PAIRS else 1
            symbol = text[start:position]
            tokens.append(_Token(symbol, symbol))
            continue
        while position < end and text[position] not in _SPECIAL and text[position] not in _WHITESPACE:
            if text[position] == "\0":
                break
            position += 1
        word = text[start:position]
        if position < end and text[position] == "\0":
            position += 1  # ends the word and is swallowed with it
        tokens.append(_Token(word if word in _KEYWORDS else _IDENTIFIER, word))


# -- parser -----------------------------------------------------------------------------------------------


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0

    def requirements(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            ahead = self._ahead
            if ahead.value == _END:
                return requirements
            if ahead.value not in (_IDENTIFIER, "!"):
                raise SelectorError(f"found '{ahead.text}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            after = self._take()
            if after.value == _END:
                return requirements
            if after.value != ",":
                raise SelectorError(f"found '{after.text}', expected: ',' or 'end of string'")
            if self._ahead.value not in (_IDENTIFIER, "!"):
                raise SelectorError(f"found '{self._ahead.text}', expected: identifier after ','")

    @property
    def _ahead(self) -> _Token:
        return self._tokens[self._position]

    def _take(self) -> _Token:
        token = self._tokens[self._position]
        self._position += 1
        return token

    def _requirement(self) -> Requirement:
        token = self._take()
        absent = token.kind == "!"
        if absent:
            token = self._take()
        if token.value != _IDENTIFIER:
            raise SelectorError(f"found '{token.text}', expected: identifier")
        key = token.text
        errors = _key_errors(key)
        if errors:
            raise SelectorError(f"<nil>: Invalid value: {go_quote(key)}: {'; '.join(errors)}")
        if absent:
            return Requirement(key, Operator.ABSENT)
        if self._ahead.value in (_END, ","):
            return Requirement(key, Operator.EXISTS)
        operator = self._operator()
        values = self._values() if operator in (Operator.IN, Operator.NOT_IN) else {self._exact_value()}
        return _validated(Requirement(key, operator, tuple(sorted(values, key=str.encode))))

    def _operator(self) -> Operator:
        token = self._take()
        if token.kind in _OPERATORS:
            return Operator(token.kind)
        raise SelectorError(f"found '{token.text}', expected: {_BINARY_OPERATORS}")

    def _values(self) -> set[str]:
        token = self._take()
        if token.kind != "(":
            raise SelectorError(f"found '{token.text}' expected: '('")
        first = self._ahead
        if first.kind == ")":
            self._take()
            return {""}
        if first.value not in (_IDENTIFIER, ","):
            raise SelectorError(f"found '{first.text}', expected: ',', ')' or identifier")
        values = self._identifiers()
        if self._take().kind != ")":
            raise SelectorError(f"found '{first.text}', expected: ')'")
        return values

    def _identifiers(self) -> set[str]:
        values: set[str] = set()
        while True:
            token = self._take()
            ahead = self._ahead if token.kind != _END else token
            if token.value == _IDENTIFIER:
                values.add(token.text)
                if ahead.kind == ")":
                    return values
                if ahead.kind != ",":
                    raise SelectorError(f"found '{ahead.text}', expected: ',' or ')'")
            elif token.kind == ",":
                if not values:
                    values.add("")  # "(,"
                if ahead.kind in (")", ","):
                    values.add("")  # ",)" and ",,"
                if ahead.kind == ")":
                    return values
            else:
                raise SelectorError(f"found '{token.text}', expected: ',', or identifier")

    def _exact_value(self) -> str:
        if self._ahead.value in (_END, ","):
            return ""
        token = self._take()
        if token.value != _IDENTIFIER:
            raise SelectorError(f"found '{token.text}', expected: identifier")
        return token.text


_OPERATORS = frozenset({"in", "notin", "=", "==", "!=", ">", "<"})


def _validated(requirement: Requirement) -> Requirement:
    errors: list[str] = []
    if requirement.operator in (Operator.GREATER, Operator.LESS):
        errors += [
            f"values[{index}]: Invalid value: {go_quote(value)}: {_INTEGER_ERROR}"
            for index, value in enumerate(requirement.values)
            if _int64(value) is None
        ]
    for index, value in enumerate(requirement.values):
        wrong = _value_errors(value)
        if wrong:
            where = f"values[{index}][{requirement.key}]"
            errors.append(f"{where}: Invalid value: {go_quote(value)}: {'; '.join(wrong)}")
    if not errors:
        return requirement
    unique = list(dict.fromkeys(errors))
    raise SelectorError(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")


def _key_errors(key: str) -> list[str]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_NAME_ERROR} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    errors: list[str] = []
    if slash:
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            if len(prefix.encode()) > _SUBDOMAIN_BYTES:
                errors.append(f"prefix part must be no more than {_SUBDOMAIN_BYTES} bytes")
            if _is_subdomain(prefix) is None:
                errors.append(f"prefix part {_SUBDOMAIN_ERROR}")
    if not name:
        errors.append("name part must be non-empty")
    elif len(name.encode()) > _NAME_BYTES:
        errors.append(f"name part must be no more than {_NAME_BYTES} bytes")
    if _is_name(name) is None:
        errors.append(f"name part {_NAME_ERROR}")
    return errors


def _value_errors(value: str) -> list[str]:
    errors: list[str] = []
    if len(value.encode()) > _NAME_BYTES:
        errors.append(f"must be no more than {_NAME_BYTES} bytes")
    if _is_value(value) is None:
        errors.append(_VALUE_ERROR)
    return errors


_GO_ESCAPES = {
    '"': r"\"", "\\": r"\\", "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
}  # fmt: skip


def go_quote(text: str) -> str:
    """``text`` as Go's %q prints it."""
    quoted: list[str] = []
    for character in text:
        escape = _GO_ESCAPES.get(character)
        if escape is not None:
            quoted.append(escape)
        elif character == " " or (character.isprintable() and not character.isspace()):
            quoted.append(character)
        elif ord(character) < 0x20 or ord(character) == 0x7F:
            quoted.append(f"\\x{ord(character):02x}")
        elif ord(character) < 0x10000:
            quoted.append(f"\\u{ord(character):04x}")
        else:
            quoted.append(f"\\U{ord(character):08x}")
    return '"' + "".join(quoted) + '"'
