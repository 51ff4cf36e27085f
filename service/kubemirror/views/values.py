"""What a printed cell is worth: a number, a share, a duration, a version, an image or text, so that it can be compared.

A column has a kind where its name or type says so; in all others each cell speaks for itself. What somebody writes to
compare with is read in every way that makes sense, and compared in the way that the cell is of: ``5m`` is five minutes
beside a duration, and five thousandths beside a quantity.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from kubemirror.views.computed import Said
from kubemirror.views.duration import Ticking, seconds_of
from kubemirror.views.images import parse_image
from kubemirror.views.quantity import quantity
from kubemirror.views.semver import version_key

JSON = Any


class Kind(Enum):
    """How a column's cells are read."""

    ANY = "any"
    AGE = "age"
    CONDITION = "condition"
    VERSION = "version"
    IMAGE = "image"
    TEXT = "text"


class Family(IntEnum):
    """Values of one family can be compared; in a sorted column the families follow each other."""

    NUMBER = 0
    RATIO = 1
    DURATION = 2
    TRUTH = 3
    VERSION = 4
    IMAGE = 5
    TEXT = 6
    VERDICT = 7


class Value(NamedTuple):
    """``key`` orders the values of one family."""

    family: Family
    key: Any


# What has no value is counted, and found, under this.
NONE = "<none>"
# What printers write where there is nothing.
MISSING = frozenset({"", "<none>", "<unknown>", "<nil>", "<unset>", "<no value>"})
# Where status.conditions are shown as columns, they are named so: True, False, Unknown.
_CONDITIONS = frozenset({"ready", "available", "healthy", "synced", "established", "reconciled"})
_TRUTHS = {"true": 1.0, "false": 0.0}
_ratio = re.compile(r"(\d{1,18})/(\d{1,18})", re.ASCII).fullmatch
_counted = re.compile(r"(\d{1,18}) \(.*\)", re.ASCII | re.DOTALL).fullmatch  # a Pod's restarts: 3 (5m ago)
_ages = re.compile(r"\b(age|duration|since|uptime|timeout|interval|last \w+|first seen)\b").search
_versions = re.compile(r"\b(versions?|tags?)\b").search
_images = re.compile(r"\b(images?)\b").search
_digits = re.compile(r"(\d+)", re.ASCII)
# Beyond so many digits a number is a float: who places rows by what is told of their order has no others.
_EXACT_DIGITS = 15


def kind_of(name: str, type_: str) -> Kind:
    """The kind of a column of that name and type, as Tables have them."""
    named = name.casefold().replace("-", " ").replace("_", " ")
    if type_ == "date" or (type_ in ("", "string") and _ages(named)):
        return Kind.AGE
    if type_ in ("integer", "number"):
        return Kind.ANY
    if named in _CONDITIONS:
        return Kind.CONDITION
    if type_ == "versions" or _versions(named):
        return Kind.VERSION
    if _images(named):
        return Kind.IMAGE
    return Kind.TEXT if named in ("name", "namespace") else Kind.ANY


def natural(text: str) -> tuple[str | int | float, ...]:
    """Text in the order in which people count: web-2 before web-10, whatever its case."""
    parts = _digits.split(text.casefold())  # between two numbers there is always text, if only ""
    return tuple([_count(part) if at % 2 else part for at, part in enumerate(parts)])


def _count(digits: str) -> int | float:
    return int(digits) if len(digits) <= _EXACT_DIGITS else min(float(digits), sys.float_info.max)


def text_of(cell: JSON | Ticking, now: float) -> str:
    """A cell as it is printed; "" for what is missing. Of several values, with commas between."""
    match cell:
        case Ticking():
            return cell.at(now)
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case list():
            return ",".join(text_of(each, now) for each in cell)
        case str():
            return cell
    return str(cell)


def shown_as(cell: JSON | Ticking, now: float) -> str:
    """What a cell is counted by, and equal to: its text; of a verdict the word, of ``3 (5m ago)`` the number."""
    match cell:
        case Said():
            return cell.word
        case Ticking(before=before) if before:
            return before.removesuffix(" (")
    return text_of(cell, now)


def values_of(cell: JSON | Ticking, kind: Kind, now: float) -> list[Value]:
    """What a cell is worth; [] where it is missing, several where it names several."""
    match cell:
        case Ticking(before=before, since=since):
            return values_of(before.removesuffix(" ("), kind, now) if before else [Value(Family.DURATION, now - since)]
        case None:
            return []
        case Said():
            return [Value(Family.TEXT, natural(cell.word))]
        case bool():
            return [Value(Family.TRUTH, float(cell))]
        case int() | float():
            return [Value(Family.NUMBER, float(cell))]
        case list():
            return [value for each in cell for value in values_of(each, kind, now)]
    text = str(cell)
    if text in MISSING:
        return []
    match kind:
        case Kind.IMAGE:
            return [_image(each) for each in text.split(",") if each]
        case Kind.VERSION:
            # Of several containers each after the first is named: "1.4.2, envoy 1.31".
            return [_version(each.rpartition(" ")[2]) for each in text.split(", ")]
        case Kind.TEXT:
            return [Value(Family.TEXT, natural(text))]
    return [_read(text, kind)]


def order_of(cell: JSON | Ticking, kind: Kind) -> Value | None:
    """What a cell is sorted by; None where it is missing. Independent of the time: the youngest comes first."""
    if isinstance(cell, Ticking) and not cell.before:
        return Value(Family.DURATION, -cell.since)
    if isinstance(cell, Said):
        return Value(Family.VERDICT, (cell.order, natural(cell.word)))
    values = values_of(cell, kind, 0.0)
    return values[0] if values else None


