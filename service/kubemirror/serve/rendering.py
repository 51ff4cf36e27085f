"""An error in the form that whoever asked can read, and the headers that every answer of ours carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.types import Scope, Send

from kubemirror.serve.asked import Asked
from kubemirror.serve.pages import Pages
from kubemirror.serve.problems import UnknownResourceError, nearest
from kubemirror.serve.status import StatusError

# Forms of /resources that people read in a terminal: their errors are one line. Errors of the others are as programs
# read them; who asks for none of these in a terminal is a person.
_LINE_FORMS = ("table", "wide", "name", "csv", "tsv", "markdown")
_PROGRAM_FORMS = ("html", "json", "yaml", "ndjson")

# A value among those that pydantic says it expected: 'html', 'json' or 'yaml'.
_is_word = re.compile(r"'([^']*)'")

Headers = list[tuple[bytes, bytes]]

# On every answer of ours; application.py adds them.
SECURITY: Headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]


def reads_lines(asked: Asked) -> bool:
    """Whether an error is to be one line of text: what was asked for is a table in a terminal."""
    if not asked.path.startswith(("/resources", "/watch")):
        return False
    output = next((part[7:] for part in asked.query.split("&") if part.startswith("output=")), "")
    if output in _LINE_FORMS:
        return True
    return output not in _PROGRAM_FORMS and asked.terminal and asked.path.startswith("/resources")


def render_error(error: StatusError, asked: Asked, pages: Pages) -> tuple[Headers, bytes]:
    """Headers and body of an error answer."""
    if reads_lines(asked):
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        body = f"error: {one_line(error.message)}\n".encode()
    elif asked.browser:
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        suggestion = error.suggestion if isinstance(error, UnknownResourceError) else ""
        model = {"error": error, "suggestion": suggestion, "elsewhere": _elsewhere(error)}
        body = pages.render("error.html", asked, **model).encode()
    else:
        headers = [(b"content-type", b"application/json")]
        body = error.body + b"\n"
    headers += [*error.headers, (b"cache-control", b"no-store"), (b"vary", b"accept, user-agent")]
    return headers, body


def _elsewhere(error: StatusError) -> str:
    """Where a redirect leads, for whom is not led there; "" for an error."""
    return next((value.decode("latin-1") for name, value in error.headers if name == b"location"), "")


def one_line(text: str) -> str:
    """``text`` without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def said_of(errors: Iterable[Mapping[str, Any]] | Sequence[Any]) -> str:
    """The first of pydantic's errors as one line that names the parameter."""
    for error in errors:
        where = [str(part) for part in error["loc"] if part not in ("query", "path", "body", "header")]
        if error["type"] == "missing":
            return f'parameter "{where[-1] if where else "?"}" is missing'
        if error["type"] == "enum":
            known = _is_word.findall(error["ctx"]["expected"])
            hint = nearest(str(error["input"]), known)
            return f'parameter "{where[0]}": there is no "{error["input"]}", but {", ".join(known)}{hint}'
        if not where:  # of the parameters together, in our own words
            return str(error.get("ctx", {}).get("error", error["msg"]))
        return f'parameter "{where[0]}": {error["msg"]}'
    return "the request cannot be understood"


async def send_status(error: StatusError, asked: Asked, scope: Scope, send: Send) -> None:
    """Refuse an upgrade with an HTTP answer that holds the Status."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:120]})
        return
    headers = [(b"content-type", b"application/json"), *SECURITY, *error.headers]
    await send({"type": "websocket.http.response.start", "status": error.code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error.body + b"\n"})
