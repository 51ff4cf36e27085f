"""How many bytes a connection has taken: what the audit tells of a stream when it is over.

In the clear the kernel counts, and is asked: counting here would cost each event of each reader. Over TLS it counts
what was encrypted, and its socket is closed before anybody hears that the connection is over; so there writes are
counted as they are made, by a transport in front of the transport, at a hundredth of what encrypting them costs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from struct import unpack_from
from typing import Any, cast

# Of tcpi_bytes_sent in struct tcp_info (linux/tcp.h), and after it of those sent again; since Linux 4.19.
_BYTES_SENT = 200


class Counted:
    """The transport of a TLS connection, which counts what is written to it; everything else is the transport's.

    Nothing is written to one that is closing: it would be dropped, and said in the log each time.
    """

    __slots__ = ("_transport", "_write", "_writelines", "is_closing", "taken")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._writelines = transport.writelines
        self.is_closing = transport.is_closing
        self.taken = 0

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self.taken += len(data)
            self._write(data)

    def writelines(self, parts: Sequence[bytes]) -> None:
        if not self.is_closing():
            self.taken += sum(map(len, parts))
            self._writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def counted(transport: asyncio.Transport) -> asyncio.Transport:
    """``transport`` itself where the kernel counts, else one that does."""
    if transport.get_extra_info("sslcontext") is None:
        return transport
    return cast("asyncio.Transport", Counted(transport))


class Sent:
    """How many bytes a connection (a ``counted`` transport's) has taken.

    Called, it tells; of a connection that is over what it had taken by then. 0 where the kernel does not tell. Nothing
    is asked of a connection that nobody asked about while it was open.
    """

    __slots__ = ("_socket", "_taken", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport: asyncio.Transport | None = transport
        self._socket: socket.socket | None = None
        self._taken = 0

    def __call__(self) -> int:
        transport = self._transport
        if isinstance(transport, Counted):
            return transport.taken
        if self._socket is None and transport is not None:
            self._socket = transport.get_extra_info("socket")
        if self._socket is not None and hasattr(socket, "TCP_INFO"):
            try:
                told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_SENT + 16)
            except (OSError, ValueError):  # not TCP, or closed meanwhile: uvloop says the latter with a ValueError
                return self._taken
            if len(told) == _BYTES_SENT + 16:
                sent, again = unpack_from("=QQ", told, _BYTES_SENT)
                waiting = transport.get_write_buffer_size() if transport is not None else 0
                self._taken = sent - again + waiting
        return self._taken

    def last(self) -> None:
        """The connection is over: what it has taken is final."""
        if isinstance(self._transport, Counted):
            self._taken = self._transport.taken
        self._transport = None
        self()
        self._socket = None
