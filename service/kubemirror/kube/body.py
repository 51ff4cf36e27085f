"""The body of one answer, read in pieces that are worth a turn of the loop.

An API server writes a list or a storm of events in pieces of 4 kB, each a TLS record, and is slower than we are: read
as it comes, every piece costs a wake-up of the loop, of the parser and of the reflector, three times what its bytes
cost. So while much comes, reading rests for a moment and the kernel gathers; what trickles is read at once.
"""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from kubemirror.kube.network_errors import transport_error

# What is buffered before the socket is paused (twice this, as aiohttp counts). More does not read faster (1.3 ms of
# CPU a megabyte, TLS included), but hands the reflector bigger pieces to work on between two turns of the loop.
READ_BYTES = 64 * 1024
# Reading rests this long where at least READ_BYTES came within as long: 25 MB/s, which is what an API server writes,
# then comes in 250 kB. Longer, and the kernel's buffers fill and the API server waits for us.
GATHER_SECONDS = 0.010


class Body:
    """Implements kube.transport.ByteStream."""

    def __init__(self, response: aiohttp.ClientResponse, server: URL, via: URL | None) -> None:
        self._response = response
        self._server = server
        self._via = via
        self._loop = asyncio.get_running_loop()
        self._window = self._loop.time()
        self._came = 0  # bytes since ``_window``
        self._last = 0  # bytes of the last piece
        self._gathering = False

    async def read(self) -> bytes:
        if self._much_comes():
            await self._gather()
        try:
            piece = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise transport_error(exc, self._server, self._via) from None
        self._last = len(piece)
        self._came += self._last
        return piece

    async def close(self) -> None:
        content = self._response.content
        if content.at_eof() and content.exception() is None:
            self._response.release()
            return
        if content.exception() is None:
            # aiohttp forgets whoever waits in a stream that we end ourselves.
            content.set_exception(aiohttp.ClientConnectionError("closed by us"))
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            # Else TLS says goodbye first and waits for the answer, which nobody is there to see once we have ended.
            connection.transport.abort()
        self._response.close()

    def _much_comes(self) -> bool:
        """Whether to rest before the next piece: not while there is more at hand, nor once little came in a rest."""
        if self._last >= READ_BYTES:
            return False
        if not self._gathering and self._loop.time() - self._window < GATHER_SECONDS:
            return False
        self._gathering = self._came >= READ_BYTES
        self._window, self._came = self._loop.time(), 0
        return self._gathering

    async def _gather(self) -> None:
        connection = self._response.connection
        if connection is None or connection.protocol is None or self._response.content.at_eof():
            return  # all of it is here
        connection.protocol.pause_reading()
        try:
            await asyncio.sleep(GATHER_SECONDS)
        finally:
            if connection.protocol is not None:
                connection.protocol.resume_reading()
