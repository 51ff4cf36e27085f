"""The control routes of the demo server: ``GET /-/faults`` and ``POST /-/faults/{name}?parameter=value``.

They are never under faults themselves, and only the demo server has them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from kubemirror.demo.faults import HTML, Fault, FaultKind, Faults
from kubemirror.serve.kubernetes.answer import Receive, Scope, Send
from kubemirror.serve.kubernetes.options import parse_query

# How long ``refuse`` refuses by default: over HTTP nobody could end it.
_REFUSE_SECONDS = 10.0
_pending: set[asyncio.Task[None]] = set()


async def control(faults: Faults, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one control request; 404 for an unknown fault, 400 for parameters that make no sense."""
    name = scope["path"].removeprefix("/-/faults").strip("/")
    query = parse_query(scope["query_string"])
    code = 200
    error = ""
    later: float | None = None
    if scope["method"] == "POST" or (scope["method"] == "DELETE" and not name):
        try:
            later = _switch(faults, name if scope["method"] == "POST" else "clear", query, await _body(receive))
        except LookupError as unknown:
            code, error = 404, f"no such fault: {unknown}"
        except ValueError as wrong:
            code, error = 400, str(wrong)
    elif name:
        code, error = 405, "switch a fault with POST"
    answer = orjson.dumps({"error": error} if error else faults.describe()) + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": answer, "more_body": False})
    if later is not None:
        task = asyncio.create_task(faults.restart(seconds=later), name="demo restart")
        _pending.add(task)
        task.add_done_callback(_pending.discard)


def _switch(faults: Faults, name: str, query: dict[str, str], body: bytes) -> float | None:
    """Switch; for restart and refuse, after the answer, the seconds to be away."""
    match name:
        case "restart":
            return float(query.get("seconds", "0"))
        case "refuse":
            return float(query.get("seconds", _REFUSE_SECONDS))
        case "drop":
            faults.drop()
        case "freeze":
            faults.freeze()
        case "thaw":
            faults.thaw()
        case "compact":
            faults.compact(int(query["resourceVersion"]) if "resourceVersion" in query else None)
        case "lag":
            faults.lag()
        case "catch-up":
            faults.catch_up()
        case "save":
            faults.save()
        case "rollback":
            faults.rollback()
        case "forbid":
            faults.forbid(_required(query, "resource"))
        case "permit":
            faults.permit(_required(query, "resource"))
        case "rotate":
            faults.rotate(_required(query, "old"), _required(query, "new"))
        case "require-token":
            faults.require_token(required=query.get("required", "true") == "true")
        case "clear":
            faults.clear()
        case "too-many-requests":
            faults.too_many_requests(retry_after=int(query.get("retryAfter", "1")), **_matching(query))
        case "bad-gateway":
            faults.bad_gateway(**_matching(query))
        case "expired":
            faults.expired(event=query.get("event", "true") == "true", **_matching(query))
        case "inject":
            kind = FaultKind(_required(query, "kind"))
            code = int(query.get("code", "500"))
            content_type = query.get("contentType", "text/plain; charset=utf-8")
            fault = Fault(kind, code=code, body=body or HTML, content_type=content_type, **_matching(query))
            fault.after, fault.rate = int(query.get("after", "0")), int(query.get("rate", "1"))
            faults.inject(fault)
        case _:
            raise LookupError(name)
    return None


def _matching(query: dict[str, str]) -> dict[str, Any]:
    matching: dict[str, Any] = {"resource": query.get("resource", ""), "skip": int(query.get("skip", "0"))}
    if "verb" in query:
        matching["verbs"] = frozenset(query["verb"].split(","))
    times = query.get("times", "1")
    matching["times"] = None if times == "always" else int(times)
    return matching


def _required(query: dict[str, str], name: str) -> str:
    if not query.get(name):
        raise ValueError(f"the parameter {name} is missing")
    return query[name]


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body
