"""The one connection to an API server: one aiohttp session that sends what it is given and streams what comes.

It adds who we are (credentials.py, tls.py), which way to go (proxy.py) and nothing else: statuses, bodies and
redirects come back as they are. Everything that fails on the way is a TransportError of one line.

- No pool limit: every watch holds a connection, and a hundred CRDs must not wait for each other.
- Nothing from the environment that was not asked for: no netrc, no cookies, no Python reading of NO_PROXY.
- A peer that is gone is noticed by the kernel within TCP_USER_TIMEOUT; one that is only silent by the
  reflector's deadline, since bookmarks come each minute.
- A watch is asked for uncompressed: a compressor on the way could hold an event back until the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import socket
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from kubemirror.errors import ConfigError
from kubemirror.kube.body import READ_BYTES, Body
from kubemirror.kube.credentials import Credential
from kubemirror.kube.exec_plugin import LIMIT_SECONDS
from kubemirror.kube.identity import Following, Identity, identity_of
from kubemirror.kube.kubeconfig import SERVICE_ACCOUNT, find_target
from kubemirror.kube.network_errors import host_of, transport_error
from kubemirror.kube.proxy import is_loopback, proxy_for
from kubemirror.kube.transport import Response, TransportError

log = structlog.get_logger()

# A name is asked for again after this long, so that an API server that moved is found (aiohttp's default).
DNS_SECONDS = 10
# Dead peers: the first probe after 30 s of silence, then each 10 s; given up after 60 s without an answer to
# probes or data. Together below the 90 s within which a half-open connection is to be noticed.
KEEPALIVE_IDLE_SECONDS = 30
KEEPALIVE_INTERVAL_SECONDS = 10
KEEPALIVE_PROBES = 3
USER_TIMEOUT_MILLISECONDS = 60_000
# One of a name's several addresses that swallows packets must leave time for the next.
CONNECT_SECONDS = 10.0
# An idle pooled connection is dropped before load balancers (60 s and more) drop it behind our back.
POOL_SECONDS = 30.0
# A socket that was shut down is closed within some turns of the loop, of which each look lets a few pass; whoever is in
# a hurry to end does not wait for more.
CLOSE_SECONDS, LOOK_SECONDS = 1.0, 0.001

# As getaddrinfo tells them.
Address = tuple[socket.AddressFamily | int, socket.SocketKind | int, int, str, object]


def _version() -> str:
    try:
        return importlib.metadata.version("kubemirror")
    except importlib.metadata.PackageNotFoundError:
        return "0"


USER_AGENT = f"kubemirror/{_version()} ({platform.system().lower()}/{platform.machine()})"


def keepalive_socket(address: Address) -> socket.socket:
    """A socket on which the kernel notices a dead peer."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MILLISECONDS),
    ):
        option = getattr(socket, name, None)  # not every system has every one
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


