"""Makes an Answer of a body and the Reading it was made from, keeps it, and sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kubemirror.serve.answers import AGES_SECONDS, Answer, Validity, etag_of_body
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.listing import Listing
from kubemirror.serve.reading import Moment, Reading
from kubemirror.serve.sending import Headers, send_answer
from kubemirror.serve.serving import Serving
from kubemirror.state.events import Phase

# Namespaces that the reader may not see may hold more. How much is not told: it would tell whether something is there.
OMITTED = (b"kubemirror-omitted", b"namespaces")


class Finished(Response):
    """A response that is an Answer."""

    def __init__(self, answer: Answer, asked: Asked) -> None:
        super().__init__(None, status_code=answer.status)
        self._answer = answer
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(self._answer, self._asked, send)


def finish(
    serving: Serving,
    asked: Asked,
    reading: Reading,
    body: bytes | Listing,
    *,
    media_type: str,
    route: str,
    headers: Headers,
    etag: bytes = b"",
    ages: bool = False,
    beside: Sequence[Reading] = (),
    moment: Moment | None = None,
) -> Finished:
    """Keep and send ``body``, which was made with no await between from ``reading`` (and those ``beside`` it), or of
    its ``moment``.

    etag: given where the body tells ages, which are no change of content; else it is of the body.
    ages: the body may be used for AGES_SECONDS only.
    """
    context = serving.context
    loop = asyncio.get_running_loop()
    readings = (reading, *beside)
    catalog, version = context.catalog, context.catalog.version
    stamps = [reading.stamp if moment is None else moment.stamp, *(each.stamp for each in beside)]
    until = min(asked.caller.until, asked.shortcuts_until, *(each.until for each in readings))
    if ages:
        until = min(until, loop.time() + AGES_SECONDS)

    def current() -> bool:
        return catalog.version == version and all(
            each.stamp == stamp for each, stamp in zip(readings, stamps, strict=True)
        )

    answer = Answer(
        status=200,
        headers=(
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-cache"),  # may be kept, must be asked about: the ETag makes that cheap
            (b"vary", b"accept, user-agent, authorization, cookie"),
            *headers,
        ),
        body=body,
        etag=etag or etag_of_body(body, media_type),
        route=route,
        validity=Validity(
            current,
            # What was made of an earlier moment must not have its readers go on from a later one.
            lambda: freshness_headers(context, reading, "" if moment is None or current() else moment.cursor),
            until,
            tuple({reader: None for each in readings for _, reader in each.stores}),
        ),
    )
    serving.answers.put(asked.variant, answer)
    return Finished(answer, asked)


def freshness_headers(context: Context, reading: Reading, cursor: str = "") -> Headers:
    """Cache-Status (RFC 9211), Age where upstream is lost, the cursor, and a warning for what is left out.

    cursor: of what is shown, where that is not all that is held by now.
    """
    headers: Headers = []
    state = reading.freshness(context.clock())
    if state.phase is Phase.STALE:
        headers.append((b"cache-status", b"kubemirror; hit; detail=STALE"))
        headers.append((b"age", b"%d" % (state.heard_seconds or state.stale_seconds or 0)))
    else:
        headers.append((b"cache-status", b"kubemirror; hit"))
    if reading.confined:
        headers.append(OMITTED)
    headers.append((b"kubemirror-resource-version", (cursor or reading.cursor).encode("latin-1", "replace")))
    for namespace, reason in reading.missing:
        text = f"{reading.name} in namespace {namespace} is left out: {reason}"
        headers.append((b"warning", b'299 - "%s"' % _quotable(text)))
    return headers


def _quotable(text: str) -> bytes:
    printable = "".join(character if " " <= character < "\x7f" else "?" for character in text)
    return printable.replace("\\", "?").replace('"', "'").encode()
