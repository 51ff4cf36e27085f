"""One HTTP answer, and how it is written: pretty, YAML, gzip, in chunks, without a body for HEAD."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from kubemirror.serve.answers import Validity
from kubemirror.serve.compressed import LEVEL, Gzip
from kubemirror.serve.kubernetes.goyaml import to_yaml
from kubemirror.serve.listing import PIECE_BYTES, WHOLE_BYTES, Listing

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

NO_CACHE = (b"cache-control", b"no-cache, private")


def warning(text: str) -> tuple[bytes, bytes]:
    """The header that tells people of a deprecated version (RFC 7234, code 299)."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return b"warning", b'299 - "%s"' % quoted.encode()


# apiserver pkg/endpoints/handlers/responsewriters/writers.go: below this, gzip costs more than it saves.
GZIP_LEAST_BYTES = 128 * 1024
_ZIPPED = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
# A smaller one costs a call and a TLS record of its own.
LEAST_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler returns. The body is JSON (a newline is added), but where ``content_type`` says otherwise."""

    status: int
    body: bytes | Listing
    content_type: str = "application/json"
    headers: Headers = field(default=(NO_CACHE,))
    raw: bool = False  # pass the body on as it is: not JSON of ours
    validity: Validity | None = None  # where it may be given again as it is


@dataclass(frozen=True, slots=True)
class Writing:
    """What of the request decides how any answer is written."""

    head: bool = False
    gzip: bool = False
    pretty: bool = False
    yaml: bool = False


async def write(send: Send, answer: Answer, writing: Writing) -> None:
    """Send the whole answer."""
    body, content_type = answer.body, answer.content_type
    headers = list(answer.headers)
    zipped: bytes | None = None
    if not answer.raw and (writing.yaml or writing.pretty):
        body = body.whole() if isinstance(body, Listing) else body
        if writing.yaml:
            # Seconds for a long list: away from the loop.
            body = await asyncio.to_thread(to_yaml, body) if len(body) > PIECE_BYTES else to_yaml(body)
            content_type = "application/yaml"
        else:
            body = msgspec.json.format(body, indent=2)  # without an end of line, as upstream has it
    elif isinstance(body, Listing) and body.size < WHOLE_BYTES:
        kept = body.runs is not None and body.size > GZIP_LEAST_BYTES  # compressed already, but for what has changed
        zipped = await _zipped(body) if writing.gzip and kept else None
        if zipped is None:
            body = body.whole() + b"\n"
        else:
            body = zipped
            headers += _ZIPPED
    elif isinstance(body, bytes) and not answer.raw:
        body += b"\n"
    if content_type:
        headers.append((b"content-type", content_type.encode()))
    if isinstance(body, Listing):
        await _write_chunks(send, answer.status, headers, body, writing)
        return
    if writing.gzip and zipped is None and len(body) > GZIP_LEAST_BYTES and (not answer.raw or _varies(headers)):
        body = await asyncio.to_thread(_compress, body) if len(body) > 4 * GZIP_LEAST_BYTES else _compress(body)
        headers.append((b"content-encoding", b"gzip"))
        if not answer.raw:
            headers.append((b"vary", b"Accept-Encoding"))
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if writing.head else body})


def _varies(headers: Headers) -> bool:
    """Whether a document that is passed on says that it may be compressed."""
    return any(name == b"vary" and b"Accept-Encoding" in value for name, value in headers)


async def _write_chunks(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: Listing, writing: Writing
) -> None:
    if writing.gzip:
        headers += _ZIPPED
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if not writing.head:
        for piece in _pieces(body.compressed(Gzip(), b"\n") if writing.gzip else chain(body.chunks(), (b"\n",))):
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # send() only waits when the socket is full: others want their turn
    await send({"type": "http.response.body", "body": b""})


def _pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    """``parts`` joined to what is worth sending; b"" now and then, where making them takes long."""
    joined: list[bytes] = []
    size = 0
    for part in parts:
        joined.append(part)
        size += len(part)
        if size >= LEAST_PIECE_BYTES:
            yield b"".join(joined)
            joined, size = [], 0
        else:
            yield b""
    yield b"".join(joined)


async def _zipped(body: Listing) -> bytes | None:
    """The whole of it compressed; None where it is too short for that."""
    stream = Gzip()
    parts = []
    for part in body.compressed(stream, b"\n"):
        parts.append(part)
        await asyncio.sleep(0)
    return b"".join(parts) if stream.size > GZIP_LEAST_BYTES else None


def _compress(body: bytes) -> bytes:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()
