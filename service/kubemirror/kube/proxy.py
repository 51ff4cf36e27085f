"""Whether an API server is reached through a proxy, decided as Go's net/http decides it.

Python's own reading of NO_PROXY knows no CIDRs, so ``NO_PROXY=10.96.0.0/12`` would send traffic for
10.96.0.1 out through a company's proxy. The rules here are those of golang.org/x/net/http/httpproxy, which
kubectl and client-go follow, with ALL_PROXY (curl's) as the last resort. The API server of a pod's own
cluster is never reached through a proxy from the environment.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from kubemirror.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")


def parse_url(text: str) -> URL | None:
    """A URL with a scheme, a host and a port (its own or the scheme's); None for anything else."""
    try:
        url = URL(text)
        # Read in full, because parts of a URL are checked only when they are asked for.
        usable = bool(str(url)) and url.port is not None and _HOST.fullmatch(url.raw_host or "") is not None
    except ValueError:
        return None
    return url if usable else None


def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine."""
    address = _address(host)
    return host.lower().rstrip(".") == "localhost" or (address is not None and address.is_loopback)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One entry of NO_PROXY. port: None matches any."""

    port: int | None = None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    domain: str = ""
    itself: bool = False  # whether the domain's own name matches too, not only names below it

    def matches(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        address = _address(host)
        if address is not None:
            return address == self.address or (self.network is not None and address in self.network)
        return bool(self.domain) and (host.endswith("." + self.domain) or (self.itself and host == self.domain))


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    else:
        return entry, None
    return host, int(port) if port.isascii() and port.isdigit() else None


class NoProxy:
    """A parsed NO_PROXY: comma-separated IPs, CIDRs, domains (each but CIDRs with ``:port``), or ``*``.

    ``example.com`` matches itself and all below it; ``.example.com`` and ``*.example.com`` only what is below.
    Entries that are none of these match nothing.
    """

    def __init__(self, text: str) -> None:
        self.everything = False
        self._rules: list[_Rule] = []
        for entry in text.lower().replace(" ", ",").split(","):
            if entry == "*":
                self.everything = True
            elif entry:
                rule = self._rule(entry)
                if rule is not None:
                    self._rules.append(rule)

    @staticmethod
    def _rule(entry: str) -> _Rule | None:
        if "/" in entry:
            try:
                return _Rule(network=ipaddress.ip_network(entry, strict=False))
            except ValueError:
                return None
        host, port = _split_port(entry)
        address = _address(host)
        if address is not None:
            return _Rule(port=port, address=address)
        below = host.removeprefix("*")
        domain = below.removeprefix(".").rstrip(".")
        return _Rule(port=port, domain=domain, itself=not below.startswith(".")) if domain else None

    def matches(self, host: str, port: int) -> bool:
        """Whether ``host`` (a name or an IP literal) is to be reached directly."""
        host = host.lower().rstrip(".")
        return self.everything or any(rule.matches(host, port) for rule in self._rules)


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy is, and what it is told of us. url: without user information."""

    url: URL
    authorization: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """For the proxy alone."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}


def parse_proxy(text: str, where: str) -> Proxy:
    """A proxy by its URL; ConfigError for what is not one, or is one we cannot speak to. Never quotes the URL."""
    url = parse_url(text if "://" in text else f"http://{text}")
    if url is None:
        raise ConfigError(f"{where} is not a proxy's URL; write http://host:port")
    if url.scheme != "http":
        raise ConfigError(
            f"{where} asks for a {url.scheme}:// proxy, which is not supported; an http:// proxy"
            " tunnels TLS to the API server end to end"
        )
    authorization = ""
    if url.user is not None or url.password is not None:
        pair = f"{url.user or ''}:{url.password or ''}".encode()
        authorization = "Basic " + base64.b64encode(pair).decode()
    return Proxy(url.with_user(None), authorization)


def proxy_for(server: URL, env: Mapping[str, str], *, proxy_url: str = "", in_cluster: bool = False) -> Proxy | None:
    """The proxy through which ``server`` is reached, None for directly.

    proxy_url: the kubeconfig's; it wins over the environment and over NO_PROXY, as in kubectl.
    in_cluster: the server is this pod's own cluster.
    """
    if proxy_url:
        return parse_proxy(proxy_url, "proxy-url of the kubeconfig's cluster")
    host = server.host or ""
    if in_cluster or is_loopback(host) or host == env.get("KUBERNETES_SERVICE_HOST"):
        return None
    scheme = server.scheme.upper()
    names = [f"{scheme}_PROXY", f"{scheme.lower()}_proxy", "ALL_PROXY", "all_proxy"]
    name = next((name for name in names if env.get(name)), None)
    if name is None:
        return None
    excluded = NoProxy(env.get("NO_PROXY") or env.get("no_proxy") or "")
    if excluded.matches(host, server.port or _PORTS.get(server.scheme, 0)):
        return None
    return parse_proxy(env[name], f"the variable {name}")
