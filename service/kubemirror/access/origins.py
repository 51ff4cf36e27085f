"""Which web pages may ask here with their visitor's reach, and under which names this server answers.

A browser lends its visitor's place in the network, cookies and loopback to every page it shows. Two headers that a page
cannot write tell what it does: Origin and Sec-Fetch-Site say whose page asks, Host says by which name it was led
here (DNS rebinding makes a name of its own point to 127.0.0.1). Who sends no Origin is no page.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_LOOPBACK_HOSTS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)


def allowed(origin: str, own: str, listed: Collection[str]) -> bool:
    """Whether a page of ``origin`` may. own: ``scheme://host`` under which it reached us. listed: --allow-origin.

    "null" (a sandboxed frame, a file) is anyone, and never listed.
    """
    return origin != "null" and (origin == own or origin in listed)


def foreign(origin: str | None, site: str, own: str, listed: Collection[str]) -> bool:
    """Whether a page that may not has made this request. site: Sec-Fetch-Site, "" where the browser tells none."""
    if origin is not None:
        return not allowed(origin, own, listed)
    return site == "cross-site"


def named(host: str, own: Collection[str], *, loopback: bool) -> bool:
    """Whether ``host`` (a Host header) is a name that this server answers to.

    own: its names, with or without a port (the address it listens on, --allow-host). loopback: its usual ones too.
    """
    if loopback and _LOOPBACK_HOSTS.fullmatch(host):
        return True
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return host in own or name in own
