"""One mirror's address: URL with its base path, credentials, whom to trust; and the two ways to stream from it."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from kubemirror.client.errors import RefusedError, UnreachableError, refused
from kubemirror.errors import ConfigError

# A mirror that is there answers at once; a list of 100,000 objects takes seconds to come.
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
# A proxy that takes a WebSocket's opening for a request answers with a stream, of which there is no end to wait for.
HANDSHAKE_SECONDS = 3.0
# An object may have 16 MiB, a batch more.
MESSAGE_BYTES = 64 * 1024 * 1024
# Who leaves waits this long for the other side's word.
CLOSE_SECONDS = 1.0

_OVER_HTTP = "let the proxy pass it on, or take transport='http'"

Parameters = Mapping[str, str]


class Transport(StrEnum):
    """How a stream comes. AUTO: a WebSocket, and over plain HTTP where something between does not let it through."""

    AUTO = "auto"
    WEBSOCKET = "websocket"
    HTTP = "http"


class NoWebSocketError(UnreachableError):
    """Something answered, but no mirror to a WebSocket's opening: a proxy that does not pass it on."""


class ClosedError(UnreachableError):
    """The mirror closed a WebSocket. What it had to say about that came in an ERROR before."""


class Connection:
    """See the module. A token is sent over TLS, or to this very machine."""

    def __init__(self, url: str, *, token: str | None, token_file: str | Path | None, ca: str | Path | None) -> None:
        self.url = _checked(url)
        if token is not None and token_file is not None:
            raise ConfigError("give token or token_file, not both")
        if (token is not None or token_file is not None) and not _protected(self.url):
            raise ConfigError(f"a token would go to {self.url} in the clear: write https://")
        self._token = token
        self._token_file = token_file
        self._tls = _trusting(ca) if self.url.startswith("https:") else None
        if ca is not None and self._tls is None:
            raise ConfigError(f"{self.url} has no use for a certificate authority: write https://")
        self._http: httpx.AsyncClient | None = None

    async def open(self) -> None:
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        # Streams stay open for as long as they are read: no pool's limit may keep one waiting.
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(verify=self._tls or True, timeout=timeout, limits=limits)

    def require_open(self) -> None:
        if self._http is None:
            raise RuntimeError("this Mirror is not open: use `async with Mirror(...) as mirror`")

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    # -- one answer -----------------------------------------------------------------------------------

    async def json(self, path: str, parameters: Parameters, *, accept: str = "application/json") -> Any:
        """The body of a 200. Raises RefusedError, UnreachableError."""
        async with self._answer(path, parameters, accept, ANSWER_SECONDS) as answer:
            body = await answer.aread()
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise UnreachableError(f"what answers at {self.url} is no mirror: {path} is not JSON") from None

    # -- streams --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lines(
        self, path: str, parameters: Parameters, accept: str, silence: float
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """A streamed answer, line by line. silence: seconds without a byte after which it counts as lost."""
        async with (
            self._answer(path, parameters, accept, silence) as answer,
            aclosing(_lines(answer, self.url)) as lines,
        ):
            yield lines

    @asynccontextmanager
    async def messages(self, path: str, parameters: Parameters, silence: float) -> AsyncGenerator[AsyncIterator[bytes]]:
        """A WebSocket's messages."""
        address = self._address(path, parameters)
        try:
            opening = connect(
                "ws" + address.removeprefix("http"),
                additional_headers=self._credentials(),
                ssl=self._tls,
                compression=None,  # a mirror does not: it frames an event once for all its readers
                max_size=MESSAGE_BYTES,
                open_timeout=HANDSHAKE_SECONDS,
                ping_interval=None,  # bookmarks tell that it lives
                close_timeout=CLOSE_SECONDS,
            )
            socket = await opening
        except InvalidStatus as error:
            raise _not_opened(error) from None
        except (InvalidHandshake, TimeoutError, EOFError) as error:
            raise NoWebSocketError(f"{self.url} opens no WebSocket: {_said(error)}", _OVER_HTTP) from None
        except OSError as error:
            raise self._unreachable(error) from None

        async def received() -> AsyncGenerator[bytes]:
            while True:
                try:
                    async with asyncio.timeout(silence):
                        yield await socket.recv(decode=False)
                except TimeoutError:
                    raise UnreachableError(f"nothing came from {self.url} for {silence:g} s") from None
                except ConnectionClosed as closed:
                    frame = closed.rcvd
                    if frame is None:
                        raise UnreachableError(f"the connection to {self.url} broke") from None
                    why = f"{frame.reason}, {frame.code}" if frame.reason else str(frame.code)
                    raise ClosedError(f"the mirror closed the connection ({why})") from None

        try:
            async with aclosing(received()) as messages:
                yield messages
        finally:
            await socket.close()

    @asynccontextmanager
    async def _answer(
        self, path: str, parameters: Parameters, accept: str, silence: float
    ) -> AsyncGenerator[httpx.Response]:
        self.require_open()
        assert self._http is not None, "it is open"  # noqa: S101
        headers = {**self._credentials(), "accept": accept}
        if silence != ANSWER_SECONDS:
            headers["accept-encoding"] = "identity"  # a compressed stream comes late
        timeout = httpx.Timeout(silence, connect=CONNECT_SECONDS)
        try:
            async with self._http.stream(
                "GET", self._address(path, parameters), headers=headers, timeout=timeout
            ) as answer:
                if answer.status_code != 200:
                    raise _refused(answer, await answer.aread())
                yield answer
        except httpx.ReadTimeout:
            raise UnreachableError(f"nothing came from {self.url} for {silence:g} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from None
        except httpx.TransportError:
            raise UnreachableError(f"the connection to {self.url} broke") from None

    def _address(self, path: str, parameters: Parameters) -> str:
        asked = urlencode({name: value for name, value in parameters.items() if value})
        return f"{self.url}{quote(path)}" + (f"?{asked}" if asked else "")

    def _credentials(self) -> dict[str, str]:
        """Read anew for each connection: files of tokens are renewed."""
        token = self._token
        if self._token_file is not None:
            try:
                token = Path(self._token_file).read_text().strip()
            except OSError as error:
                raise ConfigError(f"--token-file {self._token_file}: {error.strerror}") from None
        return {} if token is None else {"authorization": f"Bearer {token}"}

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(f"{self.url} does not answer: {_said(error)}", "is a mirror running there?")


async def _lines(answer: httpx.Response, url: str) -> AsyncGenerator[bytes]:
    """Split at newlines alone: objects hold other characters that count as the end of a line elsewhere."""
    begun: list[bytes] = []
    # httpx tells less of it than it is.
    async with aclosing(cast("AsyncGenerator[bytes]", answer.aiter_raw())) as chunks:
        async for chunk in chunks:
            *complete, rest = chunk.split(b"\n")
            for each in complete:
                yield b"".join((*begun, each))
                begun.clear()
            if rest:
                begun.append(rest)
    if begun:
        raise UnreachableError(f"the connection to {url} broke within an event")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"{url!r} is no URL of a mirror: write http://host:port or https://host:port/base")
    return url.rstrip("/")


