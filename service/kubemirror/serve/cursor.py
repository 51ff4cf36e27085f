"""The cursor: where a reader of one or several stores stands, as upstream's resourceVersions.

One store of a resource is a plain ``123``. ResourceVersions of two resources cannot be compared, so several
are named each: ``deployments.apps=123;pods=456``, and where a resource is mirrored namespace by namespace
``deployments.apps/ns1=123;deployments.apps/ns2=120``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubemirror.serve.status import bad_request
from kubemirror.state.catalog import ALL_NAMESPACES


def source_name(resource: str, namespace: str) -> str:
    """How a store is named in a cursor."""
    return resource if namespace == ALL_NAMESPACES else f"{resource}/{namespace}"


def write_cursor(positions: Mapping[str, int]) -> str:
    """The cursor of the named stores."""
    if len(positions) == 1:
        name, resource_version = next(iter(positions.items()))
        if "/" not in name:
            return str(resource_version)
    return ";".join(f"{name}={resource_version}" for name, resource_version in positions.items())


def read_cursor(text: str, names: Sequence[str], *, least: bool = False) -> dict[str, int]:
    """The resourceVersion of each named store that ``text`` tells; stores it leaves out start anew.

    "" and "0" tell none. least: it says how new a snapshot must be, and not where to go on; then one number is for
    every store of one resource. Raises 400 where it is no cursor or names a store that is not asked for.
    """
    text = text.strip()
    if text in ("", "0"):
        return {}
    if "=" not in text:
        if least and len({name.partition("/")[0] for name in names}) == 1:
            return dict.fromkeys(names, _number(text))
        if len(names) != 1:
            raise bad_request(
                f'resourceVersion "{text}" is ambiguous here: write {names[0]}={text};… for each resource'
            )
        return {names[0]: _number(text)}
    positions: dict[str, int] = {}
    for part in text.split(";"):
        name, _, number = part.partition("=")
        name = name.strip()
        if name not in names:
            raise bad_request(
                f'resourceVersion names "{name}", which is not asked for; asked for are {", ".join(names)}'
            )
        positions[name] = _number(number)
    return positions


def _number(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise bad_request(f'invalid resourceVersion "{text}": it must be a decimal number')
    return int(text)
