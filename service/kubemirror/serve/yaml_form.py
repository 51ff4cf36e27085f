"""Any document as YAML, in the order it has, for every reader: of YAML 1.1, as Go and kubectl are, and of 1.2.

PyYAML knows which texts PyYAML would read as something else; others know more of them (``1e3``, ``08``, ``0o14``,
``y``). What any of them would is put in double quotes, and lines are a literal block, as kubectl writes them.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

_STR = "tag:yaml.org,2002:str"
# What none of the readers would take for anything but text, told by how it begins; nearly everything.
_is_text = re.compile(r"[A-EG-MP-SU-XZa-eg-mp-su-xz/]").match
_is_other = re.compile(
    r"|~|null|Null|NULL|=|<<"
    # YAML 1.1 has these as booleans
    r"|y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    # Go takes underscores out of numbers wherever they are, and knows its own literals.
    r"|(?:[-+]_*)?0_*(?:[xX][0-9a-fA-F_]+|[bB][01_]+|[oO][0-7_]+)"
    r"|(?:[-+]_*)?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE]_*[-+]?[0-9_]+)?"
    # base 60
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    # times
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?"
).fullmatch
# Breaks for some readers and none for others.
_is_odd = re.compile("[\x85\u2028\u2029\ufeff]").search


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Nothing is resolved by it: what is quoted is decided here, and everything else is plain where it can be."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style: str | None
    if _is_odd(value) is not None:
        style = '"'
    elif "\n" in value:
        style = "|"
    else:
        style = '"' if _is_text(value) is None and _is_other(value) is not None else None
    return dumper.represent_scalar(_STR, value, style=style)


def _plain(dumper: yaml.SafeDumper, value: Any) -> yaml.ScalarNode:
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case _:
            text = repr(value)
            if "e" in text and "." not in text:  # a number of YAML 1.1 has a dot
                text = text.replace("e", ".0e")
    return dumper.represent_scalar(_STR, text)


_Dumper.add_representer(str, _text)
for _type in (int, float, bool, type(None)):
    _Dumper.add_representer(_type, _plain)


def to_yaml(document: Any) -> bytes:
    """``document``, what a JSON decoder gives, as YAML."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=1 << 30
    )
    return text.encode()
