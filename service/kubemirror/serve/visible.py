"""Makes text from a cluster show what it is: bounded, reading in one direction, with nothing invisible in it.

Escaping is the environment's (pages.py); this is about what no escaping touches: characters that turn the direction of
a line, that cannot be seen, or that a terminal would obey. They are shown by their code points.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

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
    if not value.isascii() or not value.isprintable() or " " in value:
        return ""
    try:
        parts = urlsplit(value)
    except ValueError:
        return ""
    return value if parts.scheme in SCHEMES and parts.hostname and "@" not in parts.netloc else ""


def ratio(value: object) -> tuple[int, int] | None:
    """The two numbers of ``2/3``; None for what is none, or of nothing."""
    found = _is_ratio(value) if isinstance(value, str) else None
    return (int(found[1]), int(found[2])) if found is not None and int(found[2]) else None
