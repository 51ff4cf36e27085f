"""A portal's colour as a stylesheet: a file of its own, since pages have no inline style.

Text in it stays readable (WCAG 2.1, contrast of 4.5) whatever is asked for: it is made darker on light ground, and
lighter on dark, until it is.
"""

from __future__ import annotations

import re

_is_name = re.compile(r"accent-([0-9a-f]{6})\.css").fullmatch
# AA's 4.5, and some more for rows under the pointer, whose ground is tinted.
CONTRAST = 5.0
# The grounds of style.css that are farthest from being contrasting: raised in light, and in dark.
LIGHT_GROUND, DARK_GROUND = (0xFB, 0xFC, 0xFD), (0x17, 0x1E, 0x26)
_STEPS = 40

Colour = tuple[int, int, int]


def stylesheet(name: str) -> bytes | None:
    """The stylesheet of ``accent-RRGGBB.css``; None for any other name."""
    found = _is_name(name)
    if found is None:
        return None
    colour: Colour = (int(found[1][:2], 16), int(found[1][2:4], 16), int(found[1][4:], 16))
    light, dark = readable(colour, LIGHT_GROUND, (0, 0, 0)), readable(colour, DARK_GROUND, (255, 255, 255))
    return f":root {{ --link: light-dark({_hex(light)}, {_hex(dark)}); }}\n".encode()


def readable(colour: Colour, ground: Colour, towards: Colour) -> Colour:
    """``colour``, mixed with ``towards`` as little as it takes to be read on ``ground``."""
    for step in range(_STEPS + 1):
        red, green, blue = (
            round(own + (other - own) * step / _STEPS) for own, other in zip(colour, towards, strict=True)
        )
        mixed = (red, green, blue)
        if contrast(mixed, ground) >= CONTRAST:
            break
    return mixed


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.1's contrast ratio."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
