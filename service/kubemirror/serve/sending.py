"""Writes an Answer to a connection: 304 where the reader has it, large bodies in pieces."""

from __future__ import annotations

from starlette.types import Send

from kubemirror.serve.answers import Answer, matches
from kubemirror.serve.asked import Asked

Headers = list[tuple[bytes, bytes]]

# A body up to this is handed over as it is held; above, in pieces, so that a TLS or asyncio transport, which
# copies what it cannot write at once, copies one piece at a time.
_WHOLE_BYTES = 2 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


async def send_answer(answer: Answer, asked: Asked, send: Send) -> None:
    """A finished answer, or 304 where the reader holds it already."""
    headers = [*answer.headers, *answer.freshness(), (b"etag", answer.etag)]
    if_none_match = asked.headers.get("if-none-match")
    if if_none_match is not None and answer.status == 200 and matches(if_none_match.encode("latin-1"), answer.etag):
        kept = [header for header in headers if header[0] != b"content-type"]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})
        return
    await send_body(send, answer.status, headers, answer.body)


async def send_body(send: Send, code: int, headers: Headers, body: bytes) -> None:
    """A whole response."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    if len(body) <= _WHOLE_BYTES:
        await send({"type": "http.response.body", "body": body})
        return
    view = memoryview(body)
    for start in range(0, len(body), _PIECE_BYTES):
        end = start + _PIECE_BYTES
        await send({"type": "http.response.body", "body": bytes(view[start:end]), "more_body": end < len(body)})
