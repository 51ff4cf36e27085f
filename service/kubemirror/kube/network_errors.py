"""What went wrong on the way to the API server, in one line with the remedy.

aiohttp's exceptions are never passed on: some carry request headers, and none says what to do.
"""

from __future__ import annotations

import errno
import ssl

import aiohttp
from yarl import URL

from kubemirror.kube.transport import TransportError

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}
_RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN}

# OpenSSL's X509_V_ERR_*: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_NOT_YET_VALID, _EXPIRED, _HOSTNAME, _ADDRESS = 9, 10, 62, 64
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}


def host_of(url: URL) -> str:
    """``host:port``, brackets around IPv6; never user information."""
    host = url.host or ""
    return f"[{host}]:{url.port}" if ":" in host else f"{host}:{url.port}"


def _inside(exc: BaseException, wanted: type[BaseException]) -> BaseException | None:
    """The system's own ``wanted`` in ``exc`` or in what it wraps; aiohttp's classes only look like one."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [exc]
    while todo:
        candidate = todo.pop()
        if candidate is None or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        if isinstance(candidate, wanted) and not isinstance(candidate, aiohttp.ClientError):
            return candidate
        todo += [
            candidate.__cause__,
            candidate.__context__,
            getattr(candidate, "os_error", None),
            getattr(candidate, "_certificate_error", None),
        ]
    return None


def _tls(exc: ssl.SSLError, server: str) -> TransportError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        code = getattr(exc, "verify_code", 0)
        if code in _UNKNOWN_AUTHORITY:
            text = (
                f"the certificate of {server} is not signed by the CA we were given:"
                " check certificate-authority in the kubeconfig (or that this is the right server)"
            )
        elif code == _EXPIRED:
            text = f"the certificate of {server} (or of its CA) has expired: renew it, and check this machine's clock"
        elif code == _NOT_YET_VALID:
            text = f"the certificate of {server} is not valid yet: check this machine's clock"
        elif code in {_HOSTNAME, _ADDRESS}:
            text = (
                f"the certificate of {server} is for another name: use a server name it has, or set tls-server-name"
                " in the kubeconfig"
            )
        else:
            text = f"the certificate of {server} cannot be verified: {getattr(exc, 'verify_message', '') or exc.reason}"
        return TransportError(text, kind="tls")
    reason = exc.reason or ""
    if reason in {
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "HTTP_REQUEST",
        "UNSUPPORTED_PROTOCOL",
    }:
        return TransportError(
            f"{server} does not speak TLS as we do ({reason.lower()}): is its URL really https://?", kind="tls"
        )
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return TransportError(
            f"{server} refused our client certificate ({reason.lower()}): renew client-certificate in the kubeconfig",
            kind="tls",
        )
    return TransportError(f"TLS to {server} failed ({reason.lower() or 'connection closed'})", kind="tls")


def _system(exc: OSError, server: str, role: str) -> TransportError | None:
    if isinstance(exc, ConnectionRefusedError) or exc.errno == errno.ECONNREFUSED:
        return TransportError(f"{server} refused the connection: is the {role} running there?", kind="refused")
    if exc.errno in _UNREACHABLE:
        return TransportError(f"{server} cannot be reached: check network, VPN and proxy", kind="refused")
    if isinstance(exc, ConnectionResetError) or exc.errno in _RESET:
        return TransportError(f"{server} reset the connection", kind="reset")
    if exc.errno == errno.ETIMEDOUT:
        return TransportError(f"{server} stopped answering (TCP timed out)", kind="timeout")
    return None


def transport_error(exc: Exception, server: URL, proxy: URL | None = None) -> TransportError:
    """What ``exc``, raised by aiohttp or a socket, means for a request to ``server``."""
    name, role = host_of(server), "API server"
    via = name if proxy is None else f"{name} through the proxy {host_of(proxy)}"
    match exc:
        case aiohttp.ClientHttpProxyError():
            needs = exc.status == 407
            return TransportError(
                f"the proxy {host_of(proxy or server)} refused to connect to {name} (status {exc.status})"
                + (": give it credentials in its URL" if needs else ": check the proxy, or add the host to NO_PROXY"),
                kind="credentials" if needs else "other",
            )
        case aiohttp.ClientConnectorDNSError():
            asked = host_of(proxy) if proxy is not None else name
            return TransportError(
                f"the name of {asked} cannot be resolved: check server (or proxy) and DNS", kind="dns"
            )
        case aiohttp.ClientProxyConnectionError():
            name, role = f"the proxy {host_of(proxy or server)}", "proxy"
        case aiohttp.ClientPayloadError():
            return TransportError(f"the answer of {via} was cut off", kind="truncated")
        case _:
            pass
    broken = _inside(exc, ssl.SSLError)
    if isinstance(broken, ssl.SSLError):
        return _tls(broken, name)
    for wrapped in (exc, _inside(exc, OSError)):
        if isinstance(wrapped, OSError):
            known = _system(wrapped, name, role)
            if known is not None:
                return known
    if isinstance(exc, TimeoutError):
        return TransportError(f"{via} did not answer in time", kind="timeout")
    if isinstance(exc, aiohttp.ClientResponseError):
        return TransportError(f"{via} did not answer in HTTP: is {server.scheme}:// right for this port?", kind="other")
    if isinstance(exc, (aiohttp.ClientConnectionError, aiohttp.ServerDisconnectedError)):
        return TransportError(f"{via} closed the connection", kind="reset")
    return TransportError(f"the request to {via} failed ({type(exc).__name__})", kind="other")
