"""/-/openapi.json: the contract of our own JSON API, and /-/docs: the same as a page, without a CDN."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from kubemirror.serve.reading import require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving


def routes(serving: Serving) -> APIRouter:
    """/-/openapi.json and /-/docs."""
    router = APIRouter()

    async def openapi(asked: AskedHere, request: Request) -> Response:
        await require_path(serving.context, asked.caller, asked.path)
        contract: dict[str, Any] = request.app.openapi()
        if asked.base:
            contract = {**contract, "servers": [{"url": asked.base}]}
        return Response(orjson.dumps(contract), media_type="application/json")

    async def docs(asked: AskedHere, request: Request) -> Response:
        await require_path(serving.context, asked.caller, asked.path)
        page = serving.pages.render("docs.html", asked, contract=request.app.openapi())
        return Response(page, media_type="text/html; charset=utf-8")

    get(router, "/-/openapi.json", openapi, in_contract=False)
    get(router, "/-/docs", docs, in_contract=False)
    return router