class Connection:
    """Reaches one API server as one user. Implements kube.transport.Transport. Make it with ``open``."""

    def __init__(
        self,
        identity: Following,
        env: Mapping[str, str],
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Needs a running event loop; raises ConfigError. resolver: of names; a seam for tests."""
        self._identity = identity
        target = identity.current.target
        self._target = target
        self._server = identity.current.server
        self._proxy = proxy_for(self._server, env, proxy_url=target.cluster.proxy_url, in_cluster=target.in_cluster)
        self._via = self._proxy.url if self._proxy is not None else None
        self._bodies = weakref.WeakSet[Body]()
        self._sockets = weakref.WeakSet[socket.socket]()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ttl_dns_cache=DNS_SECONDS,
                keepalive_timeout=POOL_SECONDS,
                socket_factory=self._socket,
                resolver=resolver or aiohttp.ThreadedResolver(),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=CONNECT_SECONDS),
            trust_env=False,
            auto_decompress=True,
            read_bufsize=READ_BYTES,
        )

    @classmethod
    async def open(
        cls,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        env: Mapping[str, str] = os.environ,
        service_account: Path = SERVICE_ACCOUNT,
        exec_seconds: float = LIMIT_SECONDS,
        resolver: AbstractResolver | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> Connection:
        """Find the cluster and get ready to ask it; nothing is sent yet, no plugin runs yet.

        Without arguments: in-cluster if there, else $KUBECONFIG, else ~/.kube/config. Raises ConfigError with
        one line that names the remedy. exec_seconds: how long an exec plugin may take. resolver, clock and wall
        are seams for tests.
        """
        find = partial(find_target, kubeconfig=kubeconfig, env=env, service_account=service_account)
        make = partial(identity_of, env=env, exec_seconds=exec_seconds, clock=clock, wall=wall)
        target = find(context=context)
        following = Following(make(target), make, partial(find, context=target.context))
        connection = cls(following, env, resolver=resolver)
        connection._announce()
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Connection to {host_of(self._server)}>"

    def describe(self) -> dict[str, str]:
        """Where this goes and as whom, for people: source, host, context, namespace, user, authentication, proxy."""
        impersonated = self._target.user.impersonate_user
        return {
            "source": self._target.source,
            "host": f"{self._server.scheme}://{host_of(self._server)}{self._server.path.rstrip('/')}",
            "context": self._target.context,
            "namespace": self._target.namespace,
            "user": self._target.user.name + (f" as {impersonated}" if impersonated else ""),
            "authentication": self._identity.current.credentials.name,
            "proxy": host_of(self._via) if self._via is not None else "",
        }

    def _announce(self) -> None:
        log.info("connection.opened", **{name: value for name, value in self.describe().items() if value})
        if self._target.cluster.insecure and self._server.scheme == "https":
            log.warning(
                "connection.insecure",
                host=host_of(self._server),
                reason="insecure-skip-tls-verify: whoever answers is believed, and is sent our credentials;"
                " set certificate-authority in its place",
            )
        elif self._server.scheme == "http" and not is_loopback(self._server.host or ""):
            log.warning(
                "connection.insecure", host=host_of(self._server), reason="http://: credentials travel in the clear"
            )

    async def close(self) -> None:
        """End every stream (whoever reads one gets a TransportError); requests fail from now on. Idempotent.

        No socket is left open, but for one that takes more than CLOSE_SECONDS to end.
        """
        for body in list(self._bodies):
            await body.close()
        await self._identity.current.credentials.close()
        await self._session.close()
        await self._hang_up()

    def _socket(self, address: Address) -> socket.socket:
        made = keepalive_socket(address)
        self._sockets.add(made)
        return made

    async def _hang_up(self) -> None:
        """A request that is given up says goodbye first (TLS), and asyncio waits half a minute for an answer to that,
        by when nobody may be there to close its socket.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while still_open := [each for each in self._sockets if each.fileno() >= 0]:
                    for each in still_open:
                        with contextlib.suppress(OSError):  # the other side was faster
                            each.shutdown(socket.SHUT_RDWR)
                    await asyncio.sleep(LOOK_SECONDS)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        seconds: float,
    ) -> Response:
        """As Transport.request. An ``authorization`` header of the caller's takes the place of all of ours:
        token, client certificate and impersonation; and is not renewed."""
        if self._session.closed:
            raise TransportError(f"the connection to {host_of(self._server)} has been closed", kind="other")
        url = self._url(path, query)
        sent = CIMultiDict[str](headers or {})
        sent.setdefault("user-agent", USER_AGENT)
        watching = any(name == "watch" and value not in {"", "0", "false"} for name, value in query)
        plain = watching or self._target.cluster.disable_compression
        sent.setdefault("accept-encoding", "identity" if plain else "gzip")
        if body:
            sent.setdefault("content-type", "application/json")
        try:
            async with asyncio.timeout(seconds):
                if "authorization" in sent:
                    answer = await self._send(method, url, sent, body, self._identity.current, None)
                else:
                    answer = await self._send_as_us(method, url, sent, body)
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            error = transport_error(exc, self._server, self._via)
            if error.kind == "tls":
                self._identity.current.tls.recheck()
                self._identity.follow()
            raise error from None
        except ConfigError as exc:  # a CA or certificate that cannot be loaded any more
            raise TransportError(str(exc), kind="tls") from None
        opened = Body(answer, self._server, self._via)
        self._bodies.add(opened)
        return Response(answer.status, _lower(answer), opened)

    async def _send_as_us(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes
    ) -> aiohttp.ClientResponse:
        identity = self._identity.current
        credential = await identity.credentials.current()
        shown = identity.tls.context(credential.certificate)
        answer = await self._send(method, url, headers, body, identity, credential)
        if answer.status != 401:
            return answer
        try:
            renewed = await identity.credentials.renew(credential)
            if renewed == credential and self._identity.current is identity:
                self._identity.follow()
            if self._identity.current is not identity:
                identity = self._identity.current
                renewed = await identity.credentials.current()
            elif renewed == credential:
                identity.tls.recheck()
                if identity.tls.context(credential.certificate) is shown:
                    return answer
        except BaseException:
            answer.close()
            raise
        answer.close()
        return await self._send(method, url, headers, body, identity, renewed)

    async def _send(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes,
        identity: Identity,
        credential: Credential | None,
    ) -> aiohttp.ClientResponse:
        """credential: None sends ``headers`` alone, as somebody else."""
        certificate = None
        if credential is not None:
            headers = headers.copy()
            headers.extend(identity.impersonation)
            if credential.authorization:
                headers["authorization"] = credential.authorization
            certificate = credential.certificate
        return await self._session.request(
            method,
            url,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            proxy=self._via,
            proxy_headers=self._proxy.headers if self._proxy is not None else None,
            ssl=identity.tls.context(certificate, anonymous=credential is None),
            server_hostname=identity.tls.server_name or None,
        )

    def _url(self, path: str, query: Sequence[tuple[str, str]]) -> URL:
        text = str(self._server).rstrip("/") + path
        if query:
            text += ("&" if "?" in path else "?") + urlencode(query, quote_via=quote)
        return URL(text, encoded=True)


def _lower(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
