"""What a finished answer may depend on beside its target: the one list of header fields that a handler may read.

The application is handed these fields of a GET or HEAD and no others, so what is not named here cannot decide
an answer: a handler that wants another field adds it here, and with that to the key of every finished answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from kubemirror.access.client_certificate import ClientCertificate
from kubemirror.settings import Settings

Header = tuple[bytes, bytes]

# Identity fields are those that proxies which authenticate are known to send.
READ = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"authorization",
        b"cookie",
        b"host",
        b"if-none-match",
        b"kubemirror-proxy-secret",
        b"last-event-id",
        b"origin",
        b"user-agent",
        b"x-forwarded-email",
        b"x-forwarded-groups",
        b"x-forwarded-host",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-user",
    }
)
FAMILIES = (b"impersonate-", b"x-remote-")

# All that is told of a User-Agent: which of these it begins with (the first that fits), or nothing.
TERMINALS = ("curl/", "Wget/", "HTTPie/")
PEOPLES_AGENTS = ("curl", "Wget", "Mozilla/5.0")
_AGENTS = tuple(name.encode() for name in (*TERMINALS, *PEOPLES_AGENTS))

# Requests with one of these are the framework's business: they have a body, want a part, or end the connection.
_UNUSUAL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"range", b"upgrade", b"te", b"trailer"})


def visible(headers: Iterable[Header]) -> list[Header]:
    """The fields of ``headers`` (names in lower case) that handlers, checks and authenticators may read."""
    seen: list[Header] = []
    for name, value in headers:
        if name == b"user-agent":
            value = agent_of(value)
            if value:
                seen.append((name, value))
        elif name in READ or name.startswith(FAMILIES):
            seen.append((name, value))
    return seen


def agent_of(user_agent: bytes) -> bytes:
    """The class of a User-Agent; b"" for one that nobody tells apart."""
    return next((known for known in _AGENTS if user_agent.startswith(known)), b"")


def connection_of(
    scheme: str, peer: tuple[str, int] | None, settings: Settings, certificate: ClientCertificate | None = None
) -> Hashable:
    """What handlers may know of a connection: its scheme, whether its peer is a proxy that is believed, who it is."""
    return scheme, trusted(peer, settings.trusted_proxies), certificate


def trusted(peer: tuple[str, int] | None, proxies: tuple[str, ...]) -> bool:
    """Whether ``peer`` is one of the proxies (addresses or networks) whose X-Forwarded-* are believed."""
    return peer is not None and _among(peer[0], proxies)


@lru_cache(maxsize=4096)
def _among(host: str, proxies: tuple[str, ...]) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in ip_network(proxy, strict=False) for proxy in proxies)


def variant_of(connection: Hashable, headers: Iterable[Header]) -> Hashable | None:
    """Everything an answer may depend on beside method and target; None for a request that is not a plain read.

    Plain: no body, no range, no repeated field, and the connection stays open.
    """
    names: set[bytes] = set()
    for name, value in headers:
        if name in names or name in _UNUSUAL or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        names.add(name)
    return connection, tuple(visible(headers))
