"""Writes an Answer to a connection: 304 where the reader has it, large bodies in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.types import Send

from kubemirror.serve.answers import Answer, matches
from kubemirror.serve.asked import Asked
from kubemirror.serve.listing import PIECE_BYTES, WHOLE_BYTES, Listing

Headers = list[tuple[bytes, bytes]]


async def send_answer(answer: Answer, asked: Asked, send: Send) -> None:
    """A finished answer, or 304 where the reader holds it already."""
    asked.validity = answer.validity
    headers = [*answer.headers, *answer.validity.freshness(), (b"etag", answer.etag)]
    if_none_match = asked.headers.get("if-none-match")
    if if_none_match is not None and answer.status == 200 and matches(if_none_match.encode("latin-1"), answer.etag):
        kept = [header for header in headers if header[0] != b"content-type"]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})
        return
    await send_body(send, answer.status, headers, answer.body)


async def send_body(send: Send, code: int, headers: Headers, body: bytes | Listing) -> None:
    """A whole response."""
    size = len(body) if isinstance(body, bytes) else body.size
    headers = [*headers, (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    if isinstance(body, bytes) and size <= WHOLE_BYTES:
        await send({"type": "http.response.body", "body": body})
        return
    for piece in body.chunks() if isinstance(body, Listing) else _parts(body):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _parts(body: bytes) -> Iterator[bytes]:
    view = memoryview(body)
    return (bytes(view[start : start + PIECE_BYTES]) for start in range(0, len(body), PIECE_BYTES))
