"""JSON documents as YAML, byte for byte as upstream writes them (sigs.k8s.io/yaml, which is go-yaml v2).

libyaml, which writes here too, is what go-yaml was ported from. What differs is decided before it: which texts are
put between double quotes (those that go-yaml itself would read as something else), how numbers are written, and
the order of keys, in which digits count as numbers.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from functools import cmp_to_key, lru_cache
from typing import Any, ClassVar

import orjson
import yaml

from kubemirror.views.custom_columns import printed

_STR = "tag:yaml.org,2002:str"
# What go-yaml resolves to a bool, null or infinity.
_WORD = re.compile(
    r"|~|null|Null|NULL"
    r"|y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"
    r"|\.nan|\.NaN|\.NAN|[-+]?\.(?:inf|Inf|INF)"
)
_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9_]*)"  # ParseInt, underscores taken out
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"  # yamlStyleFloat
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"  # base 60
)
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2}))"
    r"|(?: ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.[0-9]+)?))?"
)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Nothing is resolved by it: what is quoted is decided here, and everything else is plain."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    if "\n" in value:
        return dumper.represent_scalar(_STR, value, style="|")
    return dumper.represent_scalar(_STR, value, style='"' if _is_otherwise_read(value) else None)


def _plain(dumper: yaml.SafeDumper, value: Any) -> yaml.ScalarNode:
    text = "null" if value is None else printed(value)
    return dumper.represent_scalar(_STR, text)


_Dumper.add_representer(str, _text)
for _type in (int, float, bool, type(None)):
    _Dumper.add_representer(_type, _plain)


def to_yaml(body: bytes) -> bytes:
    """A JSON document as YAML."""
    document = _sorted(orjson.loads(body))
    text: str = yaml.dump(document, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True)
    return text.encode()


def _is_otherwise_read(value: str) -> bool:
    return _WORD.fullmatch(value) is not None or _is_number(value) or _is_time(value)


def _is_number(value: str) -> bool:
    if _NUMBER.fullmatch(value) is None:
        return False
    try:
        return not math.isinf(float(value))  # Go's ParseFloat refuses what is too large
    except ValueError:
        return True  # an integer in a form that Python has not


def _is_time(value: str) -> bool:
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        return False
    try:
        datetime(*(int(part) for part in match.groups() if part is not None))  # type: ignore[arg-type] # noqa: DTZ001
    except ValueError:
        return False
    return True


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in _order(tuple(value))}
        case list():
            return [_sorted(each) for each in value]
    return value


@lru_cache(maxsize=4096)  # objects of a kind have the same fields, and comparing takes longer than anything else here
def _order(keys: tuple[str, ...]) -> list[str]:
    return sorted(keys, key=cmp_to_key(_compare))


def _compare(one: str, other: str) -> int:
    """go-yaml's keyList.Less: letters after everything else, digits by their number."""
    for at, (first, second) in enumerate(zip(one, other, strict=False)):
        if first == second:
            continue
        letters = first.isalpha(), second.isalpha()
        if all(letters):
            return -1 if first < second else 1
        if any(letters):
            return -1 if letters[1] else 1
        return _compare_numbers(one, other, at) or (-1 if first < second else 1)
    return len(one) - len(other)


def _compare_numbers(one: str, other: str, at: int) -> int:
    start = 0
    if "0" in (one[at], other[at]):
        before = at - 1
        while before >= 0 and one[before].isdecimal():
            if one[before] != "0":
                start = 1
                break
            before -= 1
    numbers, ends = [], []
    for text in (one, other):
        end, number = at, start
        while end < len(text) and text[end].isdecimal():
            number = number * 10 + int(text[end])
            end += 1
        numbers.append(number)
        ends.append(end)
    return numbers[0] - numbers[1] or ends[0] - ends[1]
