"""What is known of a request before any handler runs: who asks, from where, and what they can read.

Behind a proxy the path, the scheme and the host that the client used are told by X-Forwarded-*; they are
believed from trusted proxies only, and only where they are well-formed. Handlers read headers through
this object; what they may find there is named in one place (variant.py).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from math import inf
from typing import Any
from urllib.parse import quote

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.client_certificate import ClientCertificate
from kubemirror.access.presented import Presented
from kubemirror.errors import KubemirrorError
from kubemirror.serve.answers import Validity
from kubemirror.serve.embed import PREFIX, Embed, is_embedded, options_of
from kubemirror.serve.variant import TERMINALS, trusted
from kubemirror.settings import Settings

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_HOST = re.compile(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


@dataclass(slots=True)
class Asked:
    """A request's facts. ``path`` is without the base path; ``base`` goes before every link we write."""

    method: str
    path: str
    query: str
    base: str
    scheme: str
    host: str
    headers: Mapping[str, str]
    peer: tuple[str, int] | None
    client: str = ""  # address for limits (see client_of)
    certificate: ClientCertificate | None = None  # verified, of the connection
    ambiguous: str = ""  # what cannot be told from its head (single.py): it is refused then
    site: str = ""  # Sec-Fetch-Site: decides whether a stream opens, and never what an answer says
    embed: str = ""  # the embed token that it came with; ``query`` is without it
    caller: Caller = ANONYMOUS
    refused: KubemirrorError | None = None  # why nobody is known to ask, where the API server's own paths say so
    session: bool = False  # who asks has signed in with a browser: pages show as whom
    route: str = ""  # template of the route that answered; for metrics
    validity: Validity | None = None  # of the answer, where it may be given again as it is
    embedded: Embed | None = None  # of a page in a frame; ``path`` and ``query`` are those of the page
    presented: Presented | None = None  # with what health is asked for, which needs to know nobody
    shortcuts: frozenset[str] = frozenset()  # non-resource paths that the page's header may link to
    shortcuts_until: float = inf  # the event loop's second until which that holds

    @property
    def accept(self) -> str:
        return self.headers.get("accept", "")

    @property
    def browser(self) -> bool:
        """Whether whoever asks reads pages: HTML is named in Accept."""
        return "text/html" in self.accept

    @property
    def terminal(self) -> bool:
        """Whether it is a person at a terminal: curl and its like, without an Accept of their own."""
        return self.headers.get("user-agent", "").startswith(TERMINALS) and self.accept in ("", "*/*")

    @property
    def origin(self) -> str:
        """``scheme://host`` under which the client reached us."""
        return f"{self.scheme}://{self.host}"

    @property
    def whole(self) -> str:
        """The address of the same page outside a frame."""
        return f"{self.base}{quote(self.path)}{'?' if self.query else ''}{self.query}"

    @property
    def variant(self) -> Hashable:
        """Everything a finished answer of our own routes depends on, once the caller is known (see variant.py)."""
        return (
            self.path,
            self.query,
            self.accept,
            self.terminal,
            self.base,
            self.origin,
            self.session,
            self.embed,
            self.embedded,
            self.caller.identity,
        )


def asked_of(scope: Mapping[str, Any], settings: Settings) -> Asked:
    """Read the ASGI scope of an HTTP request or a WebSocket upgrade."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    peer: tuple[str, int] | None = scope.get("client")
    base = settings.root_path.rstrip("/")
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    host = headers.get("host", "")
    if trusted(peer, settings.trusted_proxies):
        prefix = headers.get("x-forwarded-prefix", "")
        if prefix and _PREFIX.fullmatch(prefix):
            base = prefix.rstrip("/")
        forwarded_scheme = headers.get("x-forwarded-proto", "")
        if forwarded_scheme in ("http", "https"):
            scheme = forwarded_scheme
        forwarded_host = headers.get("x-forwarded-host", "")
        if forwarded_host and _HOST.fullmatch(forwarded_host):
            host = forwarded_host
    path = scope["path"]
    if base and (path == base or path.startswith(base + "/")):
        path = path[len(base) :] or "/"
    query: str = scope["query_string"].decode("latin-1")
    embedded: Embed | None = None
    if is_embedded(path):
        path = path[len(PREFIX) :] or "/"
        embedded, query = options_of(query)
    return Asked(
        method=scope.get("method", "GET"),
        path=path,
        query=query,
        base=base,
        scheme=scheme,
        host=host,
        headers=headers,
        peer=peer,
        certificate=scope.get("extensions", {}).get("kubemirror.client_certificate"),
        embedded=embedded,
    )


def client_of(scope: Mapping[str, Any], settings: Settings) -> str:
    """The address that a connection is counted under; "" for this machine's own, which many may share.

    Behind trusted proxies it is the last address in X-Forwarded-For that is not one of them: what stands before it
    anyone can write. Of IPv6 it is the network, since one host has 2**64 addresses.
    """
    peer: tuple[str, int] | None = scope.get("client")
    if peer is None:
        return ""
    named = peer[0]
    if trusted(peer, settings.trusted_proxies):
        told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        for each in reversed([part.strip() for part in told.split(",") if part.strip()]):
            named = each
            if not trusted((each, 0), settings.trusted_proxies):
                break
    return _counted(named) if _is_address(named) else peer[0]  # a proxy wrote what is none: all behind it are one


def counted_address(peer: tuple[str, int] | None, settings: Settings) -> str:
    """The address that a connection itself is counted under; "" for a trusted proxy's and our own, which many share."""
    return "" if peer is None or trusted(peer, settings.trusted_proxies) else _counted(peer[0])


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _counted(named: str) -> str:
    if not _is_address(named):  # a local socket's
        return ""
    address = ip_address(named)
    if address.is_loopback:
        return ""
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))
