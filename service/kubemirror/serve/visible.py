"""Makes text from a cluster show what it is: bounded, reading in one direction, with nothing invisible in it.

Escaping is the environment's (pages.py); this is about what no escaping touches: characters that turn the direction of
a line, that cannot be seen, or that a terminal would obey. They are shown by their code points.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from markupsafe import Markup

# What one cell shows at most; the whole value is in the object's YAML.
CELL_CHARACTERS = 300
# Schemes of links that a value may become; of anything else it stays text. Never javascript:, data: or file:.
SCHEMES = frozenset({"http", "https"})
# A longer one is no address that a person wrote.
LINK_CHARACTERS = 2000

# Controls but tab and line feed; marks that turn or isolate directions; what has no width but joiners, which scripts
# need; tags; separators that break a line; halves of surrogates.
_is_odd = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
# An address of the web as the URL standard calls it valid: https://url.spec.whatwg.org/#url-writing. Browsers put up
# with more of it, HTML does not.
_part = r"(?:[\w!$&'()*+,\-./:;=?@~]|%[0-9A-Fa-f]{2})*"
_is_address = re.compile(
    rf"(?P<scheme>[a-z]+)://(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{{1,5}}))?"
    rf"(?:[/?]{_part})?(?:#{_part})?",
    re.ASCII,
).fullmatch
_is_label = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)").fullmatch
_is_ratio = re.compile(r"(\d{1,9})/(\d{1,9})").fullmatch


def visible(text: str) -> str:
    """``text`` with each odd character as its code point: ``⟨U+202E⟩``."""
    if text.isascii() and text.isprintable():
        return text
    return _is_odd.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def shown(value: object) -> object:
    """What a template's expression gives, before it is escaped; the environment asks for every one of them."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def cell(value: object) -> str:
    """A value as it may stand in a table: bounded, and visible."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return visible(text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…")


def cut(text: str, characters: int) -> str:
    """At most ``characters`` of a text, and how many it had."""
    return text if len(text) <= characters else f"{text[:characters]}… ({len(text)} characters)"


def web_url(value: object) -> str:
    """``value`` where it is an address of the web as a whole, "" for anything else."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")) or len(value) > LINK_CHARACTERS:
        return ""
    address = _is_address(value)
    if address is None or address["scheme"] not in SCHEMES:
        return ""
    return value if _is_host(address["host"]) and int(address["port"] or 0) < 65536 else ""


def _is_host(host: str) -> bool:
    """As browsers have it: what ends in a number is an IPv4 address as a whole."""
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
        elif host.rpartition(".")[2].isdigit():
            IPv4Address(host)
        else:
            host.encode().decode("idna")  # what looks encoded is
            return len(host) < 254 and all(map(_is_label, host.removesuffix(".").split(".")))
    except ValueError:
        return False
    return True


def ratio(value: object) -> tuple[int, int] | None:
    """The two numbers of ``2/3``; None for what is none, or of nothing."""
    found = _is_ratio(value) if isinstance(value, str) else None
    return (int(found[1]), int(found[2])) if found is not None and int(found[2]) else None
