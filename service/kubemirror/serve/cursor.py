"""The cursor: where a reader of one or several stores stands, as upstream's resourceVersions.

One store of a resource is a plain ``123``. ResourceVersions of two resources cannot be compared, so several
are named each: ``deployments.apps=123;pods=456``, and where a resource is mirrored namespace by namespace
``deployments.apps/ns1=123;deployments.apps/ns2=120``.

Where a mirror listed again only the outcome is known of what happened between two resourceVersions, and a reader that
is cut off within has heard some of it: ``123~150``. It can go on where the same outcome is known, and hears that again.
Elsewhere it cannot: a mirror that lists at other moments never heard of what only the first one saw, and one that has
watched every step would lead it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kubemirror.serve.status import bad_request
from kubemirror.state.catalog import ALL_NAMESPACES

# Of the largest resourceVersion there can be, which is 64 bits wide.
_DIGITS = 20


class Mark(NamedTuple):
    """Where a reader stands in one store: it knows all up to ``reached``, and some of what was until ``within``."""

    reached: int
    within: int = 0

    def __str__(self) -> str:
        return f"{self.reached}~{self.within}" if self.within > self.reached else str(self.reached)

    @property
    def least(self) -> int:
        """How new a snapshot must be, so that it shows nothing older than what was told."""
        return max(self)


def source_name(resource: str, namespace: str) -> str:
    """How a store is named in a cursor."""
    return resource if namespace == ALL_NAMESPACES else f"{resource}/{namespace}"


def write_cursor(marks: Mapping[str, Mark]) -> str:
    """The cursor of the named stores."""
    if len(marks) == 1:
        name, mark = next(iter(marks.items()))
        if "/" not in name:
            return str(mark)
    return ";".join(f"{name}={mark}" for name, mark in marks.items())


def read_cursor(text: str, names: Sequence[str], *, least: bool = False) -> dict[str, Mark]:
    """Where the reader stands in each named store that ``text`` tells; stores it leaves out start anew.

    "" and "0" tell none. least: it says how new a snapshot must be, and not where to go on; then one number is for
    every store of one resource. Raises 400 where it is no cursor or names a store that is not asked for.
    """
    text = text.strip()
    if text in ("", "0"):
        return {}
    if "=" not in text:
        if least and len({name.partition("/")[0] for name in names}) == 1:
            return dict.fromkeys(names, _mark(text))
        if len(names) != 1:
            raise bad_request(
                f'resourceVersion "{text}" is ambiguous here: write {names[0]}={text};… for each resource'
            )
        return {names[0]: _mark(text)}
    positions: dict[str, Mark] = {}
    for part in text.split(";"):
        name, _, number = part.partition("=")
        name = name.strip()
        if name not in names:
            raise bad_request(
                f'resourceVersion names "{name}", which is not asked for; asked for are {", ".join(names)}'
            )
        positions[name] = _mark(number)
    return positions


def _mark(text: str) -> Mark:
    reached, tilde, within = text.partition("~")
    return Mark(_number(reached), _number(within) if tilde else 0)


def _number(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f'invalid resourceVersion "{text}": it must be a decimal number')
    if len(text) > _DIGITS:
        raise bad_request(f'invalid resourceVersion "{text}": it is larger than any can be')
    return int(text)
