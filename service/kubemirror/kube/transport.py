"""The seam between the reflectors and the network: one request, one streamed answer.

connection.py implements it over aiohttp; the simulation in tests implements it in memory. Errors of the
network are raised as TransportError and turned into values by the reflector; answers with any status are
answers, and it is their reader who looks at the status before the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubemirror.errors import KubemirrorError


class TransportError(KubemirrorError):
    """The network, TLS or a credential failed; one line, no credentials, the remedy where there is one.

    kind: a closed set for metrics: refused, timeout, dns, tls, reset, truncated, credentials, other.
    """

    def __init__(self, message: str, *, kind: str = "other") -> None:
        super().__init__(message)
        self.kind = kind


class ByteStream(Protocol):
    """The body of an answer, decoded of its content coding."""

    async def read(self) -> bytes:
        """The next bytes as they came, b"" at a clean end. Raises TransportError on any other end."""

    async def close(self) -> None:
        """Give the connection back, or cut it when the body was not read to its end; idempotent."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose headers have come. Close ``body`` in every case."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: ByteStream


class Transport(Protocol):
    """Asks the API server. Adds credentials, User-Agent and TLS; follows no redirects."""

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
        """Send and wait for the answer's headers, at most ``seconds`` (connecting included).

        A 401 has already been retried once with renewed credentials when it is returned. Raises TransportError.
        """
