"""Kubernetes quantities: ``100m``, ``1.5``, ``2Gi``, ``1e3`` (apimachinery's pkg/api/resource), as numbers."""

from __future__ import annotations

import re

_quantity = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?)", re.ASCII
)
_LARGE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18} | {
    f"{letter}i": 1 << (10 * power) for power, letter in enumerate("KMGTPE", start=1)
}
_SMALL = {"n": 10**9, "u": 10**6, "m": 10**3}


def quantity(text: str) -> float | None:
    """The number that ``text`` stands for; None where it is no quantity."""
    found = _quantity.fullmatch(text)
    if found is None:
        return None
    digits, exponent, suffix = found.groups()
    if exponent:
        return float(digits + exponent)
    # Divided, not multiplied by a fraction: 300m is then 0.3, and not what is next to it.
    return float(digits) / _SMALL[suffix] if suffix in _SMALL else float(digits) * _LARGE[suffix or ""]