def _protected(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if url.startswith("https:") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _trusting(ca: str | Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except ssl.SSLError:
        raise ConfigError(f"--ca {ca}: no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None
    except OSError as error:
        raise ConfigError(f"--ca {ca}: {error.strerror}") from None


def _refused(answer: httpx.Response, body: bytes) -> RefusedError:
    return refused(
        answer.status_code,
        _json(body),
        text=body[:1000].decode(errors="replace"),
        retry_after=answer.headers.get("retry-after"),
    )


def _not_opened(error: InvalidStatus) -> UnreachableError | RefusedError:
    answer = error.response
    status = _json(bytes(answer.body or b""))
    if isinstance(status, dict) and status.get("kind") == "Status":
        return refused(answer.status_code, status, retry_after=answer.headers.get("retry-after"))
    return NoWebSocketError(f"a WebSocket's opening was answered {answer.status_code}", _OVER_HTTP)


def _json(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value


def _said(error: BaseException) -> str:
    """What happened, without the library's wrapping; a certificate that is not trusted names the remedy."""
    deepest = error
    while (cause := deepest.__cause__ or deepest.__context__) is not None:
        deepest = cause
    if isinstance(deepest, ssl.SSLCertVerificationError):
        return f"{deepest.verify_message} (name the certificate to trust: ca=, --ca)"
    text = str(deepest) or str(error) or type(deepest).__name__
    if isinstance(deepest, OSError) and deepest.errno and deepest.errno > 0:
        text = os.strerror(deepest.errno)
    return " ".join(text.split())