def _read(text: str, kind: Kind) -> Value:
    if kind is Kind.AGE and (seconds := seconds_of(text)) is not None:
        return Value(Family.DURATION, seconds)
    if kind is Kind.CONDITION and text == "Unknown":  # no more ready than False is, and no less than True
        return Value(Family.TRUTH, 0.5)
    first = text[0]
    if first.isdigit() or first in "+-.":
        if (ratio := _ratio(text)) is not None:
            return Value(Family.RATIO, _share(int(ratio[1]), int(ratio[2])))
        if (number := quantity(text)) is not None:
            return Value(Family.NUMBER, number)
        if (counted := _counted(text)) is not None:
            return Value(Family.NUMBER, float(counted[1]))
        if text.count(".") < 3 and (version := version_key(text)) is not None:  # with three it is an address
            return Value(Family.VERSION, version)
        if (seconds := seconds_of(text)) is not None:
            return Value(Family.DURATION, seconds)
    elif (truth := _TRUTHS.get(text.casefold())) is not None:
        return Value(Family.TRUTH, truth)
    elif first in "vV" and text[1:2].isdigit() and (version := version_key(text)) is not None:
        return Value(Family.VERSION, version)
    return Value(Family.TEXT, natural(text))


def _share(part: int, whole: int) -> tuple[float, int, int]:
    """Nothing of nothing is all of it. Equal shares in the order of what they are shares of."""
    return (part / whole if whole else 1.0), part, whole


def _version(text: str) -> Value:
    version = version_key(text)
    return Value(Family.TEXT, natural(text)) if version is None else Value(Family.VERSION, version)


class Image(NamedTuple):
    """An image by its name and version; a version that is none is text, before all that are."""

    name: tuple[str | int | float, ...]
    versioned: bool
    version: Any
    written: str


def _image(reference: str) -> Value:
    image = parse_image(reference)
    version = version_key(image.version)
    key = Image(natural(image.name), version is not None, version or natural(image.version), reference)
    return Value(Family.IMAGE, key)


class Operand:
    """What a condition compares with, read in every way that makes sense."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded = text.casefold()
        number, truth = quantity(text), _TRUTHS.get(self._folded)
        self._exact = _ratio(text)
        share = _share(int(self._exact[1]), int(self._exact[2]))[0] if self._exact is not None else number
        if text.endswith("%") and (percent := quantity(text[:-1])) is not None:
            share = percent / 100
        if truth is None and number in (0, 1):
            truth = number
        elif self._folded == "unknown":
            truth = 0.5
        self._keys: dict[Family, Any] = {
            Family.NUMBER: number,
            Family.RATIO: share,
            Family.DURATION: seconds_of(text),
            Family.TRUTH: truth,
            Family.VERSION: version_key(text),
        }
        # A bare number or version is no word to compare words with: latest is neither before nor after 1.2.
        known = any(key is not None for key in self._keys.values())
        self._keys[Family.TEXT] = None if known else natural(text)

    def compared(self, value: Value) -> int | None:
        """-1, 0 or 1 as ``value`` is less than, equal to or greater than this; None where they do not compare."""
        key = value.key
        if value.family is Family.IMAGE:
            return self._compared_image(key)
        mine = self._keys[value.family]
        if mine is None:
            return None
        if value.family is Family.RATIO:
            if self._exact is not None and key[0] == mine:
                return 0 if (key[1], key[2]) == (int(self._exact[1]), int(self._exact[2])) else None
            key = key[0]
        return int(key > mine) - int(key < mine)

    def equals(self, value: Value, text: str) -> bool:
        """Whether they are the same: as values, or as they are written, whatever their case."""
        return text.casefold() == self._folded or self.compared(value) == 0

    def _compared_image(self, image: Image) -> int | None:
        """Its version with the one here, if the name fits: ``1.2``, ``nginx:1.2``, ``nginx`` (of any version)."""
        wanted = parse_image(self.text)
        mine = self._keys[Family.VERSION]
        if mine is None:
            written = parse_image(image.written).name
            if written != wanted.name and not written.endswith("/" + wanted.name):
                return None
            if not wanted.tag and not wanted.digest:
                return 0
            mine = version_key(wanted.version)
            if mine is None or not image.versioned:
                return 0 if parse_image(image.written)[1:] == wanted[1:] else None
        elif not image.versioned:
            return None
        return int(image.version > mine) - int(image.version < mine)


class Pattern:
    """Text to look for: ``*`` stands for any, ``^`` and ``$`` at the ends for the beginning and end of a cell.

    No regular expression: those of a reader's own making can take the process' whole time.
    """

    def __init__(self, text: str) -> None:
        folded = text.casefold()
        self._begins, self._ends = folded.startswith("^"), folded.endswith("$")
        folded = folded[1:] if self._begins else folded
        self._parts: Sequence[str] = (folded[:-1] if self._ends else folded).split("*")

    def found(self, text: str) -> bool:
        text = text.casefold()
        first, *others = self._parts
        if self._begins:
            if not text.startswith(first):
                return False
            place = len(first)
        else:
            place = text.find(first)
            if place < 0:
                return False
            place += len(first)
        if not others:
            # The last place where it could be: the first is not the only one.
            return not self._ends or (text.endswith(first) and (not self._begins or text == first))
        *between, last = others
        for part in between:
            place = text.find(part, place)
            if place < 0:
                return False
            place += len(part)
        return text.endswith(last) and len(text) - len(last) >= place if self._ends else text.find(last, place) >= 0
